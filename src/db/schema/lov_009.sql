-- Who is told of events, and where. recipient '': the company. kinds: comma-separated, '' is all.
-- stopped_at: when the endpoint said that it is gone. sealed: what its messages are signed with, under
-- a key of the installation. revision: counts the changes to the row.
create table webhook (
    id text primary key,
    recipient text not null,
    url text not null,
    kinds text not null,
    created_at bigint not null,
    revoked_at bigint,
    stopped_at bigint,
    sealed bytea not null,
    revision bigint not null
);

-- How far each has come: what is before seq was delivered, or is in webhook_delivery.
create table webhook_cursor (
    shard bigint not null,
    webhook text not null,
    seq bigint not null,
    delivered bigint not null,
    delivered_at bigint,
    primary key (shard, webhook)
);

-- What the first attempt did not deliver. next_at: when it is tried again; null: no more, until
-- somebody asks for it. status: of HTTP, 0 where there was no answer. error: a word.
create table webhook_delivery (
    shard bigint not null,
    webhook text not null,
    seq bigint not null,
    attempts bigint not null,
    next_at bigint,
    status bigint not null,
    error text not null,
    at bigint not null,
    primary key (shard, webhook, seq)
);
