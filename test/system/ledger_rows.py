"""Events as rows of a table `event`, for tests that look at them, or change them, with SQL. In lov.db
many lie in a row (lov_014.sql)."""

import contextlib
import sqlite3
import struct

BUNDLE_BYTES = 9140  # ledger/bundle.h
COLUMNS = "shard, seq, prev, at, kind, cid, actor, activity, body, leaf"


def decode(encoding):
    """What ledger.h says of the encoding, version 1."""
    version, shard, seq, prev, at = struct.unpack_from(">BIqqq", encoding)
    assert version == 1
    fields, place = [], 29
    for _ in range(5):
        size, = struct.unpack_from(">I", encoding, place)
        fields.append(encoding[place + 4:place + 4 + size])
        place += 4 + size
    assert place == len(encoding)
    kind, cid, actor, activity, body = fields
    return (shard, seq, prev, at, kind.decode(), cid or None, actor.decode(), activity.decode(), body.decode())


def encode(shard, seq, prev, at, kind, cid, actor, activity, body):
    parts = [kind.encode(), cid or b"", actor.encode(), activity.encode(), body.encode()]
    return struct.pack(">BIqqq", 1, shard, seq, prev, at) + b"".join(
        struct.pack(">I", len(part)) + part for part in parts)


def rows_of(db):
    for leaves, entries in db.execute("select leaves, entries from bundle order by shard, first").fetchall():
        place = number = 0
        while place < len(entries):
            size, = struct.unpack_from(">H", entries, place)
            leaf = leaves[number * 32:number * 32 + 32]
            yield decode(entries[place + 2:place + 2 + size]) + (leaf,)
            place, number = place + 2 + size, number + 1


def write_rows(db, rows):
    bundles = {}
    shard = following = None
    for *event, leaf in rows:
        encoding = encode(*event)
        size = 2 + len(encoding) + len(leaf)
        if (shard, following) != tuple(event[:2]) or len(leaves) + len(entries) + size > BUNDLE_BYTES:
            leaves, entries = bundles[tuple(event[:2])] = bytearray(), bytearray()
        entries += struct.pack(">H", len(encoding)) + encoding
        leaves += leaf
        shard, following = event[0], event[1] + 1
    new = {place: (bytes(leaves), bytes(entries)) for place, (leaves, entries) in bundles.items()}
    old = {(shard, first): rest for shard, first, *rest in db.execute("select * from bundle")}
    for place in old.keys() - new.keys():
        db.execute("delete from bundle where shard = ? and first = ?", place)
    for place in new.keys() - old.keys():
        db.execute("insert into bundle values (?, ?, ?, ?)", (*place, *new[place]))
    for place in new.keys() & old.keys():  # in place: what is put back is as it was, to the byte
        if new[place] != tuple(old[place]):
            db.execute("update bundle set leaves = ?, entries = ? where shard = ? and first = ?",
                       (*new[place], *place))


def sum_of(number, page):
    """The checksum of a page (db/pages.h)."""
    a, b = number, 0x6c6f7621
    words = struct.unpack("<1022I", page[:4088])
    for x, y in zip(words[::2], words[1::2]):
        a = (a + x + b) & 0xFFFFFFFF
        b = (b + y + a) & 0xFFFFFFFF
    return struct.pack("<II", a, b)


def write_sums(path):
    with open(path, "r+b") as f:
        for number, page in enumerate(iter(lambda: f.read(4096), b""), 1):
            f.seek(number * 4096 - 8)
            f.write(sum_of(number, page) if any(page) else page[-8:])


@contextlib.contextmanager
def opened(path, sums=False):
    """A connection whose table `event` has what the bundles have, and the other way round afterwards.
    `sums`: whoever changes something knows how the checksums of pages are made, too."""
    select = f"select {COLUMNS} from temp.event order by shard, seq"
    db = sqlite3.connect(path)
    db.execute(f"create temp table event ({COLUMNS})")
    db.executemany(f"insert into temp.event values ({','.join('?' * 10)})", rows_of(db))
    before = db.execute(select).fetchall()
    yield db
    after = db.execute(select).fetchall()
    if after != before:
        write_rows(db, after)
    db.commit()
    db.close()
    if sums:
        write_sums(path)
