"""What the ledger publishes, from a running server: for everybody, cacheable, right at its edges; and
what happens when somebody changes the past under it."""

import base64
import hashlib
import os
import re
import shutil
import sqlite3

import pytest
import requests

import ledger_rows
from test_cli import NO, UNAVAILABLE, lov, lov_json, serving, wait_for
from test_http import ROOT, Server, demo, server  # noqa: F401 (fixtures)

PURPOSES = {"reason", "status", "type", "title", "detail"}


def get(server, path, **more):  # noqa: F811
    return requests.get(server.url + path, timeout=20, **more)


def publish(server):  # noqa: F811
    return server.admin.post(server.url + "/v1/log/checkpoint", timeout=20).json()["shards"][0]


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaves):
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return node(root_of(leaves[:half]), root_of(leaves[half:]))


def test_the_published_tree_is_that_of_the_published_entries(server):  # noqa: F811
    shard = publish(server)
    origin, size, root, *_ = shard["checkpoint"].split("\n")
    size = int(size)
    answer = get(server, "/log/0/checkpoint")
    assert answer.text == shard["checkpoint"] and origin == shard["origin"]
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    hashes = b""
    entries = []
    for n in range((size + 255) // 256):
        width = min(256, size - n * 256)
        name = f"{n:03}" + (f".p/{width}" if width < 256 else "")
        tile = get(server, "/log/0/tile/0/" + name)
        assert tile.headers["Content-Type"] == "application/octet-stream"
        assert "immutable" in tile.headers["Cache-Control"]
        hashes += tile.content
        bundle = server.admin.get(server.url + "/log/0/tile/entries/" + name, timeout=20).content
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            entries.append(bundle[2:2 + length])
            bundle = bundle[2 + length:]
    leaves = [hashes[i:i + 32] for i in range(0, len(hashes), 32)]
    assert len(leaves) == size > 100
    assert [hashlib.sha256(b"\x00" + e).digest() for e in entries] == leaves
    assert base64.b64encode(root_of(leaves)).decode() == root


def test_tiles_that_there_are_not_are_404(server):  # noqa: F811
    size = int(publish(server)["checkpoint"].split("\n")[1])
    last, width = divmod(size, 256)
    bad = ["0/999", f"0/{last:03}", f"0/{last:03}.p/{width + 1}", "1/000.p/99", "7/000", "8/000",
           "63/000", "64/000", "0/0", "0/000.p/0", "0/000.p/256", "0/x000/000", "x", "0/000/", "0",
           "0/x999/x999/x999/x999/x999/999", "0/000.p/%31%00"]
    for path in bad:
        answer = get(server, "/log/0/tile/" + path)
        assert answer.status_code in (400, 404), (path, answer.text)
        assert "immutable" not in answer.headers.get("Cache-Control", "")
    for path in ("/log/1/checkpoint", "/log/x/checkpoint", "/log/0/checkpoint?size=99999999",
                 "/log/0/tile/entries/999"):
        assert server.admin.get(server.url + path, timeout=20).status_code == 404, path
    assert get(server, "/log/0/checkpoint?size=x").status_code == 400


def test_the_newest_event_has_an_entry_as_soon_as_it_is_acknowledged(server):  # noqa: F811
    server.give(consumer="entries")
    size = int(publish(server)["checkpoint"].split("\n")[1])
    for _ in range(20):
        assert server.give(consumer="entries").status_code == 201
        size += 1
        path = f"/log/0/tile/entries/{(size - 1) // 256:03}"
        width = (size - 1) % 256 + 1
        answer = server.admin.get(server.url + path + (f".p/{width}" if width < 256 else ""), timeout=20)
        assert answer.status_code == 200 and b"consent.give" in answer.content
        beyond = server.admin.get(server.url + f"/log/0/tile/entries/{size // 256:03}.p/{size % 256 + 1}", timeout=20)
        assert beyond.status_code == 404


def test_entries_are_for_those_who_may_read_events_unless_they_are_made_public(server):  # noqa: F811
    path = "/log/0/tile/entries/000.p/1"
    assert get(server, path).status_code == 401
    assert server.marketing.get(server.url + path, timeout=20).status_code == 403
    for other in ("entries%2F000.p/1", "%65ntries/000.p/1", "entries%2f000.p%2f1", "entries"):
        assert get(server, "/log/0/tile/" + other).status_code in (401, 404), other
    assert server.session("--staff", "auditor").get(server.url + path, timeout=20).status_code == 200
    server.stop()
    with serving(server.folder, "--public-entries") as (_, url):
        assert requests.get(url + path, timeout=20).status_code == 200
        assert requests.get(url + "/v1/events", timeout=20).status_code == 401


def test_proofs_are_given_up_to_the_last_checkpoint(server):  # noqa: F811
    size = int(publish(server)["checkpoint"].split("\n")[1])
    proof = get(server, f"/v1/log/proof/inclusion?seq={size - 1}").json()
    assert proof["size"] == size and proof["checkpoint"].split("\n")[2] == proof["root"]
    assert get(server, f"/v1/log/proof/inclusion?seq=3&size={size - 5}").json()["checkpoint"] is None
    for query, status in ((f"inclusion?seq={size}", 404), (f"inclusion?seq=0&size={size + 1}", 404),
                          ("inclusion?seq=5&size=5", 404), ("inclusion?seq=-1", 400),
                          ("inclusion", 400), ("inclusion?seq=0&shard=1", 404),
                          ("inclusion?seq=0&sise=9", 400), ("consistency?from=9&to=8", 400),
                          (f"consistency?from={size + 1}", 400), ("consistency", 400),
                          ("consistency?from=1&to=99999999", 404)):
        answer = get(server, "/v1/log/proof/" + query)
        assert answer.status_code == status, (query, answer.text)
        assert PURPOSES <= set(answer.json())
    assert get(server, "/v1/log/proof/consistency?from=0").json()["hashes"] == []


def test_a_server_publishes_what_is_new_by_itself_and_when_it_stops(server):  # noqa: F811
    server.stop()
    with serving(server.folder, "--checkpoint-seconds", "1") as (_, url):
        def size():
            return int(requests.get(url + "/log/0/checkpoint", timeout=20).text.split("\n")[1])
        before = size()
        lov("check", "--record", "--recipient", "marketing", "--purpose", "personal_offers",
            "--category", "purchases", "--consumer", "00001", directory=server.folder, code=None)
        wait_for(lambda: size() > before)
    with serving(server.folder, "--checkpoint-seconds", "3600") as (_, url):
        before = requests.get(url + "/log/0/checkpoint", timeout=20).text
        lov("key", "list", directory=server.folder)
        lov("check", "--record", "--recipient", "marketing", "--purpose", "personal_offers",
            "--category", "purchases", "--consumer", "00001", directory=server.folder, code=None)
    with ledger_rows.opened(server.folder + "/lov.db") as store:
        count = store.execute("select count(*) from event").fetchone()[0]
        signed = store.execute("select max(size) from checkpoint").fetchone()[0]
    assert signed == count > int(before.split("\n")[1])


def test_cosignatures_of_strangers_are_refused(server):  # noqa: F811
    publish(server)
    line = "\u2014 stranger " + base64.b64encode(bytes(76)).decode() + "\n"
    for body, reason in ((line, "unknown_witness"), ("", "missing_body"), ("x\n", "invalid"),
                         ("\x00", "invalid"), (line * 70, "unknown_witness")):
        answer = requests.post(server.url + "/log/0/cosignature", data=body.encode(), timeout=20,
                               headers={"Content-Type": "text/plain"})
        assert answer.status_code == 400 and answer.json()["reason"] == reason, (body, answer.text)


# ---- when somebody changes the past ----


def server_events(url, server):  # noqa: F811
    return server.admin.get(url + "/v1/events?limit=1000", timeout=20).json()["items"]


@pytest.mark.parametrize("sql,finding", [
    ("update event set actor = 'mallory' where seq = 20", "rewritten"),
    ("delete from event where seq = 20", "dropped"),
])
def test_a_server_notices_that_its_past_was_changed(server, sql, finding):  # noqa: F811
    publish(server)
    server.stop()
    checkpoint = server.folder + ".checkpoint"
    with open(checkpoint, "w", encoding="utf-8") as out:
        out.write(lov("log", "checkpoint", directory=server.folder).stdout)
    assert lov_json("log", "audit", "--against", checkpoint, directory=server.folder)["ok"]
    with ledger_rows.opened(server.folder + "/lov.db", sums=True) as store:
        undo = store.execute("select * from event where seq = 20").fetchone()
        store.execute(sql)
    with serving(server.folder, "--audit-seconds", "1") as (_, url):
        wait_for(lambda: requests.get(url + "/readyz", timeout=20).status_code == 503)
        ready = requests.get(url + "/readyz", timeout=20).json()
        assert ready["reasons"] == ["log_wrong"]
        assert "\nlov_log_wrong 1\n" in requests.get(url + "/metrics", timeout=20).text
        alerts = wait_for(lambda: [e for e in server_events(url, server) if e["kind"] == "log.alert"])
        assert [(a["finding"], a["event"]) for a in alerts] == [(finding, 20)]
    with open(server.folder + "/server.log", encoding="utf-8") as log:
        assert finding in log.read()
    report = lov_json("log", "audit", "--against", checkpoint, directory=server.folder, code=NO)
    assert report["finding"] == finding and report["event"] == 20
    # The fixture verifies the ledger at the end.
    with ledger_rows.opened(server.folder + "/lov.db", sums=True) as store:
        store.execute("delete from event where seq = 20")
        store.execute(f"insert into event values ({','.join('?' * len(undo))})", undo)


def test_an_audit_without_its_means_says_what_is_missing(server, tmp_path):  # noqa: F811
    publish(server)
    note = lov("log", "checkpoint", directory=server.folder).stdout
    path = tmp_path / "checkpoint"
    path.write_text(note.replace("\n\n", "\n"), encoding="utf-8")
    assert lov("log", "audit", "--against", path, directory=server.folder, code=None).returncode != 0
    path.write_text(note[:-8] + "AAAAAA=\n", encoding="utf-8")
    assert "signature" in lov("log", "audit", "--against", path, directory=server.folder,
                              code=None).stderr
    path.write_text(note, encoding="utf-8")
    lov("log", "audit", "--against", path, directory=tmp_path, code=UNAVAILABLE)
    lov("log", "audit", "--against", tmp_path / "none", directory=server.folder, code=None)


def test_a_store_of_an_older_version_is_brought_up_to_date(tmp_path):
    lov("init", "--dir", tmp_path / "lov", "--policy", os.path.join(ROOT, "policy"))
    server = Server(tmp_path / "lov")  # it has no records, as no store of that version had
    assert server.give().status_code == 201
    shard = publish(server)
    server.stop()
    with open(os.path.join(ROOT, "src/db/schema/lov_001.sql"), encoding="utf-8") as f:
        first = set(re.findall(r"create table (\w+)", f.read())) | {"migration"}
    with ledger_rows.opened(server.folder + "/lov.db", sums=True) as store:
        store.execute("insert into main.event select * from temp.event")
        tables = {name for (name,) in store.execute(
            "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'")}
        store.executescript("".join(f"drop table {name};" for name in tables - first)
                            + "alter table consumer drop column no_automated_decision;"
                            + "delete from migration where number >= 2; delete from meta;")
    path = tmp_path / "checkpoint"
    path.write_text(shard["checkpoint"], encoding="utf-8")
    audit = ["log", "audit", "--against", path, "--key", shard["key"]]
    assert "older" in lov(*audit, directory=server.folder, code=None).stderr
    lov("log", "checkpoint", directory=server.folder)
    assert lov_json(*audit, directory=server.folder)["ok"]


def test_a_backup_of_an_older_version_is_restored(tmp_path, demo):  # noqa: F811
    lov("backup", tmp_path / "backup", directory=demo)
    copy, = (tmp_path / "backup").glob("lov-*.db")
    with ledger_rows.opened(copy, sums=True) as store:
        store.execute("insert into main.event select * from temp.event")
        store.executescript("drop table bundle; delete from migration where number >= 14;")
    shutil.copy(demo / "key", tmp_path / "key")
    lov("restore", tmp_path / "backup", "--key", tmp_path / "key", directory=tmp_path / "restored")
    before, after = (lov_json("log", "verify", directory=folder) for folder in (demo, tmp_path / "restored"))
    assert after["ok"] and after["shards"][0]["events"] >= before["shards"][0]["events"] > 0
