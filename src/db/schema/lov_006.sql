-- Consumers whom nobody may decide on by machines alone (GDPR art. 22).
alter table consumer add column no_automated_decision bigint not null default 0;
