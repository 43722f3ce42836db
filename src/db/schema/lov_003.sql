-- What is known of consumers. seq: of the event that recorded it, which is also its identity.
-- event: of the last event that changed it, which says what the row says, and the hash of sealed:
-- the record itself, under the consumer's key. observed_at: when it was so; what the policy says of
-- retention counts from there. retention_end: where it was given an end of its own.
create table record (
    shard bigint not null,
    cid bytea not null,
    category text not null,
    seq bigint not null,
    event bigint not null,
    version bigint not null,
    source text not null,
    observed_at bigint not null,
    retention_end bigint,
    sealed bytea not null,
    primary key (shard, cid, category, seq)
) /* sqlite: without rowid */;

-- What is due next, for the expiry job.
create index record_age on record (shard, category, observed_at);
create index record_end on record (shard, retention_end) where retention_end is not null;

-- Sums that may leave, each over the records of at least k consumers; none of these rows ever
-- changes. seq: of the event that tells of them, part: which of its blocks. form: stands for the view
-- that made them. keys: JSON array of group values. sums: JSON object by field. Nobody is in them.
create table aggregate_block (
    shard bigint not null,
    recipient text not null,
    purpose text not null,
    category text not null,
    seq bigint not null,
    part bigint not null,
    form text not null,
    keys text not null,
    records bigint not null,
    sums text not null,
    epsilon bigint not null,
    at bigint not null,
    primary key (shard, recipient, purpose, category, seq, part)
) /* sqlite: without rowid */;

-- Which record is in a block of which recipient: no record is in two.
create table aggregate_use (
    shard bigint not null,
    cid bytea not null,
    category text not null,
    seq bigint not null,
    recipient text not null,
    primary key (shard, cid, category, seq, recipient)
) /* sqlite: without rowid */;
