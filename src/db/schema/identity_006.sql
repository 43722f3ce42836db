-- Who may approve what others propose. power_at: when they first had an account and a role with power
-- over the rules; it stays when they leave, so that four eyes, once they are there, remain. From
-- approves_from on they approve. signed_in_at: when they last came in; null: never.
alter table staff add column power_at bigint;
alter table staff add column approves_from bigint not null default 0;
alter table staff add column signed_in_at bigint;
update staff set power_at = created_at where password is not null
    and (roles like '%admin%' or roles like '%privacy_officer%');
