"""The portal against those who would misuse it: forms from elsewhere, hostile names, other people's
objects, planted sessions, frames, redirects, and guessing who has an account."""

import html
import json
import os
import re
import shutil
import subprocess

import pytest
import requests

from portal import PASSWORD, ROOT, Person, Server, hidden, invite, lov, make_demo, question, token

OFFERS = "personal_offers_by_marketing"
HOSTILE = "\"'><script>window.hit=1</script><img src=x onerror=window.hit=1>{{csrf}}"


def use(server, consumer):
    body = question(consumer)
    body["context"] = {"record": True}
    assert server.marketing.post(server.url + "/access/v1/evaluation", json=body, timeout=20).ok


def posts(person, event, session="00" * 16):
    """Every form of a signed-in consumer: path and fields without the token."""
    fields = {k: v for k, v in person.choice(OFFERS).items() if k != "csrf"}
    return {
        f"/portal/choices/{OFFERS}": {**fields, "answer": "no"},
        f"/portal/activity/{event}/complaint": {"text": "not right"},
        "/portal/sign-out": {"x": "1"}, "/portal/prove": {"password": PASSWORD},
        f"/portal/account/sessions/{session}/end": {"x": "1"}, "/portal/account/sessions/end-others": {"x": "1"},
        "/portal/account/act": {"person": "00001"}, "/portal/ask/erasure": {"text": "all"},
        f"/portal/data/issues/{'00' * 16}": {"answer": "confirm"},
        "/portal/ask/objection": {"text": ""}, f"/portal/requests/{'00' * 16}/withdraw": {"x": "1"},
    }


def first_event(person):
    use(person.server, person.consumer)
    return re.search(r"/portal/why/(\d+)", person.page("/portal/activity?q="))[1]


# ---- forms from elsewhere ----


def test_no_form_is_taken_without_the_token_of_its_session(server, person):
    other = Person(server, "00040")
    event = first_event(person)
    before = server.state()
    good = token(person.page("/portal/choices"))
    for path, fields in posts(person, event).items():
        for wrong in ({}, {"csrf": ""}, {"csrf": token(other.page("/portal/choices"))}, {"csrf": good[:-1]},
                      {"csrf": good + "A"}):
            answer = person.post(path, **{**fields, **wrong})
            assert answer.status_code == 403, (path, wrong)
        for origin in ("https://evil.example", "null", server.url.replace("http", "https") + ".evil.example"):
            answer = person.post(path, headers={"Origin": origin}, **{**fields, "csrf": good})
            assert answer.status_code == 403, (path, origin)
    assert server.state() == before
    assert person.post(f"/portal/choices/{OFFERS}", headers={"Origin": server.url},
                       **{**posts(person, event)[f"/portal/choices/{OFFERS}"], "csrf": good}).status_code == 303


def test_forms_before_sign_in_have_a_token_too(server):
    person = requests.Session()
    page = person.get(server.url + "/portal/sign-in", timeout=20)
    for fields in ({}, {"csrf": "x"}, {"csrf": token(requests.get(server.url + "/portal/sign-in", timeout=20).text)}):
        answer = person.post(server.url + "/portal/sign-in", timeout=20,
                             data={"name": "a", "password": "b", **fields})
        assert answer.status_code == 403
    path = invite(server, "00041")
    answer = person.post(server.url + path, timeout=20,
                         data={"name": "eve", "password": PASSWORD, "again": PASSWORD})
    assert answer.status_code == 403
    assert person.get(server.url + path, timeout=20).status_code == 200
    assert token(page.text)


# ---- hostile text ----


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A company whose policy, consumer and account have hostile names."""
    folder = tmp_path_factory.mktemp("hostile")
    policy = folder / "policy"
    shutil.copytree(os.path.join(ROOT, "policy"), policy)
    name = HOSTILE.replace("\\", "").replace('"', "'")
    for file, old in (("purposes.yaml", "Customer support"), ("recipients.yaml", "Nordhandel's accounting department"),
                      ("purposes.yaml", "We help you with your orders when you contact us.")):
        path = policy / file
        path.write_text(path.read_text(encoding="utf-8").replace(f"en: {old}", f'en: "{name}"'), encoding="utf-8")
    path = policy / "controller.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("name: Nordhandel AB", f'name: "{name}"'),
                    encoding="utf-8")
    make_demo(folder)
    lov("policy", "apply", policy, "--dir", folder / "demo", code=0)
    server = Server(folder / "demo")
    yield server
    server.stop()


def test_hostile_names_are_shown_and_do_nothing(hostile, open_browser):
    consumer = HOSTILE[:100]
    assert hostile.give(consumer=consumer, categories=["purchases", "profile", "contact"]).status_code == 201
    person = Person(hostile, consumer, name=HOSTILE)
    person.http.headers["User-Agent"] = HOSTILE
    use(hostile, consumer)
    event = re.search(r"/portal/why/(\d+)", person.page("/portal/activity"))[1]
    csrf = token(person.page("/portal/choices"))
    assert person.post(f"/portal/activity/{event}/complaint", csrf=csrf, text=HOSTILE).status_code == 303
    receipt = re.search(r"/portal/receipts/[0-9a-f]{32}\?event=\d+", person.page("/portal/receipts"))[0]
    from urllib.parse import quote
    evil = quote(HOSTILE)
    paths = ["/portal", "/portal/choices", f"/portal/choices/{OFFERS}", f"/portal/choices?done={evil}&activity={evil}",
             f"/portal/choices/{evil}", "/portal/activity", f"/portal/activity?q={evil}&show={evil}",
             f"/portal/activity?before={evil}", f"/portal/why/{event}", f"/portal/activity/{event}/complaint", receipt,
             "/portal/receipts", "/portal/policies", "/portal/policies/personal_offers", "/portal/account",
             f"/portal/sign-in?next={evil}", f"/portal/prove?next={evil}", f"/portal/{evil}", f"/portal/welcome/{evil}"]
    browser = open_browser().become(person)
    shown = 0
    for path in paths:
        text = person.get(path).text
        assert "<script>window" not in text and "onerror=window.hit=1>" not in text.replace("&gt;", ""), path
        assert "javascript:window" not in text
        shown += "&lt;script&gt;window.hit" in text
        browser.open(hostile.url + path)
        assert browser.run("return window.hit") is None, path
        assert browser.all("main script:not([src]), img[src=x]") == [], path
    assert shown > 8  # the names were there


def test_cells_that_a_spreadsheet_would_run_do_not_start_a_formula(hostile):
    person = Person(hostile, "00002")
    for line in person.get("/portal/activity/export?format=csv").text.split("\r\n")[1:]:
        for cell in re.findall(r'"((?:[^"]|"")*)"', line):
            assert not cell or cell[0] not in "=+-@"


# ---- other people's objects ----


def test_nobody_sees_or_touches_what_is_another_persons(server, person):
    other = Person(server, "00042")
    use(server, other.consumer)
    use(server, person.consumer)
    event = re.search(r"/portal/why/(\d+)", other.page("/portal/activity"))[1]
    receipt = re.search(r"/portal/receipts/([0-9a-f]{32})", other.page("/portal/receipts"))
    session = other.http.cookies["lov-session"]
    other.get("/portal/account")
    csrf = token(person.page("/portal/choices"))
    gets = [f"/portal/why/{event}", f"/portal/activity/{event}/complaint", f"/portal/activity?before={event}"]
    if receipt:
        gets += [f"/portal/receipts/{receipt[1]}", f"/portal/receipts/{receipt[1]}/file",
                 f"/portal/receipts/{receipt[1]}/print"]
    for path in gets:
        assert other.get(path).status_code == 200, path
        assert person.get(path).status_code == 404, path
    for path in ("/portal/why/0", "/portal/why/99999999", "/portal/why/-1", "/portal/why/x",
                 "/portal/receipts/" + "0" * 32):
        assert person.get(path).status_code == 404, path
    before = server.state()
    assert person.post(f"/portal/activity/{event}/complaint", csrf=csrf, text="mine now").status_code == 404
    assert person.post("/portal/account/act", csrf=csrf, person=other.consumer).status_code == 404
    assert server.state() == before
    # Another one's session is not ended by its name, even if that were known.
    second = requests.Session()
    second.cookies.update(other.http.cookies)
    ids = re.findall(r"/portal/account/sessions/([0-9a-f]{32})/end", sign_in(other).page("/portal/account"))
    assert ids
    for one in ids:
        assert person.post(f"/portal/account/sessions/{one}/end", csrf=csrf).status_code in (303, 404)
    assert second.get(server.url + "/portal", timeout=20, allow_redirects=False).status_code == 200
    assert session


def sign_in(person):
    """The same account in another browser."""
    twin = Person.__new__(Person)
    twin.server, twin.consumer, twin.name = person.server, person.consumer, person.name
    twin.http = requests.Session()
    twin.http.headers["Accept-Language"] = "en"
    page = twin.get("/portal/sign-in")
    answer = twin.post("/portal/sign-in", csrf=token(page.text), name=person.name, password=PASSWORD)
    assert answer.status_code == 303, answer.text
    return twin


def test_pages_are_for_those_who_are_signed_in(server, person):
    event = first_event(person)
    for path in ["/portal", "/portal/choices", "/portal/activity", "/portal/activity/export", f"/portal/why/{event}",
                 "/portal/receipts", "/portal/policies", "/portal/account", "/portal/messages", "/portal/apps"]:
        answer = requests.get(server.url + path, timeout=20, allow_redirects=False)
        assert answer.status_code == 303 and answer.headers["Location"].startswith("/portal/sign-in"), path
    for path, fields in posts(person, event).items():
        answer = requests.post(server.url + path, data=fields, timeout=20, allow_redirects=False)
        assert answer.status_code == 303 and answer.headers["Location"].startswith("/portal/sign-in"), path
    # An API key is not a session, and a session is not a key.
    assert server.admin.get(server.url + "/portal", timeout=20, allow_redirects=False).status_code == 303
    assert person.get(f"/v1/consumers/{person.consumer}").status_code == 401


# ---- sessions ----


def test_a_planted_session_is_worth_nothing(server, person):
    planted = "A" * 43
    browser = requests.Session()
    browser.cookies.set("lov-session", planted)
    page = browser.get(server.url + "/portal/sign-in", timeout=20)
    answer = browser.post(server.url + "/portal/sign-in", timeout=20, allow_redirects=False,
                          data={"csrf": token(page.text), "name": person.name, "password": PASSWORD})
    assert answer.status_code == 303
    fresh = answer.cookies["lov-session"]
    assert fresh != planted and len(fresh) == 43
    for value, status in ((planted, 303), (fresh, 200)):
        assert requests.get(server.url + "/portal", cookies={"lov-session": value}, timeout=20,
                            allow_redirects=False).status_code == status
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie


def test_signing_in_again_and_proving_it_change_the_token(server, person):
    old = person.http.cookies["lov-session"]
    csrf = token(person.page("/portal/prove"))
    assert person.post("/portal/prove", csrf=csrf, password="wrong password").status_code == 401
    answer = person.post("/portal/prove", csrf=csrf, password=PASSWORD, next="/portal/activity")
    assert answer.status_code == 303 and answer.headers["Location"] == "/portal/activity"
    assert person.http.cookies["lov-session"] != old
    assert requests.get(server.url + "/portal", cookies={"lov-session": old}, timeout=20,
                        allow_redirects=False).status_code == 303
    # And the token of the old session's forms is gone with it.
    assert person.post("/portal/sign-out", csrf=csrf).status_code == 403


def test_sessions_are_listed_ended_and_gone_after_signing_out(server, person):
    twin, third = sign_in(person), sign_in(person)
    page = person.page("/portal/account")
    assert len(re.findall(r"/sessions/[0-9a-f]{32}/end", page)) == 2
    one = re.findall(r"/sessions/([0-9a-f]{32})/end", third.page("/portal/account"))
    other = [i for i in re.findall(r"/sessions/([0-9a-f]{32})/end", page) if i in one][0]
    assert person.post(f"/portal/account/sessions/{other}/end", csrf=token(page)).status_code == 303
    assert twin.get("/portal").status_code == 303
    assert third.get("/portal").status_code == 200
    assert person.post("/portal/account/sessions/end-others", csrf=token(page)).status_code == 303
    assert third.get("/portal").status_code == 303
    stolen = person.http.cookies["lov-session"]
    assert person.post("/portal/sign-out", csrf=token(page)).status_code == 303
    assert requests.get(server.url + "/portal", cookies={"lov-session": stolen}, timeout=20,
                        allow_redirects=False).status_code == 303


def test_a_new_invitation_ends_the_sessions_of_before(server, person):
    again = Person(server, person.consumer, name=person.name)
    assert person.get("/portal").status_code == 303 and again.get("/portal").status_code == 200


def test_over_https_cookies_are_for_this_host_alone(made, tmp_path):
    folder = tmp_path / "lov"
    subprocess.run(["cp", "-a", str(made), str(folder)], check=True)
    server = Server(folder, "--base-url", "https://consent.example.com")
    try:
        answer = requests.get(server.url + "/portal/sign-in", timeout=20)
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-lov-form=") and "; Secure" in cookie and "Domain" not in cookie
        link = json.loads(lov("account", "invite", "--dir", server.folder, "00001", "--json"))["url"]
        assert link.startswith("https://consent.example.com/portal/welcome/")
    finally:
        server.stop()


# ---- invitations ----


def test_an_invitation_works_once_and_says_what_is_wrong(server):
    path = invite(server, "00043")
    browser = requests.Session()
    csrf = token(browser.get(server.url + path, timeout=20).text)

    def make(**fields):
        return browser.post(server.url + path, timeout=20, allow_redirects=False,
                            data={"csrf": csrf, "name": "b43", "password": PASSWORD, "again": PASSWORD, **fields})

    for fields in ({"password": "short", "again": "short"}, {"again": PASSWORD + "x"}, {"name": " "},
                   {"name": PASSWORD}, {"name": "x" * 300}, {"password": "x" * 300, "again": "x" * 300}):
        assert make(**fields).status_code == 422, fields
    assert make().status_code == 303
    assert make(name="eve").status_code == 410
    assert requests.get(server.url + path, timeout=20).status_code == 410
    # A name is one account's alone.
    second = invite(server, "00044")
    csrf = token(browser.get(server.url + second, timeout=20).text)
    answer = browser.post(server.url + second, timeout=20, allow_redirects=False,
                          data={"csrf": csrf, "name": "B43", "password": PASSWORD, "again": PASSWORD})
    assert answer.status_code == 409
    assert requests.get(server.url + second, timeout=20).status_code == 200


def test_who_may_invite(server):
    for role, status in (("support", 201), ("privacy_officer", 201), ("analyst", 403), ("marketing", 403),
                         ("auditor", 403)):
        session = server.session("--staff", role)
        answer = session.post(server.url + "/v1/consumers/00045/invitations", json={}, timeout=20)
        assert answer.status_code == status, role
    assert server.marketing.post(server.url + "/v1/consumers/00045/invitations", timeout=20).status_code == 403
    assert server.admin.post(server.url + "/v1/consumers/nobody/invitations", timeout=20).status_code == 404
    assert server.admin.post(server.url + "/v1/consumers/00045/invitations", json={"hours": 0},
                             timeout=20).status_code == 400


def test_erasure_takes_account_and_sessions(server):
    person = Person(server, "00046")
    link = invite(server, "00046")
    assert server.admin.post(server.url + "/v1/consumers/00046/erase", timeout=20).ok
    assert person.get("/portal").status_code == 303
    assert requests.get(server.url + link, timeout=20).status_code == 410
    page = person.get("/portal/sign-in")
    assert person.post("/portal/sign-in", csrf=token(page.text), name=person.name,
                       password=PASSWORD).status_code == 401


# ---- what browsers are told ----


def test_every_answer_keeps_to_the_policy_of_the_portal(server, person):
    event = first_event(person)
    for path in ("/portal", "/portal/choices", "/portal/activity", f"/portal/why/{event}", "/portal/sign-in",
                 "/portal/nowhere", "/portal/assets/portal.css", "/portal/assets/portal.js", "/portal/language/sv",
                 "/portal/activity/export?format=csv", "/portal/activity/stream?after=0"):
        headers = person.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy, path
        assert "unsafe" not in policy and "http" not in policy and "*" not in policy
        assert "form-action 'self'" in policy and "base-uri 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"
        if "assets" not in path:
            assert headers["Cache-Control"] == "no-store", path
    page = person.page("/portal/choices")
    assert not re.search(r"<[^>]+ (style|on\w+)=", page) and "<style" not in page
    assert set(re.findall(r"<script[^>]*>", page)) == {'<script src="/portal/assets/portal.js" defer>'}


def test_nobody_is_led_to_another_site(server, person):
    elsewhere = ["https://evil.example", "//evil.example", "/\\evil.example", "/portal/..//evil.example",
                 "/portal//evil.example", "javascript:alert(1)", "/portal/\\evil", "\thttps://evil.example",
                 "portal", "/portalevil.example", "/portal@evil.example"]
    for path in elsewhere:
        answer = person.get("/portal/language/sv", params={"next": path})
        assert answer.status_code == 303
        assert answer.headers["Location"] == "/portal", path
        form = hidden(person.get("/portal/sign-in", params={"next": path}).text)
        assert form["next"] == "", path
        page = person.get("/portal/sign-in")
        answer = person.post("/portal/sign-in", csrf=token(page.text), name=person.name, password="wrong", next=path)
        assert hidden(answer.text)["next"] == "", path
    page = person.get("/portal/sign-in")
    answer = person.post("/portal/sign-in", csrf=token(page.text), name=person.name, password=PASSWORD,
                         next="https://evil.example/portal")
    assert answer.headers["Location"] == "/portal"
    page = person.get("/portal/sign-in")
    answer = person.post("/portal/sign-in", csrf=token(page.text), name=person.name, password=PASSWORD,
                         next="/portal/receipts")
    assert answer.headers["Location"] == "/portal/receipts"


# ---- guessing ----


def test_a_wrong_password_and_an_unknown_name_are_answered_alike(server, person):
    def answer(name):
        browser = requests.Session()
        page = browser.get(server.url + "/portal/sign-in", timeout=20)
        csrf = token(page.text)
        told = browser.post(server.url + "/portal/sign-in", timeout=20, allow_redirects=False,
                            data={"csrf": csrf, "name": name, "password": "not the password"})
        headers = {k: v for k, v in told.headers.items() if k not in ("Date", "Set-Cookie")}
        text = re.sub(r'data-challenge="[\w-]{43}"', "", told.text)
        return told.status_code, text.replace(csrf, "").replace(html.escape(name), ""), headers

    known, unknown = answer(person.name), answer("nobody@example.com")
    assert known[0] == 401 and known == unknown


def test_guessing_a_password_is_stopped(server):
    person = Person(server, "00047")
    codes = []
    for n in range(24):
        page = person.get("/portal/sign-in")
        codes.append(person.post("/portal/sign-in", csrf=token(page.text), name=person.name,
                                 password=f"guess {n}").status_code)
    assert codes[0] == 401 and codes[-1] == 429
    page = person.get("/portal/sign-in")
    answer = person.post("/portal/sign-in", csrf=token(page.text), name=person.name, password=PASSWORD)
    assert answer.status_code == 429 and answer.headers["Retry-After"]
    # Somebody else is not kept out by it.
    sign_in(Person(server, "00048"))


def test_passwords_and_tokens_are_in_no_file_and_no_log(server):
    person = Person(server, "00049", name="hemlig.epost@example.com")
    session = person.http.cookies["lov-session"]
    link = invite(server, "00049").rsplit("/", 1)[1]
    person.page("/portal")
    server.log.flush()
    from test_http import used_bytes
    everything = b"".join(used_bytes(os.path.join(folder, name)) for folder, _, names in os.walk(server.folder)
                          for name in names if not name.startswith("permits") and name != "socket")
    with open(server.log.name, "rb") as file:
        everything += file.read()
    for secret in (PASSWORD, session, link, "hemlig.epost"):
        assert secret.encode() not in everything, secret


# ---- for another ----


def test_a_guardian_answers_for_a_minor_and_the_consent_says_so(server):
    minor, guardian = "00051", Person(server, "00052")
    assert server.admin.put(f"{server.url}/v1/consumers/{minor}", json={"birth_date": "2020-01-01"}, timeout=20).ok
    child = Person(server, minor)
    refused = child.answer("credit_scoring_by_risk", "yes")
    assert refused.status_code == 409 and "A guardian has to answer this for you" in refused.text
    page = guardian.page("/portal/account")
    assert guardian.post("/portal/account/act", csrf=token(page), person=minor).status_code == 404
    lov("account", "allow", guardian.consumer, minor, "--as", "guardian", "--dir", server.folder)
    page = guardian.page("/portal/account")
    assert "as guardian" in page
    old = guardian.http.cookies["lov-session"]
    assert guardian.post("/portal/account/act", csrf=token(page), person=minor).status_code == 303
    assert guardian.http.cookies["lov-session"] != old
    assert f"You act for <strong>{minor}</strong>" in guardian.page("/portal")
    assert guardian.answer("credit_scoring_by_risk", "yes").status_code == 303
    consents = server.admin.get(f"{server.url}/v1/consumers/{minor}/consents", timeout=20).json()["items"]
    given = [c for c in consents if c["purpose"] == "credit_scoring" and c["status"] == "active"]
    assert given and given[0]["guardian"] == {"as": "guardian", "consumer": guardian.consumer}
    # The child sees it; and when it ends, it ends at once.
    assert "Somebody may act for you" in child.page("/portal/activity")
    lov("account", "disallow", guardian.consumer, minor, "--dir", server.folder)
    assert guardian.get("/portal").status_code == 303
    kinds = [e["kind"] for e in server.admin.get(f"{server.url}/v1/consumers/{minor}/history?limit=1000",
                                                 timeout=20).json()["items"]]
    assert "account.delegate" in kinds and "account.undelegate" in kinds


def test_the_ledger_is_right_after_all_of_this(server):
    assert "events and" in lov("log", "verify", "--dir", server.folder)


def test_bad_forms_change_nothing(server, person):
    person.answer(OFFERS, "yes")
    csrf = token(person.page("/portal/choices"))
    good = person.choice(OFFERS)
    before = server.state()
    for fields in ({"answer": "maybe"}, {"answer": ""}, {"answer": "undo"}, {"notice_version": "x"},
                   {"notice_hash": "0" * 63}, {"notice_hash": "z" * 64}, {"notice_version": ""}):
        answer = person.post(f"/portal/choices/{OFFERS}", **{**good, "csrf": csrf, "answer": "yes", **fields})
        assert answer.status_code == 400, fields
    assert person.answer("credit_scoring_by_risk", "yes", notice_hash="0" * 64).status_code == 409
    assert person.post("/portal/choices/bookkeeping_by_accounting", **{**good, "answer": "no"}).status_code == 404
    assert person.http.post(server.url + f"/portal/choices/{OFFERS}", data=b"%zz&=&csrf", timeout=20).status_code == 403
    assert person.http.post(server.url + f"/portal/choices/{OFFERS}", data=b"a" * 20000, timeout=20).status_code == 413
    assert server.state() == before
