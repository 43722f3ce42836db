-- The store of what: everything but who (identity_001.sql). Times are ms since 1970 UTC.
-- Tables of a consumer begin with (shard, cid); "sqlite:" comments are read by that driver alone.

create table meta (
    name text primary key,
    value text not null
);

-- One row a version; bundle is the JSON of the files.
create table policy (
    version bigint primary key,
    applied_at bigint not null,
    actor text not null,
    hash bytea not null,
    bundle text not null
);

-- Every text that was ever published; a text never changes under its version.
create table notice (
    id text not null,
    version bigint not null,
    language text not null,
    material bigint not null,
    hash bytea not null,
    markdown text not null,
    policy_version bigint not null,
    primary key (id, version, language)
);

-- secret_hash is SHA-256 of 32 random bytes, which need no slow hash.
create table api_key (
    id text primary key,
    secret_hash bytea not null,
    kind text not null,
    subject text not null,
    created_at bigint not null,
    revoked_at bigint
);

-- The head of each shard's ledger: frontier holds the roots of the complete subtrees, left to right.
-- applied: what the events before it say is in the tables consumer and consent.
create table shard (
    shard bigint primary key,
    size bigint not null,
    applied bigint not null,
    frontier bytea not null,
    last_at bigint not null
);

-- prev: seq of the consumer's event before this one, -1 for the first and where there is no cid.
create table event (
    shard bigint not null,
    seq bigint not null,
    prev bigint not null,
    at bigint not null,
    kind text not null,
    cid bytea,
    actor text not null,
    activity text not null,
    body text not null,
    leaf bytea not null,
    primary key (shard, seq)
) /* sqlite: without rowid */;

-- residence: "SE", "US-CA". sealed: what is personal, under the consumer's key. last_event: the
-- head of the consumer's chain of events.
create table consumer (
    shard bigint not null,
    cid bytea not null,
    residence text not null,
    restricted bigint not null,
    opt_out_signal bigint not null,
    sealed bytea,
    event bigint not null,
    last_event bigint not null,
    primary key (shard, cid)
) /* sqlite: without rowid */;

-- seq: of the event that recorded it, which is also its identity. event: of the last event that
-- changed it, whose body says what the row says. categories, narrowed: names, comma-separated.
create table consent (
    shard bigint not null,
    cid bytea not null,
    seq bigint not null,
    purpose text not null,
    recipient text not null,
    categories text not null,
    narrowed text not null,
    status text not null,
    notice text not null,
    notice_version bigint not null,
    notice_language text not null,
    notice_hash bytea not null,
    channel text not null,
    given_at bigint not null,
    expires_at bigint,
    guardian bigint not null,
    sealed bytea,
    event bigint not null,
    primary key (shard, cid, seq)
) /* sqlite: without rowid */;

-- What expires next, for the expiry job.
create index consent_expiry on consent (shard, expires_at) where status = 'active';

-- digest: SHA-256 of caller and Idempotency-Key. request: SHA-256 of what was asked.
create table idempotency (
    shard bigint not null,
    digest bytea not null,
    request bytea not null,
    seq bigint not null,
    at bigint not null,
    primary key (shard, digest)
) /* sqlite: without rowid */;
create index idempotency_age on idempotency (shard, at);
