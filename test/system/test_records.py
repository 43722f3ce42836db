"""Records over HTTP: put, corrected and read for a purpose, as documented; an audience in parts, over a
connection that a client may leave; what is due goes; sums by the server's own clock."""

import csv
import io
import json
import re
import socket
import subprocess
import threading
import time

import pytest
import requests

from test_http import GIVE, LOV, Server, demo, lov  # noqa: F401 (fixture)
from test_openapi import CONTRACT, check

PURCHASE = {"data": {"order_id": "A-17", "bought_at": "2026-11-20T10:15:30Z", "product": "kettle",
                     "department": "home", "quantity": 2,
                     "amount": {"amount": "349.50", "currency": "SEK"}, "store": "Lund"},
            "source": "till"}
LIST = "/v1/consumers/{consumer}/records/{category}"
ONE = LIST + "/{id}"
OFFERS = {"purpose": "personal_offers", "recipient": "marketing"}


@pytest.fixture(scope="module")
def server(demo, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("records") / "lov"
    subprocess.run(["cp", "-a", str(demo), str(folder)], check=True)
    server = Server(folder)
    yield server
    server.stop()
    lov("log", "verify", "--dir", server.folder)


def documented(path, method, answer):
    check(CONTRACT["paths"][path][method], answer)
    return answer


def put(server, consumer, body, category="purchases", session=None, **headers):
    answer = (session or server.admin).post(
        f"{server.url}/v1/consumers/{consumer}/records/{category}", json=body, headers=headers,
        timeout=30)
    return documented(LIST, "post", answer)


def read(server, consumer, category="purchases", session=None, **query):
    answer = (session or server.admin).get(
        f"{server.url}/v1/consumers/{consumer}/records/{category}", params=query or OFFERS,
        timeout=30)
    return documented(LIST, "get", answer)


def events(server, kind):
    found, after = [], None
    while True:
        page = server.admin.get(server.url + "/v1/events", timeout=20,
                                params={"limit": 1000, **({"after": after} if after else {})}).json()
        found += [e for e in page["items"] if e["kind"] == kind]
        after = page["next"]
        if after is None:
            return found


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_record_lives_as_documented(server):
    assert server.give(consumer="anna").status_code == 201
    made = put(server, "anna", PURCHASE, **{"Idempotency-Key": "k1"}).json()
    again = put(server, "anna", PURCHASE, **{"Idempotency-Key": "k1"})
    assert again.headers["Idempotency-Replayed"] == "true" and again.json() == made
    seen = read(server, "anna", session=server.marketing, purpose="personal_offers").json()
    assert [r["id"] for r in seen["items"]] == [made["id"]]
    assert seen["items"][0]["data"] == {k: PURCHASE["data"][k] for k in
                                        ("product", "department", "bought_at", "amount")}
    url = f"{server.url}/v1/consumers/anna/records/purchases/{made['id']}"
    fixed = server.admin.put(url, timeout=20, json={
        "version": 1, "data": {**PURCHASE["data"], "product": "teapot"}})
    assert documented(ONE, "put", fixed).json()["version"] == 2
    stale = server.admin.put(url, json={"version": 1, "data": PURCHASE["data"]}, timeout=20)
    assert documented(ONE, "put", stale).json()["reason"] == "record_moved_on"
    assert read(server, "anna").json()["items"][0]["data"]["product"] == "teapot"
    assert documented(ONE, "delete", server.admin.delete(url, timeout=20)).status_code == 200
    assert read(server, "anna").json()["items"] == []
    assert documented(ONE, "delete", server.admin.delete(url, timeout=20)).status_code == 404


def test_a_denied_read_says_why(server):
    put(server, "bo", PURCHASE)
    answer = read(server, "bo", session=server.marketing, purpose="personal_offers")
    assert (answer.status_code, answer.json()["reason"]) == (403, "no_consent")
    given = server.give(consumer="bo").json()
    assert read(server, "bo").status_code == 200
    server.admin.post(f"{server.url}/v1/consents/{given['id']}/withdraw", timeout=20)
    assert read(server, "bo").json()["reason"] == "withdrawn"


@pytest.fixture(scope="module")
def crowd(server):
    """A thousand consumers with a record of 2 KB and a consent each."""
    record = {"data": {**PURCHASE["data"], "product": "x" * 2000}}
    people = [f"crowd-{i}" for i in range(1000)]
    for i in range(0, len(people), 500):
        items = [{**GIVE, "consumer": p} for p in people[i:i + 500]]
        assert server.admin.post(server.url + "/v1/consents/batch", json={"items": items},
                                 timeout=60).status_code == 200
    work = iter(people)
    lock = threading.Lock()

    def load():
        session = requests.Session()
        session.headers.update(server.admin.headers)
        while True:
            with lock:
                person = next(work, None)
            if person is None:
                return
            assert put(server, person, record, session=session).status_code == 201
    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return people


def test_an_audience_is_read_in_parts(server, crowd):
    before = len(events(server, "access"))
    with server.marketing.get(server.url + "/v1/records/purchases", stream=True, timeout=60,
                              params={"purpose": "personal_offers"}) as answer:
        check(CONTRACT["paths"]["/v1/records/{category}"]["get"], answer)
        assert answer.headers["Transfer-Encoding"] == "chunked"
        rows = [json.loads(line) for line in answer.iter_lines()]
    assert {r["consumer"] for r in rows} >= set(crowd)
    assert len({r["id"] for r in rows}) == len(rows)
    assert len(events(server, "access")) - before == len({r["consumer"] for r in rows})
    answer = server.marketing.get(server.url + "/v1/records/purchases", timeout=60,
                                  params={"purpose": "personal_offers", "format": "csv"})
    table = list(csv.DictReader(io.StringIO(answer.text)))
    assert {(r["consumer"], r["id"]) for r in table} == {(r["consumer"], r["id"]) for r in rows}
    # The connection goes on with the next call.
    assert server.marketing.get(server.url + "/v1/policy", timeout=20).status_code == 200


def test_who_leaves_an_audience_ends_it(server, crowd):
    """Nothing is recorded of those whose turn has not come."""
    before = len(events(server, "access"))
    key = server.marketing.headers["Authorization"]
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall(f"GET /v1/records/purchases?purpose=personal_offers HTTP/1.1\r\nHost: x\r\n"
                      f"Authorization: {key}\r\n\r\n".encode())
            assert s.recv(1000).startswith(b"HTTP/1.1 200")
    metrics = server.url + "/metrics"
    # The server has noticed, and does no more for them.
    seen = [-1]

    def is_quiet():
        now, last = len(events(server, "access")), seen[0]
        seen[0] = now
        return now == last
    wait_for(is_quiet)
    assert 3 <= seen[0] - before < 3 * len(crowd)
    assert requests.get(metrics, timeout=20).status_code == 200


def test_a_stop_breaks_an_audience_off(demo, tmp_path):  # noqa: F811
    """The client sees that its answer is not whole, and the server stops."""
    folder = tmp_path / "lov"
    subprocess.run(["cp", "-a", str(demo), str(folder)], check=True)
    server = Server(folder)
    record = {"records": [{"data": {**PURCHASE["data"], "product": "x" * 4000}}] * 1000}
    for i in range(3):
        put(server, f"big-{i}", record)
        server.give(consumer=f"big-{i}")
    with server.marketing.get(server.url + "/v1/records/purchases", stream=True, timeout=60,
                              params={"purpose": "personal_offers"}) as answer:
        parts = answer.iter_content(65536)
        assert next(parts)
        started = time.monotonic()
        server.process.terminate()
        try:
            size = sum(len(part) for part in parts)
            # It was faster than the stop: then it is whole.
            assert size > 12_000_000
        except requests.RequestException:
            pass
    assert server.process.wait(60) == 0
    assert time.monotonic() - started < 50
    lov("log", "verify", "--dir", folder)


def test_records_go_when_their_time_has_come(server):
    assert server.give(consumer="cia").status_code == 201
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    put(server, "cia", {**PURCHASE, "retention_end": end})
    put(server, "cia", PURCHASE)
    assert len(read(server, "cia").json()["items"]) == 2
    wait_for(lambda: len(events(server, "record.expire")) == 1)
    assert len(read(server, "cia").json()["items"]) == 1
    due = server.admin.get(server.url + "/v1/retention", timeout=20)
    check(CONTRACT["paths"]["/v1/retention"]["get"], due)
    [purchases] = [d for d in due.json()["items"] if d["category"] == "purchases"]
    assert purchases["retention_days"] == 3650 and purchases["due"] == 0
    assert "purchases" in lov("retention", "due", "--dir", server.folder)


def test_the_command_line_reads_for_a_purpose(server):
    assert server.give(consumer="dag").status_code == 201
    put(server, "dag", PURCHASE)
    out = lov("read", "dag", "purchases", "--purpose", "personal_offers", "--recipient", "marketing",
              "--dir", server.folder)
    assert json.loads(out)["data"]["product"] == "kettle"
    result = subprocess.run([LOV, "read", "dag", "purchases", "--purpose", "data_sale", "--recipient",
                             "datamark", "--dir", server.folder], capture_output=True, text=True,
                            timeout=60, check=False)
    assert result.returncode == 1 and not result.stdout


def test_one_record_is_read_as_documented(server):
    assert server.give(consumer="eva").status_code == 201
    made = put(server, "eva", PURCHASE).json()
    url = f"{server.url}/v1/consumers/eva/records/purchases/{made['id']}"
    seen = documented(ONE, "get", server.admin.get(url, params=OFFERS, timeout=20))
    assert seen.json()["record"]["data"]["product"] == "kettle"
    for answer in (server.admin.get(url[:-4] + "0000", params=OFFERS, timeout=20),
                   server.admin.get(url, params={**OFFERS, "after": "x"}, timeout=20),
                   server.admin.get(url, timeout=20)):
        assert documented(ONE, "get", answer).status_code in (400, 404)


def test_many_records_are_listed_changed_and_deleted(server):
    for consumer, source in (("fia", "fair"), ("fia", "web"), ("gun", "fair")):
        put(server, consumer, {**PURCHASE, "source": source,
                               "limits": {"purposes": ["customer_support"]}})
    everything = server.admin.get(server.url + "/v1/records", timeout=20,
                                  params={"purpose": "customer_support"})
    check(CONTRACT["paths"]["/v1/records"]["get"], everything)
    assert len(everything.json()["items"]) == 3
    for path, body in (
            ("change", {"where": {"source": "fair"}, "set": {"limits": {"recipients": ["marketing"]}}}),
            ("change", {"where": {"source": "fair"}, "set": {"limits": {"recipients": ["nobody"]}}}),
            ("change", {"where": {}, "set": {"source": "fair"}}),
            ("delete", {"where": {"consumer": "nobody"}}),
            ("delete", {"where": {"source": "web", "consumer": "fia"}})):
        answer = server.admin.post(f"{server.url}/v1/records/{path}", json=body, timeout=20)
        check(CONTRACT["paths"][f"/v1/records/{path}"]["post"], answer)
    where = ("--source", "fair", "--dir", server.folder)
    assert len(lov("records", "list", *where).splitlines()) == 2
    assert lov("records", "change", "--set-source", "market", "--set-purposes", "none", *where) \
        == "2 found, 2 changed\n"
    assert lov("records", "list", *where) == ""
    market = ("--source", "market", "--dir", server.folder)
    found = [json.loads(line) for line in lov("records", "list", *market).splitlines()]
    assert {f["consumer"] for f in found} == {"fia", "gun"}
    assert found[0]["limits"] == {"recipients": ["marketing"]}
    assert lov("records", "delete", *market) == "2 found, 2 deleted\n"
    refused = subprocess.run([LOV, "records", "delete", "--dir", server.folder], timeout=60,
                             capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "name a --consumer" in refused.stderr


def test_lists_that_named_a_consumer_do_not_after_their_erasure(server):
    put(server, "hilda", {**PURCHASE, "source": "kiosk"})
    put(server, "ivar", {**PURCHASE, "source": "kiosk"})

    def named():
        kiosk = server.admin.get(server.url + "/v1/records", timeout=20, params={"source": "kiosk"}).json()["items"]
        return {r["consumer"] for r in kiosk}, {e["consumer"] for e in events(server, "record.put")}
    for _ in range(2):
        records, told = named()
        assert records == {"hilda", "ivar"} <= told
    assert server.admin.post(server.url + "/v1/consumers/hilda/erase", timeout=20).ok
    records, told = named()
    assert records == {"ivar"} and "hilda" not in told and None in told


def test_metrics_count_what_is_found_by_kind(demo, tmp_path):  # noqa: F811
    subprocess.run(["cp", "-a", str(demo), str(tmp_path / "lov")], check=True)
    server = Server(tmp_path / "lov")

    def found():
        text = server.admin.get(server.url + "/metrics", timeout=20).text
        return {kind: int(n) for kind, n in re.findall(r'^lov_findings_total\{finding="(\w+)"\} (\d+)$', text, re.M)}

    def bought(n, **changes):
        return {**PURCHASE, "data": {**PURCHASE["data"], "order_id": f"M-{n}", **changes}}

    def contact(email, **more):
        return {"data": {"name": "Ada", "email": email}, **more}

    def usual(count):
        return {"records": [bought(n, amount={"amount": f"{300 + n}.00", "currency": "SEK"}) for n in range(count)]}

    kinds = {
        "out_of_range": [("f-range", "purchases", bought(1, quantity=5000))],
        "rule_broken": [("f-rule", "profile", {"data": {"birth_date": "1999-05-01", "customer_since": "1990-05-01"}})],
        "outlier": [("f-usual", "purchases", usual(120)),
                    ("f-dear", "purchases", bought(2, amount={"amount": "900000.00", "currency": "SEK"}))],
        "duplicate": [("f-twice", "purchases", bought(3)), ("f-twice", "purchases", bought(3))],
        "likeness": [("f-ada", "contact", contact("a@example.com")), ("f-eve", "contact", contact("a@example.com"))],
        "stale": [("f-old", "contact", contact("old@example.com", observed_at="2024-01-15T10:00:00Z"))],
    }
    try:
        before = found()
        assert before == {kind: 0 for kind in kinds}
        for kind, records in kinds.items():
            for consumer, category, body in records:
                assert put(server, consumer, body, category).status_code == 201
            expected = {**before, kind: before[kind] + 1}
            deadline = time.monotonic() + 30
            while found() != expected:  # what is stale is looked for by a job
                assert kind == "stale" and time.monotonic() < deadline, (kind, found(), expected)
                time.sleep(0.05)
            before = expected
    finally:
        server.stop()
