-- What consumers have asked for. seq: of the event that received it, which is also its identity.
-- event: of the last event that changed it, which says what the row says. sealed: what was written
-- by people, under the consumer's key; null once the consumer is erased.
create table request (
    shard bigint not null,
    cid bytea not null,
    seq bigint not null,
    event bigint not null,
    kind text not null,
    state text not null,
    channel text not null,
    law text not null,
    received_at bigint not null,
    due_at bigint not null,
    extended bigint not null,
    reason text not null,
    reminded bigint not null,
    sealed bytea,
    primary key (shard, cid, seq)
) /* sqlite: without rowid */;
create unique index request_seq on request (shard, seq);

-- What is due next, for the reminders.
create index request_due on request (shard, due_at)
    where state in ('received', 'identity_pending', 'open', 'extended');

-- Why a consumer, or one category of their records, is not erased: category '' is all of it.
create table hold (
    shard bigint not null,
    cid bytea not null,
    seq bigint not null,
    event bigint not null,
    category text not null,
    reason text not null,
    source text not null,
    until bigint,
    released bigint not null,
    primary key (shard, cid, seq)
) /* sqlite: without rowid */;

-- Whom a request's outcome is told to, and whether they have acknowledged it. The name that they
-- know the consumer by is in the identity store (identity_004.sql).
create table notification (
    shard bigint not null,
    seq bigint not null,
    recipient text not null,
    request bigint not null,
    kind text not null,
    at bigint not null,
    acknowledged_at bigint,
    primary key (shard, seq)
) /* sqlite: without rowid */;
create index notification_open on notification (shard, recipient, seq);
