-- What looks wrong about records and is not settled. seq: of the event that asked, which says what
-- the row says. version: of the record that it asks about. sealed: what the record may have been
-- meant to be, under the consumer's key.
create table issue (
    shard bigint not null,
    cid bytea not null,
    seq bigint not null,
    category text not null,
    record bigint not null,
    version bigint not null,
    kind text not null,
    field text not null,
    rule text not null,
    sealed bytea,
    primary key (shard, cid, seq)
) /* sqlite: without rowid */;
create unique index issue_seq on issue (shard, seq);

-- Keyed hashes of records and of values that identify, to find the same again: without a key that
-- the installation has, they tell nothing.
create table likeness (
    shard bigint not null,
    cid bytea not null,
    record bigint not null,
    token bytea not null,
    primary key (shard, cid, record, token)
) /* sqlite: without rowid */;
create index likeness_token on likeness (shard, token);

-- How the numbers of each category are spread; no consumer's.
create table sketch (
    shard bigint not null,
    name text not null,
    counts bytea not null,
    at bigint not null,
    primary key (shard, name)
) /* sqlite: without rowid */;
