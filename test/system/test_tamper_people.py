"""Somebody changes what people have decided behind Lov's back - a proposal, a read, a webhook, a member of
staff: `lov log verify` says so and names the event. One value at a time."""

import json
import re
import shutil
import sqlite3
import subprocess

import pytest
import requests

import ledger_rows
from test_http import NO_INDEX, Server, demo, lov  # noqa: F401 (fixture)
from test_proposals import decide, propose
from test_reads import ASK, WHY
from test_tamper import named
from test_webhooks import OPTIONS, Endpoint, made, until

PASSWORD = "correct horse battery staple"


def staff(folder, *words):
    return json.loads(lov("staff", *words, "--dir", folder, "--json"))


def welcome(server, path, login):
    """Opens the account that a link invites to."""
    session = requests.Session()
    page = session.get(server.url + path, timeout=20).text
    csrf = re.search(r'name="csrf" value="([^"]+)"', page).group(1)
    answer = session.post(server.url + path, timeout=30, allow_redirects=False, data={
        "csrf": csrf, "name": login, "password": PASSWORD, "again": PASSWORD})
    assert answer.status_code == 303, answer.text


def policies(server, one, two):
    propose(server, one, retention=401)
    rejected, applied = (propose(server, one, retention=n).json() for n in (402, 403))
    assert decide(server, two, rejected, "reject").ok
    assert decide(server, two, applied, "approve", hash=applied["hash"]).ok
    propose(server, one, retention=404)


def reads(server, one, two):
    asked = [one.post(server.url + "/v1/reads", json={**ASK, "why": f"{WHY} {n}"}, timeout=20).json()
             for n in range(4)]
    for read, step in zip(asked, ("approve", "reject", "approve")):
        body = {"hash": read["hash"]} if step == "approve" else {}
        assert two.post(f"{server.url}/v1/reads/{read['id']}/{step}", json=body, timeout=20).ok
    assert one.get(server.url + "/v1/records/purchases", timeout=30, params={
        "recipient": ASK["recipient"], "purpose": ASK["purpose"], "approval": asked[2]["id"]}).ok


def webhooks(server, endpoint):
    """One of each: as it was made, with a new secret, stopped by its end, revoked."""
    for path in ("made", "rotated", "stopped", "revoked"):
        hook = made(server, f"{endpoint.url}/{path}?token=s3cret", kinds=["consent.give"])
        if path == "rotated":
            assert server.admin.post(f"{server.url}/v1/webhooks/{hook['id']}/rotate", json={}, timeout=20).ok
        if path == "revoked":
            assert server.admin.delete(f"{server.url}/v1/webhooks/{hook['id']}", timeout=20).ok
        if path == "stopped":
            endpoint.status = 410
            server.admin.post(f"{server.url}/v1/webhooks/{hook['id']}/test", json={}, timeout=20)
            until(lambda: server.admin.get(f"{server.url}/v1/webhooks/{hook['id']}",
                                           timeout=20).json()["stopped_at"])
            endpoint.status = 200


def people(server):
    folder = server.folder
    anna = staff(folder, "invite", "Anna", "--roles", "support,auditor", "--for", "customer_service")
    welcome(server, anna["path"], "anna")
    staff(folder, "training", anna["id"], "--until", "2031-06-30")
    left = staff(folder, "invite", "Left", "--roles", "analyst", "--trained-until", "2030-12-31")
    welcome(server, left["path"], "left")
    staff(folder, "disable", left["id"])
    staff(folder, "invite", "New", "--roles", "marketing", "--trained-until", "2030-12-31")
    chief = staff(folder, "invite", "Chief", "--roles", "admin", "--trained-until", "2030-12-31")
    welcome(server, chief["path"], "chief")


@pytest.fixture(scope="module")
def kept(demo, tmp_path_factory):  # noqa: F811
    """An installation in which people have proposed, decided, registered and invited."""
    folder = tmp_path_factory.mktemp("kept") / "lov"
    subprocess.run(["cp", "-a", str(demo), str(folder)], check=True)
    endpoint = Endpoint()
    server = Server(folder, *OPTIONS)
    one, two = server.session("--staff", "admin"), server.session("--staff", "privacy_officer")
    policies(server, one, two)
    reads(server, one, two)
    webhooks(server, endpoint)
    people(server)
    server.stop()
    endpoint.close()
    lov("log", "verify", "--dir", folder)
    return folder


@pytest.fixture
def folder(kept, tmp_path):
    shutil.copytree(kept, tmp_path / "lov", ignore=NO_INDEX)
    (tmp_path / "lov").chmod(0o700)
    return tmp_path / "lov"


def change(folder, statement, store="lov"):
    with sqlite3.connect(folder / f"{store}.db") as db:
        assert db.execute(statement).rowcount == 1, statement
    db.close()


def add(folder, table, where, store="lov", **other):
    """Another row like the one that there is."""
    with sqlite3.connect(folder / f"{store}.db") as db:
        names = [row[1] for row in db.execute(f"pragma table_info({table})")]
    db.close()
    change(folder, f"insert into {table} select {', '.join(str(other.get(n, n)) for n in names)} from {table} "
           f"where {where}", store)


def ask(folder, sql):
    with ledger_rows.opened(folder / "lov.db") as db:
        return [row[0] for row in db.execute(sql).fetchall()]


def event(folder, kind, place=-1):
    return ask(folder, f"select seq from event where kind = '{kind}' order by seq")[place]


# ---- proposals of policies ----


@pytest.mark.parametrize("state, wrong, kind", [
    ("open", "state = 'applied', decided_by = 'staff:admin/x', decided_at = 5, version = 7", "policy.propose"),
    ("open", "state = 'rejected'", "policy.propose"), ("open", "expires_at = expires_at + 1", "policy.propose"),
    ("open", "actor = 'staff:support/x'", "policy.propose"), ("open", "base_version = 9", "policy.propose"),
    ("open", "bundle = replace(bundle, 'retention: 404', 'retention: 4040')", "policy.propose"),
    ("open", "hash = zeroblob(32)", "policy.propose"), ("open", "proposed_at = 5", "policy.propose"),
    ("open", "decided_by = 'staff:admin/x'", "policy.propose"), ("open", "version = 2", "policy.propose"),
    ("applied", "state = 'open'", "policy.approve"), ("applied", "version = 1", "policy.approve"),
    ("applied", "decided_by = actor", "policy.approve"), ("applied", "decided_at = 5", "policy.approve"),
    ("rejected", "state = 'applied'", "policy.reject"), ("rejected", "decided_by = actor", "policy.reject"),
    ("rejected", "state = 'open', decided_by = null, decided_at = null", "policy.reject"),
])
def test_a_changed_proposal_of_a_policy_is_named(folder, state, wrong, kind):
    change(folder, f"update policy_proposal set {wrong} where seq = "
           f"(select max(seq) from policy_proposal where state = '{state}')")
    assert named(folder) == event(folder, kind)


def test_a_proposal_of_a_policy_that_was_deleted_is_named(folder):
    first = event(folder, "policy.propose", 0)
    change(folder, f"delete from policy_proposal where seq = {first}")
    assert named(folder) == first


def test_a_proposal_of_a_policy_that_was_added_is_named(folder):
    add(folder, "policy_proposal", "state = 'applied'", seq=3)
    assert named(folder) == 3


# ---- reads ----


@pytest.mark.parametrize("state, wrong, kind, place", [
    ("open", "state = 'approved', decided_by = 'staff:privacy_officer/x', decided_at = 5", "read.propose", 3),
    ("open", "purpose = 'data_sale'", "read.propose", 3), ("open", "recipient = 'datamark'", "read.propose", 3),
    ("open", "category = 'contact'", "read.propose", 3), ("open", "format = 'csv'", "read.propose", 3),
    ("open", "why = 'Other.'", "read.propose", 3), ("open", "hash = zeroblob(32)", "read.propose", 3),
    ("open", "actor = 'staff:support/x'", "read.propose", 3), ("open", "proposed_at = 5", "read.propose", 3),
    ("open", "expires_at = expires_at + 1", "read.propose", 3), ("open", "used_at = 5", "read.propose", 3),
    ("open", "people = people + 1", "read.propose", 3), ("open", "people = null", "read.propose", 3),
    ("approved", "state = 'used', used_at = 5", "read.approve", 0),
    ("approved", "state = 'rejected'", "read.approve", 0), ("approved", "decided_by = actor", "read.approve", 0),
    ("rejected", "state = 'approved'", "read.reject", 0), ("rejected", "decided_at = 5", "read.reject", 0),
    ("used", "state = 'approved', used_at = null", "read.use", 0), ("used", "used_at = 5", "read.use", 0),
    ("used", "decided_by = actor", "read.approve", 1),
])
def test_a_changed_read_is_named(folder, state, wrong, kind, place):
    change(folder, f"update read_proposal set {wrong} where state = '{state}'")
    assert named(folder) == event(folder, kind, place)


def test_a_read_that_was_deleted_is_named(folder):
    change(folder, "delete from read_proposal where state = 'open'")
    assert named(folder) == event(folder, "read.propose")


def test_a_read_that_was_added_is_named(folder):
    add(folder, "read_proposal", "state = 'approved'", seq=3)
    assert named(folder) == 3


# ---- webhooks ----


@pytest.mark.parametrize("which, wrong, kind", [
    ("made", "url = replace(url, '127.0.0.1', '127.0.0.9')", "webhook.create"),
    ("made", "kinds = 'consent'", "webhook.create"), ("made", "recipient = 'datamark'", "webhook.create"),
    ("made", "stopped_at = 5", "webhook.create"), ("made", "revoked_at = 5", "webhook.create"),
    ("made", "created_at = 5", "webhook.create"), ("made", "revision = 7", "webhook.create"),
    ("made", "sealed = zeroblob(80)", "webhook.create"),
    ("rotated", "sealed = (select sealed from webhook where url like '%/made%')", "webhook.rotate"),
    ("stopped", "stopped_at = null", "webhook.stop"), ("revoked", "revoked_at = null", "webhook.revoke"),
])
def test_a_changed_webhook_is_named(folder, which, wrong, kind):
    change(folder, f"update webhook set {wrong} where url like '%/{which}?%'")
    assert named(folder) == event(folder, kind, 0)


def test_a_webhook_that_was_deleted_is_named(folder):
    change(folder, "delete from webhook where url like '%/stopped?%'")
    assert named(folder) == event(folder, "webhook.stop")


def test_a_webhook_that_was_added_is_named(folder):
    add(folder, "webhook", "url like '%/made?%'", id="'ffffffffffffffff'")
    named(folder)


def test_the_ledger_tells_no_secret_of_a_webhook(folder):
    assert not [b for b in ask(folder, "select body from event where kind like 'webhook.%'") if "s3cret" in b]


# ---- staff ----


@pytest.mark.parametrize("who, wrong, kind, place", [
    ("support auditor", "roles = 'support auditor admin'", "staff.invite", 0),
    ("support auditor", "roles = 'support'", "staff.invite", 0),
    ("support auditor", "recipients = 'marketing'", "staff.invite", 0),
    ("support auditor", "recipients = ''", "staff.invite", 0),
    ("support auditor", "created_at = 5", "staff.invite", 0),
    ("support auditor", "disabled_at = 5", "staff.invite", 0),
    ("support auditor", "trained_until = trained_until + 86400000", "staff.training", 0),
    ("support auditor", "trained_until = null", "staff.training", 0),
    ("support auditor", "password = 'x'", "staff.open", 0), ("support auditor", "login = zeroblob(32)", "staff.open", 0),
    ("analyst", "disabled_at = null", "staff.disable", 0), ("analyst", "disabled_at = 5", "staff.disable", 0),
    ("admin", "approves_from = 5", "staff.invite", 3), ("admin", "power_at = null", "staff.open", 2),
    ("analyst", "login = zeroblob(32), password = 'x'", "staff.disable", 0),
    ("marketing", "trained_until = trained_until + 86400000", "staff.invite", 2),
    ("marketing", "login = zeroblob(32), password = 'x'", "staff.invite", 2),
])
def test_a_changed_member_of_staff_is_named(folder, who, wrong, kind, place):
    change(folder, f"update staff set {wrong} where roles = '{who}'", "identity")
    assert named(folder) == event(folder, kind, place)


def test_a_member_of_staff_who_was_deleted_is_named(folder):
    change(folder, "delete from staff where roles = 'support auditor'", "identity")
    assert named(folder) == event(folder, "staff.training")


def test_a_member_of_staff_who_was_added_is_named(folder):
    add(folder, "staff", "roles = 'admin'", "identity", id="zeroblob(16)", login="null")
    named(folder)
