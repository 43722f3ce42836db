"""Reads of many in the console: one proposes, another one approves, and who proposed it takes it along; and
opening one consumer's request is a look at them."""

import html
import json
import os
import re
import shutil
import sqlite3
import subprocess
import time

import pytest

from desk import ROLES, Staff, propose_read
from portal import DESKTOP, PHONE, PURCHASE, ROOT, Person, Server, lov
from test_console import WORDS, ask, click, events
from test_portal import axe, consented

WHY = "The spring campaign."
EN = WORDS["en"]


@pytest.fixture(scope="module")
def shop(server):
    """A server where some have bought something, and permit its use."""
    for person in ("00001", "00002", "00003"):
        consented(server, person)
        answer = server.admin.post(f"{server.url}/v1/consumers/{person}/records/purchases", json=PURCHASE, timeout=20)
        assert answer.status_code == 201, answer.text
    return server


@pytest.fixture(scope="module")
def one(server):
    return Staff(server, "admin,privacy_officer,auditor", name="Ett Ombud")


@pytest.fixture(scope="module")
def two(server):
    return Staff(server, "privacy_officer,admin", name="Två Ombud")


def hash_on(staff, page):
    return re.search(r'name="hash" value="([0-9a-f]{64})"', staff.page(page))[1]


def approve(staff, page):
    return staff.send(page + "/approve", hash=hash_on(staff, page))


def api(server, page):
    read = page.rsplit("/", 1)[1]
    return server.admin.get(f"{server.url}/v1/reads/{read}", timeout=20).json()


def fits(browser):
    assert axe(browser) == []
    width = browser.run("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1]


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
@pytest.mark.parametrize("size,language", [(PHONE, "sv"), (DESKTOP, "en")], ids=["phone-sv", "desktop-en"])
def test_one_proposes_and_another_one_approves(shop, open_browser, size, language, script):
    words = WORDS[language]
    first, second = (Staff(shop, "privacy_officer", name=name, language=language) for name in ("Ett Ombud", "Två Ombud"))
    browser = open_browser(size, script, language).become(first).open(shop.url + "/console")
    click(browser, "nav a[href='/console/reads']")
    browser.find("details.more summary").click()
    if script:
        fits(browser)
    browser.find("#what option[value='marketing personal_offers purchases']").click()
    browser.find("#format option[value=csv]").click()
    browser.find("#why").send_keys("Vårens kampanj\när för dem.")
    click(browser, "form.stack button")
    browser.wait(lambda b: re.search("/console/reads/[0-9a-f]{32}$", b.driver.current_url))
    here = browser.driver.current_url
    facts = browser.find(".facts").text
    read = api(shop, here)
    assert words["read_open"] in facts and "Vårens kampanj är för dem." in facts and str(read["people"]) in facts
    assert not browser.all("form[action$='/approve']") and not browser.all("form[action$='/file']")
    assert words["read_own"] in browser.find("main").text and browser.all("form[action$='/reject']")
    browser.become(second).open(shop.url + "/console")
    assert words["alert_reads"] in browser.find("#alerts + ul").text
    click(browser, "#alerts + ul a[href='/console/reads']")
    click(browser, f"a[href='/console/reads/{read['id']}']")
    assert "Ett Ombud" in browser.find(".facts").text
    if script:
        fits(browser)
    click(browser, "form[action$='/approve'] button")
    browser.wait(lambda b: words["read_approved"] in b.find(".facts").text)
    assert "Två Ombud" in browser.find(".facts").text and not browser.all("form[action$='/file']")
    browser.become(first).open(shop.url + "/console")
    assert words["alert_reads_approved"] in browser.find("#alerts + ul").text
    browser.open(here)
    if script:
        fits(browser)
    click(browser, "form[action$='/file'] button")
    deadline = time.monotonic() + 15
    while api(shop, here)["state"] != "used":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    browser.open(here)
    assert words["read_used"] in browser.find(".facts").text
    assert not browser.all("form[action$='/file']") and not browser.all("form[action$='/reject']")
    used = [e for e in events(shop, "read.use") if e["hash"] == read["hash"]]
    assert used[-1]["actor"] == f"staff:privacy_officer/{first.id}"


def test_the_file_is_what_the_api_gives_and_comes_once(shop, one, two):
    for form, kind in (("jsonl", "application/jsonl"), ("csv", "text/csv; charset=utf-8"),
                       ("ids", "application/x-ndjson")):
        page = propose_read(one, form=form)
        answer = one.send(page + "/file")
        assert answer.status_code == 409 and EN["problem_not_approved"] in answer.text
        assert answer.headers["Content-Type"].startswith("text/html") and "Content-Disposition" not in answer.headers
        assert approve(two, page).status_code == 303
        assert page + "/file" in one.page(page) and page + "/file" not in two.page(page)
        answer = two.send(page + "/file")
        assert answer.status_code == 403 and EN["problem_approval_of_another"] in html.unescape(answer.text)
        before = len(events(shop, "access"))
        answer = one.send(page + "/file")
        assert answer.status_code == 200 and answer.headers["Content-Type"] == kind
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="purchases.')
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        lines = answer.text.splitlines()
        seen = events(shop, "access")[before:]
        if form == "ids":
            assert json.loads(lines[-1]) == {"complete": True, "count": api(shop, page)["people"]} and not seen
            assert "00001" in {json.loads(line)["id"] for line in lines[:-1]}
        else:
            rows = lines[1:] if form == "csv" else lines
            assert len(rows) >= 3 and {e["actor"] for e in seen} == {f"staff:admin/{one.id}"}
            assert {"00001", "00002", "00003"} <= {e["consumer"] for e in seen}
        answer = one.send(page + "/file")
        assert answer.status_code == 409 and EN["problem_proposal_over"] in answer.text
        assert EN["read_used"] in one.page(page)


def test_what_the_policy_no_longer_permits_is_a_page_and_spends_nothing(made, tmp_path):
    folder = tmp_path / "lov"
    subprocess.run(["cp", "-a", str(made), str(folder)], check=True)
    shutil.copytree(os.path.join(ROOT, "policy"), tmp_path / "policy")
    file = tmp_path / "policy" / "activities.yaml"
    text = file.read_text(encoding="utf-8")
    head, rest = text.split("    retention:", 1)
    head = re.sub(r"\n +- purchases\.\w+", "", head.replace("[purchases, profile, contact]", "[profile, contact]"))
    file.write_text(f"{head}    retention:{rest}", encoding="utf-8")
    server = Server(folder)
    try:
        first, second = Staff(server, "admin", language="sv"), Staff(server, "admin")
        page = propose_read(first)
        assert approve(second, page).status_code == 303
        lov("policy", "apply", tmp_path / "policy", "--alone", "--dir", folder)
        answer = first.send(page + "/file")
        assert answer.status_code == 403 and WORDS["sv"]["reason_not_in_policy"] in answer.text
        assert answer.headers["Content-Type"].startswith("text/html") and "Content-Disposition" not in answer.headers
        assert api(server, page)["state"] == "approved"
    finally:
        server.stop()


def test_nobody_approves_their_own_read_in_any_role(shop, one):
    page = propose_read(one)
    assert "/approve" not in one.page(page)
    hash_ = api(shop, page)["hash"]
    assert one.send(page + "/approve", hash=hash_).status_code == 403
    assert one.send("/console/role", role="privacy_officer").status_code == 303
    answer = one.send(page + "/approve", hash=hash_)
    assert answer.status_code == 403 and EN["problem_own_proposal"] in answer.text
    assert one.send("/console/role", role="admin").status_code == 303
    assert one.send(page + "/reject").status_code == 303
    assert EN["read_rejected"] in one.page(page)
    assert one.send("/console/role", role="auditor").status_code == 303
    assert EN["read_propose"] not in one.page("/console/reads") and "/reject" not in one.page(page)
    assert one.send("/console/role", role="admin").status_code == 303


def test_a_wrong_proposal_is_refused_and_keeps_what_was_written(shop, one, two):
    before = len(events(shop, "read.propose"))
    good = {"what": "marketing personal_offers purchases", "format": "csv", "why": WHY}
    for fields, status, said in (
            ({"why": ""}, 400, "problem_invalid_field"), ({"why": "å" * 300}, 400, "problem_invalid_field"),
            ({"format": "xml"}, 400, "problem_invalid_field"), ({"what": "marketing"}, 400, "problem_invalid_field"),
            ({"what": "marketing credit_scoring credit"}, 403, "reason_not_in_policy"),
            ({"what": "operations stock_planning purchases"}, 403, "problem_aggregate_only"),
            ({"what": "risk credit_scoring credit", "format": "ids"}, 403, "problem_record_required")):
        answer = one.send("/console/reads", **{**good, **fields})
        assert answer.status_code == status, (fields, answer.status_code, answer.text)
        assert EN[said] in html.unescape(answer.text) and 'role="alert"' in answer.text, fields
    assert len(events(shop, "read.propose")) == before
    answer = one.send("/console/reads", **{**good, "format": "ids", "what": "nobody personal_offers purchases"})
    assert WHY in answer.text and re.search('value="ids" selected', answer.text)
    page = propose_read(one)
    answer = two.send(page + "/approve", hash="0" * 64)
    assert answer.status_code == 409 and EN["problem_proposal_differs"] in answer.text
    for path in ("/console/reads/nothing", "/console/reads?after=nothing"):
        assert two.get(path).status_code == 404, path


def test_older_reads_are_on_the_next_page(shop, one):
    pages = [propose_read(one) for _ in range(51)]
    first = one.page("/console/reads")
    assert pages[-1] in first and pages[0] not in first
    after = re.search(r'href="(/console/reads\?after=[0-9a-f]+)"', first)[1]
    assert pages[0] in one.page(after)


def test_who_decides_and_takes_along_has_lately_signed_in(made, tmp_path):
    folder = tmp_path / "lov"
    subprocess.run(["cp", "-a", str(made), str(folder)], check=True)
    server = Server(folder)
    first, second = Staff(server, "admin"), Staff(server, "privacy_officer")
    page, other = propose_read(first), propose_read(first)
    assert EN["alert_reads"] not in first.page("/console") and EN["alert_reads"] in second.page("/console")
    assert approve(second, page).status_code == 303
    assert EN["alert_reads_approved"] in first.page("/console")
    assert EN["alert_reads_approved"] not in second.page("/console")
    server.stop()
    with sqlite3.connect(folder / "identity.db") as db:
        db.execute("update staff_session set proved_at = proved_at - 600000")
    again = Server(folder)
    first.server = second.server = again
    try:
        for staff, path, fields in ((second, other + "/approve", {"hash": hash_on(second, other)}),
                                    (second, other + "/reject", {}), (first, page + "/file", {})):
            answer = staff.send(path, **fields)
            assert answer.status_code == 303 and "/console/sign-in?again=1&next=/console/reads/" in answer.headers["Location"]
        assert api(again, page)["state"] == "approved" and api(again, other)["state"] == "open"
    finally:
        again.stop()


def test_today_shows_waiting_reads_to_who_may_decide_them(shop, one):
    propose_read(one)
    for role in ROLES:
        page = Staff(shop, role).page("/console")
        assert (EN["alert_reads"] in page) == (role in ("admin", "privacy_officer")), role


# ---- a request is data about one consumer ----


def test_opening_a_request_is_a_look_that_the_consumer_sees(server):
    person = Person(server, "00041")
    request = ask(server, "00041", "access")
    staff = Staff(server, "support")

    def looks():
        return [e for e in events(server, "staff.look") if e["actor"] == f"staff:support/{staff.id}"]

    assert looks() == [] and staff.page("/console/requests") and looks() == []
    assert staff.page(f"/console/requests/{request}")
    assert [e["consumer"] for e in looks()] == ["00041"]
    assert html.unescape(EN["event_staff.look"]) in html.unescape(person.page("/portal/activity"))
    answer = staff.send(f"/console/requests/{request}/verify-identity")  # without its note: the page again
    assert answer.status_code == 400 and len(looks()) == 2
    assert staff.get("/console/requests/" + "0" * 32).status_code == 404 and len(looks()) == 2


def test_requests_of_everybody_are_not_opened_in_a_row(server):
    request = ask(server, "00042", "access")
    staff = Staff(server, "support")
    codes = [staff.get(f"/console/requests/{request}").status_code for _ in range(62)]
    assert codes[0] == 200 and codes[-1] == 429
    assert EN["problem_too_many_looks"] in staff.get(f"/console/requests/{request}").text


def test_the_ledger_is_right_after_all_of_it(shop):
    assert "events and" in lov("log", "verify", "--dir", shop.folder)
