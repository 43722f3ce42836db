"""My data: what the company holds, where it is from, and what is questioned about it."""

import copy
import html
import json
import os
import re

import pytest

from portal import DESKTOP, PHONE, PURCHASE, ROOT, Person, token
from test_portal import axe

WORDS = {language: json.load(open(os.path.join(ROOT, "web", f"portal.{language}.json"), encoding="utf-8"))
         for language in ("sv", "en")}
HOSTILE = "<script>window.hit=1</script>{{csrf}}\"'&"


def put(server, consumer, limits=None, **changes):
    body = copy.deepcopy(PURCHASE)
    body["data"].update(changes)
    if limits:
        body["limits"] = limits
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


@pytest.mark.parametrize("language", ["sv", "en"])
def test_what_a_record_may_be_used_for_is_shown_with_it(server, person, language):
    words = WORDS[language]
    person.http.headers["Accept-Language"] = language
    put(server, person.consumer, product="boots", limits={
        "purposes": ["customer_support", "stock_planning"], "objections": ["personal_offers"],
        "recipients": ["customer_service"]})
    put(server, person.consumer, product="scarf")
    details = html.unescape(person.page("/portal/data")).split("<details")
    boots, = [d for d in details if "boots" in d]
    scarf, = [d for d in details if "scarf" in d]
    policy = server.admin.get(server.url + "/v1/policy", timeout=20).json()
    labels = {p["id"]: p["label"][language] for p in policy["purposes"] + policy["recipients"]}
    for kind, names in (("purposes", ["customer_support", "stock_planning"]), ("objections", ["personal_offers"]),
                        ("recipients", ["customer_service"])):
        shown = "".join(labels[name] + "<br>" for name in names)
        assert f"<dt>{words['limit_' + kind]}</dt><dd>{shown}</dd>" in boots
        assert words["limit_" + kind] not in scarf


@pytest.mark.parametrize("size,script,language,dark", [(PHONE, False, "sv", True), (DESKTOP, True, "en", False)],
                         ids=["phone-plain-sv-dark", "desktop-script-en"])
def test_a_consumer_has_one_kind_of_data_erased(server, person, open_browser, size, script, language, dark):
    words = WORDS[language]
    put(server, person.consumer, product="boots")
    holds = f"{server.url}/v1/consumers/{person.consumer}/holds"
    for hold in ({"reason": "bookkeeping", "source": "BFL 7 kap. 2 §" + HOSTILE, "category": "purchases", "until": "2030-01-31T12:00:00Z"},
                 {"reason": "old_quarrel", "source": "RB 38 kap. 2 §"},
                 {"reason": "of_the_address", "source": "X", "category": "contact"}):
        assert server.admin.post(holds, json=hold, timeout=20).ok
    browser = open_browser(size, script, language, dark).become(person).open(server.url + "/portal/data")
    link = browser.find("a[href='/portal/ask/erasure?category=purchases']")
    assert words["data_erase"] in link.text
    link.send_keys("\n")
    browser.wait(lambda b: b.find("#text"))
    main = browser.find("main").text
    assert words["data_erase"] in browser.find("h1").text and words["right_what_erasure_some"] in main
    assert words["hold_bookkeeping"] in main and "BFL 7 kap. 2 §" + HOSTILE in main and "2030" in main
    assert "\nold quarrel RB" in main
    assert words["held_open"] in main and "of the address" not in main
    assert words["ask_final_some"] in main and words["ask_final"] not in main
    assert browser.run("return window.hit") is None
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
    if script:
        assert axe(browser) == []
    browser.find("form.stack button").click()
    browser.wait(lambda b: b.find(".done"))
    card = browser.find(".request").text
    assert words["right_erasure_some"] in card and words["request_only"] in card and words["state_open"] in card
    if script:
        assert axe(browser) == []
    listed = server.admin.get(f"{server.url}/v1/consumers/{person.consumer}/requests", timeout=20).json()["items"]
    assert [(r["right"], r["state"], r["categories"]) for r in listed] == [("erasure", "open", ["purchases"])]

    # The same again is asked once, another kind beside it.
    csrf = token(person.page("/portal/requests"))
    ask = {"csrf": csrf, "text": ""}
    assert person.post("/portal/ask/erasure", category="purchases", **ask).status_code == 409
    assert person.post("/portal/ask/erasure", category="contact", **ask).status_code == 303
    assert person.post("/portal/ask/erasure", category="shoe_sizes", **ask).status_code == 404
    assert person.post("/portal/ask/access", category="contact", **ask).status_code == 404

    # Fulfilled, that kind is gone, and everything else is there.
    for hold in server.admin.get(holds, timeout=20).json()["items"]:
        assert server.admin.delete(f"{holds}/{hold['id']}", timeout=20).ok
    done = server.admin.post(f"{server.url}/v1/requests/{listed[0]['id']}/fulfil", json={"note": "done"}, timeout=20)
    assert done.ok, done.text
    page = person.page("/portal/data")
    assert "category-purchases" not in page and "boots" not in page
    assert words["state_fulfilled"] in browser.open(server.url + "/portal/requests").all(".request")[1].text
