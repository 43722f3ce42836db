"""Audiences over HTTP: pages, counts, conditions, and everybody in one answer, each compared with what
single evaluations say, over changes, restarts and crashes."""

import glob
import http.client
import json
import os
import signal
import threading
import time

import pytest

from test_http import Server, demo, lov, question, server  # noqa: F401 (fixtures)

RESOURCE = "/access/v1/search/resource"
LINES = {"Accept": "application/x-ndjson"}
PEOPLE = [f"{n:05d}" for n in range(1, 61)]


def searching(context=None, **more):
    q = {**question(), **more}
    q["resource"] = {"type": q["resource"]["type"]}
    return {**q, "context": context} if context is not None else q


def search(server, body, session=None):  # noqa: F811
    answer = (session or server.marketing).post(server.url + RESOURCE, json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def stream(server, body, session=None):  # noqa: F811
    """Ids of an answer in lines that is complete."""
    answer = (session or server.marketing).post(server.url + RESOURCE, json=body, headers=LINES,
                                            timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    *entities, end = [json.loads(line) for line in answer.text.splitlines()]
    assert end == {"complete": True, "count": len(entities)}
    assert all(e["type"] == body["resource"]["type"] and len(e) == 2 for e in entities)
    return [e["id"] for e in entities]


def permitted(server, purpose="personal_offers", category="purchases", people=None):  # noqa: F811
    """By one evaluation each."""
    people = people or PEOPLE
    told = server.admin.post(server.url + "/access/v1/evaluations", timeout=60, json={
        "subject": {"type": "recipient", "id": "marketing"}, "action": {"name": purpose},
        "evaluations": [{"resource": {"type": category, "id": p}} for p in people]}).json()
    return {p for p, e in zip(people, told["evaluations"]) if e["decision"]}


def counted(server, body):  # noqa: F811
    body = {**body, "context": {**body.get("context", {}), "count": True}, "page": {"limit": 0}}
    told = search(server, body)
    assert told["results"] == []
    return told["page"]["total"]


def agree(server, body, expected):  # noqa: F811
    """Lines, pages and count say the same."""
    lines = stream(server, body)
    assert len(set(lines)) == len(lines) and set(lines) == expected
    paged = search(server, {**body, "page": {"limit": 10000}})
    assert paged["page"]["next_token"] == ""
    assert [e["id"] for e in paged["results"]] == lines
    assert counted(server, body) == len(expected)


def refuse(server, consumer):  # noqa: F811
    """A no, whatever the law that covers the consumer."""
    assert server.give(consumer=consumer, decision="refuse").status_code == 201


def erase(server, consumer):  # noqa: F811
    answer = server.admin.post(f"{server.url}/v1/consumers/{consumer}/erase", timeout=20)
    assert answer.ok, answer.text


def test_conditions_narrow_an_audience(server):  # noqa: F811
    offers, contact = permitted(server), permitted(server, category="contact")
    nearby = permitted(server, "nearby_offers", "contact")
    assert offers and contact and 0 < len(offers) < len(PEOPLE)
    agree(server, searching(), offers)
    agree(server, searching({"also": [{"category": "contact"}]}), offers & contact)
    agree(server, searching({"also": [{"category": "contact"},
                                      {"purpose": "nearby_offers", "category": "contact"}]}),
          offers & contact & nearby)
    agree(server, searching({"also": [{"purpose": "unheard_of"}]}), set())


def test_residence_and_law_narrow_an_audience(server):  # noqa: F811
    homes = {p: ("SE", "US-CA", "US-NY", "DE")[i % 4] for i, p in enumerate(PEOPLE)}
    for person, home in homes.items():
        assert server.admin.put(f"{server.url}/v1/consumers/{person}", json={"residence": home},
                                timeout=20).ok
    now = permitted(server)
    assert {homes[p] for p in now} == set(homes.values())
    for wanted, members in ((["SE"], {"SE"}), (["US"], {"US-CA", "US-NY"}),
                            (["DE", "US-CA"], {"DE", "US-CA"}), (["U"], set()), (["FR"], set())):
        agree(server, searching({"residence": wanted}), {p for p in now if homes[p] in members})
    agree(server, searching({"law": ["ccpa"]}), {p for p in now if homes[p] == "US-CA"})
    agree(server, searching({"law": ["gdpr", "ccpa"]}), now)
    agree(server, searching({"law": ["gdpr"], "residence": ["US-CA"]}), set())


def test_who_refused_was_restricted_or_erased_is_gone_at_once(server):  # noqa: F811
    one, two, three = sorted(permitted(server))[:3]
    assert {one, two, three} <= set(stream(server, searching()))
    refuse(server, one)
    assert one not in stream(server, searching())
    server.admin.put(f"{server.url}/v1/consumers/{two}", json={"restricted": True}, timeout=20)
    assert two not in stream(server, searching())
    erase(server, three)
    agree(server, searching(), permitted(server))
    assert not {one, two, three} & set(stream(server, searching()))


def test_an_audience_is_the_same_after_restart_crash_and_a_lost_index(server):  # noqa: F811
    refuse(server, sorted(permitted(server))[4])
    # Holes in the numbers of the identity store, which a new index does not have.
    for person in PEOPLE[3:30:5]:
        erase(server, person)
    expected = permitted(server)
    agree(server, searching(), expected)
    server.stop()
    again = Server(server.folder)
    agree(again, searching(), expected)
    refuse(again, sorted(expected)[0])
    assert again.give(consumer="new-one").status_code == 201
    again.process.send_signal(signal.SIGKILL)
    again.process.wait()
    expected = expected - {sorted(expected)[0]} | {"new-one"}
    again = Server(server.folder)
    agree(again, searching(), expected)
    again.stop()
    for path in glob.glob(server.folder + "/permits.*"):
        os.unlink(path)
    again = Server(server.folder)
    agree(again, searching(), expected)
    assert again.give(consumer="newer").status_code == 201
    agree(again, searching(), expected | {"newer"})
    again.stop()


def test_an_audience_while_it_changes(server):  # noqa: F811
    """Nobody whose refusal was answered before the question is in it; who never changed is."""
    people = sorted(permitted(server))
    leaving, staying = people[::2], set(people[1::2])
    gone, stop, failures = set(), threading.Event(), []

    def ask():
        session = server.session("--recipient", "marketing")
        while not stop.is_set():
            before = set(gone)
            found = set(stream(server, searching(), session))
            if found & before or not staying <= found:
                failures.append((found & before, staying - found))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for t in threads:
        t.start()
    for person in leaving:
        refuse(server, person)
        gone.add(person)
    stop.set()
    for t in threads:
        t.join()
    assert not failures
    agree(server, searching(), staying)


def test_a_client_that_leaves_is_forgotten(server):  # noqa: F811
    """The server goes on, and there is room for others after more have left than it serves at once."""
    key = server.marketing.headers["Authorization"]
    body = json.dumps(searching())
    for n in range(40):
        assert server.give(consumer=f"many-{n}").status_code == 201
    for _ in range(12):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("POST", RESOURCE, body, {
            "Authorization": key, "Content-Type": "application/json", **LINES})
        connection.getresponse().read(10)
        connection.close()
    deadline = time.monotonic() + 20
    while True:
        answer = server.marketing.post(server.url + RESOURCE, json=searching(), headers=LINES, timeout=20)
        if answer.status_code == 200:
            break
        assert answer.json()["reason"] == "too_many_streams" and time.monotonic() < deadline
    assert len(stream(server, searching())) == counted(server, searching())


def test_a_recipient_streams_its_own_audience_alone(server):  # noqa: F811
    assert set(stream(server, searching(), server.marketing)) == permitted(server)
    other = searching(subject={"type": "recipient", "id": "product"})
    answer = server.marketing.post(server.url + RESOURCE, json=other, headers=LINES, timeout=20)
    assert answer.status_code == 403


@pytest.mark.parametrize("context, status", [
    ({"also": {}}, 400), ({"also": [7]}, 400), ({"also": [{"categroy": "contact"}]}, 400),
    ({"also": [{"category": ""}]}, 400), ({"also": [{}] * 16}, 400), ({"residence": "SE"}, 400),
    ({"residence": []}, 400), ({"residence": [1]}, 400), ({"residence": ["x" * 65]}, 400),
    ({"residence": ["SE"] * 65}, 400), ({"law": []}, 400), ({"count": 1}, 400),
    ({"record": True, "also": [{"category": "contact"}]}, 400)])
def test_a_wrong_condition_lets_nobody_in(server, context, status):  # noqa: F811
    for headers in ({}, LINES):
        answer = server.marketing.post(server.url + RESOURCE, json=searching(context), headers=headers,
                                   timeout=20)
        assert answer.status_code == status, (context, answer.text)
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_lines_have_no_pages_and_no_records(server):  # noqa: F811
    for body in ({**searching(), "page": {"limit": 5}}, searching({"record": True})):
        answer = server.marketing.post(server.url + RESOURCE, json=body, headers=LINES, timeout=20)
        assert answer.status_code == 400 and answer.json()["reason"] == "invalid_field"


def test_without_a_preference_for_lines_there_are_pages(server):  # noqa: F811
    for accept in ("*/*", "application/json", "application/json, application/x-ndjson;q=0.5"):
        answer = server.marketing.post(server.url + RESOURCE, json=searching(),
                                   headers={"Accept": accept}, timeout=20)
        assert answer.headers["Content-Type"] == "application/json"
        assert list(answer.json())[0] == "page"
