-- Reads of many that one member of staff proposes and another one approves. seq: of the event that
-- proposed it, which is also its identity. why: in the words of who proposed it. hash: of all that is
-- asked for, and why. state: open, approved, rejected, used; used_at: when it was read.
create table read_proposal (
    shard bigint not null,
    seq bigint not null,
    actor text not null,
    proposed_at bigint not null,
    expires_at bigint not null,
    recipient text not null,
    purpose text not null,
    category text not null,
    format text not null,
    why text not null,
    hash bytea not null,
    state text not null,
    decided_by text,
    decided_at bigint,
    used_at bigint,
    primary key (shard, seq)
) /* sqlite: without rowid */;
