"""The consumer's portal as a person meets it, in Chromium: both languages, phone and desktop, with
and without JavaScript; for the keyboard, for a screen reader, and for a slow connection."""

import json
import os
import re

import pytest
import requests
from selenium.webdriver.common.keys import Keys

from portal import DESKTOP, PASSWORD, PHONE, ROOT, Person, invite, lov, question, token

AXE = os.path.join(ROOT, ".cache", "node", "node_modules", "axe-core", "axe.min.js")
OFFERS = "personal_offers_by_marketing"
WORDS = {language: json.load(open(os.path.join(ROOT, "web", f"portal.{language}.json"), encoding="utf-8"))
         for language in ("sv", "en")}


def consented(server, consumer):
    """Has said yes to personal offers, whatever the demo drew."""
    version = server.admin.get(server.url + "/v1/notices/personal_offers", timeout=20).json()["version"]
    answer = server.give(consumer=consumer, categories=["purchases", "profile", "contact"],
                         notice={"id": "personal_offers", "version": version, "language": "sv"})
    assert answer.status_code == 201, answer.text


def use(server, consumer, record=True):
    body = question(consumer)
    body["context"] = {"record": record}
    return server.marketing.post(server.url + "/access/v1/evaluation", json=body, timeout=20).json()["decision"]


def pages(person):
    """Every page of the portal that a signed-in consumer reaches."""
    event = re.search(r"/portal/why/(\d+)", person.page("/portal/activity?show=uses"))[1]
    receipt = re.search(r"/portal/receipts/[0-9a-f]{32}\?event=\d+", person.page("/portal/receipts"))[0]
    return ["/portal", "/portal/choices", f"/portal/choices/{OFFERS}", "/portal/activity", f"/portal/why/{event}",
            f"/portal/activity/{event}/complaint", "/portal/receipts", receipt, "/portal/policies",
            "/portal/policies/personal_offers", "/portal/data", "/portal/requests", "/portal/ask/erasure",
            "/portal/messages", "/portal/apps", "/portal/account",
            "/portal/prove", "/portal/nowhere"]


def in_view(browser, element):
    browser.run("arguments[0].scrollIntoView({block: 'center'})", element)
    return element


# ---- the story ----


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("language", ["sv", "en"])
def test_a_consumer_comes_in_takes_back_a_yes_and_undoes_it(server, open_browser, language, size, script):
    number = server.next = getattr(server, "next", 1) + 1
    consumer, words = f"{number:05d}", WORDS[language]
    consented(server, consumer)
    browser = open_browser(size, script, language).open(server.url + invite(server, consumer))
    browser.find("#name").send_keys(f"{consumer}@example.com")
    browser.find("#password").send_keys(PASSWORD)
    browser.find("#again").send_keys(PASSWORD)
    browser.find("form.stack button").click()
    browser.wait(lambda b: b.find(".sums"))
    assert browser.find("h1").text == words["overview_title"]
    assert browser.find("html").get_attribute("lang") == language
    in_view(browser, browser.find(".menu a[href='/portal/choices']")).click()
    browser.wait(lambda b: b.find(".choice"))
    assert server.reason(consumer) == "permitted"

    card = f"#{OFFERS}"
    assert words["state_allowed"] in browser.find(card + " .state").text
    in_view(browser, browser.find(card + " button[value=no]")).click()
    status = browser.wait(lambda b: b.find(".done"))
    assert words["done_withdrawn"] in status.text
    assert server.reason(consumer) == "withdrawn"
    assert words["state_denied"] in browser.find(card + " .state").text

    browser.find(".done button[value=undo]").click()
    browser.wait(lambda b: words["done_undone"] in b.find(".done").text)
    assert server.reason(consumer) == "permitted"

    browser.find("form[action='/portal/sign-out'] button").click()
    browser.wait(lambda b: b.find("#password"))
    browser.find("#name").send_keys(f"{consumer}@EXAMPLE.com")
    browser.find("#password").send_keys(PASSWORD)
    browser.find("form.stack button").click()
    browser.wait(lambda b: b.find(".sums"))
    assert browser.errors() == []


def test_the_language_is_switched_on_every_page(server, person, open_browser):
    browser = open_browser(language="en").become(person).open(server.url + "/portal/policies")
    assert browser.find("h1").text == WORDS["en"]["menu_policies"]
    browser.find(".languages a").click()
    browser.wait(lambda b: b.find("h1").text == WORDS["sv"]["menu_policies"])
    assert browser.driver.current_url.endswith("/portal/policies")
    browser.open(server.url + "/portal")
    assert browser.find("h1").text == WORDS["sv"]["overview_title"]


# ---- the answers ----


def test_yes_and_no_are_the_same_but_for_the_word(server, person, open_browser):
    for size in (PHONE, DESKTOP):
        browser = open_browser(size).become(person).open(server.url + "/portal/choices")
        same = browser.run("""
            const look = (b) => { const s = getComputedStyle(b), r = b.getBoundingClientRect();
              return [r.width, r.height, r.top, s.fontSize, s.fontWeight, s.color, s.backgroundColor,
                      s.borderColor, s.borderWidth, s.borderStyle, s.opacity, s.cursor, b.tabIndex, b.type, b.disabled]; };
            return [...document.querySelectorAll(".choice")].map(c => {
              const [yes, no] = c.querySelectorAll("form.answer button");
              return {values: [yes.value, no.value], buttons: c.querySelectorAll("form.answer button").length,
                      pressed: [yes.ariaPressed, no.ariaPressed], yes: look(yes), no: look(no)}; });""")
        assert len(same) >= 8
        unanswered = [c for c in same if c["pressed"] == ["false", "false"]]
        assert unanswered
        for choice in same:
            assert choice["values"] == ["yes", "no"] and choice["buttons"] == 2
            # Whatever was answered, size, text and clicks are the same; nothing is marked before that.
            assert choice["yes"][:6] == choice["no"][:6] and choice["yes"][7:] == choice["no"][7:]
        for choice in unanswered:
            assert choice["yes"] == choice["no"]


def test_nothing_is_answered_beforehand(server, person):
    page = person.page("/portal/choices")
    assert " checked" not in page and " selected" not in page and "autofocus" not in page
    assert "type=\"checkbox\"" not in page


def test_each_answer_is_recorded_with_the_text_that_was_shown(server, person):
    activity = "credit_scoring_by_risk"
    form = person.choice(activity)
    answer = person.answer(activity, "yes")
    assert answer.status_code == 303 and "done=given" in answer.headers["Location"]
    consents = server.admin.get(f"{server.url}/v1/consumers/{person.consumer}/consents", timeout=20).json()["items"]
    given = [c for c in consents if c["purpose"] == "credit_scoring"][-1]
    assert given["status"] == "active" and given["channel"] == "web"
    assert given["notice"] == {"id": "credit_scoring", "version": int(form["notice_version"]),
                               "language": form["notice_language"], "hash": form["notice_hash"]}
    history = server.admin.get(f"{server.url}/v1/consumers/{person.consumer}/history?limit=1000", timeout=20).json()
    assert [e["actor"] for e in history["items"] if e["kind"] == "consent.give"][-1] == "consumer"
    # The same again changes nothing.
    before = server.state()
    assert person.answer(activity, "yes").status_code == 303
    assert server.state() == before
    assert person.answer(activity, "no").headers["Location"].startswith("/portal/choices?done=withdrawn")
    assert person.answer(activity, "no").status_code == 303


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
def test_a_part_is_taken_out_of_a_yes_and_comes_back_with_a_yes(server, person, open_browser, script):
    consented(server, person.consumer)
    browser = open_browser(PHONE, script).become(person).open(server.url + f"/portal/choices/{OFFERS}")
    assert server.reason(person.consumer) == "permitted"
    browser.find(".choice details:has(button[value=without]) summary").click()
    forms = browser.all(".choice form:has(button[value=without])")
    assert len(forms) == 3
    [purchases] = [f for f in forms if f.find_element("css selector", "[name=category]").get_attribute("value")
                   == "purchases"]
    in_view(browser, purchases.find_element("css selector", "button")).click()
    browser.wait(lambda b: WORDS["en"]["done_narrowed"] in b.find(".done").text)
    assert server.reason(person.consumer) == "withdrawn"
    chips = browser.open(server.url + f"/portal/choices/{OFFERS}").find(".choice .chips").text
    assert "Purchases" not in chips and "Profile" in chips
    [consent] = [c for c in server.admin.get(f"{server.url}/v1/consumers/{person.consumer}/consents",
                                             timeout=20).json()["items"]
                 if c["purpose"] == "personal_offers" and c["status"] == "active"]
    assert sorted(consent["categories"]) == ["contact", "profile"]
    csrf = token(person.page("/portal/choices"))
    # What is gone already, and what was never asked for: nothing changes, or it is refused.
    before = server.state()
    for category in ("purchases", "nothing"):
        assert person.post(f"/portal/choices/{OFFERS}", csrf=csrf, answer="without",
                           category=category).status_code == 303
    assert person.post(f"/portal/choices/{OFFERS}", csrf=csrf, answer="without").status_code == 400
    assert server.state() == before
    # The last part goes by a no.
    assert person.post(f"/portal/choices/{OFFERS}", csrf=csrf, answer="without", category="contact").status_code == 303
    assert person.post(f"/portal/choices/{OFFERS}", csrf=csrf, answer="without", category="profile").status_code == 400
    assert person.answer(OFFERS, "yes").status_code == 303
    assert server.reason(person.consumer) == "permitted"


def test_objecting_to_the_companys_own_interest_holds_at_once(server, person):
    activity = "fraud_prevention_by_risk"

    def reason():
        session = server.session("--recipient", "risk")
        return session.post(server.url + "/access/v1/evaluation", timeout=20, json={
            "subject": {"type": "recipient", "id": "risk"}, "action": {"name": "fraud_prevention"},
            "resource": {"type": "transactions", "id": person.consumer}}).json()["context"]["reason"]

    assert reason() == "permitted"
    assert person.answer(activity, "no").status_code == 303
    assert reason() == "objected"
    assert person.answer(activity, "yes").status_code == 303
    assert reason() == "permitted"


# ---- activity ----


def test_activity_arrives_by_itself(server, person, open_browser):
    consented(server, person.consumer)
    browser = open_browser().become(person).open(server.url + "/portal/activity")
    before = len(browser.all(".events > li"))
    browser.run("window.same = true")
    assert use(server, person.consumer)
    browser.wait(lambda b: len(b.all(".events > li.new")) == 1, "the use", 5)
    assert WORDS["en"]["event_access"] in browser.find(".events > li.new").text
    assert len(browser.all(".events > li")) == before + 1
    # The stream goes on: the next one comes too, and no page was loaded for it.
    assert use(server, person.consumer)
    browser.wait(lambda b: len(b.all(".events > li")) == before + 2, "the second use", 5)
    assert browser.run("return window.same") is True
    assert browser.errors() == []


def test_a_stream_tells_of_ones_own_events_alone(server, person):
    other = Person(server, "00050")
    last = re.search(r'data-after="(\d+)"', person.page("/portal/activity"))[1]
    use(server, other.consumer)
    with pytest.raises(requests.Timeout):
        person.http.get(f"{server.url}/portal/activity/stream?after={last}", timeout=2)
    use(server, person.consumer)
    answer = person.http.get(f"{server.url}/portal/activity/stream?after={last}", timeout=5)
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert re.search(r"^id: (\d+)$", answer.text, re.M)[1] > last and "event: activity" in answer.text
    stranger = requests.get(f"{server.url}/portal/activity/stream?after=0", timeout=5, allow_redirects=False)
    assert stranger.status_code == 204 and not stranger.content


def test_activity_is_filtered_searched_and_paged(server, person):
    consented(server, person.consumer)
    for _ in range(30):
        use(server, person.consumer)
    first = person.page("/portal/activity?show=uses")
    seen = re.findall(r'id="event-(\d+)"', first)
    assert len(seen) == 25
    older = re.search(r'rel="next" href="([^"]+)"', first)[1].replace("&amp;", "&")
    rest = re.findall(r'id="event-(\d+)"', person.page(older))
    assert len(rest) == 5 and not set(seen) & set(rest)
    assert [int(s) for s in seen + rest] == sorted(map(int, seen + rest), reverse=True)
    answers = person.page("/portal/activity?show=choices")
    assert "Your data was used" not in answers and "You said yes" in answers
    assert "event-" in person.page("/portal/activity?q=personal+OFFERS")
    assert WORDS["en"]["activity_none"] in person.page("/portal/activity?q=xyzzy")


def test_what_is_exported_is_what_is_shown(server, person):
    consented(server, person.consumer)
    use(server, person.consumer)
    answer = person.get("/portal/activity/export?format=json&show=uses")
    assert answer.status_code == 200 and "attachment" in answer.headers["Content-Disposition"]
    item = answer.json()[0]
    assert item["kind"] == "access" and item["data"] == ["Purchases"] and item["reason_id"] == "permitted"
    table = person.get("/portal/activity/export?format=csv").text.split("\r\n")
    assert table[0] == "at,kind,what,recipient,purpose,data,reason_code,reason,actor"
    assert any('"access"' in row for row in table)


def test_a_complaint_is_in_the_log_and_sealed(server, person):
    consented(server, person.consumer)
    use(server, person.consumer)
    event = re.search(r"/portal/why/(\d+)", person.page("/portal/activity"))[1]
    form = person.page(f"/portal/activity/{event}/complaint")
    csrf = re.search(r'name="csrf" value="([^"]+)"', form)[1]
    text = "Jag köpte inget <b>då</b>.\r\nInte alls."
    answer = person.post(f"/portal/activity/{event}/complaint", csrf=csrf, text=text)
    assert answer.status_code == 303, answer.text
    history = server.admin.get(f"{server.url}/v1/consumers/{person.consumer}/history?limit=1000", timeout=20).json()
    told = history["items"][-1]
    assert told["kind"] == "complaint.open" and told["event"] == int(event)
    assert told["detail"] == text.replace("\r", "") and told["purpose"] == "personal_offers"
    assert "köpte inget" not in lov("log", "show", "--dir", server.folder, "--json")
    empty = person.post(f"/portal/activity/{event}/complaint", csrf=csrf, text=" \n ")
    assert empty.status_code == 422


def test_why_tells_the_rule_and_what_holds_now(server, person):
    consented(server, person.consumer)
    use(server, person.consumer)
    event = re.search(r"/portal/why/(\d+)", person.page("/portal/activity"))[1]
    page = person.page(f"/portal/why/{event}")
    for text in ("Only with your yes", "365 days", "Allowed.", "With your name or number"):
        assert text in page
    person.answer(OFFERS, "no")
    assert "You withdrew your yes." in person.page(f"/portal/why/{event}")


# ---- receipts ----


def test_a_receipt_is_checked_in_the_browser_as_by_command(server, person, open_browser, tmp_path):
    consented(server, person.consumer)
    path = re.search(r"/portal/receipts/[0-9a-f]{32}\?event=\d+", person.page("/portal/receipts"))[0]
    file = path.replace("?", "/file?")
    receipt = person.get(file)
    assert receipt.headers["Content-Type"] == "application/ld+json" and receipt.json()["consumer"] == person.consumer
    (tmp_path / "receipt.json").write_bytes(receipt.content)
    browser = open_browser().become(person).open(server.url + path)
    key = browser.find("#verify").get_attribute("data-key")
    lov("receipt", "verify", tmp_path / "receipt.json", "--key", key)
    browser.find("#verify button").click()
    browser.wait(lambda b: b.find(".result").get_attribute("data-good") == "true", "the verdict")
    assert len(browser.all(".result li.yes")) == 3
    # One that was altered is found out by both, whichever part it was.
    for change, failing in ((lambda r: r["proof"].update(seq=r["proof"]["seq"] + 1), 2),
                            (lambda r: r["proof"].update(leaf="A" * 43 + "="), 3),
                            (lambda r: r.update(consumer="somebody else"), 1)):
        altered = receipt.json()
        change(altered)
        (tmp_path / "altered.json").write_text(json.dumps(altered), encoding="utf-8")
        lov("receipt", "verify", tmp_path / "altered.json", "--key", key, code=1)
        browser.open(server.url + path)
        browser.run("const text = arguments[0]; window.fetch = async () => new Response(text);", json.dumps(altered))
        browser.find("#verify button").click()
        browser.wait(lambda b: b.find(".result").get_attribute("data-good") == "false", "the verdict")
        assert len(browser.all(".result li.no")) == failing
    assert browser.errors() == []


# ---- policies ----


@pytest.fixture
def new_notice(server, tmp_path):
    """Applies the next version of the notice about personal offers, and says what it adds."""
    import shutil
    folder = tmp_path / "policy"
    shutil.copytree(os.path.join(ROOT, "policy"), folder)
    current = server.admin.get(server.url + "/v1/notices/personal_offers", timeout=20).json()["version"]

    def apply():
        for language, old, new in (("en", "Nothing happens.", "Nothing whatsoever happens."),
                                   ("sv", "Ingenting händer.", "Ingenting alls händer.")):
            file = folder / "notices" / f"personal_offers.{language}.md"
            text = file.read_text(encoding="utf-8")
            text = text.replace("version: 1", f"version: {current + 1}").replace(old, new)
            file.write_text(text, encoding="utf-8")
        lov("policy", "apply", folder, "--dir", server.folder)
        return current + 1

    return apply


def test_an_answer_to_a_text_that_changed_meanwhile_is_asked_again(server, new_notice):
    person = Person(server, "00058")
    consented(server, person.consumer)
    old = person.choice(OFFERS)
    page = person.page("/portal/choices")
    assert "What changed since version" not in page
    version = new_notice()
    before = server.state()
    answer = person.post(f"/portal/choices/{OFFERS}", answer="yes", **old)
    assert answer.status_code == 409
    assert WORDS["en"]["choice_changed"] in answer.text
    assert "<ins>whatsoever</ins>" in answer.text and "<del>whatsoever</del>" not in answer.text
    assert server.state() == before
    # Material: the old yes no longer holds, and the choice says what changed.
    page = person.page(f"/portal/choices/{OFFERS}")
    assert WORDS["en"]["reason_notice_superseded"] in page and "<ins>whatsoever</ins>" in page
    assert person.answer(OFFERS, "yes").status_code == 303
    assert server.reason(person.consumer) == "permitted"
    old_text = person.page(f"/portal/policies/personal_offers?version={version - 1}")
    assert "no longer in force" in old_text and "whatsoever" not in old_text
    assert "<ins>whatsoever</ins>" in person.page("/portal/policies/personal_offers")
    assert person.get(f"/portal/policies/personal_offers?version={version + 1}").status_code == 404


# ---- for everybody ----


def axe(browser):
    with open(AXE, encoding="utf-8") as file:
        browser.run(file.read())
    found = browser.driver.execute_async_script("""
        const done = arguments[0];
        axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(f => done(
          {passes: f.passes.length, violations: f.violations.map(v => v.id + ": " + v.nodes.map(n => n.html).join(" | "))}));""")
    assert found["passes"] > 10
    return found["violations"]


@pytest.mark.parametrize("size,dark,language", [(PHONE, True, "sv"), (DESKTOP, False, "en"), (PHONE, False, "en"),
                                                (DESKTOP, True, "sv")],
                         ids=["phone-dark-sv", "desktop-light-en", "phone-light-en", "desktop-dark-sv"])
def test_axe_finds_nothing_on_any_page(server, person, open_browser, size, dark, language):
    consented(server, person.consumer)
    use(server, person.consumer)
    browser = open_browser(size, language=language, dark=dark)
    wrong = {}
    paths = pages(person)
    outside = ["/portal/sign-in", invite(server, "00059"), "/portal/welcome/used"]
    for path in outside + [None] + paths:
        if path is None:
            browser.become(person)
            continue
        found = axe(browser.open(server.url + path))
        if found:
            wrong[path] = found
        width = browser.run("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert width[0] <= width[1], f"{path} is wider than the window: {width}"
        assert [e for e in browser.errors() if "404" not in e and "410" not in e] == []
        origins = browser.run("return performance.getEntriesByType('resource').map(e => new URL(e.name).origin)")
        assert set(origins) <= {server.url}
    assert wrong == {}


def test_axe_would_find_something(server, person, open_browser):
    browser = open_browser().become(person).open(server.url + "/portal")
    browser.run("document.querySelector('h1').outerHTML = '<h4>x</h4><img src=x>'")
    assert axe(browser)


def test_pages_fit_at_twice_the_size(server, person, open_browser):
    """WCAG 1.4.10: 320 pixels wide is what is left of 1280 at 400 %."""
    consented(server, person.consumer)
    use(server, person.consumer)
    for width in (320,):
        browser = open_browser((width, 480)).become(person)
        for path in pages(person):
            browser.open(server.url + path)
            measured = browser.run("return document.documentElement.scrollWidth")
            assert measured <= width, (path, measured)


def test_the_keyboard_is_enough(server, person, open_browser):
    consented(server, person.consumer)
    browser = open_browser().become(person).open(server.url + "/portal")

    def go(css, most=150):
        for _ in range(most):
            active = browser.driver.switch_to.active_element
            if browser.run("return arguments[0].matches(arguments[1])", active, css):
                outline = browser.run("return getComputedStyle(arguments[0]).outlineStyle", active)
                assert outline != "none", css
                return active
            active.send_keys(Keys.TAB)
        raise AssertionError(f"no way to {css}")

    # The first stop leads past the menu.
    browser.find("body").send_keys(Keys.TAB)
    assert "skip" in browser.driver.switch_to.active_element.get_attribute("class")
    go(".menu a[href='/portal/choices']").send_keys(Keys.ENTER)
    browser.wait(lambda b: b.find(".choice"))
    go(f"#{OFFERS} button[value=no]").send_keys(Keys.ENTER)
    browser.wait(lambda b: b.find(".done"))
    assert server.reason(person.consumer) == "withdrawn"
    go(".done button[value=undo]").send_keys(Keys.SPACE)
    browser.wait(lambda b: WORDS["en"]["done_undone"] in b.find(".done").text)
    assert server.reason(person.consumer) == "permitted"


def test_the_first_page_is_light_and_does_not_shift(server, person, open_browser):
    files = ["/portal", "/portal/assets/portal.css", "/portal/assets/portal.js", "/portal/assets/favicon.svg"]
    size = sum(len(person.get(path).content) for path in files)
    assert size < 50_000, size
    browser = open_browser(PHONE).become(person).open(server.url + "/portal")
    shift = browser.driver.execute_async_script("""
        const done = arguments[0]; let sum = 0;
        new PerformanceObserver(list => { for (const e of list.getEntries()) sum += e.value; })
          .observe({type: "layout-shift", buffered: true});
        setTimeout(() => done(sum), 500);""")
    assert shift == 0, shift
    style = person.get("/portal/assets/portal.css")
    again = person.get("/portal/assets/portal.css", headers={"If-None-Match": style.headers["ETag"]})
    assert again.status_code == 304 and not again.content


def test_each_language_has_every_word(server):
    assert set(WORDS["sv"]) == set(WORDS["en"])
    used = set()
    for name in os.listdir(os.path.join(ROOT, "web")):
        if name.endswith(".html") and not name.startswith(("receipt.", "export.", "console_")):
            with open(os.path.join(ROOT, "web", name), encoding="utf-8") as file:
                used |= set(re.findall(r"{{[#^/]?t\.(\w+)}}", file.read()))
    assert used <= set(WORDS["sv"]), used - set(WORDS["sv"])
    with open(os.path.join(ROOT, "src", "permit", "reason.c"), encoding="utf-8") as file:
        reasons = set(re.findall(r'= \{"(\w+)"', file.read()))
    assert len(reasons) > 15
    for reason in reasons:
        assert "reason_" + reason in WORDS["sv"], reason
    policy = server.admin.get(server.url + "/v1/policy", timeout=20).json()
    for law in policy["laws"]:
        for refusal in law["refusals"]:
            assert "refusal_" + refusal["reason"] in WORDS["sv"], refusal
        for deadline in law["deadlines"]:
            for word in ("right_", "right_what_", "right_next_"):
                assert word + deadline["right"] in WORDS["sv"], deadline
