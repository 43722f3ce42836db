"""Reads of many by staff: one proposes, another one approves, and who proposed it reads, once."""

import datetime
import json
import sqlite3
import subprocess
import threading

import pytest

from test_http import LOV, Server, demo, lov  # noqa: F401 (fixtures)
from test_records import documented, events, put

ASK = {"recipient": "marketing", "purpose": "personal_offers", "category": "purchases"}
WHY = "The spring campaign asks for these customers."
PURCHASE = {"data": {"order_id": "A-17", "bought_at": "2026-11-20T10:15:30Z", "product": "kettle",
                     "amount": {"amount": "349.50", "currency": "SEK"}}}


def start(folder):
    server = Server(folder)
    server.one = server.session("--staff", "admin")
    server.two = server.session("--staff", "privacy_officer")
    for who in ("ada", "bo"):
        assert server.give(consumer=who).status_code == 201
        put(server, who, PURCHASE)
    return server


@pytest.fixture(scope="module")
def server(demo, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("reads") / "lov"
    subprocess.run(["cp", "-a", str(demo), str(folder)], check=True)
    server = start(folder)
    yield server
    server.stop()
    lov("log", "verify", "--dir", server.folder)


def propose(server, who=None, **changes):
    body = {**ASK, "why": WHY, **changes}
    answer = (who or server.one).post(server.url + "/v1/reads", timeout=20,
                                      json={k: v for k, v in body.items() if v is not None})
    return documented("/v1/reads", "post", answer)


def decide(server, who, read, step, **body):
    answer = who.post(f"{server.url}/v1/reads/{read['id']}/{step}", json=body, timeout=20)
    return documented("/v1/reads/{id}/" + step, "post", answer)


def approve(server, who, read):
    return decide(server, who, read, "approve", hash=read["hash"])


def state(server, read):
    answer = server.two.get(f"{server.url}/v1/reads/{read['id']}", timeout=20)
    return documented("/v1/reads/{id}", "get", answer).json()["state"]


def read_many(server, who, read=None, category="purchases", **changes):
    query = {"recipient": ASK["recipient"], "purpose": ASK["purpose"], **changes}
    if read:
        query["approval"] = read["id"]
    answer = who.get(f"{server.url}/v1/records/{category}", params=query, timeout=30)
    return documented("/v1/records/{category}", "get", answer)


def refused(answer, status, reason):
    assert (answer.status_code, answer.json()["reason"]) == (status, reason), answer.text


def approved(server, **changes):
    made = propose(server, **changes).json()
    assert approve(server, server.two, made).json()["state"] == "approved"
    return made


def test_two_people_let_one_read_once(server):
    answer = propose(server)
    made = answer.json()
    assert answer.status_code == 201 and answer.headers["Location"] == f"/v1/reads/{made['id']}"
    assert made["state"] == "open" and made["own"] and made["why"] == WHY and made["format"] == "jsonl"
    begin, end = (datetime.datetime.fromisoformat(made[at].replace("Z", "+00:00"))
                  for at in ("proposed_at", "expires_at"))
    assert (end - begin).days == 7
    before = len(events(server, "access"))
    refused(read_many(server, server.one), 403, "approval_required")
    refused(read_many(server, server.one, made), 409, "not_approved")
    refused(approve(server, server.one, made), 403, "own_proposal")
    refused(decide(server, server.two, made, "approve", hash="0" * 64), 409, "proposal_differs")
    assert decide(server, server.two, made, "approve").status_code == 400
    assert state(server, made) == "open"
    done = approve(server, server.two, made).json()
    assert done["state"] == "approved" and not done["own"]
    assert done["decided_by"].startswith("staff:privacy_officer/") and done["used_at"] is None
    assert len(events(server, "access")) == before
    rows = read_many(server, server.one, made)
    assert rows.status_code == 200
    assert {"ada", "bo"} <= {json.loads(line)["consumer"] for line in rows.text.splitlines()}
    seen = events(server, "access")[before:]
    assert len(seen) == len(rows.text.splitlines())
    [use] = events(server, "read.use")
    assert use["hash"] == made["hash"] and use["actor"] == made["proposed_by"]
    assert use["seq"] < min(e["seq"] for e in seen)
    assert state(server, made) == "used"
    refused(read_many(server, server.one, made), 409, "proposal_over")
    assert len(events(server, "access")) == before + len(seen)


def test_an_approval_is_of_that_read_and_of_who_proposed_it(server):
    made = approved(server)
    other = propose(server, purpose="product_development", recipient="product")
    assert other.status_code == 201
    before = server.state()
    refused(read_many(server, server.one, made, format="csv"), 409, "approval_differs")
    refused(read_many(server, server.one, made, recipient="product", purpose="product_development"),
            409, "approval_differs")
    refused(read_many(server, server.one, made, category="profile"), 409, "approval_differs")
    refused(read_many(server, server.two, made), 403, "approval_of_another")
    refused(read_many(server, server.one, {"id": "0" * 32}), 404, "unknown_proposal")
    assert server.state() == before and state(server, made) == "approved"
    assert read_many(server, server.one, made).status_code == 200
    table = approved(server, format="csv")
    assert read_many(server, server.one, table, format="csv").headers["Content-Type"].startswith("text/csv")


def test_an_approval_that_many_spend_at_once_is_spent_once(server):
    made, codes = approved(server), []

    def spend():
        codes.append(read_many(server, server.one, made).status_code)
    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200] + [409] * 7
    assert len([e for e in events(server, "read.use") if e["expires_at"] == made["expires_at"]]) == 1


def test_what_is_rejected_stays_so_and_all_is_listed(server):
    first, second, third = (propose(server).json() for _ in range(3))
    assert decide(server, server.two, first, "reject").json()["state"] == "rejected"
    assert decide(server, server.one, second, "reject").json()["state"] == "rejected"  # taken back
    refused(approve(server, server.two, first), 409, "proposal_over")
    refused(decide(server, server.two, first, "reject"), 409, "proposal_over")
    refused(read_many(server, server.one, first), 409, "proposal_over")
    found, after = [], None
    while True:
        answer = server.two.get(server.url + "/v1/reads", timeout=20,
                                params={"limit": 2, **({"after": after} if after else {})})
        page = documented("/v1/reads", "get", answer).json()
        found += page["items"]
        after = page["next"]
        if not after:
            break
    assert [r["id"] for r in found[:3]] == [third["id"], second["id"], first["id"]]
    assert len({r["id"] for r in found}) == len(found)
    assert [e["proposal"] for e in events(server, "read.reject")] == [first["id"], second["id"]]
    [event] = [e for e in events(server, "read.propose") if e["hash"] == third["hash"]][-1:]
    assert {k: event[k] for k in ASK} == ASK and WHY not in str(event)


@pytest.mark.parametrize("changes,status", [
    ({"why": None}, 400), ({"why": ""}, 400), ({"why": "x" * 501}, 400), ({"why": "a\nb"}, 400),
    ({"purpose": None}, 400),
    ({"format": "xml"}, 400), ({"consumer": "ada"}, 400), ({"category": "a b"}, 400),
    ({"purpose": "credit_scoring", "recipient": "risk"}, 403),
    ({"purpose": "stock_planning", "recipient": "operations"}, 403)])
def test_what_cannot_be_read_is_not_proposed(server, changes, status):
    before = len(events(server, "read.propose"))
    assert propose(server, **changes).status_code == status
    assert len(events(server, "read.propose")) == before


def test_others_may_not(server):
    made = propose(server).json()
    support, auditor = (server.session("--staff", role) for role in ("support", "auditor"))
    for who in (support, auditor, server.marketing):
        refused(propose(server, who), 403, "forbidden")
        refused(approve(server, who, made), 403, "forbidden")
    assert auditor.get(server.url + "/v1/reads", timeout=20).status_code == 200
    assert support.get(server.url + "/v1/reads", timeout=20).status_code == 403
    # A recipient's key is bound to its own activities and reads as before.
    answer = server.marketing.get(server.url + "/v1/records/purchases", timeout=30,
                                  params={"purpose": "personal_offers"})
    assert answer.status_code == 200 and answer.text


def test_the_command_line_decides_what_others_propose(server):
    """The operator is one more person, who may not be the one that proposed."""
    made, other = propose(server).json(), propose(server).json()
    shown = lov("reads", "list", "--limit", "1", "--dir", server.folder)
    assert other["id"] in shown and WHY in shown and f"hash {other['hash']}" in shown
    assert made["id"] not in shown
    assert lov("reads", "approve", made["id"], "--hash", made["hash"], "--dir", server.folder) == "approved\n"
    assert lov("reads", "reject", other["id"], "--dir", server.folder) == "rejected\n"
    assert read_many(server, server.one, made).status_code == 200
    result = subprocess.run([LOV, "reads", "approve", other["id"], "--hash", other["hash"], "--dir",
                             server.folder], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode != 0 and not result.stdout and "rejected" in result.stderr


def result(server, who, read):
    answer = who.get(f"{server.url}/v1/reads/{read['id']}/result", timeout=30)
    return documented("/v1/reads/{id}/result", "get", answer)


def audience(server, who, approval=None, lines=False, page=None, **context):
    body = {"subject": {"type": "recipient", "id": ASK["recipient"]}, "action": {"name": ASK["purpose"]},
            "resource": {"type": ASK["category"]}, "context": {**context}}
    if approval:
        body["context"]["approval"] = approval["id"]
    if page is not None:
        body["page"] = page
    answer = who.post(server.url + "/access/v1/search/resource", json=body, timeout=30,
                      headers={"Accept": "application/x-ndjson"} if lines else {})
    return documented("/access/v1/search/resource", "post", answer)


def ids(answer):
    assert answer.status_code == 200, answer.text
    if answer.headers["Content-Type"] != "application/x-ndjson":
        return [e["id"] for e in answer.json()["results"]]
    *found, end = [json.loads(line) for line in answer.text.splitlines()]
    assert end == {"complete": True, "count": len(found)}
    return [e["id"] for e in found]


def test_the_result_is_what_was_approved_in_its_form(server):
    everybody = ids(audience(server, server.marketing, lines=True))
    made = approved(server)
    assert made["people"] == len(everybody) > 2
    assert events(server, "read.propose")[-1]["people"] == made["people"]
    refused(result(server, server.two, made), 403, "approval_of_another")
    refused(result(server, server.marketing, made), 403, "forbidden")
    refused(result(server, server.one, {"id": "0" * 32}), 404, "unknown_proposal")
    refused(result(server, server.one, propose(server).json()), 409, "not_approved")
    rows = result(server, server.one, made)
    assert rows.status_code == 200 and rows.headers["Content-Type"] == "application/jsonl"
    assert rows.headers["Content-Disposition"] == 'attachment; filename="purchases.jsonl"'
    assert {"ada", "bo"} <= {json.loads(line)["consumer"] for line in rows.text.splitlines()}
    refused(result(server, server.one, made), 409, "proposal_over")
    table = result(server, server.one, approved(server, format="csv"))
    assert table.text.startswith("consumer,id,") and 'filename="purchases.csv"' in table.headers["Content-Disposition"]
    before = len(events(server, "access"))
    assert ids(result(server, server.one, approved(server, format="ids"))) == everybody
    assert len(events(server, "access")) == before


def test_staff_need_a_second_person_for_a_whole_audience(server):
    everybody = ids(audience(server, server.marketing, lines=True))
    assert ids(audience(server, server.one, page={"limit": 2})) == everybody[:2]
    token = audience(server, server.one, page={"limit": 2}).json()["page"]["next_token"]
    assert token
    records = approved(server)
    before = server.state()
    for ask in ({"lines": True}, {"page": {"limit": 101}}, {"page": {"token": token}}):
        refused(audience(server, server.one, **ask), 403, "approval_required")
        refused(audience(server, server.one, records, **ask), 409, "approval_differs")
    assert server.state() == before
    for ask, expected in (({"lines": True}, everybody), ({"page": {"limit": 1000}}, everybody),
                          ({"page": {"token": token}}, everybody[2:4]),
                          ({"lines": True, "residence": ["SE"]}, None)):
        made = propose(server, format="ids").json()
        refused(audience(server, server.one, made, **ask), 409, "not_approved")
        assert approve(server, server.two, made).ok
        if ask != {"page": {"token": token}}:  # which is of one caller
            refused(audience(server, server.two, made, **ask), 403, "approval_of_another")
        found = ids(audience(server, server.one, made, **ask))
        assert found == expected or (expected is None and set(found) <= set(everybody))
        assert state(server, made) == "used"
        refused(audience(server, server.one, made, **ask), 409, "proposal_over")
    # What cannot be answered spends nothing.
    made = approved(server, format="ids")
    assert audience(server, server.one, made, lines=True, page={"limit": 5}).status_code == 400
    assert audience(server, server.one, made, page={"limit": 1000, "token": "AAAA"}).status_code == 400
    refused(read_many(server, server.one, made), 409, "approval_differs")
    assert state(server, made) == "approved"
    # A recipient's own key needs none, and spends none.
    assert ids(audience(server, server.marketing, made, page={"limit": 1000})) == everybody
    assert state(server, made) == "approved"


def test_a_list_that_the_policy_wants_recorded_is_not_proposed(server):
    credit = {"recipient": "risk", "purpose": "credit_scoring", "category": "credit"}
    refused(propose(server, format="ids", **credit), 403, "record_required")
    assert propose(server, **credit).status_code == 201


def test_the_command_line_proposes_and_reads(server):
    """With a server and without one: the operator proposes, and somebody with a key approves."""
    where = ("--dir", server.folder)
    ask = ("purchases", "--recipient", "marketing", "--purpose", "personal_offers", "--why", WHY)
    made = json.loads(lov("reads", "propose", *ask, *where, "--json"))
    assert made["proposed_by"] == "local" and made["state"] == "open"
    early = subprocess.run([LOV, "reads", "get", made["id"], *where], capture_output=True, text=True, timeout=60,
                           check=False)
    assert early.returncode != 0 and not early.stdout and "open" in early.stderr
    assert approve(server, server.two, made).ok
    rows = [json.loads(line) for line in lov("reads", "get", made["id"], *where).splitlines()]
    assert {"ada", "bo"} <= {row["consumer"] for row in rows}
    shown = lov("reads", "propose", *ask, "--format", "ids", *where)
    assert WHY in shown and "of " in shown
    other = server.two.get(server.url + "/v1/reads?limit=1", timeout=20).json()["items"][0]
    table = json.loads(lov("reads", "propose", *ask, "--format", "csv", *where, "--json"))
    assert approve(server, server.two, other).ok and approve(server, server.two, table).ok
    *found, end = lov("reads", "get", other["id"], *where).splitlines()
    assert json.loads(end) == {"complete": True, "count": len(found)} and found
    wrong = subprocess.run([LOV, "reads", "propose", *ask, "--format", "xml", *where], capture_output=True, text=True,
                           timeout=60, check=False)
    assert wrong.returncode == 2 and "format" in wrong.stderr
    server.stop()
    try:
        lines = lov("reads", "get", table["id"], *where).splitlines()
        assert lines[0].startswith("consumer,id,") and len(lines) == len(rows) + 1
    finally:
        again = Server(server.folder)
        server.process, server.url, server.port = again.process, again.url, again.port
        server.log = again.log


def test_what_is_expired_or_was_changed_in_the_store_is_not_read(demo, tmp_path):  # noqa: F811
    """Time and purpose of proposals are changed behind the server's back."""
    folder = tmp_path / "lov"
    subprocess.run(["cp", "-a", str(demo), str(folder)], check=True)
    server = start(folder)
    late, changed, waiting = approved(server), approved(server, why="one"), propose(server, why="two").json()
    server.stop()
    with sqlite3.connect(folder / "lov.db") as db:
        db.execute("update read_proposal set expires_at = 1 where why <> 'one'")
        db.execute("update read_proposal set purpose = 'customer_support' where why = 'one'")
    again = Server(folder)
    again.one, again.two = server.one, server.two
    try:
        assert state(again, late) == state(again, waiting) == "expired"
        refused(read_many(again, again.one, late), 409, "proposal_over")
        refused(approve(again, again.two, waiting), 409, "proposal_over")
        answer = again.one.get(again.url + "/v1/records/purchases", timeout=20, params={
            "recipient": "marketing", "purpose": "personal_offers", "approval": changed["id"]})
        assert answer.status_code == 500
        assert not events(again, "read.use") and not events(again, "access")
    finally:
        again.stop()
