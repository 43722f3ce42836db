-- Policies that somebody proposes and somebody else approves. seq: of the event that proposed it, which
-- is also its identity. base_version: that was in force then. bundle: the files, as table policy has
-- them. state: open, applied, rejected; version: that it became.
create table policy_proposal (
    shard bigint not null,
    seq bigint not null,
    actor text not null,
    proposed_at bigint not null,
    expires_at bigint not null,
    base_version bigint not null,
    hash bytea not null,
    bundle text not null,
    state text not null,
    decided_by text,
    decided_at bigint,
    version bigint,
    primary key (shard, seq)
) /* sqlite: without rowid */;
