-- Staff who come into the console. name: sealed; login: keyed hash of what they sign in with, null
-- until they made their account; password: argon2id in PHC form. roles and recipients: names apart
-- by one space. trained_until: the first instant at which their training no longer holds.
create table staff (
    id bytea primary key,
    name bytea not null,
    login bytea,
    password text,
    roles text not null,
    recipients text not null,
    trained_until bigint,
    created_at bigint not null,
    disabled_at bigint
) /* sqlite: without rowid */;
create unique index staff_login on staff (login);

-- A link that makes an account, or gives it a new password, once.
create table staff_invitation (
    digest bytea primary key,
    staff bytea not null,
    created_at bigint not null,
    expires_at bigint not null
) /* sqlite: without rowid */;
create index staff_invitation_staff on staff_invitation (staff);

-- role: in which they work, one at a time. proved_at: when they last proved who they are; 0: their
-- passkey is still asked for.
create table staff_session (
    digest bytea primary key,
    staff bytea not null,
    id bytea not null,
    role text not null,
    created_at bigint not null,
    seen_at bigint not null,
    proved_at bigint not null,
    device text not null
) /* sqlite: without rowid */;
create index staff_session_staff on staff_session (staff);
