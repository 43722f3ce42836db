"""Requests over HTTP as documented: from receipt to answer, an export that another program checks, the
recipients who are told, and an erasure that leaves nothing in any file."""

import csv
import hashlib
import io
import json
import os
import subprocess
import time
import zipfile

import jsonschema
import pytest

from test_http import LOV, ROOT, Server, demo, lov  # noqa: F401 (fixture)
from test_openapi import CONTRACT, check

SECRET = "Kungsgatan 17 tredje vaningen"
BOUGHT = {"order_id": "E-1", "bought_at": "2026-11-20T10:15:30Z", "product": "kettle", "quantity": 1,
          "amount": {"amount": "349.50", "currency": "SEK"}}


@pytest.fixture(scope="module")
def server(demo, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("requests") / "lov"
    subprocess.run(["cp", "-a", str(demo), str(folder)], check=True)
    server = Server(folder)
    yield server
    server.stop()
    lov("log", "verify", "--dir", server.folder)


def call(server, method, path, status=200, pattern=None, session=None, **options):
    answer = (session or server.admin).request(method, server.url + path, timeout=30, **options)
    assert answer.status_code == status, answer.text
    check(CONTRACT["paths"][pattern or path][method], answer)
    return answer


def opened(server, consumer, right, **more):
    return call(server, "post", "/v1/requests", 201, json={
        "consumer": consumer, "right": right, "channel": "web", **more}).json()


def step(server, request, name, status=200, **body):
    return call(server, "post", f"/v1/requests/{request['id']}/{name}", status,
                "/v1/requests/{id}/" + name, json=body).json()


def known(server, consumer, **members):
    answer = server.admin.put(f"{server.url}/v1/consumers/{consumer}", json=members, timeout=20)
    assert answer.status_code in (200, 201), answer.text


def test_a_request_is_answered_as_documented(server):
    known(server, "r-ada", residence="SE")
    request = opened(server, "r-ada", "access", detail=SECRET)
    assert request["state"] == "received" and request["law"] == "gdpr"
    assert step(server, request, "fulfil", 409)["reason"] == "wrong_state"
    step(server, request, "ask-identity")
    step(server, request, "verify-identity", note="BankID")
    assert step(server, request, "extend", note="six systems")["extended"] is True
    done = step(server, request, "fulfil", note="sent by post")
    assert done["state"] == "fulfilled" and done["detail"] == SECRET
    assert step(server, request, "withdraw", 409)["reason"] == "wrong_state"
    seen = call(server, "get", "/v1/consumers/r-ada/requests",
                pattern="/v1/consumers/{consumer}/requests").json()
    assert [r["id"] for r in seen["items"]] == [request["id"]]
    # Roles: a recipient reads no requests.
    assert server.marketing.get(server.url + "/v1/requests", timeout=20).status_code == 403


def test_a_list_is_in_pages_of_those_that_were_asked_for(server):
    known(server, "r-bo", residence="US-CA")
    made = [opened(server, "r-bo", "opt_out")["id"] for _ in range(5)]
    found, after = [], None
    while True:
        page = call(server, "get", "/v1/requests", params={
            "right": "opt_out", "state": "live", "limit": 2, **({"after": after} if after else {})}).json()
        found += [r["id"] for r in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert found == made


def export(server, request, **params):
    answer = call(server, "get", f"/v1/requests/{request['id']}/export",
                  pattern="/v1/requests/{id}/export", params=params)
    assert answer.headers["Content-Type"] == "application/zip"
    return zipfile.ZipFile(io.BytesIO(answer.content))


def test_an_export_is_complete_and_its_hashes_and_schemas_are_right(server):
    known(server, "r-cy", residence="SE")
    consent = server.give(consumer="r-cy").json()
    for n in range(20):
        answer = server.admin.post(server.url + "/v1/consumers/r-cy/records/purchases", timeout=20, json={
            "source": "till", "data": {"order_id": f"A-{n}", "bought_at": "2026-11-20T10:15:30Z",
                                       "product": 'a "kettle", red', "department": "home", "quantity": n,
                                       "amount": {"amount": "349.50", "currency": "SEK"}}})
        assert answer.status_code == 201, answer.text
    request = opened(server, "r-cy", "portability")
    assert call(server, "get", f"/v1/requests/{request['id']}/export", 409,
                "/v1/requests/{id}/export").json()["reason"] == "wrong_state"
    step(server, request, "verify-identity", note="BankID")
    file = export(server, request)
    assert file.testzip() is None
    manifest = json.loads(file.read("manifest.json"))
    assert {f["name"] for f in manifest["files"]} | {"manifest.json"} == set(file.namelist())
    for entry in manifest["files"]:
        content = file.read(entry["name"])
        assert len(content) == entry["bytes"]
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    assert manifest["checkpoint"].count("\n") >= 4
    consents = json.loads(file.read("consents.json"))
    assert [c["id"] for c in consents] == [consent["id"]]
    assert f"receipts/{consent['id']}.json" in file.namelist()
    records = json.loads(file.read("records/purchases.json"))
    schema = json.loads(file.read("records/purchases.schema.json"))
    assert [r["data"]["order_id"] for r in records] == [f"A-{n}" for n in range(20)]
    for record in records:
        jsonschema.Draft202012Validator(schema).validate(record["data"])
    rows = list(csv.DictReader(io.StringIO(file.read("records/purchases.csv").decode())))
    assert [r["product"] for r in rows] == ['a "kettle", red'] * 20
    assert [r["id"] for r in rows] == [r["id"] for r in records]
    kinds = [e["kind"] for e in json.loads(file.read("history.json"))]
    assert kinds.count("record.put") == 20 and kinds[-1] == "record.disclose"
    page = file.read("index.html").decode()
    assert '<html lang="sv">' in page and "a &quot;kettle&quot;, red" in page and "<dd>349.50 SEK</dd>" in page
    assert "Används" not in page
    assert '<html lang="en">' in export(server, request, language="en").read("index.html").decode()


def test_the_page_of_an_export_says_what_each_record_may_be_used_for(server):
    known(server, "r-limited", residence="SE")
    answer = server.admin.post(server.url + "/v1/consumers/r-limited/records/purchases", timeout=20, json={
        "data": BOUGHT, "limits": {"purposes": ["customer_support", "stock_planning"],
                                   "objections": ["personal_offers"], "recipients": ["customer_service"]}})
    assert answer.status_code == 201, answer.text
    request = opened(server, "r-limited", "access")
    step(server, request, "verify-identity", note="BankID")
    page = export(server, request, language="sv").read("index.html").decode()
    for shown in ("Används bara för</dt><dd>Kundtjänst</dd>\n<dd>Lagerplanering", "Används inte för</dt><dd>Personliga erbjudanden",
                  "Används bara av</dt><dd>Nordhandels kundtjänst"):
        assert shown in page


def test_an_explanation_says_what_is_permitted_and_why(server):
    known(server, "r-ex", residence="SE")
    consent = server.give(consumer="r-ex").json()
    request = opened(server, "r-ex", "explanation")
    step(server, request, "verify-identity", note="BankID")
    file = export(server, request, language="sv")
    decisions = json.loads(file.read("decisions.json"))
    activities = server.admin.get(server.url + "/v1/policy", timeout=20).json()["activities"]
    assert len(decisions) == sum(len(a["categories"]) for a in activities)
    words = json.load(open(os.path.join(ROOT, "web", "portal.sv.json"), encoding="utf-8"))
    page = file.read("index.html").decode()
    for d in decisions:
        answer = server.admin.post(server.url + "/access/v1/evaluation", timeout=20, json={
            "subject": {"type": "recipient", "id": d["recipient"]}, "action": {"name": d["purpose"]},
            "resource": {"type": d["category"], "id": "r-ex"}}).json()
        assert (answer["decision"], answer["context"]["reason"]) == (d["permitted"], d["reason"])
        assert words["reason_" + d["reason"]] in page
    [offers] = [d for d in decisions if (d["recipient"], d["purpose"], d["category"]) == (
        "marketing", "personal_offers", "purchases")]
    assert offers["reason"] == "permitted" and offers["consent"] == consent["id"]
    assert offers["basis"] == "consent" and offers["law"] == "gdpr"
    assert len(list(csv.DictReader(io.StringIO(file.read("decisions.csv").decode())))) == len(decisions)


def test_a_receipt_of_an_export_is_proven_by_lov_receipt_verify(server, tmp_path):
    known(server, "r-di", residence="SE")
    consent = server.give(consumer="r-di").json()
    request = opened(server, "r-di", "access")
    step(server, request, "verify-identity", note="BankID")
    path = tmp_path / "receipt.json"
    path.write_bytes(export(server, request).read(f"receipts/{consent['id']}.json"))
    key = server.admin.get(server.url + "/v1/log", timeout=20).json()["shards"][0]["key"]
    lov("receipt", "verify", str(path), "--key", key)


def test_who_never_answered_anything_knows_the_receipt_of_their_erasure_by_their_export(server, tmp_path):
    known(server, "r-silent", residence="SE")
    request = opened(server, "r-silent", "access")
    step(server, request, "verify-identity", note="BankID")
    file = export(server, request)
    number = json.loads(file.read("consumer.json"))["number"]
    assert f"<dd>{number}</dd>" in file.read("index.html").decode()
    assert not [name for name in file.namelist() if name.startswith("receipts/")]
    request = opened(server, "r-silent", "erasure")
    step(server, request, "verify-identity", note="BankID")
    erased = step(server, request, "fulfil")["erasure"]
    path = tmp_path / "erased.json"
    path.write_text(lov("receipt", "erasure", erased, "--dir", server.folder))
    key = server.admin.get(server.url + "/v1/log", timeout=20).json()["shards"][0]["key"]
    assert json.loads(lov("receipt", "verify", path, "--key", key, "--json"))["consumer"] == number
    assert f"the consumer of the number {number} was erased" in lov("receipt", "verify", path, "--key", key)


def in_files(folder, text):
    found = subprocess.run(["grep", "-rlaF", "--exclude=permits*", text, str(folder)],
                           capture_output=True, text=True, check=False)
    return found.stdout


def test_an_erasure_leaves_nothing_in_any_file_and_recipients_acknowledge(server):
    name = "r-erase-me-7361"
    known(server, name, residence="SE")
    assert server.give(consumer=name).status_code == 201
    request = opened(server, name, "erasure", detail=SECRET)
    step(server, request, "verify-identity", note=SECRET)
    done = step(server, request, "fulfil", note=SECRET)
    assert done["state"] == "fulfilled" and done["consumer"] is None and "detail" not in done
    receipt = call(server, "get", f"/v1/erasures/{done['erasure']}/receipt",
                   pattern="/v1/erasures/{event}/receipt")
    assert name not in receipt.text and SECRET not in receipt.text
    told = call(server, "get", "/v1/notifications", session=server.marketing,
                params={"open": "true"}).json()["items"]
    mine = [n for n in told if n["consumer"] == name]
    assert len(mine) == 1 and mine[0]["right"] == "erasure" and mine[0]["request"] == request["id"]
    call(server, "post", f"/v1/notifications/{mine[0]['id']}/acknowledge",
         pattern="/v1/notifications/{id}/acknowledge", session=server.marketing, json={})
    again = call(server, "get", "/v1/notifications", session=server.marketing).json()["items"]
    assert [n["consumer"] for n in again if n["id"] == mine[0]["id"]] == [None]
    assert server.give(consumer=name).status_code == 410
    deadline = time.monotonic() + 20
    while in_files(server.folder, SECRET) or in_files(server.folder, name):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def with_records(server, consumer):
    known(server, consumer, residence="SE")
    assert server.give(consumer=consumer).status_code == 201
    for category, data in (("purchases", BOUGHT), ("profile", {"birth_date": "1980-02-03"})):
        answer = server.admin.post(f"{server.url}/v1/consumers/{consumer}/records/{category}",
                                   json={"data": data}, timeout=20)
        assert answer.status_code == 201, answer.text


def held_of(server, consumer):
    items = server.admin.get(f"{server.url}/v1/records?consumer={consumer}", timeout=20).json()["items"]
    return sorted(r["category"] for r in items)


def told_of(server, request):
    """What of, as the one recipient of the consumer's data is told."""
    items = call(server, "get", "/v1/notifications", session=server.marketing).json()["items"]
    told, = (n for n in items if n["request"] == request["id"])
    assert told["right"] == "erasure" and told["consumer"] == "r-part"
    return told["categories"]


def test_an_erasure_of_one_category_takes_that_and_nothing_else(server):
    with_records(server, "r-part")
    request = opened(server, "r-part", "erasure", categories=["purchases"], detail=SECRET)
    assert request["categories"] == ["purchases"] and request["detail"] == SECRET
    other = opened(server, "r-part", "access")
    step(server, request, "verify-identity", note="BankID")
    for wrong in (["profile"], ["purchases", "profile"]):
        assert step(server, request, "fulfil", 409, categories=wrong)["reason"] == "not_asked_for"
    assert held_of(server, "r-part") == ["profile", "purchases"]
    hold = server.admin.post(f"{server.url}/v1/consumers/r-part/holds", timeout=20, json={
        "reason": "bookkeeping", "source": "BFL 7 kap. 2 §", "category": "purchases"}).json()
    assert step(server, request, "fulfil", 409)["reason"] == "on_hold"
    assert held_of(server, "r-part") == ["profile", "purchases"]
    assert server.admin.delete(f"{server.url}/v1/consumers/r-part/holds/{hold['id']}", timeout=20).ok
    done = step(server, request, "fulfil", note="done")
    assert done["state"] == "fulfilled" and done["consumer"] == "r-part" and "erasure" not in done
    assert done["categories"] == ["purchases"]
    assert held_of(server, "r-part") == ["profile"]
    assert told_of(server, request) == ["purchases"]
    assert server.reason("r-part") == "permitted"
    assert call(server, "get", f"/v1/requests/{other['id']}", pattern="/v1/requests/{id}").json()["state"] == "received"
    # All of it is still to be had.
    request = opened(server, "r-part", "erasure")
    assert "categories" not in request
    step(server, request, "verify-identity", note="BankID")
    assert step(server, request, "fulfil")["consumer"] is None
    assert told_of(server, request) == []


def test_only_an_erasure_is_of_categories_and_of_those_that_there_are(server):
    known(server, "r-wrong", residence="SE")

    def refused(right, categories, status):
        return call(server, "post", "/v1/requests", status, json={
            "consumer": "r-wrong", "right": right, "channel": "web", "categories": categories}).json()["reason"]

    assert refused("access", ["purchases"], 400) == "unknown_field"
    assert refused("erasure", ["shoe_sizes"], 422) == "unknown_category"
    assert refused("erasure", [], 400) == "invalid_field"
    assert refused("erasure", ["purchases", "purchases"], 400) == "invalid_field"
    listed = call(server, "get", "/v1/consumers/r-wrong/requests", pattern="/v1/consumers/{consumer}/requests")
    assert listed.json()["items"] == []


def test_an_erasure_of_categories_is_asked_for_by_command(server):
    with_records(server, "r-partly")
    at = ["--dir", str(server.folder)]
    request = lov("request", "open", "--consumer", "r-partly", "--right", "erasure", "--categories",
                  "profile,purchases", *at).split()[0]
    assert "only: profile\n  only: purchases" in lov("request", "show", request, *at)
    lov("request", "verify-identity", request, "--note", "BankID", *at)
    lov("request", "fulfil", request, "--categories", "profile", *at)
    assert held_of(server, "r-partly") == ["purchases"]


def test_the_header_of_a_browser_is_honoured(server):
    known(server, "r-gpc", residence="US-CA")
    call(server, "post", "/v1/consumers/r-gpc/signals", pattern="/v1/consumers/{consumer}/signals",
         headers={"Sec-GPC": "1"})
    consumer = server.admin.get(server.url + "/v1/consumers/r-gpc", timeout=20).json()
    assert consumer["opt_out_signal"] is True and consumer["law"] == "ccpa"
    assert call(server, "get", "/.well-known/gpc.json").json() == {"gpc": True}


def test_an_export_of_a_thousand_records_is_fast(server):
    known(server, "r-many", residence="SE")
    one = {"source": "till", "data": {"order_id": "A", "bought_at": "2026-11-20T10:15:30Z",
                                      "product": "kettle", "quantity": 1,
                                      "amount": {"amount": "349.50", "currency": "SEK"}}}
    answer = server.admin.post(server.url + "/v1/consumers/r-many/records/purchases", timeout=60,
                               json={"records": [one] * 1000})
    assert answer.status_code == 201, answer.text
    request = opened(server, "r-many", "access")
    step(server, request, "verify-identity", note="BankID")
    export(server, request)
    start = time.monotonic()
    file = export(server, request)
    seconds = time.monotonic() - start
    print(f"export of 1000 records: {seconds * 1000:.0f} ms")
    assert len(json.loads(file.read("records/purchases.json"))) == 1000
    assert seconds < 5  # not the target, which a busy machine would miss: it does not grow by squares


def test_requests_are_handled_by_command(server, tmp_path):
    known(server, "r-cli", residence="SE")
    at = ["--dir", str(server.folder)]
    line = lov("request", "open", "--consumer", "r-cli", "--right", "access", "--detail", SECRET, *at)
    request = line.split()[0]
    assert request in lov("request", "list", *at)
    lov("request", "verify-identity", request, "--note", "BankID", *at)
    path = tmp_path / "export.zip"
    lov("request", "export", request, str(path), *at)
    assert path.stat().st_mode & 0o777 == 0o600
    assert zipfile.ZipFile(path).testzip() is None
    refused = subprocess.run([LOV, "request", "export", request, str(path), *at], capture_output=True,
                             text=True, check=False)
    assert refused.returncode == 3 and "export.zip" in refused.stderr
    shown = lov("request", "show", request, *at)
    assert SECRET in shown and "BankID" in shown
    lov("request", "fulfil", request, "--note", "sent", *at)
    assert request not in lov("request", "list", *at)
    assert request in lov("request", "list", "--consumer", "r-cli", *at)


def test_a_hold_is_placed_listed_and_released_by_command(server):
    known(server, "r-held", residence="SE")

    def hold(*args, code=0):
        result = subprocess.run([LOV, *args, "--dir", str(server.folder)], capture_output=True,
                                text=True, timeout=60, check=False)
        assert result.returncode == code, result.stderr
        return result.stdout.strip() if code == 0 else result.stderr

    placed = hold("hold", "place", "r-held", "--reason", "dispute", "--source", "RB 38 kap. 2 §")
    listed = hold("hold", "list", "r-held")
    assert listed.startswith(placed) and "stands" in listed and "keeps everything" in listed
    assert "on_hold" in hold("consumer", "shred", "r-held", "--json", code=1)
    assert hold("hold", "release", "r-held", placed) == placed
    assert "released" in hold("hold", "list", "r-held")
    assert json.loads(hold("consumer", "shred", "r-held", "--json"))["erased"]
    assert "no such consumer" in hold("hold", "place", "r-nobody", "--reason", "x", "--source", "y",
                                      code=1)
