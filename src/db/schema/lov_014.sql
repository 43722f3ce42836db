-- Events, some twenty in a row, so that appending and reading many costs little: first is the number of
-- the first one, and the last row is written anew until it is full. leaves: the hash of each, 32 bytes.
-- entries: the encoding of each (ledger.h) behind its length in two bytes, big-endian. The table event,
-- which had a row for each, is emptied into this one when the store is next opened for writing. It has
-- its key apart, since SQLite compares keys of a table without rowid by reading all of each row.
create table bundle (
    shard bigint not null,
    first bigint not null,
    leaves bytea not null,
    entries bytea not null,
    primary key (shard, first)
);
