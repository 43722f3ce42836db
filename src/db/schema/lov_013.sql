-- Of which categories an erasure is, comma-separated; '': of all.
alter table notification add column categories text not null default '';
