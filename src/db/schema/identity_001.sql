-- The store of who: one row a consumer, and nothing about them but that they are one.
-- lookup: keyed hash of the controller's id. sealed_id, data_key: sealed by the key-encryption key.
-- number: dense, in the order in which consumers came.

create table consumer (
    lookup bytea primary key,
    number bigint not null,
    shard bigint not null,
    cid bytea not null,
    sealed_id bytea not null,
    data_key bytea not null,
    created_at bigint not null
) /* sqlite: without rowid */;
create unique index consumer_cid on consumer (cid);
create unique index consumer_number on consumer (number);

-- Keys of the installation, sealed by the key-encryption key.
create table secret (
    name text primary key,
    sealed bytea not null
);

-- Keyed hashes of erased consumers.
create table erased (
    lookup bytea primary key,
    at bigint not null
) /* sqlite: without rowid */;
