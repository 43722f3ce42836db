"""lov import export: what an installation exports of a consumer, an empty one takes, and exports again
the same; a file that is not whole, and a consumer who is there, change nothing."""

import hashlib
import io
import json
import os
import re
import subprocess
import zipfile

import pytest

from test_http import LOV, ROOT, Server, lov
from test_requests import demo, export, known, opened, server, step  # noqa: F401 (fixtures)

WHO = "move/ä 1"
PATH = "move%2F%C3%A4%201"
DEFLATE = zipfile.ZIP_DEFLATED


@pytest.fixture(scope="module")
def original(server):  # noqa: F811
    """An export of a consumer of whom there is something of every kind."""
    known(server, PATH, residence="SE", birth_date="1980-02-03", opt_out_signal=True,
          no_automated_decision=True)
    notice = {"id": "personal_offers", "version": 1, "language": "en"}
    early = {"channel": "import", "given_at": "2025-06-01T10:00:00Z"}
    server.give(consumer=WHO, categories=["purchases"], notice=notice, channel="app",
                evidence={"form": "checkout"})
    narrowed = server.give(consumer=WHO, categories=["purchases", "profile", "contact"]).json()
    change(server, narrowed, "amend", categories=["purchases"])
    asked = {"purpose": "newsletter_delivery", "recipient": "mailhouse", "categories": ["contact"],
             "notice": {"id": "newsletter_delivery", "version": 1, "language": "sv"}}
    change(server, server.give(consumer=WHO, **asked).json(), "withdraw", reason="too many")
    measured = {"purpose": "ad_measurement", "recipient": "adnord", "categories": ["purchases"],
                "notice": {"id": "ad_measurement", "version": 1, "language": "sv"}}
    assert server.give(consumer=WHO, decision="refuse", **measured).status_code == 201
    sold = {"purpose": "data_sale", "recipient": "datamark", "categories": ["profile"],
            "notice": {"id": "data_sale", "version": 1, "language": "sv"}}
    answer = server.give(consumer=WHO, expires_at="2025-12-01T10:00:00Z", **early, **sold)
    assert answer.status_code == 201, answer.text
    refused = server.give(consumer=WHO, expires_at="2025-05-01T10:00:00Z", **early, **sold)
    assert refused.json()["reason"] == "expires_in_the_past"
    for n in range(230):
        put(server, "purchases", {"order_id": f"B-{n}", "bought_at": "2026-11-20T10:15:30Z",
                                  "product": 'a "kettle", röd', "department": "home", "quantity": n,
                                  "amount": {"amount": "349.50", "currency": "SEK"}},
            **({"retention_end": "2027-01-01T00:00:00Z"} if n % 100 == 0 else {}),
            **({"limits": {"purposes": ["customer_support"]}} if n % 50 == 0 else {}))
    return exported(server)


def change(server, consent, what, **body):  # noqa: F811
    answer = server.admin.post(f"{server.url}/v1/consents/{consent['id']}/{what}", json=body, timeout=20)
    assert answer.status_code == 200, answer.text


def put(server, category, data, **more):  # noqa: F811
    answer = server.admin.post(f"{server.url}/v1/consumers/{PATH}/records/{category}", timeout=20, json={
        "source": "till", "observed_at": "2026-11-20T10:15:30Z", "data": data, **more})
    assert answer.status_code == 201, answer.text


def exported(server):  # noqa: F811
    request = opened(server, WHO, "portability")
    step(server, request, "verify-identity", note="BankID")
    return export(server, request)


def empty(folder):
    lov("init", "--dir", folder, "--policy", os.path.join(ROOT, "policy"))
    return folder


def saved(file, path, skip=(), **changes):
    """The export as a file, but for what changes; its manifest says so."""
    content = {name: file.read(name) for name in file.namelist() if name not in skip}
    content.update(changes)
    manifest = json.loads(content.pop("manifest.json"))
    manifest["files"] = [{"name": name, "bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
                         for name, text in content.items()]
    with zipfile.ZipFile(path, "w", DEFLATE) as out:
        for name, text in content.items():
            out.writestr(name, text)
        out.writestr("manifest.json", json.dumps(manifest))
    return path


def taken(path, folder, *options, code=0):
    result = subprocess.run([LOV, "import", "export", path, "--dir", folder, "--json", *options],
                            capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == code, result.stdout + result.stderr
    return json.loads(result.stdout or result.stderr)


def told(file, name):
    return json.loads(file.read(name))


def consents_of(file):
    """What a consent says, but for its id and how it came here."""
    def evidence(consent):
        carried = consent["evidence"]
        return carried["exported"] if carried and "exported" in carried else {
            "id": consent["id"], "channel": consent["channel"], "evidence": carried}
    # The job that marks what has ended may have been there or not.
    return [{**{k: v for k, v in c.items() if k not in ("id", "channel", "evidence", "status")},
             "status": "active" if c["status"] == "expired" else c["status"],
             "how": {k: v for k, v in evidence(c).items() if k != "id"}} for c in told(file, "consents.json")]


def records_of(file):
    return [{k: v for k, v in r.items() if k != "id"} for r in told(file, "records/purchases.json")]


def consumer_of(file):
    """Each installation draws a number of its own."""
    return {k: v for k, v in told(file, "consumer.json").items() if k != "number"}


def decisions_of(file):
    return [{**d, "consent": d.get("consent") is not None} for d in told(file, "decisions.json")]


def test_an_export_goes_into_an_empty_lov_and_comes_out_the_same(original, tmp_path):
    statuses = {c["status"] for c in told(original, "consents.json")}
    assert {"active", "refused", "withdrawn", "superseded"} <= statuses
    assert any(c["narrowed"] for c in told(original, "consents.json"))
    path = saved(original, tmp_path / "export.zip")
    other = Server(empty(tmp_path / "lov"))
    try:
        assert taken(path, other.folder) == {"accepted": 235, "rejected": 0, "refused": []}
        again = exported(other)
        assert taken(path, other.folder, code=1)["reason"] == "consumer_exists"
    finally:
        other.stop()
    assert consumer_of(again) == consumer_of(original)
    numbers = {told(file, "consumer.json")["number"] for file in (again, original)}
    assert len(numbers) == 2 and all(re.fullmatch("[0-9a-f]{32}", n) for n in numbers)
    assert records_of(again) == records_of(original)
    assert sum("retention_end" in r for r in records_of(again)) == 3
    assert consents_of(again) == consents_of(original)
    assert decisions_of(again) == decisions_of(original)
    lov("log", "verify", "--dir", tmp_path / "lov")


def test_it_goes_on_after_an_interruption_without_doubling_anything(original, tmp_path):
    path, folder = saved(original, tmp_path / "export.zip"), empty(tmp_path / "lov")
    process = subprocess.Popen([LOV, "import", "export", path, "--dir", folder])
    while process.poll() is None:
        state = os.listdir(folder / "import") if os.path.isdir(folder / "import") else []
        if any(name.endswith(".export.json") for name in state):
            process.kill()
            break
    process.wait(20)
    if process.returncode == 0:
        pytest.skip("the import was over before it was killed")
    answer = taken(path, folder, "--resume")
    assert answer["rejected"] == 0 and answer["accepted"] == 235
    assert not os.listdir(folder / "import")
    out = lov("consent", "list", "--consumer", WHO, "--dir", folder, "--json")
    assert len(json.loads(out)["items"]) == 5
    out = lov("read", WHO, "purchases", "--purpose", "customer_support", "--recipient",
              "customer_service", "--dir", folder)
    assert len(out.splitlines()) == 230


def test_what_the_policy_does_not_admit_is_named(original, tmp_path):
    consents = told(original, "consents.json")
    consents[0]["purpose"] = "something_else"
    records = told(original, "records/purchases.json")[:3]
    records[1]["data"]["quantity"] = "many"
    path = saved(original, tmp_path / "export.zip",
                 **{"consents.json": json.dumps(consents).encode(),
                    "records/purchases.json": json.dumps(records).encode()})
    answer = taken(path, empty(tmp_path / "lov"), code=1)
    assert (answer["accepted"], answer["rejected"]) == (6, 2)
    assert [(r["what"], r["reason"]) for r in answer["refused"]] == [
        (f"consent {consents[0]['id']}", "unknown_purpose"),
        (f"record {records[1]['id']}", "invalid_record")]


def archive(entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", DEFLATE) as file:
        for name, text in entries:
            file.writestr(name, text)
    return out.getvalue()


def test_what_is_no_whole_export_changes_nothing(original, tmp_path):
    folder = empty(tmp_path / "lov")
    before = lov("log", "root", "--dir", folder, "--json")
    good = saved(original, tmp_path / "export.zip").read_bytes()
    whole = [(n, original.read(n)) for n in original.namelist()]
    rest = [(n, t) for n, t in whole if n != "consumer.json"]
    manifest = json.loads(original.read("manifest.json"))
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    hostile = {
        "nothing": b"",
        "text": b"consumer,purpose\n1,x\n",
        "cut": good[:len(good) // 2],
        "directory lost": good[:-30],
        "a byte": good[:400] + bytes([good[400] ^ 1]) + good[401:],
        "changed": archive(rest + [("consumer.json", b'{"consumer": "x"}')]),
        "one missing": archive(rest),
        "one more": archive(whole + [("records/contact.json", b"[]")]),
        "twice": archive(whole + [("consumer.json", original.read("consumer.json"))]),
        "no manifest": archive([e for e in whole if e[0] != "manifest.json"]),
        "other format": archive([e for e in whole if e[0] != "manifest.json"] + [
            ("manifest.json", json.dumps({**manifest, "format": "lov export 9"}))]),
        "manifest of numbers": archive([("manifest.json", '{"format": "lov export 1", "files": [1]}'),
                                        ("a", "b")]),
        "bomb": archive([("manifest.json", b"0" * (80 << 20))]),
        "link": archive([(link, "/etc/passwd")]),
        "a list": None,
        "nobody": None,
    }
    saved(original, tmp_path / "list.zip", **{"consumer.json": b"[]"})
    saved(original, tmp_path / "nobody.zip", **{"consumer.json": b'{"consumer": ""}'})
    hostile["a list"] = (tmp_path / "list.zip").read_bytes()
    hostile["nobody"] = (tmp_path / "nobody.zip").read_bytes()
    for name, content in hostile.items():
        (tmp_path / "bad.zip").write_bytes(content)
        answer = taken(tmp_path / "bad.zip", folder, code=1 if name == "bomb" else 2)
        assert answer["reason"] in ("invalid_zip", "invalid_export", "zip_too_large"), (name, answer)
    assert taken(tmp_path / "none.zip", folder, code=1)["reason"] == "not_found"
    assert lov("log", "root", "--dir", folder, "--json") == before
