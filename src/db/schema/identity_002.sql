-- Rows in the order in which consumers came: adding one touches the end of the table, and of the
-- index by cid, whose first bytes say when; only the index by lookup is touched at random.
create table consumer_in_order (
    number bigint primary key,
    lookup bytea not null,
    shard bigint not null,
    cid bytea not null,
    sealed_id bytea not null,
    data_key bytea not null,
    created_at bigint not null
) /* sqlite: without rowid */;
insert into consumer_in_order (number, lookup, shard, cid, sealed_id, data_key, created_at)
select number, lookup, shard, cid, sealed_id, data_key, created_at from consumer order by number;
drop table consumer;
alter table consumer_in_order rename to consumer;
create unique index consumer_lookup on consumer (lookup);
create unique index consumer_cid on consumer (cid);
