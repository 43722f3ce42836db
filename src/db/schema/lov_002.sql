-- What the ledger publishes. None of these rows ever changes.

-- Complete tiles (C2SP tlog-tiles): hashes holds 256 of them, root is what they fold to. What a
-- partial tile holds is in the leaves of event and in the roots of the level below.
create table tile (
    shard bigint not null,
    level bigint not null,
    idx bigint not null,
    root bytea not null,
    hashes bytea not null,
    primary key (shard, level, idx)
);

-- Signed checkpoints (C2SP tlog-checkpoint); text is without signatures, signature one line.
create table checkpoint (
    shard bigint not null,
    size bigint not null,
    at bigint not null,
    root bytea not null,
    text text not null,
    signature text not null,
    primary key (shard, size)
);

-- The cosignatures of witnesses, a line each; at is the instant that they say.
create table cosignature (
    shard bigint not null,
    size bigint not null,
    name text not null,
    key_id bigint not null,
    at bigint not null,
    line text not null,
    primary key (shard, size, name, key_id)
);
