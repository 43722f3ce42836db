"""The console: staff sign in, see what their role is for, and do it; in both languages, on a phone and a
desk, with and without JavaScript."""

import html
import json
import os
import re

import pytest
from selenium.webdriver.common.virtual_authenticator import VirtualAuthenticatorOptions

from desk import ROLES, Staff, activities, invite_staff, propose, propose_read
from portal import DESKTOP, PASSWORD, PHONE, PURCHASE, ROOT, Person, lov, question
from test_portal import axe

WORDS = {}
for language in ("sv", "en"):
    WORDS[language] = {}
    for name in ("portal", "console"):
        with open(os.path.join(ROOT, "web", f"{name}.{language}.json"), encoding="utf-8") as file:
            WORDS[language].update(json.load(file))


def use(server, consumer="00001", session=None):
    body = question(consumer)
    body["context"] = {"record": True}
    return (session or server.marketing).post(server.url + "/access/v1/evaluation", json=body, timeout=20)


def events(server, kind):
    """Those of a kind, oldest first."""
    found, after = [], -1
    while after is not None:
        answer = server.admin.get(f"{server.url}/v1/events?limit=1000&after={after}", timeout=20).json()
        found += [event for event in answer["items"] if event["kind"] == kind]
        after = answer["next"]
    return found


@pytest.fixture(scope="module")
def officer(server):
    return Staff(server, "privacy_officer,admin,auditor,support", departments="customer_service")


# ---- coming in ----


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("language", ["sv", "en"])
def test_a_member_of_staff_comes_in_and_leaves(server, open_browser, language, size, script):
    words = WORDS[language]
    login = f"in-{language}-{size[0]}-{script}@example.com"
    link = invite_staff(server, "Åsa Öberg", "support,auditor")
    browser = open_browser(size, script, language).open(server.url + link["path"])
    assert "Åsa Öberg" in browser.find(".lead").text
    for name, value in (("name", login), ("password", PASSWORD), ("again", PASSWORD)):
        browser.find("#" + name).send_keys(value)
    browser.find("form.stack button").click()
    browser.wait(lambda b: b.driver.current_url.endswith("/console/sign-in"))
    for name, value in (("name", login.upper()), ("password", PASSWORD)):
        browser.find("#" + name).send_keys(value)
    browser.find("form.stack button").click()
    browser.wait(lambda b: b.find(".desk"))
    assert browser.find("h1").text == words["desk_today"]
    assert words["role_support"] in browser.find(".desk").text
    # They work in one role at a time.
    browser.find("#role option[value=auditor]").click()
    browser.find(".desk button").click()
    browser.wait(lambda b: words["role_auditor"] in b.find(".desk p").text)
    browser.find("form[action='/console/sign-out'] button").click()
    browser.wait(lambda b: b.driver.current_url.endswith("/console/sign-in"))
    browser.open(server.url + "/console")
    assert browser.driver.current_url.endswith("/console/sign-in")
    actors = [event["actor"] for event in events(server, "staff.sign_in")]
    assert f"staff:support/{link['id']}" in actors and f"staff:auditor/{link['id']}" in actors


def test_who_has_a_passkey_shows_both(server, open_browser):
    url = server.url.replace("127.0.0.1", "localhost")
    browser = open_browser()
    options = VirtualAuthenticatorOptions()
    options.has_resident_key = options.has_user_verification = options.is_user_verified = True
    browser.driver.add_virtual_authenticator(options)
    link = invite_staff(server, "Per Nyckel", "auditor")

    def enter(path, again=False):
        browser.open(url + path)
        fields = [("name", "per@example.com"), ("password", PASSWORD)] + ([("again", PASSWORD)] if again else [])
        for name, value in fields:
            browser.find("#" + name).send_keys(value)
        browser.find("form.stack button").click()

    enter(link["path"], again=True)
    browser.wait(lambda b: b.driver.current_url.endswith("/console/sign-in"))
    enter("/console/sign-in")
    browser.wait(lambda b: b.find(".desk"))
    browser.open(url + "/console/account")
    button = browser.wait(lambda b: b.find("form.passkey.ready button"))
    browser.run("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    browser.wait(lambda b: b.find("form[action$='/end'][action*='passkeys'] button"), "the passkey in the list")
    browser.find("form[action='/console/sign-out'] button").click()
    browser.wait(lambda b: b.driver.current_url.endswith("/console/sign-in"))
    enter("/console/sign-in?next=/console/account")
    browser.wait(lambda b: "/console/second" in b.driver.current_url)
    # The password alone opens nothing.
    for path in ("/console", "/console/account"):
        browser.open(url + path)
        assert "/console/second" in browser.driver.current_url
    browser.open(url + "/console/second?next=/console/account")
    browser.wait(lambda b: b.find("form.passkey.ready button")).click()
    browser.wait(lambda b: b.driver.current_url == url + "/console/account")
    browser.wait(lambda b: b.find("form[action$='/end'][action*='passkeys'] button"))


def test_staff_whose_training_has_lapsed_are_kept_out_until_it_is_renewed(made, tmp_path):
    import subprocess
    from portal import Server
    folder = tmp_path / "lov"
    subprocess.run(["cp", "-a", str(made), str(folder)], check=True)
    server = Server(folder, "--training-url", "https://training.example.com/privacy")
    try:
        for trained, said in (("2026-01-31", "31 January 2026"), (None, WORDS["en"]["training_none"])):
            staff = Staff(server, "admin", trained=trained)
            for path in ("/console", "/console/account", "/console/nowhere"):
                answer = staff.get(path)
                assert answer.status_code == 403
                assert said in answer.text and 'href="https://training.example.com/privacy"' in answer.text
            csrf = re.search(r'name="csrf" value="([^"]+)"', answer.text)[1]
            assert staff.post("/console/account/sessions/end-others", csrf=csrf).status_code == 403
            lov("staff", "training", staff.id, "--until", "2031-05-31", "--dir", folder)
            assert "31 May 2031" in staff.page("/console/account")
            assert staff.send("/console/sign-out").status_code == 303
            assert staff.get("/console").status_code == 303
    finally:
        server.stop()


def test_sessions_are_listed_and_ended(server):
    staff = Staff(server, "auditor")
    stolen = dict(staff.http.cookies)
    assert staff.sign_in().status_code == 303
    import requests

    def still(cookies):
        return requests.get(server.url + "/console", cookies=cookies, timeout=20, allow_redirects=False).status_code

    assert still(stolen) == 303  # this browser's old session ended
    twin = Staff.__new__(Staff)
    twin.__dict__.update(staff.__dict__)
    twin.http = requests.Session()
    assert twin.sign_in().status_code == 303
    ids = re.findall(r"/account/sessions/([0-9a-f]{32})/end", staff.page("/console/account"))
    assert len(ids) == 1
    assert staff.send(f"/console/account/sessions/{ids[0]}/end").status_code == 303
    assert twin.get("/console").status_code == 303
    assert twin.sign_in().status_code == 303
    assert staff.send("/console/account/sessions/end-others").status_code == 303
    assert twin.get("/console").status_code == 303 and staff.get("/console").status_code == 200


def test_who_is_disabled_is_out_at_once(server):
    staff = Staff(server, "auditor")
    lov("staff", "disable", staff.id, "--dir", server.folder)
    assert staff.get("/console").headers["Location"].startswith("/console/sign-in")
    assert staff.sign_in().status_code == 401


def test_a_new_link_changes_the_password_and_ends_sessions(server):
    staff = Staff(server, "auditor")
    path = json.loads(lov("staff", "link", staff.id, "--dir", server.folder, "--json"))["path"]
    csrf = re.search(r'name="csrf" value="([^"]+)"', staff.get(path).text)[1]
    new = PASSWORD + " nytt"
    assert staff.post(path, csrf=csrf, name=staff.login, password=new, again=new).status_code == 303
    assert staff.get("/console").status_code == 303
    assert staff.sign_in().status_code == 401
    assert staff.sign_in(password=new).status_code == 303
    assert staff.get(path).status_code == 410


# ---- today ----


def test_today_shows_what_the_api_counts(server, officer):
    use(server, "00003", server.session("--recipient", "marketing"))
    overview = server.admin.get(server.url + "/v1/overview", timeout=20).json()
    page = officer.page("/console")
    uses = overview["uses"]["days"][-1]
    assert uses["permitted"] + uses["denied"] >= 1
    assert re.search(rf'<td class="number">{uses["permitted"]}</td><td class="number">{uses["denied"]}</td></tr></tbody>',
                     page)
    for activity in overview["activities"]:
        assert f'<td class="number">{activity["permitted"]}</td>' in page
    shown = sum(int(n) for n in re.findall(r"<dd>(\d+)</dd></div>", page.split("uses_title")[0])[:2])
    assert shown >= 1


def test_today_is_cut_to_the_role(server):
    for role in ROLES:
        page = Staff(server, role).page("/console")
        assert ('id="due"' in page) == (role in ("admin", "privacy_officer", "support", "auditor")), role
        assert 'id="rates"' in page


# ---- policy ----


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_a_policy_is_proposed_by_one_and_approved_by_another(server, open_browser, tmp_path, size, script):
    one, two = Staff(server, "privacy_officer", name="Ett Ombud"), Staff(server, "privacy_officer,admin", name="Två Ombud")
    file = tmp_path / "activities.yaml"
    days = 500 + size[0] % 100 + script
    file.write_text(activities(days), encoding="utf-8")
    browser = open_browser(size, script).become(one).open(server.url + "/console/policy")
    browser.find("a[href='/console/policy/propose']").click()
    browser.find("#files").send_keys(str(file))
    browser.find("form.stack button").click()
    browser.wait(lambda b: "/console/policy/proposals/" in b.driver.current_url)
    here = browser.driver.current_url
    assert f"→ {days} days" in browser.find(".change").text
    assert not browser.all("form[action$='/approve']") and browser.all("form[action$='/reject']")
    browser.become(two).open(here)
    assert "Ett Ombud" in browser.find(".facts").text
    button = browser.find("form[action$='/approve'] button")
    browser.run("arguments[0].scrollIntoView({block: 'center'})", button) if script else None
    button.click()
    browser.wait(lambda b: WORDS["en"]["proposal_applied"] in b.find(".facts").text)
    assert "Två Ombud" in browser.find(".facts").text
    activity = server.admin.get(server.url + "/v1/policy", timeout=20).json()["activities"]
    assert days in [a["retention_days"] for a in activity]


def test_nobody_approves_their_own_policy_in_any_role(server):
    staff = Staff(server, "privacy_officer,admin")
    page = propose(staff, 612)
    proposal = re.search(r'name="hash" value="([0-9a-f]{64})"', staff.page(page))
    assert proposal is None
    hash_ = re.search(r"<code>([0-9a-f]{64})</code>", staff.page(page))[1]
    assert staff.send(page + "/approve", hash=hash_).status_code == 403
    assert staff.send("/console/role", role="admin").status_code == 303
    answer = staff.send(page + "/approve", hash=hash_)
    assert answer.status_code == 403 and "somebody else has to approve it" in answer.text
    assert staff.send(page + "/reject").status_code == 303
    assert WORDS["en"]["proposal_rejected"] in staff.page(page)


def test_what_is_wrong_with_a_proposal_is_shown_with_file_and_line(server):
    staff = Staff(server, "privacy_officer")
    good = activities(400).replace("purpose: personal_offers", "purpose: no_such_purpose", 1)
    answer = staff.post("/console/policy/propose", csrf=staff.token(),
                        files=[("files", ("activities.yaml", good.encode(), "text/yaml"))])
    assert answer.status_code == 422
    assert re.search(r"<code>activities.yaml:\d+</code>", answer.text) and "no_such_purpose" in answer.text
    for files in ([("files", ("", b"", "text/yaml"))], [("files", ("x.exe", b"MZ", "text/plain"))],
                  [("files", ("policy.zip", b"PK\x03\x04 broken", "application/zip"))]):
        answer = staff.post("/console/policy/propose", csrf=staff.token(), files=files)
        assert answer.status_code == 422 and 'role="alert"' in answer.text, files


def test_the_files_in_force_are_downloaded_and_proposed_as_an_archive(server):
    import io
    import zipfile
    staff = Staff(server, "privacy_officer")
    archive = staff.get("/console/policy/files").content
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(changed, "w") as new:
        assert "controller.yaml" in old.namelist()
        for name in old.namelist():
            text = old.read(name)
            new.writestr("my-policy/" + name, re.sub(rb"retention: \d+", b"retention: 777", text, count=1)
                         if name == "activities.yaml" else text)
        new.writestr("README.txt", "not a policy file")
    answer = staff.post("/console/policy/propose", csrf=staff.token(),
                        files=[("files", ("policy.zip", changed.getvalue(), "application/zip"))])
    assert answer.status_code == 303, answer.text
    assert "777 days" in staff.page(answer.headers["Location"])


def test_what_a_proposal_changes_is_told_in_the_language_of_the_page(server):
    staff = Staff(server, "privacy_officer", language="sv")
    text = activities(555).replace("{gdpr: consent, ccpa: opt_out}", "{gdpr: consent, ccpa: consent}", 1)
    answer = staff.post("/console/policy/propose", csrf=staff.token(),
                        files=[("files", ("activities.yaml", text.encode(), "text/yaml"))])
    assert answer.status_code == 303, answer.text
    page = staff.page(answer.headers["Location"])
    [activity] = re.findall(r"<article class=\"card change\"><h3>Ändrat: aktivitet.*?</article>", page, re.S)
    told = [re.sub(r"<[^>]+>", "", one) for one in re.findall(r"<li>(.*?)</li>", activity, re.S)]
    # 365 days, or what an earlier test has put in force.
    assert any(re.fullmatch(r"Bevaras: \d+ → 555 dagar", one) for one in told), told
    assert any(one.startswith("Rättslig grund (") and one.endswith("Tillåtet tills någon säger nej → Samtycke")
               for one in told), told
    assert " -&gt; " not in page and " days" not in page and "retention" not in page


def test_all_that_may_differ_has_a_word_in_each_language():
    found = set()
    for name in os.listdir(os.path.join(ROOT, "src", "policy")):
        if name.startswith("diff"):
            with open(os.path.join(ROOT, "src", "policy", name), encoding="utf-8") as source:
                found |= set(re.findall(r'(?:diff_(?:str|int|bool|end|day|names|text)|detail_(?:set|is|is_int|add))\('
                                        r'[^"();]*"([a-z_.]+)"', source.read()))
    assert {"retention", "basis", "kept", "deadline", "range", "utc_offsets_west", "text"} <= found
    for language in ("en", "sv"):
        missing = [field for field in found if f"diff_{field}" not in WORDS[language]]
        assert not missing, (language, missing)


# ---- requests ----


def ask(server, consumer, right, detail="Please.", **more):
    answer = server.admin.post(server.url + "/v1/requests", timeout=20, json={
        "consumer": consumer, "right": right, "channel": "web", "detail": detail, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def click(browser, css):
    button = browser.find(css)
    try:
        browser.run("arguments[0].scrollIntoView({block: 'center'})", button)
    except Exception:  # noqa: BLE001 without JavaScript the browser scrolls by itself
        pass
    button.click()


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
@pytest.mark.parametrize("size,language", [(PHONE, "sv"), (DESKTOP, "en")], ids=["phone-sv", "desktop-en"])
def test_a_request_is_taken_from_step_to_step(server, open_browser, size, language, script):
    words = WORDS[language]
    consumer = f"{20 + size[0] % 7 * 2 + script:05d}"
    request = ask(server, consumer, "restriction", "Inte mer nu.")
    staff = Staff(server, "support", language=language)
    browser = open_browser(size, script, language).become(staff).open(server.url + "/console/requests")
    click(browser, f"a[href='/console/requests/{request}']")
    browser.wait(lambda b: words["right_restriction"] in b.find("h1").text)
    assert not browser.all(".written")  # support does not read what is sealed
    for step, note in (("verify-identity", "Legitimation i butiken"), ("fulfil", "Klart.")):
        details = browser.find(f"form[action$='/{step}']").find_element("xpath", "ancestor::details/summary")
        details.click()
        browser.find(f"#note-{step}").send_keys(note)
        click(browser, f"form[action$='/{step}'] button")
        browser.wait(lambda b: not b.all(f"form[action$='/{step}']"))
    assert words["state_fulfilled"] in browser.find(".facts").text
    assert words["steps_none"] in browser.find(".steps").text
    assert staff.name in browser.find("#timeline + ul").text
    assert server.admin.get(f"{server.url}/v1/consumers/{consumer}", timeout=20).json()["restricted"]
    done = [e for e in events(server, "request.fulfil") if e["request"] == request]
    assert done[0]["actor"] == f"staff:support/{staff.id}"


def test_the_queue_is_by_deadline_and_a_refusal_has_a_reason_of_the_law(server, officer):
    first, second = ask(server, "00031", "rectification"), ask(server, "00031", "portability")
    page = officer.page("/console/requests")
    due = [page.index(f'"/console/requests/{r}"') for r in (first, second)]
    assert due == sorted(due)
    officer.send(f"/console/requests/{first}/verify-identity", note="shown")
    shown = officer.page(f"/console/requests/{first}")
    reasons = set(re.findall(r'name="reason" value="(\w+)"', shown))
    assert "data_is_accurate" in reasons and "no_ground_for_erasure" not in reasons
    assert "Please." in shown and "shown" in shown
    for fields, said in (({}, "problem_unknown_reason"), ({"reason": "because"}, "problem_unknown_reason")):
        answer = officer.send(f"/console/requests/{first}/refuse", note="x", **fields)
        assert answer.status_code in (400, 422) and WORDS["en"][said] in answer.text
    answer = officer.send(f"/console/requests/{first}/extend")
    assert answer.status_code == 400 and WORDS["en"]["problem_note_required"] in answer.text
    assert officer.send(f"/console/requests/{first}/extend", note="Many.").status_code == 303
    assert officer.send(f"/console/requests/{first}/refuse", reason="data_is_accurate", note="It is.").status_code == 303
    assert WORDS["en"]["refusal_data_is_accurate"] in officer.page(f"/console/requests/{first}")
    assert officer.send(f"/console/requests/{first}/fulfil").status_code == 409
    assert f'"/console/requests/{first}"' in officer.page("/console/requests?state=refused")


def test_erasing_is_for_officers_and_tells_who_had_the_data(server, officer):
    consumer = "00036"
    from test_portal import consented
    consented(server, consumer)
    assert use(server, consumer).json()["decision"]
    request = ask(server, consumer, "erasure")
    support = Staff(server, "support")
    assert support.send(f"/console/requests/{request}/verify-identity", note="ok").status_code == 303
    assert f"/{request}/fulfil" not in support.page(f"/console/requests/{request}")
    assert support.send(f"/console/requests/{request}/fulfil").status_code == 403
    assert officer.send(f"/console/requests/{request}/fulfil").status_code == 303
    page = officer.page(f"/console/requests/{request}")
    assert WORDS["en"]["consumer_gone"] in page and WORDS["en"]["heard_not"] in page
    told = [n for n in server.marketing.get(server.url + "/v1/notifications", timeout=20).json()["items"]
            if n["request"] == request][0]
    assert server.marketing.post(f"{server.url}/v1/notifications/{told['id']}/acknowledge", timeout=20).ok
    assert WORDS["en"]["heard_at"] in officer.page(f"/console/requests/{request}")


def test_an_erasure_of_one_kind_of_data_says_which_and_takes_no_more(server, officer):
    records = f"{server.url}/v1/consumers/00035/records/purchases"
    request = ask(server, "00035", "erasure", categories=["purchases"])
    assert officer.send(f"/console/requests/{request}/verify-identity", note="ok").status_code == 303
    page = officer.page(f"/console/requests/{request}")
    assert f"<dt>{WORDS['en']['request_only']}</dt><dd>Purchases" in page
    assert WORDS["en"]["fulfil_erasure_some"] in page and WORDS["en"]["fulfil_erasure"] not in page
    assert officer.send(f"/console/requests/{request}/fulfil").status_code == 303
    page = officer.page(f"/console/requests/{request}")
    assert WORDS["en"]["state_fulfilled"] in page and WORDS["en"]["consumer_gone"] not in page
    query = {"purpose": "customer_support", "recipient": "customer_service"}
    assert server.admin.get(records, params=query, timeout=20).json()["items"] == []


def test_a_request_by_phone_is_recorded(server):
    staff = Staff(server, "support")
    answer = staff.send("/console/requests", consumer="00037", right="access", channel="phone", detail="On the phone")
    assert answer.status_code == 303
    assert WORDS["en"]["channel_phone"] in staff.page(answer.headers["Location"])
    for fields, status in (({"consumer": "nobody"}, 404), ({"right": "everything"}, 422), ({"consumer": ""}, 400),
                           ({"channel": "pigeon!"}, 400)):
        answer = staff.send("/console/requests", **{"consumer": "00037", "right": "access", "channel": "phone", **fields})
        assert answer.status_code == status and 'role="alert"' in answer.text, (fields, answer.status_code)


# ---- recipients ----


def test_recipients_are_shown_with_what_binds_them_and_what_they_did(server, officer):
    use(server, "00005")
    uses = server.admin.get(server.url + "/v1/uses", timeout=20).json()["items"]
    mine = [u for u in uses if u["recipient"] == "marketing"]
    page = officer.page("/console/recipients/marketing")
    for one in mine:
        assert f'<dt>{WORDS["en"]["uses_denied"]}</dt><dd>{one["refused"]}</dd>' in page
        for reason, count in one["denied"].items():
            assert f'<dt>{WORDS["en"]["reason_" + reason]}</dt><dd>{count}</dd>' in page
    policy = server.admin.get(server.url + "/v1/policy", timeout=20).json()
    whole = officer.page("/console/recipients")
    for recipient in policy["recipients"]:
        assert f'/console/recipients/{recipient["id"]}"' in whole
        assert officer.page(f'/console/recipients/{recipient["id"]}')
    assert WORDS["en"]["bond_contract"] in officer.page("/console/recipients/adnord")
    assert officer.get("/console/recipients/nobody").status_code == 404


# ---- consumers ----


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
@pytest.mark.parametrize("size,language", [(PHONE, "sv"), (DESKTOP, "en")], ids=["phone-sv", "desktop-en"])
def test_a_look_is_cut_to_the_purpose_and_shown_to_the_consumer(server, open_browser, size, language, script):
    words = WORDS[language]
    person = Person(server, f"{40 + 2 * (size == PHONE) + script:05d}", language=language)
    for category, data in (("purchases", PURCHASE), ("contact", {"source": "crm", "data": {
            "name": "Eva Ek", "email": "eva@example.com"}})):
        answer = server.admin.post(f"{server.url}/v1/consumers/{person.consumer}/records/{category}", json=data, timeout=20)
        assert answer.status_code == 201, answer.text
    staff = Staff(server, "support", departments="customer_service", language=language)
    browser = open_browser(size, script, language).become(staff).open(server.url + "/console/consumers")
    browser.find("#consumer").send_keys(person.consumer)
    browser.find("#activity option[value=customer_support_by_customer_service]").click()
    click(browser, "form.stack button")
    browser.wait(lambda b: b.find("#records"))
    assert "Eva Ek" in browser.find("main").text and person.consumer in browser.find("#facts").text
    if script:
        assert axe(browser) == []
        width = browser.run("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert width[0] <= width[1]
    history = server.admin.get(f"{server.url}/v1/consumers/{person.consumer}/history?limit=1000", timeout=20).json()
    mine = [e for e in history["items"] if e["actor"] == f"staff:support/{staff.id}"]
    kinds = [e["kind"] for e in mine]
    assert kinds[0] == "staff.look" and "access" in kinds
    assert {(e["recipient"], e["purpose"]) for e in mine} == {("customer_service", "customer_support")}
    activity = html.unescape(person.page("/portal/activity"))
    assert words["event_staff.look"] in activity and words["actor_staff"] in activity


def test_what_a_consumer_does_not_permit_is_not_shown(server):
    person = Person(server, "00048")
    assert server.admin.post(f"{server.url}/v1/consumers/00048/records/contact", timeout=20, json={
        "source": "crm", "data": {"name": "Nej Tack", "email": "nej@example.com"}}).status_code == 201
    assert server.admin.put(f"{server.url}/v1/consumers/00048", json={"restricted": True}, timeout=20).ok
    staff = Staff(server, "support", departments="customer_service,marketing")
    for activity in ("customer_support_by_customer_service", "personal_offers_by_marketing"):
        page = staff.send("/console/consumers", consumer="00048", activity=activity).text
        assert "Nej Tack" not in page and WORDS["en"]["reason_restricted"] in page
    assert WORDS["en"]["event_access.denied"] in person.page("/portal/activity")


def test_whoever_is_not_there_is_not_found_and_nothing_is_recorded(server):
    staff = Staff(server, "support")
    before = server.state()
    for consumer in ("nobody", "", "x" * 200, "00001'; drop table consumer; --"):
        answer = staff.send("/console/consumers", consumer=consumer, activity="")
        assert answer.status_code == 404 and WORDS["en"]["problem_unknown_consumer"] in answer.text
    assert server.state() == before


# ---- the log ----


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
@pytest.mark.parametrize("size,language", [(PHONE, "sv"), (DESKTOP, "en")], ids=["phone-sv", "desktop-en"])
def test_the_log_is_searched_and_an_event_proven(server, open_browser, size, language, script):
    use(server, "00006")
    staff = Staff(server, "auditor", language=language)
    browser = open_browser(size, script, language).become(staff).open(server.url + "/console/log")
    browser.find("#kind option[value='staff.']").click()
    click(browser, ".search-log button")
    browser.wait(lambda b: b.find("#kind option[value='staff.']").is_selected() and b.all(".rows li"))
    kinds = {row.text for row in browser.all(".rows li strong")}
    assert kinds and all(kind.startswith("staff.") for kind in kinds)
    lov("log", "checkpoint", "--dir", server.folder)
    click(browser, ".rows li > a")
    browser.wait(lambda b: b.find(".note.done"))
    assert WORDS[language]["log_proven"] in browser.find(".note.done").text


def test_searches_are_cut_by_day_kind_recipient_and_consumer(server):
    staff = Staff(server, "auditor")
    use(server, "00007")

    def found(**fields):
        answer = staff.send("/console/log", **{"from": "", "to": "", "kind": "", "recipient": "", "consumer": "", **fields})
        assert answer.status_code == 200, answer.text
        return [int(n) for n in re.findall(r'href="/console/log/(\d+)"', answer.text)]

    everything = []
    after = -1
    while after is not None:
        page = server.admin.get(f"{server.url}/v1/events?limit=1000&after={after}", timeout=20).json()
        everything += page["items"]
        after = page["next"]
    today = everything[-1]["at"][:10]
    assert found(**{"from": today, "kind": "access"}) == [
        e["seq"] for e in everything if e["kind"] == "access" and e["at"][:10] == today][:50]
    assert found(to="2001-01-01") == [] and found(**{"from": "2100-01-01"}) == []
    assert found(recipient="marketing", kind="consent.")[:10] == [
        e["seq"] for e in everything if e["kind"].startswith("consent.") and e.get("recipient") == "marketing"][:10]
    before = len(events(server, "staff.look"))
    seen = found(consumer="00007")
    assert seen == [e["seq"] for e in everything if e["consumer"] == "00007"][:len(seen) - 1] + [seen[-1]]
    assert len(events(server, "staff.look")) == before + 1
    answer = staff.send("/console/log", consumer="nobody")
    assert answer.status_code == 404 and WORDS["en"]["problem_unknown_consumer"] in answer.text
    # The next page goes on where this one ends.
    page = staff.send("/console/log", **{"from": "2000-01-01"}).text
    after = re.search(r'name="after" value="(\d+)"', page)[1]
    more = staff.send("/console/log", **{"from": "2000-01-01", "after": after}).text
    one, two = (re.findall(r'href="/console/log/(\d+)"', p) for p in (page, more))
    assert len(one) == 50 and int(two[0]) == int(one[-1]) + 1


def test_a_file_for_a_regulator_is_whole_and_recorded(server):
    staff = Staff(server, "auditor")
    answer = staff.send("/console/log/export", kind="policy.")
    assert answer.status_code == 200 and "attachment" in answer.headers["Content-Disposition"]
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [e["seq"] for e in lines[:-1]] == [
        e["seq"] for kind in ("policy.apply", "policy.propose", "policy.approve", "policy.reject")
        for e in events(server, kind)] or sorted(e["seq"] for e in lines[:-1]) == [e["seq"] for e in lines[:-1]]
    assert lines[-1]["complete"] and lines[-1]["log"]
    made = events(server, "log.export")[-1]
    assert made["actor"] == f"staff:auditor/{staff.id}" and made["kinds"] == "policy."
    whole = staff.send("/console/log/export", **{"from": "2000-01-01"}).text.splitlines()
    assert len(whole) > 300 and json.loads(whole[0])["seq"] == 0


# ---- reports ----


def pdf_text(content, tmp_path):
    import subprocess
    (tmp_path / "report.pdf").write_bytes(content)
    return subprocess.run(["pdftotext", "-layout", tmp_path / "report.pdf", "-"], capture_output=True, text=True,
                          check=True).stdout


def test_the_record_of_processing_has_every_activity_as_page_and_as_pdf(server, tmp_path):
    staff = Staff(server, "auditor")
    policy = server.admin.get(server.url + "/v1/policy", timeout=20).json()
    page = html.unescape(staff.page("/console/reports/processing"))
    answer = staff.get("/console/reports/processing?format=pdf")
    assert answer.headers["Content-Type"] == "application/pdf" and answer.content.startswith(b"%PDF-")
    text = " ".join(pdf_text(answer.content, tmp_path).split())
    labels = {kind: {one["id"]: one["label"]["en"] for one in policy[kind]} for kind in ("purposes", "recipients")}
    for activity in policy["activities"]:
        heading = f'{labels["purposes"][activity["purpose"]]} – {labels["recipients"][activity["recipient"]]}'
        assert heading in page and heading in text, heading
    assert policy["controller"]["name"] in text


def test_response_times_are_counted(server, officer, tmp_path):
    request = ask(server, "00039", "access")
    before = {i["right"]: i for i in server.admin.get(server.url + "/v1/response-times", timeout=20).json()["items"]}
    for step, fields in (("verify-identity", {"note": "x"}), ("fulfil", {"note": "Because."})):
        assert officer.send(f"/console/requests/{request}/{step}", **fields).status_code == 303
    after = {i["right"]: i for i in server.admin.get(server.url + "/v1/response-times", timeout=20).json()["items"]}
    one, two = before["access"], after["access"]
    assert two["fulfilled"] == one["fulfilled"] + 1 and two["waiting"] == one["waiting"] - 1
    assert two["in_time"] == one["in_time"] + 1 and two["median_hours"] == 0
    page = officer.page("/console/reports/response-times")
    assert WORDS["en"]["right_access"] in page
    text = pdf_text(officer.get("/console/reports/response-times?format=pdf").content, tmp_path)
    assert WORDS["en"]["right_access"] in text
    assert officer.get("/console/reports/nothing").status_code == 404


# ---- every page ----


def pages(officer):
    """Every page of the console that a privacy officer reaches."""
    if not hasattr(officer, "proposal"):
        officer.proposal = propose(Staff(officer.server, "admin"), 431)
        officer.read = propose_read(Staff(officer.server, "admin"), why="x" * 300)
        officer.request = ask(officer.server, "00034", "rectification", "x" * 300)
    return ["/console", "/console/reports", "/console/reports/processing", "/console/reports/consents",
            "/console/reports/response-times", "/console/log", "/console/log/0", "/console/log/340", "/console/consumers", "/console/recipients", "/console/recipients/adnord", "/console/recipients/nyhandel",
            "/console/requests", f"/console/requests/{officer.request}", "/console/reads", officer.read, "/console/policy", "/console/policy/propose", officer.proposal, "/console/account",
            "/console/nowhere"]


@pytest.mark.parametrize("size,dark,language", [(PHONE, True, "sv"), (DESKTOP, False, "en"), (PHONE, False, "en"),
                                                (DESKTOP, True, "sv")],
                         ids=["phone-dark-sv", "desktop-light-en", "phone-light-en", "desktop-dark-sv"])
def test_axe_finds_nothing_on_any_page_of_the_console(server, officer, open_browser, size, dark, language):
    use(server)
    browser = open_browser(size, language=language, dark=dark)
    untrained = Staff(server, "support", trained="2026-01-31")
    wrong = {}
    everything = [(None, ["/console/sign-in", invite_staff(server)["path"], "/console/welcome/used"]),
                  (untrained, ["/console"]), (officer, pages(officer))]
    for who, paths in everything:
        if who:
            browser.become(who)
        for path in paths:
            found = axe(browser.open(server.url + path))
            if found:
                wrong[path] = found
            width = browser.run("return [document.documentElement.scrollWidth, window.innerWidth]")
            assert width[0] <= width[1], f"{path} is wider than the window: {width}"
            assert [e for e in browser.errors() if not re.search("40[34]|410", e)] == []
            origins = browser.run("return performance.getEntriesByType('resource').map(e => new URL(e.name).origin)")
            assert set(origins) <= {server.url}
    assert wrong == {}


def test_pages_of_the_console_fit_at_twice_the_size(server, officer, open_browser):
    browser = open_browser((320, 480)).become(officer)
    for path in pages(officer):
        browser.open(server.url + path)
        measured = browser.run("return document.documentElement.scrollWidth")
        assert measured <= 320, (path, measured)


def test_each_language_has_every_word_of_the_console():
    assert set(WORDS["sv"]) == set(WORDS["en"])
    used = set()
    for name in os.listdir(os.path.join(ROOT, "web")):
        if name.startswith("console_") and name.endswith(".html"):
            with open(os.path.join(ROOT, "web", name), encoding="utf-8") as file:
                used |= set(re.findall(r"{{[#^/]?t\.(\w+)}}", file.read()))
    for name in os.listdir(os.path.join(ROOT, "src", "web")):
        if name.startswith("console_") and name.endswith(".c"):
            with open(os.path.join(ROOT, "src", "web", name), encoding="utf-8") as file:
                used |= set(re.findall(r'word\(&?v, "(\w+)"\)', file.read()))
    for role in ROLES:
        used.add("role_" + role)
    assert used <= set(WORDS["sv"]), used - set(WORDS["sv"])
