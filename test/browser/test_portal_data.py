"""My data: what the company holds, where it is from, and what is questioned about it."""

import copy
import json
import os
import re

import pytest

from portal import DESKTOP, PHONE, PURCHASE, ROOT, Person, token

WORDS = {language: json.load(open(os.path.join(ROOT, "web", f"portal.{language}.json"), encoding="utf-8"))
         for language in ("sv", "en")}
HOSTILE = "<script>window.hit=1</script>{{csrf}}\"'&"


def put(server, consumer, **changes):
    body = copy.deepcopy(PURCHASE)
    body["data"].update(changes)
    answer = server.admin.post(f"{server.url}/v1/consumers/{consumer}/records/purchases", json=body, timeout=20)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def issues(server, consumer):
    return server.admin.get(f"{server.url}/v1/consumers/{consumer}/issues", timeout=20).json()["items"]


@pytest.mark.parametrize("size,script,language", [(PHONE, False, "sv"), (DESKTOP, True, "en")],
                         ids=["phone-plain-sv", "desktop-script-en"])
def test_a_consumer_sees_their_data_and_settles_what_is_questioned(server, person, open_browser, size, script,
                                                                   language):
    words = WORDS[language]
    for _ in range(2):
        put(server, person.consumer, order_id="TWICE-1", product=HOSTILE)
    assert len(issues(server, person.consumer)) == 1
    browser = open_browser(size, script, language).become(person).open(server.url + "/portal/data")
    card = browser.find(".issue").text
    assert words["finding_duplicate"] in card and words["data_drop"] in card
    assert HOSTILE in card and "349.50 SEK" in card and "till" in card
    for text in {"en": ("Order number", "20 November 2026, 10:15"), "sv": ("Ordernummer", "20 november 2026, 10:15")}[language]:
        assert text in card, card
    assert browser.run("return window.hit") is None
    records = browser.all("section[aria-labelledby=category-purchases] details")
    before = len(records)
    assert before >= 2
    browser.find(".issue button[value=accept]").send_keys("\n")
    browser.wait(lambda b: b.find(".done"))
    assert words["data_settled"] in browser.find(".done").text
    assert len(browser.all("section[aria-labelledby=category-purchases] details")) == before - 1
    assert issues(server, person.consumer) == [] and browser.errors() == []


def test_each_look_is_in_the_log_before_the_page(server, person):
    history = f"{server.url}/v1/consumers/{person.consumer}/history?limit=1000"

    def looks():
        return [e for e in server.admin.get(history, timeout=20).json()["items"] if e["kind"] == "record.disclose"]

    before = len(looks())
    person.page("/portal/data")
    person.page("/portal/data")
    assert len(looks()) == before + 2 and looks()[-1]["actor"] == "consumer"
    assert WORDS["en"]["event_record.disclose"] in person.page("/portal/activity")


def test_many_records_are_cut_and_counted(server, person):
    for i in range(33):
        put(server, person.consumer, order_id=f"MANY-{i}", product=f"product {i}", amount={
            "amount": f"{300 + i}.00", "currency": "SEK"})
    section = person.page("/portal/data").split('id="category-purchases"')[1].split("</section>")[0]
    count = int(re.search(r'<span class="kind">(\d+)</span>', section)[1])
    assert section.count("<details") == 30 and count >= 33
    assert f"{count - 30} {WORDS['en']['data_more']}" in section
    assert "product 32" in section and "product 1<" not in section


def test_a_question_about_somebody_else_is_not_there(server, person):
    other = Person(server, "00047")
    for _ in range(2):
        put(server, "00047", order_id="THEIRS")
    issue = issues(server, "00047")[0]["id"]
    csrf = token(person.page("/portal/requests"))
    for path in (issue, "0" * 32, "x"):
        assert person.post(f"/portal/data/issues/{path}", csrf=csrf, answer="accept").status_code == 404
    csrf = token(other.page("/portal/requests"))
    assert other.post(f"/portal/data/issues/{issue}", csrf=csrf, answer="maybe").status_code == 400
    assert other.post(f"/portal/data/issues/{issue}", csrf=csrf).status_code == 400
    assert len(issues(server, "00047")) == 1
    assert other.post(f"/portal/data/issues/{issue}", csrf=csrf, answer="confirm").status_code == 303
    assert issues(server, "00047") == []
    assert "THEIRS" in other.page("/portal/data") and "THEIRS" not in person.page("/portal/data")
