-- For how many a proposed read was permitted when it was proposed; null: that was not known.
alter table read_proposal add column people bigint;
