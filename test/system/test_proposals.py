"""Policies that one person proposes and another one approves."""

import os
import re

import pytest

from test_http import ROOT, demo, lov, server  # noqa: F401 (fixtures)


def files(**changes):
    """The demo's policy, with another retention of the first activity."""
    found = {}
    for folder, _, names in os.walk(os.path.join(ROOT, "policy")):
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith((".yaml", ".md")):
                with open(path, encoding="utf-8") as text:
                    found[os.path.relpath(path, os.path.join(ROOT, "policy"))] = text.read()
    if "retention" in changes:
        found["activities.yaml"] = re.sub(r"retention: \d+", f"retention: {changes['retention']}",
                                          found["activities.yaml"], count=1)
    return found


def propose(server, who, **changes):  # noqa: F811
    return who.post(server.url + "/v1/policy/proposals", json={"files": files(**changes)}, timeout=30)


def decide(server, who, proposal, step, **body):  # noqa: F811
    return who.post(f"{server.url}/v1/policy/proposals/{proposal['id']}/{step}", json=body, timeout=30)


def version(server):  # noqa: F811
    return server.admin.get(server.url + "/v1/policy", timeout=20).json()["version"]


def test_a_policy_is_put_in_force_by_two(server):  # noqa: F811
    one, two = server.session("--staff", "admin"), server.session("--staff", "privacy_officer")
    before = version(server)
    answer = propose(server, one, retention=400)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["state"] == "open" and made["own"] and made["base_version"] == before
    assert [c["detail"] for c in made["changes"] if c["what"] == "activity"] == ["retention 365 -> 400 days"]
    assert [c["details"] for c in made["changes"] if c["what"] == "activity"] == [[
        {"kind": "set", "field": "retention", "part": None, "name": None, "before": "365", "after": "400",
         "unit": "days"}]]
    assert answer.headers["Location"] == f"/v1/policy/proposals/{made['id']}"
    assert version(server) == before
    refused = decide(server, one, made, "approve", hash=made["hash"])
    assert refused.status_code == 403 and refused.json()["reason"] == "own_proposal"
    for hash_, status in (("0" * 64, 409), ("x" * 64, 409), ("0", 400)):
        assert decide(server, two, made, "approve", hash=hash_).status_code == status
    assert version(server) == before
    done = decide(server, two, made, "approve", hash=made["hash"])
    assert done.status_code == 200 and done.json()["state"] == "applied", done.text
    assert done.json()["version"] == version(server) == before + 1
    for step, body in (("approve", {"hash": made["hash"]}), ("reject", {})):
        again = decide(server, two, made, step, **body)
        assert again.status_code == 409 and again.json()["reason"] == "proposal_over"
    kinds = [(e["kind"], e["actor"].split("/")[0]) for e in
             server.admin.get(server.url + "/v1/events?limit=1000&after=-1", timeout=20).json()["items"]]
    found = [k for k in kinds if k[0].startswith("policy.")][-3:]
    if not found:  # the ledger is longer than one page
        found = []
        after = -1
        while after is not None:
            page = server.admin.get(f"{server.url}/v1/events?limit=1000&after={after}", timeout=20).json()
            found += [(e["kind"], e["actor"].split("/")[0]) for e in page["items"] if e["kind"].startswith("policy.")]
            after = page["next"]
        found = found[-3:]
    assert found == [("policy.propose", "staff:admin"), ("policy.apply", "staff:privacy_officer"),
                     ("policy.approve", "staff:privacy_officer")]


def test_a_proposal_is_overtaken_rejected_and_listed(server):  # noqa: F811
    one, two = server.session("--staff", "admin"), server.session("--staff", "privacy_officer")
    first, second, third = (propose(server, one, retention=n).json() for n in (401, 402, 403))
    assert decide(server, two, first, "reject").json()["state"] == "rejected"
    assert decide(server, one, second, "reject").json()["state"] == "rejected"  # one's own is taken back
    fourth = propose(server, two, retention=404).json()
    assert decide(server, one, fourth, "approve", hash=fourth["hash"]).ok
    over = decide(server, two, third, "approve", hash=third["hash"])
    assert over.status_code == 409 and over.json()["reason"] == "proposal_over"
    listed, after = [], ""
    while after is not None:
        page = server.admin.get(f"{server.url}/v1/policy/proposals?limit=3{'&after=' + after if after else ''}",
                                timeout=20).json()
        listed += [(p["id"], p["state"]) for p in page["items"]]
        after = page["next"]
    assert listed == [(fourth["id"], "applied"), (third["id"], "overtaken"), (second["id"], "rejected"),
                      (first["id"], "rejected")]


@pytest.mark.parametrize("change", [{"activities.yaml": "- id: [}"}, {"controller.yaml": ""}, {"../x.yaml": "a: 1"},
                                    {"purposes.yaml": "everything: {}"}])
def test_what_does_not_pass_its_check_is_not_proposed(server, change):  # noqa: F811
    before = server.state()
    answer = server.admin.post(server.url + "/v1/policy/proposals", json={"files": {**files(), **change}}, timeout=30)
    assert answer.status_code in (400, 422), answer.text
    if answer.status_code == 422:
        assert any(f["file"] == list(change)[0] and f["severity"] == "error" for f in answer.json()["findings"])
    assert server.state() == before
    assert server.admin.get(server.url + "/v1/policy/proposals", timeout=20).json()["items"] == []


def test_files_that_were_changed_in_the_store_are_not_approved(server):  # noqa: F811
    import sqlite3
    made = propose(server, server.admin, retention=400).json()
    server.stop()
    with sqlite3.connect(os.path.join(server.folder, "lov.db")) as db:
        text = db.execute("select bundle from policy_proposal").fetchone()[0]
        assert "retention: 400" in text
        db.execute("update policy_proposal set bundle = ?", (text.replace("retention: 400", "retention: 900"),))
    from test_http import Server
    again = Server(server.folder)
    try:
        two = again.session("--staff", "privacy_officer")
        answer = decide(again, two, made, "approve", hash=made["hash"])
        assert answer.status_code >= 400
        assert version(again) == made["base_version"]
    finally:
        again.stop()
    with sqlite3.connect(os.path.join(server.folder, "lov.db")) as db:
        db.execute("update policy_proposal set bundle = ?", (text,))
