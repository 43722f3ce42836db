-- Who a recipient is told about until it has acknowledged that (lov: notification): the
-- controller's id, sealed, which outlives the consumer's own row while there is somebody to tell.
create table told (
    shard bigint not null,
    seq bigint not null,
    sealed_id bytea not null,
    primary key (shard, seq)
) /* sqlite: without rowid */;
