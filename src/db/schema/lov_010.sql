-- Messages to consumers. source: what it came of, so that nobody is told twice: "event-" and a number
-- of the ledger, "summary-" and a day. sealed: what it says, under the consumer's key. mail_at: when
-- an e-mail is sent that says that there is a message; null: none is.
create table message (
    shard bigint not null,
    cid bytea not null,
    source text not null,
    at bigint not null,
    read_at bigint,
    mail_at bigint,
    mail_attempts bigint not null,
    sealed bytea not null,
    primary key (shard, cid, source)
) /* sqlite: without rowid */;
create index message_order on message (shard, cid, at, source);
create index message_unread on message (shard, cid) where read_at is null;
create index message_mail on message (shard, mail_at) where mail_at is not null;

-- What a consumer has chosen. summary: never, monthly, quarterly, yearly. mail: 1 for e-mails.
create table message_setting (
    shard bigint not null,
    cid bytea not null,
    summary text not null,
    mail bigint not null,
    primary key (shard, cid)
) /* sqlite: without rowid */;

-- How far messages are made: of the events before seq they are.
create table message_cursor (
    shard bigint primary key,
    seq bigint not null
);

-- What many are told of, and how far that has come: those up to cid were. source: as in message.
-- version: of the policy that was applied; 0: of a summary.
create table message_round (
    shard bigint not null,
    source text not null,
    version bigint not null,
    event bigint not null,
    cid bytea not null,
    told bigint not null,
    begun_at bigint not null,
    ended_at bigint,
    primary key (shard, source)
);
