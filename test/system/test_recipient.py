"""The key of a recipient opens what is the recipient's own, and nothing of another: consents, events,
decisions, audiences, reports."""

import subprocess

import pytest

from test_http import GIVE, Server, demo, lov, question  # noqa: F401 (fixture)

RECIPIENTS = ["marketing", "adnord", "datamark", "mailhouse", "nordbank", "risk", "product"]


@pytest.fixture(scope="module")
def server(demo, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("recipient") / "lov"
    subprocess.run(["cp", "-a", str(demo), str(folder)], check=True)
    server = Server(folder)
    server.of = {name: server.session("--recipient", name) for name in RECIPIENTS}
    answer = server.give(consumer="watched", evidence={"form": "secret"}, guardian="parent")
    assert answer.status_code == 201
    server.mine = answer.json()["id"]
    answer = server.give(consumer="watched", purpose="data_sale", recipient="datamark",
                         categories=["profile"], notice={**GIVE["notice"], "id": "data_sale"})
    assert answer.status_code == 201
    server.theirs = answer.json()["id"]
    for name, purpose, category in (("marketing", "personal_offers", "purchases"),
                                    ("datamark", "data_sale", "profile")):
        asked = {"subject": {"type": "recipient", "id": name}, "action": {"name": purpose},
                 "resource": {"type": category, "id": "watched"}, "context": {"record": True}}
        told = server.of[name].post(server.url + "/access/v1/evaluation", json=asked, timeout=20).json()
        assert told["decision"] is True and told["context"]["event"]
    yield server
    server.stop()


def get(server, name, path):
    return server.of[name].get(server.url + path, timeout=20)


def events(session, server):
    """All events that this key sees."""
    found, after = [], None
    while True:
        page = session.get(server.url + "/v1/events", timeout=20,
                           params={"limit": 50, **({"after": after} if after else {})}).json()
        found += page["items"]
        after = page["next"]
        if after is None:
            return found


def test_each_sees_the_events_of_its_own_activities_and_all_of_them(server):
    everything = events(server.admin, server)
    assert {e.get("recipient") for e in everything} > set(RECIPIENTS) - {"risk"}
    for name in RECIPIENTS:
        seen = events(server.of[name], server)
        assert all(e["recipient"] == name for e in seen), name
        expected = [e["seq"] for e in everything if e.get("recipient") == name]
        assert [e["seq"] for e in seen] == expected
    assert len(events(server.of["marketing"], server)) > 10


def test_nothing_sealed_is_in_a_recipients_events(server):
    for e in events(server.of["marketing"], server):
        assert "sealed" not in e and "evidence" not in e and "guardian" not in e or \
            isinstance(e.get("guardian"), (bool, type(None)))
        assert "secret" not in str(e) and "parent" not in str(e)


def test_a_consent_for_another_is_not_found_and_like_one_that_is_not_there(server):
    assert get(server, "marketing", f"/v1/consents/{server.mine}").status_code == 200
    other = get(server, "marketing", f"/v1/consents/{server.theirs}")
    absent = get(server, "marketing", "/v1/consents/" + "0" * 32)
    assert other.status_code == absent.status_code == 404
    assert other.json() == absent.json(), "the answer tells that there is one"


def test_lists_of_consents_hold_its_own_without_evidence(server):
    for name in RECIPIENTS:
        told = get(server, name, "/v1/consumers/watched/consents")
        assert told.status_code == 200
        assert {c["recipient"] for c in told.json()["items"]} <= {name}
        assert all(c["evidence"] is None and c["guardian"] is None for c in told.json()["items"])
    assert len(get(server, "marketing", "/v1/consumers/watched/consents").json()["items"]) == 1
    assert get(server, "risk", "/v1/consumers/watched/consents").json()["items"] == []


@pytest.mark.parametrize("method, path, body", [
    ("GET", "/v1/consumers/watched", None), ("GET", "/v1/consumers/watched/history", None),
    ("PUT", "/v1/consumers/watched", {"restricted": False}),
    ("POST", "/v1/consumers/watched/erase", {}), ("POST", "/v1/consents", GIVE),
    ("POST", "/v1/consents/batch", {"items": [GIVE]}), ("GET", "/v1/keys", None),
    ("POST", "/v1/keys", {"recipient": "marketing"}), ("DELETE", "/v1/keys/0123456789abcdef", None),
    ("POST", "/v1/policy", {"files": {}}), ("POST", "/v1/policy/check", {"files": {}}),
    ("POST", "/v1/policy/diff", {"files": {}}),
])
def test_what_is_not_a_recipients_is_forbidden(server, method, path, body):
    before = server.state()
    answer = server.of["marketing"].request(method, server.url + path, json=body, timeout=20)
    assert answer.status_code == 403 and answer.json()["reason"] == "forbidden"
    assert server.state() == before


@pytest.mark.parametrize("what", ["withdraw", "renew", "amend"])
def test_even_its_own_consent_is_not_a_recipients_to_change(server, what):
    bodies = {"withdraw": {}, "renew": {"notice": GIVE["notice"]}, "amend": {"categories": ["contact"]}}
    answer = server.of["marketing"].post(f"{server.url}/v1/consents/{server.mine}/{what}",
                                         json=bodies[what], timeout=20)
    assert answer.status_code == 403


def test_it_asks_for_itself_only(server):
    ask = server.of["marketing"].post
    other = {**question("watched"), "subject": {"type": "recipient", "id": "datamark"},
             "action": {"name": "data_sale"}, "resource": {"type": "profile", "id": "watched"}}
    assert ask(server.url + "/access/v1/evaluation", json=other, timeout=20).status_code == 403
    told = ask(server.url + "/access/v1/evaluations", timeout=20,
               json={"evaluations": [question("watched"), other]}).json()["evaluations"]
    assert told[0]["decision"] is True and told[1]["decision"] is False
    assert told[1]["context"] == {"error": told[1]["context"]["error"]}, "it says the reason"
    assert told[1]["context"]["error"]["status"] == 403
    for path, body in (("resource", {**other, "resource": {"type": "profile"}}),
                       ("action", {**other})):
        answer = ask(f"{server.url}/access/v1/search/{path}", json=body, timeout=20)
        assert answer.status_code == 403
    another = {**question("watched"), "subject": {"type": "user", "id": "marketing"}}
    assert ask(server.url + "/access/v1/evaluation", json=another, timeout=20).status_code == 403


def test_who_may_use_this_answers_itself_or_nobody(server):
    body = {"subject": {"type": "recipient"}, "action": {"name": "data_sale"},
            "resource": {"type": "profile", "id": "watched"}}
    path = server.url + "/access/v1/search/subject"
    for name in RECIPIENTS:
        found = server.of[name].post(path, json=body, timeout=20).json()["results"]
        assert found == ([{"type": "recipient", "id": name}] if name == "datamark" else [])


def test_it_reports_its_own_uses_only(server):
    def item(name, purpose, category):
        return {"recipient": name, "purpose": purpose, "category": category, "consumer": "watched"}
    mine, other = item("marketing", "personal_offers", "purchases"), item("datamark", "data_sale",
                                                                          "profile")
    path = server.url + "/v1/accesses"
    assert server.of["marketing"].post(path, json={"items": [mine]}, timeout=20).status_code == 200
    before = server.state()
    answer = server.of["marketing"].post(path, json={"items": [mine, other]}, timeout=20)
    assert answer.status_code == 403 and server.state() == before


def test_a_revoked_key_opens_nothing(server):
    made = server.admin.post(server.url + "/v1/keys", json={"recipient": "marketing"}, timeout=20).json()
    headers = {"Authorization": "Bearer " + made["key"]}
    path = f"{server.url}/v1/consents/{server.mine}"
    assert server.of["marketing"].get(path, headers=headers, timeout=20).status_code == 200
    assert server.admin.delete(f"{server.url}/v1/keys/{made['id']}", timeout=20).status_code == 200
    assert server.of["marketing"].get(path, headers=headers, timeout=20).status_code == 401
