"""Receipts over HTTP and by command: who gets them, what is in them, how they are checked without the
company. What is believed here is Python's own arithmetic, OpenSSL and a JSON-LD processor, not Lov."""

import base64
import hashlib
import html
import json
import os
import re
import shutil
import struct
import subprocess
import time
from datetime import datetime, timedelta, timezone

import jsonschema
import requests
import yaml
from pyld import jsonld

from test_docs import bash, blocks, make_demo
from test_http import GIVE, LOV, ROOT, Server, demo, lov, server  # noqa: F401 (fixtures)
from test_openapi import CONTRACT, check

DPV, LOV_TERMS = "https://w3id.org/dpv#", "urn:lov:terms:"
EVIDENCE = {"button": "Ja tack <b>", "x": 0.1, "tab": "a\tb", "line": "\u2028"}


def give(srv, **changes):
    answer = srv.give(evidence=EVIDENCE, **changes)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def get(srv, consent, session=None, headers=None, **query):
    return (session or srv.admin).get(f"{srv.url}/v1/consents/{consent}/receipt", params=query,
                                      headers=headers or {}, timeout=20)


def in_seconds(seconds):
    then = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    return then.strftime("%Y-%m-%dT%H:%M:%S.") + f"{then.microsecond // 1000:03d}Z"


def wait_for_the_event(srv, consent, kind):
    """A consent is over when its time is; the event follows."""
    deadline = time.monotonic() + 60
    while True:
        status = get(srv, consent).json()["dpv:hasRecordOfActivity"]["dpv:hasConsentStatus"]
        if status["lov:event"] == kind:
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def key_of(srv):
    return requests.get(srv.url + "/v1/log", timeout=20).json()["shards"][0]["key"]


def verify(tmp_path, text, key, *more, code=0):
    path = tmp_path / "receipt.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    # No installation: neither a folder nor an environment that names one.
    env = {name: value for name, value in os.environ.items() if name not in ("LOV_DIR", "LOV_KEY")}
    out = subprocess.run([LOV, "receipt", "verify", path, "--key", key, "--json", *map(str, more)],
                         capture_output=True, text=True, cwd="/", env=env, timeout=30, check=False)
    assert out.returncode == code, out.stdout + out.stderr
    return json.loads(out.stdout or out.stderr)


# ---- the story ----


def test_a_receipt_of_each_answer_verifies_offline(server, tmp_path):  # noqa: F811
    key = key_of(server)
    consent = give(server, consumer="anna", categories=["purchases", "profile"])
    kinds = ["consent.give"]
    receipts = [get(server, consent).content]
    for verb, body in (("amend", {"categories": ["purchases"]}), ("renew", {"notice": GIVE["notice"]}),
                       ("withdraw", {})):
        answer = server.admin.post(f"{server.url}/v1/consents/{consent}/{verb}", json=body, timeout=20)
        assert answer.ok, answer.text
        kinds.append("consent." + verb)
        receipts.append(get(server, consent).content)
    refused = server.give(consumer="bo", decision="refuse").json()["id"]
    kinds.append("consent.refuse")
    receipts.append(get(server, refused).content)
    ended = give(server, consumer="carl", expires_at=in_seconds(1))
    wait_for_the_event(server, ended, "consent.expire")
    kinds.append("consent.expire")
    receipts.append(get(server, ended).content)
    assert len(set(kinds)) == 6
    by_command = [lov("receipt", "get", consent, "--event", json.loads(r)["proof"]["seq"],
                      "--dir", server.folder) for r in receipts[:4]]
    by_command += [lov("receipt", "get", each, "--dir", server.folder) for each in (refused, ended)]
    for kind, *both in zip(kinds, receipts, by_command):
        for receipt in both:
            report = verify(tmp_path, receipt, key)
            assert report["ok"] and report["kind"] == kind
            text = receipt if isinstance(receipt, str) else receipt.decode()
            assert "tack" not in text and "anna" not in text
    # Much later, and after others were erased, the first one still verifies: it tells what was so.
    for n in range(40):
        give(server, consumer=f"later-{n}")
    assert server.admin.post(server.url + "/v1/consumers/later-3/erase", timeout=20).ok
    assert server.admin.post(server.url + "/v1/consumers/anna/erase", timeout=20).ok
    assert verify(tmp_path, receipts[0], key)["seq"] == 0 + json.loads(receipts[0])["proof"]["seq"]
    assert get(server, consent).status_code in (404, 410)
    assert get(server, consent, copy="consumer").status_code in (404, 410)


def test_an_earlier_event_has_its_receipt(server, tmp_path):  # noqa: F811
    consent = give(server, consumer="anna")
    first = get(server, consent).json()["proof"]["seq"]
    assert server.admin.post(f"{server.url}/v1/consents/{consent}/withdraw", timeout=20).ok
    old = get(server, consent, event=first)
    assert verify(tmp_path, old.content, key_of(server))["kind"] == "consent.give"
    assert get(server, consent, event=first - 1).status_code == 404
    assert get(server, consent, event=0).json()["reason"] == "unknown_event"
    assert get(server, consent, event="x").status_code == 400
    assert get(server, consent, events=1).json()["reason"] == "unknown_parameter"


def test_who_may_read_which_copy(server):  # noqa: F811
    consent = give(server, consumer="anna")
    roles = {role: server.session("--staff", role) for role in
             ("privacy_officer", "support", "auditor", "collector", "analyst", "marketing")}
    for role, session in roles.items():
        plain = get(server, consent, session)
        assert plain.status_code == (403 if role in ("analyst", "marketing") else 200), role
        copy = get(server, consent, session, copy="consumer")
        assert copy.status_code == (200 if role in ("privacy_officer", "auditor") else 403), role
    own = get(server, consent, server.marketing)
    assert own.status_code == 200 and "personal" not in own.json() and "consumer" not in own.json()
    assert get(server, consent, server.marketing, copy="consumer").status_code == 403
    assert get(server, consent, server.session("--recipient", "product")).status_code == 404
    assert requests.get(f"{server.url}/v1/consents/{consent}/receipt", timeout=20).status_code == 401
    copy = get(server, consent, copy="consumer").json()
    assert copy["consumer"] == "anna" and json.loads(copy["personal"])["evidence"] == EVIDENCE
    assert get(server, "0" * 32).status_code == 404


# ---- checked by others ----


def inclusion_root(leaf, index, size, path):
    """RFC 9162 §2.1.3.2."""
    fn, sn, node = index, size - 1, leaf
    for sibling in path:
        assert sn
        if fn & 1 or fn == sn:
            node = hashlib.sha256(b"\1" + sibling + node).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = hashlib.sha256(b"\1" + node + sibling).digest()
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0
    return node


def openssl_verifies(tmp_path, vkey, text, line):
    name, _, rest = vkey.partition("+")
    key_id, _, key = rest.partition("+")
    public = base64.b64decode(key)
    prefix, line_name, blob = line.split(" ")
    blob = base64.b64decode(blob)
    assert prefix == "—" and line_name == name and public[:1] == b"\1" and blob[:4].hex() == key_id
    (tmp_path / "key.der").write_bytes(bytes.fromhex("302a300506032b6570032100") + public[1:])
    (tmp_path / "text").write_bytes(text)
    (tmp_path / "signature").write_bytes(blob[4:])
    return subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-rawin",
                           "-inkey", "key.der", "-in", "text", "-sigfile", "signature"], cwd=tmp_path,
                          capture_output=True, timeout=20, check=False).returncode == 0


def test_python_and_openssl_come_to_the_same(server, tmp_path):  # noqa: F811
    for n in range(5):
        give(server, consumer=f"c{n}")
    receipt = get(server, give(server, consumer="anna"), copy="consumer").json()
    proof, vkey = receipt["proof"], key_of(server)
    event = base64.b64decode(proof["event"])
    leaf = hashlib.sha256(b"\0" + event).digest()
    assert base64.b64decode(proof["leaf"]) == leaf
    text, _, line = proof["checkpoint"].partition("\n\n")
    origin, size, root = text.split("\n")
    assert vkey.startswith(origin + "+")
    assert inclusion_root(leaf, proof["seq"], int(size),
                          [base64.b64decode(h) for h in proof["hashes"]]) == base64.b64decode(root)
    assert openssl_verifies(tmp_path, vkey, (text + "\n").encode(), line.strip())
    # The event as docs/receipts.md describes it.
    version, shard, seq, _, at = struct.unpack(">BIqqq", event[:29])
    fields, rest = [], event[29:]
    while rest:
        n = struct.unpack(">I", rest[:4])[0]
        fields.append(rest[4:4 + n])
        rest = rest[4 + n:]
    assert (version, shard, seq) == (1, proof["shard"], proof["seq"]) and at > 1700000000000
    assert fields[0] == b"consent.give" and json.loads(fields[4])["recipient"] == "marketing"
    assert b"tack" not in event
    # The receipt as a whole, in the form of RFC 8785: no numbers but whole ones are in it.
    signature = proof.pop("signature")
    canonical = json.dumps(receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    signed = b"lov receipt 1\nsha256:" + base64.b64encode(hashlib.sha256(canonical).digest()) + b"\n"
    assert openssl_verifies(tmp_path, vkey, signed, signature)
    assert not openssl_verifies(tmp_path, vkey, signed.replace(b"1", b"2", 1), signature)
    # What the consumer was shown.
    notice = receipt["dpv:hasRecordOfActivity"]["dpv:hasNotice"]
    with open(os.path.join(ROOT, "policy", "notices", "personal_offers.sv.md"), "rb") as file:
        shown = file.read()
    assert notice["lov:text"].encode() == shown
    assert notice["lov:sha256"] == hashlib.sha256(shown).hexdigest()


def test_it_is_what_the_contract_says(server):  # noqa: F811
    with open(os.path.join(ROOT, "docs", "openapi.yaml"), encoding="utf-8") as text:
        contract = yaml.safe_load(text)
    resolver = jsonschema.RefResolver("", contract)
    schema = contract["components"]["schemas"]["Receipt"]
    for copy in ("plain", "consumer"):
        receipt = get(server, give(server, consumer=f"anna-{copy}"), copy=copy).json()
        jsonschema.Draft202012Validator(schema, resolver=resolver).validate(receipt)


def test_a_json_ld_processor_reads_dpv(server):  # noqa: F811
    receipt = get(server, give(server, consumer="anna", categories=["purchases", "contact"])).json()

    def no_loader(url, _options):
        raise AssertionError("fetches " + url)

    expanded, = jsonld.expand(receipt, {"documentLoader": no_loader})
    assert expanded["@type"] == [DPV + "ConsentReceipt"]
    record, = expanded[DPV + "hasRecordOfActivity"]
    assert record["@type"] == [DPV + "ConsentRecord"]
    status, = record[DPV + "hasConsentStatus"]
    assert status["@type"] == [DPV + "ConsentGiven"]
    assert status[DPV + "isIndicatedBy"] == [{"@id": DPV + "DataSubject"}]
    process, = record[DPV + "hasProcess"]
    purpose, = process[DPV + "hasPurpose"]
    broader, = purpose["http://www.w3.org/2004/02/skos/core#broader"]
    assert broader["@id"] == DPV + "PersonalisedAdvertising"
    assert {t["@language"] for t in purpose["http://purl.org/dc/terms/title"]} == {"en", "sv"}
    assert len(process[DPV + "hasPersonalData"]) == 2
    proof, = expanded[LOV_TERMS + "proof"]
    assert [h["@value"] for h in proof[LOV_TERMS + "hashes"][0]["@list"]] == receipt["proof"]["hashes"]
    # No member is lost: everything is a term, an IRI or a keyword.
    quads = jsonld.to_rdf(receipt, {"documentLoader": no_loader, "format": "application/n-quads"})
    for value in (receipt["proof"]["event"], receipt["proof"]["signature"], "purchases",
                  "P1095D" if "P1095D" in json.dumps(receipt) else "personal_offers"):
        assert value in quads
    used = {p for p in re.findall(r"<(https://w3id.org/dpv#\w+)>", quads)}
    assert len(used) > 15

    def members(node):
        if isinstance(node, dict):
            for name, value in node.items():
                yield name
                if name not in ("@context", "dct:title", "dct:description"):
                    yield from members(value)
        elif isinstance(node, list):
            for item in node:
                yield from members(item)

    terms = receipt["@context"]
    for name in set(members(receipt)):
        assert name[0] == "@" or name in terms or name.split(":")[0] in terms, name


def test_the_fields_that_the_guide_demands_are_there(server):  # noqa: F811
    """Those that must be present by the guide to ISO/IEC TS 27560 of the W3C DPV group, as a processor
    of JSON-LD reads them. Lov has no postal address of its own field: it stands in the contact."""
    dct, schema = "http://purl.org/dc/terms/", "https://schema.org/"

    def only(node, name):
        value, = node[name]
        return value

    consent = give(server, consumer="anna")
    for verb, kind in ((None, "ConsentGiven"), ("withdraw", "ConsentWithdrawn")):
        if verb:
            assert server.admin.post(f"{server.url}/v1/consents/{consent}/{verb}", timeout=20).ok
        receipt, = jsonld.expand(get(server, consent).json())
        record = only(receipt, DPV + "hasRecordOfActivity")
        status, process = only(record, DPV + "hasConsentStatus"), only(record, DPV + "hasProcess")
        for node, names in (
                (receipt, (dct + "conformsTo", DPV + "hasIdentifier", dct + "created")),
                (record, (dct + "conformsTo", DPV + "hasIdentifier", dct + "identifier",
                          DPV + "hasDataSubject", DPV + "hasNotice", DPV + "hasDataController",
                          DPV + "hasConsentControl")),
                (only(record, DPV + "hasNotice"), (dct + "language",)),
                (process, (DPV + "hasPurpose", DPV + "hasPersonalData", DPV + "hasStorageCondition",
                           DPV + "hasLegalBasis", DPV + "hasRecipient", DPV + "hasJurisdiction",
                           DPV + "hasRight")),
                (only(record, DPV + "hasDataController"),
                 (DPV + "hasName", DPV + "hasIdentifier", schema + "contactPoint")),
                (status, (DPV + "isIndicatedAtTime", DPV + "hasDuration", DPV + "isIndicatedBy",
                          DPV + "hasIndicationMethod"))):
            for name in names:
                assert node.get(name), name
        assert status["@type"] == [DPV + kind]
        places = {place["@id"] for place in process[DPV + "hasJurisdiction"]}
        assert "https://w3id.org/dpv/loc#SE" in places and len(places) > 27
        rights = process[DPV + "hasRight"]
        assert {only(r, dct + "identifier")["@value"] for r in rights} >= {"access", "erasure", "portability"}
        assert all(only(r, DPV + "isExercisedAt")["@value"] for r in rights)
        until = only(status, DPV + "hasDuration")
        assert until["@type"] == [DPV + ("UntilEventDuration" if verb else "UntilTimeDuration")]


# ---- altered ----


def test_what_was_altered_is_named(server, tmp_path):  # noqa: F811
    text, key = get(server, give(server, consumer="anna")).text, key_of(server)
    seq = json.loads(text)["proof"]["seq"]
    folder = tmp_path / "other"
    lov("init", "--dir", folder, "--origin", "evil.example/lov")
    other_key = lov("key", "log", "--dir", folder).strip()
    assert verify(tmp_path, text, other_key, code=1)["finding"] == "other_key"
    same_name = key.split("+")[0] + "+" + "+".join(other_key.split("+")[1:])
    assert verify(tmp_path, text, same_name, code=2)["detail"]
    for old, new, finding in (
            ("Nordhandel AB", "Sydhandel AB", "altered"),
            ("ConsentGiven", "ConsentRefused", "contradicts"),
            (f'"seq": {seq}', f'"seq": {seq + 1}', "not_included"),
            ('"event": "A', '"event": "B', "unreadable"),
            ("dpv:hasRecordOfActivity", "dpv:hasRecord", "unreadable")):
        assert old in text
        assert verify(tmp_path, text.replace(old, new, 1), key, code=1)["finding"] == finding
    assert verify(tmp_path, "no", key, code=1)["finding"] == "unreadable"
    reformatted = json.dumps(json.loads(text), indent=4, sort_keys=True)
    assert verify(tmp_path, reformatted, key)["ok"]
    assert verify(tmp_path, text, "no key", code=2)
    assert subprocess.run([LOV, "receipt", "verify", "/nonexistent", "--key", key], check=False,
                          capture_output=True, timeout=20).returncode == 2
    verify(tmp_path, "{}", key, code=1)
    words = subprocess.run([LOV, "receipt", "verify", tmp_path / "receipt.json", "--key", key],
                           capture_output=True, text=True, timeout=20, check=False).stdout
    assert "not proven (unreadable)" in words


def test_another_checkpoint_is_held_against_it(server, tmp_path):  # noqa: F811
    text, key = get(server, give(server, consumer="anna")).text, key_of(server)
    size = verify(tmp_path, text, key)["size"]
    give(server, consumer="bo")
    later = server.admin.post(server.url + "/v1/log/checkpoint", timeout=20).json()
    (tmp_path / "later").write_text(later["shards"][0]["checkpoint"], encoding="utf-8")
    proof = requests.get(f"{server.url}/v1/log/proof/consistency?from={size}", timeout=20).json()
    (tmp_path / "proof").write_text(json.dumps(proof), encoding="utf-8")
    against = ("--against", tmp_path / "later")
    assert "log proof consistency" in verify(tmp_path, text, key, *against, code=2)["detail"]
    assert verify(tmp_path, text, key, *against, "--proof", tmp_path / "proof")["ok"]
    proof["hashes"][0] = base64.b64encode(bytes(32)).decode()
    (tmp_path / "proof").write_text(json.dumps(proof), encoding="utf-8")
    assert verify(tmp_path, text, key, *against, "--proof", tmp_path / "proof",
                  code=1)["finding"] == "unconnected"


# ---- the page ----


def test_the_page_has_no_script_and_keeps_to_its_policy(server):  # noqa: F811
    consent = give(server, consumer="anna-7")
    page = get(server, consent, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"},
               copy="consumer")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    style = re.search(r"<style>(.*?)</style>", page.text, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert "default-src 'none'" in policy and f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy and page.headers["Cache-Control"] == "no-store"
    assert "<script" not in page.text and " style=" not in page.text and " on" not in " ".join(
        re.findall(r"<[^>]+>", page.text)).replace(" only", "")
    assert "Ja tack &lt;b&gt;" in page.text and "<b>" not in page.text and "anna-7" in page.text
    assert '<html lang="sv">' in page.text and "Du sa ja." in page.text
    english = get(server, consent, format="html", language="en")
    assert '<html lang="en">' in english.text and "You said yes." in english.text
    assert "tack" not in english.text and "anna-7" not in english.text
    assert get(server, consent, headers={"Accept": "*/*"}).headers["Content-Type"] == "application/ld+json"
    assert get(server, consent, headers={"Accept": "text/html"}, format="json").json()["proof"]
    rather = get(server, consent, headers={"Accept": "application/ld+json, text/html;q=0.5"})
    assert rather.json()["proof"] and rather.headers["Vary"] == "Accept, Accept-Language"
    for asked, told in (("en-GB,en;q=0.9,sv;q=0.8", "en"), ("de, en;q=0.1, SV-FI;q=0.2", "sv"),
                        ("de", "sv"), ("*", "sv"), ("en;q=0", "sv"), ("svx, en;q=0.1", "en")):
        page = get(server, consent, headers={"Accept": "text/html", "Accept-Language": asked}).text
        assert f'<html lang="{told}">' in page, asked
    page = get(server, consent, headers={"Accept-Language": "en"}, format="html", language="sv").text
    assert '<html lang="sv">' in page
    assert "Ends" in english.text
    assert server.admin.post(f"{server.url}/v1/consents/{consent}/withdraw", timeout=20,
                             json={"reason": "Nog <nu>"}).ok
    withdrawn = get(server, consent, format="html", language="en", copy="consumer").text
    assert "You withdrew your consent." in withdrawn and "Nog &lt;nu&gt;" in withdrawn
    assert "Ends" not in withdrawn
    assert get(server, consent, format="pdf").status_code == 400
    assert get(server, consent, format="html", language="de").status_code == 400


def chromium(tmp_path, *args):
    subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                    f"--user-data-dir={tmp_path}/profile", *args], capture_output=True, timeout=120,
                   check=True, cwd=tmp_path)


AXE = os.path.join(ROOT, ".cache", "node", "node_modules", "axe-core", "axe.min.js")
RUN_AXE = """<script src="axe.min.js"></script><script>
axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(found => {
  const told = document.createElement("pre");
  told.id = "told";
  told.textContent = JSON.stringify({passes: found.passes.length, violations:
    found.violations.map(v => v.id + ": " + v.nodes.map(n => n.html).join(" | "))});
  document.body.append(told);
});</script>"""


def axe(tmp_path, page):
    """What axe-core finds wrong with a page, at the width of a phone."""
    shutil.copy(AXE, tmp_path / "axe.min.js")
    (tmp_path / "axe.html").write_text(page.replace("</body>", RUN_AXE + "</body>"), encoding="utf-8")
    dom = subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--window-size=390,2000",
                          f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=20000",
                          "--allow-file-access-from-files", "--dump-dom", "axe.html"], cwd=tmp_path,
                         capture_output=True, text=True, timeout=120, check=True).stdout
    told = json.loads(html.unescape(re.search(r'<pre id="told">(.*?)</pre>', dom, re.S).group(1)))
    assert told["passes"] > 10
    return told["violations"]


def test_the_page_is_for_everybody(server, tmp_path):  # noqa: F811
    consent = give(server, consumer="anna")
    for language in ("sv", "en"):
        page = get(server, consent, format="html", language=language, copy="consumer").text
        assert axe(tmp_path, page) == []
    blurred = page.replace("<h1", "<h4", 1).replace("</h1>", "</h4>", 1).replace('lang="en"', "", 1)
    assert axe(tmp_path, blurred)


def test_a_camera_reads_the_code_on_screen_and_paper(server, tmp_path):  # noqa: F811
    consent = give(server, consumer="anna")
    receipt = get(server, consent).json()
    (tmp_path / "page.html").write_bytes(get(server, consent, format="html").content)
    chromium(tmp_path, "--screenshot=phone.png", "--window-size=390,2000", "page.html")
    chromium(tmp_path, "--no-pdf-header-footer", "--print-to-pdf=page.pdf", "page.html")
    pages = subprocess.run(["pdfinfo", "page.pdf"], cwd=tmp_path, capture_output=True, text=True,
                           timeout=20, check=True).stdout
    assert re.search(r"^Pages: +1$", pages, re.M), pages
    subprocess.run(["pdftoppm", "-r", "150", "-png", "page.pdf", "paper"], cwd=tmp_path, timeout=60,
                   check=True)
    leaf = base64.b64decode(receipt["proof"]["leaf"])
    for image in ("phone.png", "paper-1.png"):
        read = subprocess.run(["zbarimg", "-q", "--raw", image], cwd=tmp_path, capture_output=True,
                              text=True, timeout=30, check=True).stdout.strip()
        link, _, fragment = read.partition("#")
        assert base64.urlsafe_b64decode(fragment + "=") == leaf
        # Open to everybody, and the same event.
        assert base64.b64decode(requests.get(link, timeout=20).json()["leaf"]) == leaf


# ---- the program, the pages ----


def test_verifying_links_no_database(tmp_path):
    """The verification, with what it calls, is whole without SQLite, the engine and the writer."""
    objects = ["consent/receipt_verify", "consent/receipt_words", "consent/body", "ledger/decode", "ledger/note",
               "ledger/checkpoint", "ledger/proof", "ledger/tree"]
    (tmp_path / "main.c").write_text(
        '#include "consent/receipt.h"\nint main(void) { struct arena a = {0}; struct note_key k = {0};'
        'struct receipt_report r; receipt_verify((struct str){"{}", 2}, &k, &a, &r); arena_free(&a);'
        'return r.finding == RECEIPT_UNREADABLE ? 0 : 1; }', encoding="ascii")
    base = [f"base/{name[:-2]}" for name in os.listdir(os.path.join(ROOT, "src", "base"))
            if name.endswith(".c")]
    files, library = ([os.path.join(ROOT, "build", "obj", "src", name + ".o") for name in names]
                      for names in (objects, base))
    subprocess.run(["ar", "rcs", "libbase.a", *library], cwd=tmp_path, check=True, timeout=60)
    subprocess.run(["gcc", "-I", os.path.join(ROOT, "src"), "-I", os.path.join(ROOT, "include"),
                    "-D_GNU_SOURCE", "main.c", *files, "libbase.a", "-ljansson", "-lcrypto",
                    "-lpthread", "-o", "verify"], cwd=tmp_path, check=True, timeout=60)
    assert subprocess.run(["./verify"], cwd=tmp_path, timeout=20, check=False).returncode == 0
    linked = subprocess.run(["ldd", "verify"], cwd=tmp_path, capture_output=True, text=True,
                            timeout=20, check=True).stdout
    assert "sqlite" not in linked


def test_the_commands_of_the_page_run(tmp_path):
    make_demo(tmp_path)
    text = "\n".join(blocks("docs/receipts.md")).replace("build/lov", LOV)
    result = bash(text, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("Proven:") == 3 and "Not proven:" in result.stdout
    assert "<!DOCTYPE html>" in (tmp_path / "receipt.html").read_text(encoding="utf-8")


# ---- of an erasure ----


def test_an_erasure_has_a_receipt_that_verifies_offline(server, tmp_path):  # noqa: F811
    key = key_of(server)
    before = get(server, give(server, consumer="erased-one")).json()
    number = before["dpv:hasRecordOfActivity"]["dpv:hasDataSubject"]["dct:identifier"]
    erased = server.admin.post(server.url + "/v1/consumers/erased-one/erase", timeout=60).json()
    answer = server.admin.get(f"{server.url}/v1/erasures/{erased['event']}/receipt", timeout=20)
    check(CONTRACT["paths"]["/v1/erasures/{event}/receipt"]["get"], answer)
    receipt = answer.json()
    for text in (answer.content, lov("receipt", "erasure", erased["event"], "--dir", server.folder)):
        report = verify(tmp_path, text, key)
        assert (report["kind"], report["consumer"], report["seq"]) \
            == ("consumer.erase", number, erased["event"])
        assert report["suppressed"] == receipt["dpv:hasRecordOfActivity"]["lov:suppressed"]
    assert "erased-one" not in answer.text
    words = subprocess.run([LOV, "receipt", "verify", tmp_path / "receipt.json", "--key", key],
                           capture_output=True, text=True, timeout=30, check=True).stdout
    assert f"the consumer of the number {number} was erased" in words

    def altered(path, value):
        copy = json.loads(answer.text)
        place = copy
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value
        return json.dumps(copy)

    record = "dpv:hasRecordOfActivity"
    for path, value, finding in (
            ((record, "dpv:hasDataSubject", "dct:identifier"), "00" * 16, "contradicts"),
            ((record, "dct:created"), "2001-01-01T00:00:00.000Z", "contradicts"),
            ((record, "lov:suppressed"), not receipt[record]["lov:suppressed"], "contradicts"),
            ((record, "more"), "words", "contradicts"), (("more",), "words", "contradicts"),
            (("@type",), "dpv:ConsentReceipt", "contradicts"),
            (("dct:publisher", "schema:name"), "Somebody", "altered"),
            (("proof", "seq"), erased["event"] - 1, "not_included")):
        assert verify(tmp_path, altered(path, value), key, code=1)["finding"] == finding, path
    for event in (erased["event"] - 1, 10 ** 9, "x"):
        nothing = server.admin.get(f"{server.url}/v1/erasures/{event}/receipt", timeout=20)
        check(CONTRACT["paths"]["/v1/erasures/{event}/receipt"]["get"], nothing)
        assert nothing.status_code == 404
    assert server.marketing.get(f"{server.url}/v1/erasures/{erased['event']}/receipt",
                                timeout=20).status_code == 403
