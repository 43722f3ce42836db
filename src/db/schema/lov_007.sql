-- What a record may be used for, narrower than the policy says, as JSON; empty: nothing narrower.
alter table record add column limits text not null default '';

-- Records by the purposes that their limits name.
create table record_purpose (
    shard bigint not null,
    purpose text not null,
    cid bytea not null,
    category text not null,
    seq bigint not null,
    primary key (shard, purpose, cid, category, seq)
) /* sqlite: without rowid */;
create index record_purpose_cid on record_purpose (shard, cid, category, seq);
