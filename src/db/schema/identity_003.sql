-- How consumers come in: all of it is personal, so it lies here and goes with the consumer.

-- login: keyed hash of the name that they sign in with; name: the same, sealed under the consumer's
-- data key. password: argon2id in PHC form, null where there is none. words: the language they chose.
create table account (
    cid bytea primary key,
    login bytea not null,
    name bytea not null,
    password text,
    words text not null,
    created_at bigint not null
) /* sqlite: without rowid */;
create unique index account_login on account (login);

-- A link that makes an account, once. digest: SHA-256 of 32 random bytes, which need no slow hash.
create table invitation (
    digest bytea primary key,
    cid bytea not null,
    created_at bigint not null,
    expires_at bigint not null
) /* sqlite: without rowid */;
create index invitation_cid on invitation (cid);

-- digest: as above. proved_at: when they last proved who they are. device: "Firefox, Linux".
-- for_cid: whom they act for; null: themselves.
create table session (
    digest bytea primary key,
    cid bytea not null,
    id bytea not null,
    created_at bigint not null,
    seen_at bigint not null,
    proved_at bigint not null,
    device text not null,
    for_cid bytea
) /* sqlite: without rowid */;
create index session_cid on session (cid);

-- cid may act for for_cid. kind: guardian, delegate.
create table delegate (
    cid bytea not null,
    for_cid bytea not null,
    kind text not null,
    created_at bigint not null,
    primary key (cid, for_cid)
) /* sqlite: without rowid */;
create index delegate_for on delegate (for_cid);

-- id: of the credential (WebAuthn). key: its public key, DER of SubjectPublicKeyInfo.
create table passkey (
    id bytea primary key,
    cid bytea not null,
    key bytea not null,
    algorithm bigint not null,
    count bigint not null,
    label text not null,
    created_at bigint not null,
    used_at bigint not null
) /* sqlite: without rowid */;
create index passkey_cid on passkey (cid);
