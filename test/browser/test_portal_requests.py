"""Requests in the portal: what a consumer asks for, what they are told, and what they must prove first."""

import hashlib
import io
import json
import os
import re
import sqlite3
import subprocess
import time
import zipfile

import pytest
import requests

from portal import DESKTOP, PASSWORD, PHONE, ROOT, Person, Server, token

WORDS = {language: json.load(open(os.path.join(ROOT, "web", f"portal.{language}.json"), encoding="utf-8"))
         for language in ("sv", "en")}
HOSTILE = "<script>window.hit=1</script>{{csrf}}\"'&"
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


def requests_of(server, consumer):
    answer = server.admin.get(server.url + "/v1/requests?limit=1000", timeout=20)
    assert answer.ok, answer.text
    return [r for r in answer.json()["items"] if r["consumer"] == consumer]


def step(server, request, name, **body):
    answer = server.admin.post(f"{server.url}/v1/requests/{request}/{name}", json=body, timeout=20)
    assert answer.ok, answer.text


def ask(person, right, text=""):
    page = person.page(f"/portal/ask/{right}")
    return person.post(f"/portal/ask/{right}", csrf=token(page), text=text)


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("language", ["sv", "en"])
def test_a_consumer_asks_reads_the_answer_and_takes_another_back(server, person, open_browser, language, size,
                                                                 script):
    words = WORDS[language]
    browser = open_browser(size, script, language).become(person).open(server.url + "/portal/requests")
    assert words["requests_none"] in browser.find("main").text
    browser.find("a[href='/portal/ask/rectification']").send_keys("\n")
    browser.wait(lambda b: b.find("#text"))
    assert browser.find("h1").text == words["right_rectification"]
    browser.find("#text").send_keys(HOSTILE)
    browser.find("form.stack button").click()
    browser.wait(lambda b: b.find(".done"))
    assert words["request_asked"] in browser.find(".done").text
    card = browser.find(".request").text
    assert HOSTILE in card and words["right_rectification"] in card and words["state_open"] in card
    assert browser.run("return window.hit") is None
    request, = requests_of(server, person.consumer)
    assert request["right"] == "rectification" and request["state"] == "open" and request["channel"] == "web"
    step(server, request["id"], "refuse", reason="data_is_accurate", note="The till agrees: " + HOSTILE)
    browser.open(server.url + "/portal/requests")
    card = browser.find(".request").text
    assert words["state_refused"] in card and words["refusal_data_is_accurate"] in card
    assert "art. 16" in card and "The till agrees: " + HOSTILE in card
    assert not browser.all(".request form")

    browser.open(server.url + "/portal/ask/objection").find("form.stack button").click()
    browser.wait(lambda b: b.find(".request form"))
    assert len(browser.all(".request")) == 2
    browser.find(".request form button").click()
    browser.wait(lambda b: words["request_withdrawn"] in b.find(".done").text)
    assert words["state_withdrawn"] in browser.all(".request")[0].text
    assert [r["state"] for r in requests_of(server, person.consumer)] == ["refused", "withdrawn"]
    assert browser.errors() == []


def test_the_same_is_asked_once_at_a_time(server, person):
    assert ask(person, "restriction").status_code == 303
    again = ask(person, "restriction", "again")
    assert again.status_code == 409 and WORDS["en"]["request_waiting"] in again.text
    assert len(requests_of(server, person.consumer)) == 1


def test_a_request_of_somebody_else_is_not_there(server, person):
    other = Person(server, "00045")
    assert ask(other, "access").status_code == 303
    request, = requests_of(server, "00045")
    csrf = token(person.page("/portal/requests"))
    assert person.post(f"/portal/requests/{request['id']}/withdraw", csrf=csrf).status_code == 404
    for wrong in ("0" * 32, "x", "%00", "1e9"):
        assert person.post(f"/portal/requests/{wrong}/withdraw", csrf=csrf).status_code in (400, 404)
    for right in ("nothing", "opt_out", "%2e"):
        assert person.get(f"/portal/ask/{right}").status_code in (400, 404)
    assert requests_of(server, "00045")[0]["state"] == "open"
    assert request["id"] not in person.page("/portal/requests")


def test_the_file_is_ready_at_once_and_for_nobody_else(server, person):
    other = Person(server, "00046")
    assert ask(person, "access").status_code == 303
    link = re.search(r"/portal/requests/[0-9a-f]{32}/file", person.page("/portal/requests"))[0]
    answer = person.get(link)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Cache-Control"] == "no-store" and "attachment" in answer.headers["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
        manifest = json.loads(file.read("manifest.json"))
        for item in manifest["files"]:
            assert hashlib.sha256(file.read(item["name"])).hexdigest() == item["sha256"]
        assert person.consumer in file.read("consumer.json").decode()
    assert WORDS["en"]["event_record.disclose"] in person.page("/portal/activity")
    assert other.get(link).status_code == 404
    assert ask(person, "objection").status_code == 303
    objection = [r for r in requests_of(server, person.consumer) if r["right"] == "objection"][0]
    assert person.get(f"/portal/requests/{objection['id']}/file").status_code == 404
    assert requests.get(server.url + link, allow_redirects=False, timeout=20).status_code == 303


def test_the_answer_is_late(server, person):
    request = server.admin.post(server.url + "/v1/requests", timeout=20, json={
        "consumer": person.consumer, "right": "access", "channel": "paper",
        "received_at": "2026-01-31T08:00:00Z"})
    assert request.status_code == 201, request.text
    page = person.page("/portal/requests")
    assert WORDS["en"]["request_overdue"] in page and WORDS["en"]["state_received"] in page


def test_words_of_requests_are_in_the_activity(server, person):
    assert ask(person, "objection", "please").status_code == 303
    page = person.page("/portal/activity")
    assert WORDS["en"]["event_request.receive"] in page and WORDS["en"]["event_request.verify_identity"] in page
    assert "please" not in page and "event_request" not in page


# ---- when time goes by ----


@pytest.fixture
def later(made, tmp_path):
    """A server whose clock the test sets ahead: later("+6m")."""
    folder = tmp_path / "lov"
    subprocess.run(["cp", "-a", str(made), str(folder)], check=True)
    clock = tmp_path / "clock"
    clock.write_text("+0")
    server = Server(folder, environment={
        "LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1"})

    def set_ahead(ahead):
        clock.write_text(ahead)
        return server

    set_ahead.server = server
    yield set_ahead
    server.stop()


def test_who_wants_to_be_erased_has_just_proved_who_they_are(later):
    person = Person(later.server, "00007")
    page = person.page("/portal/ask/erasure")
    assert ask(person, "access").status_code == 303
    link = re.search(r"/portal/requests/[0-9a-f]{32}/file", person.page("/portal/requests"))[0]
    later("+6m")
    assert person.get(link).headers["Location"] == "/portal/prove?next=/portal/requests"
    answer = person.get("/portal/ask/erasure")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/portal/prove?next=/portal/ask/erasure"
    # A form from before does not help either.
    answer = person.post("/portal/ask/erasure", csrf=token(page), text="now")
    assert answer.status_code == 303 and "/portal/prove" in answer.headers["Location"]
    assert [r["right"] for r in requests_of(later.server, "00007")] == ["access"]
    answer = person.get("/portal/ask/erasure?category=purchases")
    assert answer.headers["Location"] == "/portal/prove?next=/portal/ask/erasure?category=purchases"
    some = person.page(answer.headers["Location"])
    assert 'value="/portal/ask/erasure?category=purchases"' in some
    answer = person.post("/portal/ask/erasure", csrf=token(some), category="purchases")
    assert answer.headers["Location"] == "/portal/prove?next=/portal/ask/erasure?category=purchases"
    prove = person.page("/portal/prove?next=/portal/ask/erasure")
    answer = person.post("/portal/prove", csrf=token(prove), password=PASSWORD, next="/portal/ask/erasure")
    assert answer.status_code == 303 and answer.headers["Location"] == "/portal/ask/erasure"
    assert ask(person, "erasure", "all of it").status_code == 303
    assert person.get(link).status_code == 200
    request = requests_of(later.server, "00007")[-1]
    assert request["state"] == "open" and request["right"] == "erasure"
    # An erasure that is carried out ends the account.
    step(later.server, request["id"], "fulfil", note="erased")
    assert person.get("/portal/requests").status_code == 303


def last_seen(server):
    store = sqlite3.connect(f"file:{server.folder}/identity.db?mode=ro", uri=True)
    seen, = store.execute("select max(seen_at) from session").fetchone()
    store.close()
    return seen


def visit(person, later, minutes):
    """Visits at that time, which is noted after the answer."""
    seen = last_seen(later.server)
    later(f"+{minutes}m")
    assert person.get("/portal").status_code == 200, minutes
    deadline = time.monotonic() + 10
    while last_seen(later.server) == seen:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_session_ends_when_nobody_visits_and_in_any_case(later):
    idle, busy = Person(later.server, "00008"), Person(later.server, "00009")
    visit(busy, later, 29)
    later("+31m")
    assert idle.get("/portal").headers.get("Location", "").startswith("/portal/sign-in")
    for minutes in range(54, 12 * 60, 25):
        visit(busy, later, minutes)
    later("+721m")
    assert busy.get("/portal").headers.get("Location", "").startswith("/portal/sign-in")
