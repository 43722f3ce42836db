"""Four eyes: once two members of staff may approve policies, nobody puts one in force alone, and no API key
gives the power to."""

import json
import os
import re
import sqlite3
import subprocess

import pytest
import requests

from test_http import LOV, ROOT, Server, demo, lov, server  # noqa: F401 (fixtures)
from test_proposals import decide, files, propose, version

PASSWORD = "korrekt häst batteri"


def csrf(page):
    return re.search(r'name="csrf" value="([^"]+)"', page)[1]


class Member:
    """A member of staff with an account, at the console."""

    def __init__(self, server, roles, link=None):  # noqa: F811
        self.url, self.http = server.url, requests.Session()
        self.link = link or json.loads(lov("staff", "invite", "Anna Berg", "--roles", roles, "--trained-until",
                                           "2030-12-31", "--dir", server.folder, "--json"))
        self.id, self.name = self.link["id"], f"{self.link['id']}@example.com"
        self.send(self.link["path"], self.link["path"], name=self.name, password=PASSWORD, again=PASSWORD)
        self.sign_in()

    def sign_in(self):
        return self.send("/console/sign-in", "/console/sign-in", name=self.name, password=PASSWORD)

    def get(self, path):
        return self.http.get(self.url + path, timeout=30, allow_redirects=False)

    def send(self, page, path, **fields):
        return self.http.post(self.url + path, timeout=30, allow_redirects=False,
                              data={"csrf": csrf(self.get(page).text), **fields})

    def approve(self, proposal):
        return self.send("/console", f"/console/policy/proposals/{proposal['id']}/approve", hash=proposal["hash"])


@pytest.fixture
def two(server):  # noqa: F811
    return Member(server, "admin"), Member(server, "privacy_officer,support")


def policy_folder(path, retention):
    for name, text in files(retention=retention).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    return path


def apply(server, who, **more):  # noqa: F811
    return who.post(server.url + "/v1/policy", json={"files": files(retention=410), **more}, timeout=30)


def seen(server):  # noqa: F811
    return server.admin.get(server.url + "/v1/overview", timeout=20).json()["four_eyes"]


def test_one_member_of_staff_changes_nothing(server):  # noqa: F811
    Member(server, "admin"), Member(server, "support,analyst"), Member(server, "auditor")
    before = version(server)
    assert seen(server) == {"since": None, "seen": []}
    assert apply(server, server.admin).status_code == 200
    assert version(server) == before + 1
    for staff in ("admin", "privacy_officer"):
        assert server.admin.post(server.url + "/v1/keys", json={"staff": staff}, timeout=20).status_code == 201


def test_with_two_nobody_applies_a_policy_alone(server, two, tmp_path):  # noqa: F811
    before, state = version(server), server.state()
    officer = server.session("--staff", "privacy_officer")
    state = server.state()
    for who in (server.admin, officer):
        for more in ({}, {"alone": True}, {"expected_version": before}):
            refused = apply(server, who, **more)
            assert refused.status_code == 403 and refused.json()["reason"] == "four_eyes", refused.text
    folder = policy_folder(tmp_path / "policy", 410)
    lov("policy", "apply", folder, "--dir", server.folder, code=1)
    assert server.state() == state and version(server) == before
    assert f"policy version {before + 1} is in force" in lov("policy", "apply", folder, "--alone", "--dir",
                                                            server.folder)
    assert [(item["kind"], item["id"]) for item in seen(server)["seen"]
            if item["kind"] == "policy"] == [("policy", str(before + 1))]


def test_a_key_proposes_and_a_member_of_staff_approves(server, two, tmp_path):  # noqa: F811
    pipeline_key = server.session("--staff", "deployer")
    before = version(server)
    key = pipeline_key.headers["Authorization"].split()[1]
    folder = policy_folder(tmp_path / "policy", 420)
    environment = {k: v for k, v in os.environ.items() if k != "LOV_DIR"}

    def pipeline(*options, code=0, **more):
        done = subprocess.run([LOV, "policy", "propose", str(folder), *options], capture_output=True, text=True,
                              timeout=60, check=False, env={**environment, **more})
        assert done.returncode == code, done
        assert key not in done.stdout + done.stderr
        return done.stdout

    made = json.loads(pipeline("--url", server.url + "/", "--json", LOV_API_KEY=key))
    assert made["state"] == "open" and made["proposed_by"].startswith("staff:deployer/")
    pipeline("--url", server.url, code=2)
    pipeline("--url", server.url, LOV_API_KEY="lov_0_0", code=1)
    for wrong in ("http://example.com", "ftp://127.0.0.1", "http://127.0.0.1.example.com", "127.0.0.1",
                  "http://127.0.0.1:80@example.com"):
        pipeline("--url", wrong, LOV_API_KEY=key, code=2)
    # Another key and the machine are no second person.
    for who in (server.admin, server.session("--staff", "admin")):
        refused = decide(server, who, made, "approve", hash=made["hash"])
        assert refused.status_code == 403 and refused.json()["reason"] == "four_eyes", refused.text
    machine = subprocess.run(["curl", "-s", "--unix-socket", os.path.join(server.folder, "socket"), "-H",
                              "Content-Type: application/json", "-d", json.dumps({"hash": made["hash"]}),
                              f"http://localhost/v1/policy/proposals/{made['id']}/approve"],
                             capture_output=True, text=True, timeout=30, check=True)
    assert json.loads(machine.stdout)["reason"] == "four_eyes"
    assert version(server) == before
    assert decide(server, pipeline_key, made, "approve", hash=made["hash"]).status_code == 403
    assert two[0].approve(made).status_code == 303
    assert version(server) == before + 1
    told = pipeline_key.get(f"{server.url}/v1/policy/proposals/{made['id']}", timeout=20).json()
    assert told["state"] == "applied" and told["version"] == before + 1
    assert "key " in two[1].get(f"/console/policy/proposals/{made['id']}").text
    for path in ("/v1/events", "/v1/consumers/00001", "/v1/reads", "/v1/keys", "/v1/staff", "/v1/overview"):
        assert pipeline_key.get(server.url + path, timeout=20).status_code == 403, path
    assert not [item for item in seen(server)["seen"] if item["kind"] == "policy"]


def test_keys_give_no_power(server, two):  # noqa: F811
    before = server.state()
    for staff in ("admin", "privacy_officer"):
        refused = server.admin.post(server.url + "/v1/keys", json={"staff": staff}, timeout=20)
        assert refused.status_code == 403 and refused.json()["reason"] == "four_eyes"
    support = json.loads(lov("staff", "invite", "Bo", "--roles", "support", "--dir", server.folder, "--json"))["id"]
    before = server.state()
    for path, body in (("", {"name": "Eve", "roles": ["support", "admin"]}),
                       (f"/{support}/change", {"roles": ["privacy_officer"]}), (f"/{two[0].id}/invitations", {})):
        refused = server.admin.post(server.url + "/v1/staff" + path, json=body, timeout=20)
        assert refused.status_code == 403 and refused.json()["reason"] == "four_eyes", refused.text
    assert server.state() == before
    for path, body in (("", {"name": "Cid", "roles": ["support"]}), (f"/{support}/change", {"roles": ["auditor"]}),
                       (f"/{support}/invitations", {})):
        assert server.admin.post(server.url + "/v1/staff" + path, json=body, timeout=20).ok
    for staff in ("support", "auditor", "deployer"):
        assert server.admin.post(server.url + "/v1/keys", json={"staff": staff}, timeout=20).status_code == 201
    assert "lov_" in lov("key", "create", "--staff", "admin", "--dir", server.folder)
    assert any(item["kind"] == "key" and item["roles"] == "admin" for item in seen(server)["seen"])


def test_four_eyes_stay_when_those_who_had_them_leave(server, two):  # noqa: F811
    assert server.admin.post(f"{server.url}/v1/staff/{two[1].id}/disable", timeout=20).ok
    lov("staff", "change", two[0].id, "--roles", "admin,support", "--dir", server.folder)
    assert apply(server, server.admin).json()["reason"] == "four_eyes"
    server.stop()
    again = Server(server.folder)
    try:
        assert apply(again, again.admin).json()["reason"] == "four_eyes"
        assert again.admin.get(again.url + "/v1/overview", timeout=20).json()["four_eyes"]["since"]
    finally:
        again.stop()


def test_who_was_let_in_by_a_colleague_approves_a_week_later(server, two):  # noqa: F811
    one, other = two
    made = propose(server, server.session("--staff", "privacy_officer"), retention=430).json()
    server_state = version(server)
    page = one.send("/console", "/console/staff", name="Puppet", trained_until="2030-12-31", **{"role-admin": "1"})
    path = re.search(r"/console/welcome/[\w-]{43}", page.text)[0]
    staff = {s["name"]: s for s in server.admin.get(server.url + "/v1/staff", timeout=20).json()["items"]}
    puppet = Member(server, None, {"path": path, "id": staff["Puppet"]["id"]})
    assert puppet.get("/console").status_code == 200
    refused = puppet.approve(made)
    assert refused.status_code == 403 and version(server) == server_state, refused.text
    waiting = [item for item in seen(server)["seen"] if item["kind"] == "staff"]
    assert [item["id"] for item in waiting] == [puppet.id]
    # A week later.
    server.stop()
    with sqlite3.connect(os.path.join(server.folder, "identity.db")) as db:
        db.execute("update staff set approves_from = approves_from - 7 * 86400000")
    again = Server(server.folder)
    try:
        puppet.url = again.url
        puppet.sign_in()
        answer = puppet.approve(made)
        assert answer.status_code == 303, answer.text
        assert version(again) == server_state + 1
    finally:
        again.stop()
        with sqlite3.connect(os.path.join(server.folder, "identity.db")) as db:
            db.execute("update staff set approves_from = approves_from + 7 * 86400000")


def test_reads_of_many_are_approved_by_a_member_of_staff(server, two):  # noqa: F811
    ask = {"recipient": "marketing", "purpose": "personal_offers", "category": "purchases", "why": "offers"}
    made = server.admin.post(server.url + "/v1/reads", json=ask, timeout=20)
    assert made.status_code == 201, made.text
    refused = server.session("--staff", "privacy_officer").post(
        f"{server.url}/v1/reads/{made.json()['id']}/approve", json={"hash": made.json()["hash"]}, timeout=20)
    assert refused.status_code == 403 and refused.json()["reason"] == "four_eyes"


def test_an_older_installation_has_four_eyes_at_once(server, two):  # noqa: F811
    """As identity_006.sql finds staff who have had an account for long."""
    server.stop()
    with open(os.path.join(ROOT, "src/db/schema/identity_006.sql"), encoding="utf-8") as file:
        update = re.search(r"update staff set.*?;", file.read(), re.S)[0]
    with sqlite3.connect(os.path.join(server.folder, "identity.db")) as db:
        db.execute("update staff set power_at = null")
        db.execute(update)
        assert db.execute("select count(*) from staff where power_at is not null").fetchone()[0] == 2
    again = Server(server.folder)
    try:
        assert apply(again, again.admin).json()["reason"] == "four_eyes"
    finally:
        again.stop()
