-- Events, 32 in a row, so that appending and reading many costs little: idx counts the rows from 0, and
-- the last one is written anew until it is full. leaves: the hash of each, 32 bytes. entries: the
-- encoding of each (ledger.h) behind its length in two bytes, big-endian. The table event, which had a
-- row for each, is emptied into this one when the store is next opened for writing.
create table bundle (
    shard bigint not null,
    idx bigint not null,
    leaves bytea not null,
    entries bytea not null,
    primary key (shard, idx)
) /* sqlite: without rowid */;
