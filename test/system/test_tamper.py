"""Somebody changes lov.db behind Lov's back: `lov log verify` says so, names the event, and ends with 1.
One value at a time, of an installation that is stopped."""

import datetime
import hashlib
import json
import os
import shutil
import subprocess

import pytest

import ledger_rows
from test_http import GIVE, LOV, NO_INDEX, ROOT, Server, demo, lov, question  # noqa: F401 (fixture)


@pytest.fixture(scope="module")
def kept(demo, tmp_path_factory):  # noqa: F811
    """An installation in which everything that can be recorded was recorded."""
    folder = tmp_path_factory.mktemp("kept") / "lov"
    subprocess.run(["cp", "-a", str(demo), str(folder)], check=True)
    server = Server(folder)
    given = server.give(consumer="mallory", categories=["purchases", "profile"]).json()["id"]
    server.admin.post(f"{server.url}/v1/consents/{given}/amend", json={"categories": ["purchases"]},
                      timeout=20)
    server.admin.post(f"{server.url}/v1/consents/{given}/withdraw", timeout=20)
    server.admin.put(server.url + "/v1/consumers/mallory", json={"restricted": True}, timeout=20)
    server.admin.post(server.url + "/access/v1/evaluation", timeout=20,
                      json={**question(), "context": {"record": True}})
    server.give(consumer="to-erase")
    for _ in range(3):
        server.give(consumer="thrice")
    server.admin.post(server.url + "/v1/consumers/to-erase/erase", timeout=20)
    key = server.admin.post(server.url + "/v1/keys", json={"staff": "support"}, timeout=20).json()
    server.admin.delete(server.url + "/v1/keys/" + key["id"], timeout=20)
    server.stop()
    apply_second_policy(folder, folder.parent / "policy")
    lov("log", "verify", "--dir", folder)
    return folder


def apply_second_policy(folder, policy):
    """One with a new version of one notice: the others are the first policy's still."""
    shutil.copytree(os.path.join(ROOT, "policy"), policy)
    for language in ("en", "sv"):
        path = policy / "notices" / f"personal_offers.{language}.md"
        path.write_text(path.read_text("utf-8").replace("version: 1", "version: 2"), "utf-8")
    lov("policy", "apply", policy, "--dir", folder)


@pytest.fixture
def folder(kept, tmp_path):
    shutil.copytree(kept, tmp_path / "lov", ignore=NO_INDEX)
    (tmp_path / "lov").chmod(0o700)
    return tmp_path / "lov"


def change(folder, *statements):
    with ledger_rows.opened(folder / "lov.db") as db:
        for statement in statements:
            text, *values = (statement,) if isinstance(statement, str) else statement
            assert db.execute(text, values).rowcount > 0, text


def ask(folder, sql, *values):
    with ledger_rows.opened(folder / "lov.db") as db:
        return db.execute(sql, values).fetchone()


def last(folder, kind):
    return ask(folder, "select max(seq) from event where kind = ?", kind)[0]


def named(folder):
    """The event that verify names; it must find something."""
    out = subprocess.run([LOV, "log", "verify", "--dir", folder, "--json"], capture_output=True,
                         text=True, timeout=60, check=False)
    assert out.returncode == 1, out.stdout + out.stderr
    told = json.loads(out.stdout)
    assert told["ok"] is False and told["shards"][0]["ok"] is False
    assert told["shards"][0]["what"]
    text = subprocess.run([LOV, "log", "verify", "--dir", folder], capture_output=True, text=True,
                          timeout=60, check=False)
    assert text.returncode == 1 and f"event {told['shards'][0]['event']} " in text.stdout
    return told["shards"][0]["event"]


# ---- events ----


@pytest.mark.parametrize("column, value", [
    ("body", "replace(body, '\"', '\" ')"), ("body", "body || ' '"), ("at", "at + 1"),
    ("prev", "prev - 1"), ("kind", "'consent.give'"), ("actor", "actor || 'x'"),
    ("activity", "'marketing/data_sale'"), ("cid", "zeroblob(16)"), ("cid", "null"),
    ("leaf", "zeroblob(32)"), ("leaf", "x''"),
])
def test_a_changed_event_is_named(folder, column, value):
    seq = last(folder, "consent.withdraw")
    change(folder, f"update event set {column} = {value} where seq = {seq}")
    assert named(folder) == seq


def test_one_bit_of_any_event_is_seen(folder):
    for seq in range(0, last(folder, "key.revoke"), 37):
        leaf, = ask(folder, "select leaf from event where seq = ?", seq)
        wrong = bytes([leaf[0] ^ 1]) + leaf[1:]
        change(folder, ("update event set leaf = ? where seq = ?", wrong, seq))
        assert named(folder) == seq
        change(folder, ("update event set leaf = ? where seq = ?", leaf, seq))
    lov("log", "verify", "--dir", folder)


def test_a_deleted_event_is_named(folder):
    for kind in ("consent.withdraw", "access", "key.revoke"):
        copy = folder.parent / kind
        shutil.copytree(folder, copy, ignore=NO_INDEX)
        copy.chmod(0o700)
        seq = last(copy, kind)
        change(copy, f"delete from event where seq = {seq}")
        assert named(copy) == seq


def test_exchanged_events_are_named(folder):
    seq = last(folder, "consent.withdraw")
    change(folder, f"update event set seq = -5 where seq = {seq}",
           f"update event set seq = {seq} where seq = {seq - 1}",
           f"update event set seq = {seq - 1} where seq = -5")
    assert named(folder) == seq - 1


def test_an_event_with_a_leaf_made_to_fit_does_not_fit_the_tree(folder):
    seq = last(folder, "access")
    row = ask(folder, "select shard, seq, prev, at, kind, cid, actor, activity, body from event "
              "where seq = ?", seq)
    body = row[8].replace('"reason":"permitted"', '"reason":"no_consent"')
    assert body != row[8]
    leaf = hashlib.sha256(b"\0" + ledger_rows.encode(*row[:8], body)).digest()
    old = ask(folder, "select leaf from event where seq = ?", seq)[0]
    assert hashlib.sha256(b"\0" + ledger_rows.encode(*row)).digest() == old, "this test knows the encoding"
    change(folder, ("update event set body = ?, leaf = ? where seq = ?", body, leaf, seq))
    named(folder)


def test_an_event_that_was_put_in_is_named(folder):
    size, = ask(folder, "select size from shard")
    change(folder, f"insert into event select shard, {size}, prev, at, kind, cid, actor, activity, "
           f"body, leaf from event where seq = {size - 1}")
    assert named(folder) == size


# ---- heads of shards ----


@pytest.mark.parametrize("wrong", ["size = size - 1", "size = size + 1", "frontier = zeroblob(32)",
                                   "frontier = x''", "size = 0, frontier = x''",
                                   "last_at = last_at - 100000", "last_at = last_at + 100000"])
def test_a_changed_head_of_a_shard_is_named(folder, wrong):
    change(folder, f"update shard set {wrong}")
    named(folder)


def test_a_ledger_cut_short_contradicts_the_state(folder):
    """With a head that fits: what the state says is newer than the ledger."""
    import shutil as files
    seq = last(folder, "consent.withdraw")
    before = folder.parent / "before"
    files.copytree(folder, before, ignore=NO_INDEX)
    before.chmod(0o700)
    change(folder, f"delete from event where seq >= {seq}")
    frontier = frontier_of([ask(folder, "select leaf from event where seq = ?", n)[0]
                            for n in range(seq)])
    assert frontier_of([ask(before, "select leaf from event where seq = ?", n)[0] for n in range(
        ask(before, "select size from shard")[0])]) == ask(before, "select frontier from shard")[0]
    at, = ask(folder, "select at from event where seq = ?", seq - 1)
    change(folder, ("update shard set size = ?, frontier = ?, last_at = ?", seq, frontier, at))
    assert named(folder) >= seq


def frontier_of(leaves):
    """Roots of the complete subtrees, left to right (RFC 6962 §2.1)."""
    stack = []
    for leaf in leaves:
        stack.append((1, leaf))
        while len(stack) > 1 and stack[-1][0] == stack[-2][0]:
            right, left = stack.pop(), stack.pop()
            stack.append((left[0] * 2, hashlib.sha256(b"\x01" + left[1] + right[1]).digest()))
    return b"".join(node for _, node in stack)


# ---- state ----


def test_a_consent_put_back_to_an_earlier_event_is_named(folder):
    """The consumer withdrew; somebody brings the yes back, word for word as it once was."""
    seq = last(folder, "consent.withdraw")
    body = json.loads(ask(folder, "select body from event where seq = ?", seq)[0])
    given, = ask(folder, "select seq from event where kind = 'consent.give' and seq = ?",
                 body["consent"])
    change(folder, ("update consent set status = 'active', categories = 'purchases,profile', "
                    "narrowed = '', event = ? where seq = ?", given, given))
    assert named(folder) > given


@pytest.mark.parametrize("wrong", ["status = 'active'", "categories = categories || ',contact'",
                                   "expires_at = coalesce(expires_at, 0) + 1", "purpose = 'data_sale'",
                                   "recipient = 'datamark'", "notice_version = 2", "channel = 'phone'",
                                   "notice_hash = zeroblob(32)", "guardian = 1", "given_at = 0",
                                   "status = 'nonsense'", "notice_hash = x'00'", "sealed = x'00'",
                                   "notice_language = 'en'", "past = 1"])
def test_a_changed_consent_is_named(folder, wrong):
    seq = last(folder, "consent.withdraw")
    change(folder, f"update consent set {wrong} where event = {seq}")
    named(folder)


def test_a_deleted_consent_is_named(folder):
    seq, body = ask(folder, "select seq, body from event where kind = 'consent.withdraw'")
    change(folder, f"delete from consent where event = {seq}")
    assert named(folder) == json.loads(body)["consent"]


def ms(text):
    return round(datetime.datetime.fromisoformat(text).timestamp() * 1000)


def test_a_consent_is_not_brought_back_that_an_answer_took_the_place_of(folder):
    """With the very words that were recorded when it was given."""
    taker, body = ask(folder, "select seq, body from event where body like '%\"supersedes\"%' order by seq")
    taken = json.loads(body)["supersedes"]
    assert len(taken) == 1 and taken[0]["consent"] == taken[0]["event"] < taker
    newest, = ask(folder, "select max(seq) from event where body like '%\"supersedes\"%'")
    assert newest > taker
    was = taken[0]["event"]
    given = json.loads(ask(folder, "select body from event where seq = ?", was)[0])
    change(folder, ("update consent set seq = ?, event = ?, given_at = ?, expires_at = ? where seq = ?", was, was,
                    ms(given["given_at"]), ms(given["expires_at"]), newest))
    assert named(folder) == taker


@pytest.mark.parametrize("wrong", ["restricted = 0", "residence = 'US-CA'", "opt_out_signal = 1",
                                   "sealed = x'00'"])
def test_a_changed_consumer_is_named(folder, wrong):
    seq = last(folder, "consumer.set")
    change(folder, f"update consumer set {wrong} where event = {seq}")
    assert named(folder) == seq


def test_a_deleted_consumer_is_named(folder):
    seq = last(folder, "consumer.set")
    change(folder, f"delete from consumer where event = {seq}")
    named(folder)


def test_a_history_that_hides_its_end_is_named(folder):
    """The head of the consumer's chain moved back: their history would end before the withdrawal."""
    seq = last(folder, "consent.withdraw")
    cid, prev = ask(folder, "select cid, prev from event where seq = ?", seq)
    change(folder, ("update consumer set last_event = ? where cid = ?", prev, cid))
    assert named(folder) >= seq


def test_a_history_that_is_another_consumers_is_named(folder):
    seq = last(folder, "consent.withdraw")
    cid, = ask(folder, "select cid from event where seq = ?", seq)
    change(folder, ("update consumer set last_event = ? where cid = ?", last(folder, "access"), cid))
    named(folder)


# ---- policy, notices, keys ----


@pytest.mark.parametrize("version", [1, 2])
def test_a_changed_policy_is_named(folder, version):
    bundle, = ask(folder, f"select bundle from policy where version = {version}")
    other = bundle.replace("Nordhandel", "Sydhandel")
    assert other != bundle
    applied, = ask(folder, "select seq from event where kind = 'policy.apply' order by seq "
                   f"limit 1 offset {version - 1}")
    change(folder, (f"update policy set bundle = ? where version = {version}", other))
    assert named(folder) == applied
    # Also with a hash that fits.
    digest = hashlib.sha256(other.encode()).digest()
    change(folder, (f"update policy set hash = ? where version = {version}", digest))
    assert named(folder) == applied
    change(folder, f"delete from policy where version = {version}")
    assert named(folder) == applied


def test_a_policy_that_nobody_applied_is_named(folder):
    change(folder, "insert into policy select 3, applied_at, actor, hash, bundle from policy "
           "where version = 2")
    assert named(folder) == last(folder, "policy.apply")


@pytest.mark.parametrize("version", [1, 2])
def test_a_changed_notice_is_named(folder, version):
    applied, = ask(folder, "select seq from event where kind = 'policy.apply' order by seq "
                   f"limit 1 offset {version - 1}")
    where = f"where id = 'personal_offers' and language = 'sv' and version = {version}"
    text, = ask(folder, f"select markdown from notice {where}")
    change(folder, (f"update notice set markdown = ? {where}", text + "!"))
    assert named(folder) == applied
    digest = hashlib.sha256((text + "!").encode()).digest()
    change(folder, (f"update notice set hash = ? {where}", digest))
    assert named(folder) == applied
    change(folder, f"delete from notice {where}")
    assert named(folder) == applied


def test_a_notice_that_nobody_published_is_named(folder):
    change(folder, "insert into notice select id, 7, language, material, hash, markdown, "
           "policy_version from notice where id = 'personal_offers' and language = 'sv' "
           "and version = 2")
    named(folder)


def test_a_key_that_was_revoked_stays_so(folder):
    seq = last(folder, "key.revoke")
    change(folder, "update api_key set revoked_at = null where revoked_at is not null")
    assert named(folder) == seq


@pytest.mark.parametrize("wrong", ["subject = 'privacy_officer'", "kind = 'recipient'",
                                   "secret_hash = zeroblob(32)", "created_at = created_at - 1",
                                   "revoked_at = 5"])
def test_a_changed_key_is_named(folder, wrong):
    identifier, = ask(folder, "select id from api_key where revoked_at is null and subject = 'admin'")
    change(folder, f"update api_key set {wrong} where id = '{identifier}'")
    named(folder)


def test_a_key_that_nobody_made_is_named(folder):
    change(folder, "insert into api_key select 'ffffffffffffffff', secret_hash, kind, 'admin', "
           "created_at, null from api_key limit 1")
    named(folder)


def test_a_deleted_key_is_named(folder):
    change(folder, "delete from api_key where revoked_at is null")
    named(folder)


def test_a_file_that_is_no_store_any_more_is_not_called_right(folder):
    path = folder / "lov.db"
    data = bytearray(path.read_bytes())
    data[:100] = b"\x00" * 100
    path.write_bytes(data)
    out = subprocess.run([LOV, "log", "verify", "--dir", folder], capture_output=True, text=True,
                         timeout=60, check=False, cwd=ROOT)
    assert out.returncode in (1, 3) and "damaged" in out.stdout + out.stderr
