"""OpenID AuthZEN Authorization API 1.0, over a socket as a policy enforcement point speaks it. Names of
sections are those of the specification; each MUST that binds a policy decision point has a test."""

import json
import os
import socket
import subprocess

import pytest

from test_http import PURCHASES, demo, lov, question, server, shared  # noqa: F401 (fixtures)

EVALUATION = "/access/v1/evaluation"
EVALUATIONS = "/access/v1/evaluations"
SUBJECT, RESOURCE, ACTION = (f"/access/v1/search/{kind}" for kind in
                             ("subject", "resource", "action"))
ENDPOINTS = [EVALUATION, EVALUATIONS, SUBJECT, RESOURCE, ACTION]
ID = "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"


@pytest.fixture(scope="module")
def refused(shared):  # noqa: F811
    """A consumer who said no to personal offers."""
    assert shared.give(consumer="no-thanks", decision="refuse").status_code == 201
    return "no-thanks"


def post(shared, path, body, session=None, **headers):
    return (session or shared.admin).post(shared.url + path, json=body, headers=headers, timeout=20)


def ask(shared, path, body, session=None, **more):
    answer = post(shared, path, body, session, **more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    told = answer.json()
    assert isinstance(told, dict)
    return told


def is_error(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status and isinstance(problem["detail"], str)
    return True


def searching(what, **more):
    """The question of a search: without the identifier of what is searched for."""
    q = {**question(), **more}
    q["subject" if what == SUBJECT else "resource"].pop("id", None) if what != ACTION else None
    if what == ACTION:
        del q["action"]
    return q


# ---- Information Model, Access Evaluation API ----


def test_a_decision_is_a_boolean_with_an_object_of_context(shared, refused):  # noqa: F811
    yes = ask(shared, EVALUATION, question())
    assert yes["decision"] is True and isinstance(yes["context"], dict)
    assert yes["context"]["reason"] == "permitted" and yes["context"]["obligations"]["view"]
    no = ask(shared, EVALUATION, question(refused))
    assert no["decision"] is False and no["context"]["reason"] == "refused"
    assert "obligations" not in no["context"]


@pytest.mark.parametrize("subject, reason", [
    ({"type": "user", "id": "marketing"}, "recipient_unknown"),
    ({"type": "recipient", "id": "nobody"}, "recipient_unknown"),
])
def test_a_denial_is_no_error(shared, subject, reason):  # noqa: F811
    told = ask(shared, EVALUATION, {**question(), "subject": subject})
    assert told["decision"] is False and told["context"]["reason"] == reason


def test_unknown_members_properties_and_order_do_not_matter(shared):  # noqa: F811
    q = question()
    for entity in ("subject", "action", "resource"):
        q[entity] = {"future": [1, {"x": None}], **q[entity], "properties": {"deep": {"a": [1, 2]}}}
    told = [ask(shared, EVALUATION, body) for body in (
        question(), {"unknown": {"nested": True}, **q}, dict(reversed(q.items())),
        {**q, "context": {"time": "1985-10-26T01:22-07:00", "schema": "https://x.example/s.json"}})]
    assert all(t == told[0] for t in told) and told[0]["decision"] is True


@pytest.mark.parametrize("path", [EVALUATION, EVALUATIONS])
@pytest.mark.parametrize("remove", [("subject",), ("action",), ("resource",), ("subject", "type"),
                                    ("subject", "id"), ("action", "name"), ("resource", "type"),
                                    ("resource", "id")])
def test_a_missing_attribute_is_a_bad_request(shared, path, remove):  # noqa: F811
    body = json.loads(json.dumps(question()))
    if len(remove) == 1:
        del body[remove[0]]
    else:
        del body[remove[0]][remove[1]]
    assert is_error(post(shared, path, body), 400)


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"7", b'"x"', b"{", b"{}", b"\xff",
                                  b'{"subject":1,"action":2,"resource":3}',
                                  b'{"subject":{"type":"recipient","type":"user","id":"x"}}'])
def test_what_is_no_request_is_a_bad_request(shared, path, body):  # noqa: F811
    answer = shared.admin.post(shared.url + path, data=body, timeout=20,
                               headers={"Content-Type": "application/json"})
    assert is_error(answer, 400)


@pytest.mark.parametrize("path", ENDPOINTS)
def test_another_content_type_is_a_bad_request(shared, path):  # noqa: F811
    for kind in ("text/plain", "application/xml", "application/json-seq", None):
        answer = shared.admin.post(shared.url + path, data=json.dumps(question()), timeout=20,
                                   headers={"Content-Type": kind} if kind else {})
        assert is_error(answer, 400)


def test_parameters_of_the_content_type_are_admitted(shared):  # noqa: F811
    answer = shared.admin.post(shared.url + EVALUATION, data=json.dumps(question()), timeout=20,
                               headers={"Content-Type": "Application/JSON; charset=utf-8"})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ENDPOINTS)
def test_only_post_asks(shared, path):  # noqa: F811
    answer = shared.admin.get(shared.url + path, timeout=20)
    assert is_error(answer, 405) and answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("path", ENDPOINTS)
def test_who_does_not_authenticate_is_told_how(shared, path):  # noqa: F811
    import requests
    for headers in ({}, {"Authorization": "Bearer lov_wrong"}, {"Authorization": "Basic eDp5"}):
        answer = requests.post(shared.url + path, json=question(), headers=headers, timeout=20)
        assert is_error(answer, 401) and answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_who_may_not_ask_is_forbidden(shared):  # noqa: F811
    collector = shared.session("--staff", "collector")
    for path in ENDPOINTS:
        assert is_error(post(shared, path, question(), session=collector), 403)


def test_the_same_question_has_the_same_answer(shared):  # noqa: F811
    assert len({json.dumps(ask(shared, EVALUATION, question())) for _ in range(20)}) == 1


# ---- Access Evaluations API ----


def test_defaults_fill_items_and_items_replace_them_whole(shared, refused):  # noqa: F811
    q = question(refused)
    told = ask(shared, EVALUATIONS, {**q, "evaluations": [
        {}, {"resource": {"type": "purchases", "id": "00001"}},
        {"subject": {"type": "recipient", "id": "nobody"}},
        {"action": {"name": "data_sale"}, "resource": {"type": "purchases", "id": "00001"}},
        {"resource": {"type": "purchases"}}, {"action": {"properties": {}}},
    ]})["evaluations"]
    assert [e["context"].get("reason") for e in told] == [
        "refused", "permitted", "recipient_unknown", "not_in_policy", None, None]
    for failed in told[4:]:
        assert failed["decision"] is False
        assert failed["context"]["error"]["status"] == 400
        assert isinstance(failed["context"]["error"]["message"], str)


def test_items_may_bring_all_and_the_top_nothing(shared, refused):  # noqa: F811
    told = ask(shared, EVALUATIONS, {"evaluations": [question(), question(refused)]})
    assert [e["decision"] for e in told["evaluations"]] == [True, False]
    assert "decision" not in told


def test_a_context_of_the_top_is_a_default_too(server):  # noqa: F811
    q = question()
    told = ask(server, EVALUATIONS, {**q, "context": {"record": True}, "evaluations": [
        {}, {"context": {"record": False}}, {"context": {}}]})["evaluations"]
    assert ["event" in e["context"] for e in told] == [True, False, False]


@pytest.mark.parametrize("items", [None, []])
def test_without_items_it_is_a_single_evaluation(shared, items):  # noqa: F811
    body = question() if items is None else {**question(), "evaluations": items}
    assert ask(shared, EVALUATIONS, body) == ask(shared, EVALUATION, question())


@pytest.mark.parametrize("semantic, decisions", [
    (None, [True, False, True]), ("execute_all", [True, False, True]),
    ("deny_on_first_deny", [True, False]), ("permit_on_first_permit", [True]),
])
def test_each_semantic_ends_the_list_where_it_says(shared, refused, semantic, decisions):  # noqa: F811
    items = [{"resource": question(c)["resource"]} for c in ("00001", refused, "00001")]
    body = {**question(), "evaluations": items}
    if semantic:
        body["options"] = {"evaluations_semantic": semantic, "another_option": "value"}
    assert [e["decision"] for e in ask(shared, EVALUATIONS, body)["evaluations"]] == decisions
    if semantic:
        body["evaluations"] = list(reversed(items[1:] + items[:1]))  # 00001, 00001, refused
        expected = {"execute_all": [True, True, False], "deny_on_first_deny": [True, True, False],
                    "permit_on_first_permit": [True]}[semantic]
        assert [e["decision"] for e in ask(shared, EVALUATIONS, body)["evaluations"]] == expected


def test_a_failed_item_is_a_denial_that_ends_a_list(shared):  # noqa: F811
    body = {**question(), "options": {"evaluations_semantic": "deny_on_first_deny"},
            "evaluations": [{}, {"resource": {"type": "purchases"}}, {}]}
    assert [e["decision"] for e in ask(shared, EVALUATIONS, body)["evaluations"]] == [True, False]
    body["options"]["evaluations_semantic"] = "permit_on_first_permit"
    body["evaluations"].pop(0)
    assert [e["decision"] for e in ask(shared, EVALUATIONS, body)["evaluations"]] == [False, True]


@pytest.mark.parametrize("change", [{"options": {"evaluations_semantic": "whatever"}},
                                    {"options": []}, {"evaluations": {}}, {"evaluations": "x"},
                                    {"options": {"evaluations_semantic": 1}},
                                    {"evaluations": [{}] * 1001}])
def test_wrong_options_concern_the_whole_request(shared, change):  # noqa: F811
    assert is_error(post(shared, EVALUATIONS, {**question(), "evaluations": [{}], **change}), 400)


def test_a_thousand_items_are_answered_in_their_order(shared, refused):  # noqa: F811
    items = [{"resource": question("00001" if n % 3 else refused)["resource"]} for n in range(1000)]
    told = ask(shared, EVALUATIONS, {**question(), "evaluations": items})["evaluations"]
    assert [e["decision"] for e in told] == [bool(n % 3) for n in range(1000)]


# ---- Search APIs ----


def test_a_search_finds_entities_of_the_type_alone(shared):  # noqa: F811
    subjects = ask(shared, SUBJECT, searching(SUBJECT))["results"]
    assert {"type": "recipient", "id": "marketing"} in subjects
    assert all(set(r) == {"type", "id"} and r["type"] == "recipient" for r in subjects)
    resources = ask(shared, RESOURCE, searching(RESOURCE))["results"]
    assert {"type": "purchases", "id": "00001"} in resources
    assert all(set(r) == {"type", "id"} and r["type"] == "purchases" for r in resources)
    actions = ask(shared, ACTION, searching(ACTION))["results"]
    assert {"name": "personal_offers"} in actions and all(set(r) == {"name"} for r in actions)


def test_what_a_search_finds_is_permitted_and_nothing_else(shared, refused):  # noqa: F811
    for path, entity in ((SUBJECT, "subject"), (RESOURCE, "resource"), (ACTION, "action")):
        found = ask(shared, path, {**searching(path), "page": {"limit": 1000}}, whose(shared, path))["results"]
        candidates = {
            "subject": [{"type": "recipient", "id": r} for r in policy_names(shared, "recipients")],
            "resource": [{"type": "purchases", "id": f"{n:05d}"} for n in range(1, 61)]
            + [{"type": "purchases", "id": refused}],
            "action": [{"name": p} for p in policy_names(shared, "purposes")]}[entity]
        items = [{entity: c} for c in candidates]
        decided = ask(shared, EVALUATIONS, {**question(), "evaluations": items})["evaluations"]
        permitted = [c for c, e in zip(candidates, decided) if e["decision"]]
        assert permitted and sorted(map(str, found)) == sorted(map(str, permitted))


def whose(shared, path):  # noqa: F811
    """Who gets all pages of a search: of an audience, the recipient that it is for."""
    return shared.marketing if path == RESOURCE else shared.admin


def policy_names(shared, member):  # noqa: F811
    policy = shared.admin.get(shared.url + "/v1/policy", timeout=20).json()
    return [item["id"] for item in policy[member]]


@pytest.mark.parametrize("path, entity", [(SUBJECT, "subject"), (RESOURCE, "resource")])
def test_an_identifier_of_what_is_searched_for_is_ignored(shared, path, entity):  # noqa: F811
    plain = searching(path)
    for identifier in ("nobody", "", 7, None, ["x"]):
        body = {**plain, entity: {**plain[entity], "id": identifier}}
        assert ask(shared, path, body)["results"] == ask(shared, path, plain)["results"]


def test_an_action_in_an_action_search_is_ignored(shared):  # noqa: F811
    plain = searching(ACTION)
    body = {**plain, "action": {"name": "nothing"}}
    assert ask(shared, ACTION, body)["results"] == ask(shared, ACTION, plain)["results"]


@pytest.mark.parametrize("path, missing", [
    (SUBJECT, "subject"), (SUBJECT, "action"), (SUBJECT, "resource"), (RESOURCE, "subject"),
    (RESOURCE, "action"), (RESOURCE, "resource"), (ACTION, "subject"), (ACTION, "resource")])
def test_a_search_without_an_entity_is_a_bad_request(shared, path, missing):  # noqa: F811
    body = searching(path)
    del body[missing]
    assert is_error(post(shared, path, body), 400)


@pytest.mark.parametrize("path, entity", [(SUBJECT, "subject"), (RESOURCE, "resource")])
def test_a_search_without_a_type_is_a_bad_request(shared, path, entity):  # noqa: F811
    assert is_error(post(shared, path, {**searching(path), entity: {}}), 400)


@pytest.mark.parametrize("path", [SUBJECT, RESOURCE, ACTION])
def test_a_search_that_finds_nothing_has_an_empty_list(shared, path):  # noqa: F811
    body = {**searching(path)}
    if path == RESOURCE:
        body["subject"] = {"type": "recipient", "id": "nobody"}
    else:
        body["resource"] = {"type": "purchases", "id": "nobody"}
    told = ask(shared, path, body)
    assert told["results"] == [] and told["page"] == {"next_token": "", "count": 0}


@pytest.mark.parametrize("path, limit", [(RESOURCE, 1), (RESOURCE, 7), (RESOURCE, 1000),
                                         (SUBJECT, 1), (ACTION, 1)])
def test_pages_together_are_the_whole_result(shared, path, limit):  # noqa: F811
    session = whose(shared, path)
    whole = ask(shared, path, {**searching(path), "page": {"limit": 10000}}, session)
    assert whole["page"]["next_token"] == "" and list(whole)[0] == "page"
    found, body, calls = [], {**searching(path), "page": {"limit": limit}}, 0
    while True:
        told = ask(shared, path, body, session)
        assert told["page"]["count"] == len(told["results"]) <= limit
        found += told["results"]
        calls += 1
        if not told["page"]["next_token"]:
            break
        # The limit may be left out: the token carries it.
        body["page"] = {"token": told["page"]["next_token"]}
        assert calls < 200
    assert found == whole["results"]
    if limit == 1:
        assert calls >= len(found) > 0


def test_a_token_fits_its_own_query_only(shared):  # noqa: F811
    body = {**searching(RESOURCE), "page": {"limit": 2}}
    token = ask(shared, RESOURCE, body, shared.marketing)["page"]["next_token"]
    assert token
    page = {"token": token, "limit": 2}
    assert ask(shared, RESOURCE, {**body, "page": page}, shared.marketing)["results"]
    for change in ({"page": {"token": token, "limit": 3}}, {"page": {"token": token[:-2]}},
                   {"page": {"token": "A" * len(token)}}, {"context": {"ip": "1"}, "page": page},
                   {"action": {"name": "newsletter_delivery"}, "page": page},
                   {"resource": {"type": "contact"}, "page": page}):
        assert is_error(post(shared, RESOURCE, {**body, **change}, shared.marketing), 400), change
    other = post(shared, RESOURCE, {**body, "page": page}, session=shared.session("--recipient", "marketing"))
    assert is_error(other, 400), "another caller's token"


@pytest.mark.parametrize("page", [{"limit": -1}, {"limit": "2"}, {"limit": 1.5}, {"token": 7},
                                  {"limit": 10 ** 30}, [], "x"])
def test_a_wrong_page_is_a_bad_request(shared, page):  # noqa: F811
    assert is_error(post(shared, RESOURCE, {**searching(RESOURCE), "page": page}), 400)


def test_a_page_of_none_is_one(shared):  # noqa: F811
    told = ask(shared, RESOURCE, {**searching(RESOURCE), "page": {"limit": 0}})
    assert told["results"] == [] and told["page"]["next_token"]


# ---- Policy Decision Point Metadata ----


def test_metadata_names_endpoints_that_answer(shared):  # noqa: F811
    import requests
    answer = requests.get(shared.url + "/.well-known/authzen-configuration", timeout=20)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"
    told = answer.json()
    assert told["policy_decision_point"] == shared.url
    assert None not in told.values()
    endpoints = {name: url for name, url in told.items() if name.endswith("_endpoint")}
    assert len(endpoints) == 5
    for url in endpoints.values():
        assert url.startswith(told["policy_decision_point"] + "/access/v1/")
        assert shared.admin.post(url, json=question(), timeout=20).status_code == 200


# ---- Transport ----


@pytest.mark.parametrize("value", [ID, "x", "with spaces, and \"quotes\"; =", "å-ä-ö", "i" * 4096],
                         ids=range(5))
def test_the_request_id_comes_back_on_every_answer(shared, value):  # noqa: F811
    import requests
    header = value.encode()
    sent = {"X-Request-ID": header}
    answers = [
        shared.admin.post(shared.url + EVALUATION, json=question(), headers=sent, timeout=20),
        shared.admin.post(shared.url + EVALUATION, json={}, headers=sent, timeout=20),
        shared.admin.post(shared.url + EVALUATION, json={**question(), "context": {"record": True}},
                          headers=sent, timeout=20),
        shared.admin.post(shared.url + SUBJECT, json=searching(SUBJECT), headers=sent, timeout=20),
        shared.admin.get(shared.url + EVALUATION, headers=sent, timeout=20),
        requests.post(shared.url + EVALUATION, json=question(), headers=sent, timeout=20),
        requests.get(shared.url + "/.well-known/authzen-configuration", headers=sent, timeout=20)]
    assert [a.status_code for a in answers] == [200, 400, 200, 200, 405, 401, 200]
    for answer in answers:
        assert answer.headers["X-Request-ID"].encode("latin-1") == header


def test_without_a_request_id_none_is_made_up(shared):  # noqa: F811
    assert "X-Request-ID" not in post(shared, EVALUATION, question()).headers


def test_a_request_id_that_cannot_come_back_is_refused_and_not_dropped(shared):  # noqa: F811
    tab = post(shared, EVALUATION, question(), **{"X-Request-ID": "tab\tinside"})
    assert is_error(tab, 400) and tab.json()["reason"] == "invalid_request_id"
    answer = post(shared, EVALUATION, question(), **{"X-Request-ID": "i" * 4097})
    assert is_error(answer, 431)


def test_chunked_bodies_and_reused_connections_are_understood(shared):  # noqa: F811
    body = json.dumps(question()).encode()
    key = shared.admin.headers["Authorization"]
    head = (f"POST {EVALUATION} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n"
            "Content-Type: application/json\r\n").encode()
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(
        b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"
    plain = head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with socket.create_connection(("127.0.0.1", shared.port), timeout=20) as s:
        s.sendall(chunked + plain)
        told = b""
        while part := s.recv(65536):
            told += part
    assert told.count(b"HTTP/1.1 200 ") == 2 and told.count(b'"decision":true') == 2


def test_nothing_that_asks_without_record_is_written(shared):  # noqa: F811
    before = shared.state()
    for path in ENDPOINTS:
        post(shared, path, question())
    assert shared.state() == before


# ---- certificate to be trusted, https ----


def test_under_a_policy_nobody_applied_everything_is_denied(tmp_path):
    """A decision point without policy answers, and the answer is no."""
    from test_http import LOV
    folder = tmp_path / "lov"
    lov("init", "--dir", folder)
    out = subprocess.run([LOV, "check", "--dir", folder, "--recipient", "marketing", "--purpose",
                          "personal_offers", "--category", "purchases", "--consumer", "00001",
                          "--json"], capture_output=True, text=True, timeout=60, check=False)
    assert out.returncode == 1
    told = json.loads(out.stdout)
    assert told["decision"] is False and told["context"]["reason"] == "unavailable"
    assert os.path.isdir(folder)
