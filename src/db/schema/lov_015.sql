-- Consents that others have taken all categories from stand behind the rest of their consumer's: what
-- an answer costs does not grow with how many were given before. past: 1 for these, 0 for others.
create table consent_anew (
    shard bigint not null,
    cid bytea not null,
    past bigint not null,
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
    primary key (shard, cid, past, seq)
) /* sqlite: without rowid */;
insert into consent_anew (shard, cid, past, seq, purpose, recipient, categories, narrowed, status,
    notice, notice_version, notice_language, notice_hash, channel, given_at, expires_at, guardian,
    sealed, event)
select shard, cid, case when status = 'superseded' and narrowed = '' then 1 else 0 end, seq, purpose,
    recipient, categories, narrowed, status, notice, notice_version, notice_language, notice_hash,
    channel, given_at, expires_at, guardian, sealed, event from consent;
drop table consent;
alter table consent_anew rename to consent;
create index consent_expiry on consent (shard, expires_at) where status = 'active';
