"""The console against those who would misuse it: other roles, forms from elsewhere, hostile names, planted
sessions, frames, redirects, guessing, and a portal's session."""

import re

import pytest
import requests

from desk import ROLES, Staff, invite_staff, propose, propose_read
from portal import PASSWORD, Person, hidden, lov, token

HOSTILE = "\"'><script>window.hit=1</script><img src=x onerror=window.hit=1>{{csrf}}"
ALL = set(ROLES)
READERS = {"admin", "privacy_officer", "auditor"}
OFFICERS = {"admin", "privacy_officer"}
ADMINS = {"admin"}
NONE = "0" * 32

# Each page and form, and who may have it.
PAGES = {
    "/console": ALL, "/console/account": ALL, "/console/policy": ALL, "/console/policy/files": ALL,
    "/console/policy/propose": OFFICERS, f"/console/policy/proposals/{NONE}": READERS,
    "/console/reads": READERS, f"/console/reads/{NONE}": READERS,
    "/console/consumers": READERS | {"support"}, "/console/log": READERS, "/console/log/0": READERS,
    "/console/reports": READERS, "/console/reports/processing": READERS, "/console/reports/consents": READERS,
    "/console/reports/response-times": READERS, "/console/reports/processing?format=pdf": READERS,
    "/console/recipients": READERS, "/console/recipients/marketing": READERS,
    "/console/requests": READERS | {"support"}, f"/console/requests/{NONE}": READERS | {"support"},
    "/console/staff": ADMINS, f"/console/staff/{NONE}": ADMINS,
}
FORMS = {
    f"/console/account/sessions/{NONE}/end": ALL, "/console/account/sessions/end-others": ALL,
    "/console/account/passkeys": ALL, "/console/account/passkeys/AAAA/end": ALL, "/console/role": ALL,
    f"/console/policy/proposals/{NONE}/approve": OFFICERS, f"/console/policy/proposals/{NONE}/reject": OFFICERS,
    "/console/policy/propose": OFFICERS, "/console/requests": OFFICERS | {"support"},
    "/console/reads": OFFICERS, f"/console/reads/{NONE}/approve": OFFICERS, f"/console/reads/{NONE}/reject": OFFICERS,
    f"/console/reads/{NONE}/file": OFFICERS,
    "/console/log": READERS, "/console/log/export": READERS,
    "/console/consumers": READERS | {"support"}, f"/console/requests/{NONE}/verify-identity": OFFICERS | {"support"},
    "/console/staff": ADMINS, f"/console/staff/{NONE}/change": ADMINS, f"/console/staff/{NONE}/link": ADMINS,
    f"/console/staff/{NONE}/disable": ADMINS,
}


@pytest.fixture(scope="module")
def staff_of(server):
    return {role: Staff(server, role) for role in ROLES}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_its_pages_and_no_others(server, staff_of, role):
    staff = staff_of[role]
    menu = set(re.findall(r'href="(/console[^"]*)"', staff.page("/console").split('class="menu"')[1].split("</nav>")[0]))
    for path, roles in PAGES.items():
        status = staff.get(path).status_code
        if role in roles:
            assert status in (200, 404), (path, status)
        else:
            assert status == 403, (path, status)
            assert path not in menu
    assert menu <= set(PAGES)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sends_its_forms_and_no_others(server, staff_of, role):
    staff = staff_of[role]
    before = server.state()
    for path, roles in FORMS.items():
        if role not in roles:
            files = [("files", ("a.yaml", b"a: 1", "text/yaml"))] if path.endswith("/propose") else None
            assert staff.post(path, csrf=staff.token(), files=files).status_code == 403, path
    assert server.state() == before


def test_the_table_of_this_test_is_whole():
    import os
    from portal import ROOT
    with open(os.path.join(ROOT, "src", "web", "web.c"), encoding="utf-8") as file:
        routes = re.findall(r'DESK_(PAGE|FORM|UPLOAD)\("([^"]+)"', file.read())
    known = {"PAGE": PAGES, "FORM": FORMS, "UPLOAD": FORMS}
    for kind, pattern in routes:
        if "{rest...}" in pattern:
            continue
        shape = re.compile(re.sub(r"\\{[^}]+\\}", "[^/]+", re.escape(pattern)) + r"(\?.*)?$")
        assert any(shape.match(path) for path in known[kind]), (kind, pattern)


def test_no_form_of_the_console_is_taken_without_its_token(server, staff_of):
    staff, other = staff_of["admin"], staff_of["auditor"]
    before = server.state()
    good = staff.token()
    for path in [*FORMS, "/console/sign-out"]:
        for wrong in ({}, {"csrf": ""}, {"csrf": other.token()}, {"csrf": good[:-1]}, {"csrf": good + "A"}):
            assert staff.post(path, x="1", **wrong).status_code == 403, (path, wrong)
        for origin in ("https://evil.example", "null", server.url.replace("http", "https") + ".evil.example"):
            assert staff.post(path, headers={"Origin": origin}, csrf=good).status_code == 403, (path, origin)
    assert server.state() == before
    assert staff.get("/console").status_code == 200
    for path in ("/console/sign-in", invite_staff(server)["path"]):
        for fields in ({}, {"csrf": "x"}, {"csrf": good}):
            answer = requests.post(server.url + path, timeout=20, data={
                "name": "eve", "password": PASSWORD, "again": PASSWORD, **fields})
            assert answer.status_code == 403


def test_the_console_is_for_staff_who_are_signed_in(server):
    consumer = Person(server, "00020")
    for session in (requests.Session(), consumer.http, server.admin):
        for path in PAGES:
            answer = session.get(server.url + path, timeout=20, allow_redirects=False)
            assert answer.status_code == 303 and answer.headers["Location"].startswith("/console/sign-in"), path
        for path in FORMS:
            answer = session.post(server.url + path, data={"x": "1"}, timeout=20, allow_redirects=False)
            assert answer.status_code == 303 and answer.headers["Location"].startswith("/console/sign-in"), path
    # A consumer's session is not one of staff under its cookie's name, and the other way round.
    cookie = consumer.http.cookies["lov-session"]
    assert requests.get(server.url + "/console", cookies={"lov-staff": cookie}, timeout=20,
                        allow_redirects=False).status_code == 303
    staff = Staff(server, "admin")
    cookie = staff.http.cookies["lov-staff"]
    assert requests.get(server.url + "/portal", cookies={"lov-session": cookie}, timeout=20,
                        allow_redirects=False).status_code == 303
    assert staff.get("/v1/events").status_code == 401


def test_a_role_that_was_not_given_is_not_to_be_had(server):
    staff = Staff(server, "support,marketing")
    for role in ("admin", "privacy_officer", "", "support marketing", "SUPPORT", "collector"):
        assert staff.send("/console/role", role=role).status_code == 403, role
    old = staff.http.cookies["lov-staff"]
    assert staff.send("/console/role", role="marketing").status_code == 303
    assert staff.http.cookies["lov-staff"] != old
    assert requests.get(server.url + "/console", cookies={"lov-staff": old}, timeout=20,
                        allow_redirects=False).status_code == 303


def test_a_planted_staff_session_is_worth_nothing(server):
    staff = Staff(server, "auditor")
    planted = "A" * 43
    staff.http.cookies.clear()
    staff.http.cookies.set("lov-staff", planted)
    answer = staff.sign_in()
    fresh = answer.cookies["lov-staff"]
    assert fresh != planted and len(fresh) == 43
    assert requests.get(server.url + "/console", cookies={"lov-staff": planted}, timeout=20,
                        allow_redirects=False).status_code == 303
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie


def test_sessions_of_others_are_not_ended(server, staff_of):
    victim = Staff(server, "auditor")
    twin = Staff.__new__(Staff)
    twin.__dict__.update(victim.__dict__)
    twin.http = requests.Session()
    assert twin.sign_in().status_code == 303
    one = re.search(r"/account/sessions/([0-9a-f]{32})/end", victim.page("/console/account"))[1]
    staff_of["admin"].send(f"/console/account/sessions/{one}/end")
    assert twin.get("/console").status_code == 200


def test_hostile_names_of_staff_do_nothing(server, open_browser):
    staff = Staff(server, "privacy_officer,admin", name=HOSTILE[:100])
    browser = open_browser().become(staff)
    answer = staff.post("/console/policy/propose", csrf=staff.token(),
                        files=[("files", (HOSTILE.replace('"', "'") + ".yaml", HOSTILE.encode(), "text/yaml"))])
    assert answer.status_code in (303, 422) and "<script>window" not in answer.text
    proposal = propose(staff, 444)
    hostile = HOSTILE[:100]
    assert server.give(consumer=hostile).status_code == 201
    answer = staff.send("/console/requests", consumer=hostile, right="access", channel="phone", detail=HOSTILE)
    assert answer.status_code == 303
    request = answer.headers["Location"]
    assert staff.send(request + "/verify-identity", note=HOSTILE).status_code == 303
    page = staff.send("/console/consumers", consumer=hostile, activity="").text
    assert "&lt;script&gt;" in page and "<script>window" not in page
    read = propose_read(staff, why=HOSTILE)
    for path in [*PAGES, proposal, request, read, "/console/policy/proposals/%22%3E%3Cscript%3Ewindow.hit=1%3C%2Fscript%3E"]:
        if path.endswith(("/files", "pdf")):
            continue
        browser.open(server.url + path)
        assert browser.run("return window.hit") is None, path
        assert "<script>window" not in staff.get(path).text
    for path in ("/console/account", read):
        assert "&lt;script&gt;" in staff.page(path)


def test_records_are_read_for_ones_own_departments_alone(server):
    good = "customer_support_by_customer_service"
    for roles, departments, activity, status in (
            ("support", "customer_service", good, 200), ("support", "risk", good, 403), ("support", None, good, 403),
            ("auditor", "customer_service", good, 403), ("support", "customer_service", "no_such", 403),
            ("support", "customer_service", "newsletter_by_mailhouse", 403)):
        before = server.state()
        staff = Staff(server, roles, departments=departments)
        before = server.state()
        answer = staff.send("/console/consumers", consumer="00009", activity=activity)
        assert answer.status_code == status, (roles, departments, activity)
        assert (server.state() == before) == (status != 200)
        assert (f'value="{good}"' in staff.page("/console/consumers")) == (
            roles == "support" and departments == "customer_service")


def test_nobody_looks_at_everybody(server):
    staff = Staff(server, "support")
    csrf = staff.token()
    codes = [staff.post("/console/consumers", csrf=csrf, consumer=f"{n % 50 + 1:05d}", activity="").status_code
             for n in range(64)]
    assert codes[0] == 200 and codes[-1] == 429
    before = server.state()
    assert staff.post("/console/consumers", csrf=csrf, consumer="00001", activity="").status_code == 429
    assert server.state() == before
    other = Staff(server, "support")
    assert other.send("/console/consumers", consumer="00001", activity="").status_code == 200


def test_every_answer_of_the_console_keeps_to_its_policy(server, staff_of):
    staff = staff_of["admin"]
    for path in [*PAGES, "/console/sign-in", "/console/nowhere", "/console/language/sv"]:
        headers = staff.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy, path
        assert "unsafe" not in policy and "http" not in policy and "*" not in policy
        assert "form-action 'self'" in policy and "base-uri 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin" and headers["Cache-Control"] == "no-store", path
        page = "" if path.endswith(("/files", "pdf")) else staff.get(path).text
        assert not re.search(r"<[^>]+ (style|on\w+)=", page) and "<style" not in page, path


def test_staff_are_not_led_to_another_site(server, staff_of):
    staff = staff_of["auditor"]
    for path in ["https://evil.example", "//evil.example", "/\\evil.example", "/console/..//evil.example",
                 "/console//evil.example", "javascript:alert(1)", "/console/\\evil", "\thttps://evil.example",
                 "console", "/consolevil.example", "/console@evil.example", "/portal"]:
        answer = staff.get("/console/language/en", params={"next": path})
        assert answer.status_code == 303 and answer.headers["Location"] == "/console", path
        assert hidden(staff.get("/console/sign-in", params={"next": path}).text)["next"] == "", path
        answer = staff.sign_in(next=path)
        assert answer.headers["Location"] == "/console", path
    assert staff.sign_in(next="/console/account").headers["Location"] == "/console/account"


def test_an_unknown_name_and_a_wrong_password_of_staff_are_answered_alike(server):
    staff = Staff(server, "auditor")

    def answer(name):
        browser = requests.Session()
        csrf = token(browser.get(server.url + "/console/sign-in", timeout=20).text)
        told = browser.post(server.url + "/console/sign-in", timeout=20, allow_redirects=False,
                            data={"csrf": csrf, "name": name, "password": "not the password"})
        headers = {k: v for k, v in told.headers.items() if k not in ("Date", "Set-Cookie")}
        return told.status_code, told.text.replace(csrf, ""), headers

    known, unknown = answer(staff.login), answer("nobody@example.com")
    assert known[0] == 401 and known == unknown


def test_guessing_a_password_of_staff_is_stopped(server):
    staff = Staff(server, "auditor")
    codes = [staff.sign_in(password=f"guess {n}").status_code for n in range(24)]
    assert codes[0] == 401 and codes[-1] == 429
    assert staff.sign_in().status_code == 429


def test_a_link_works_once_and_a_login_is_one_persons(server):
    staff = Staff(server, "auditor")
    link = invite_staff(server)
    browser = requests.Session()
    csrf = token(browser.get(server.url + link["path"], timeout=20).text)

    def make(**fields):
        return browser.post(server.url + link["path"], timeout=20, allow_redirects=False, data={
            "csrf": csrf, "name": "once@example.com", "password": PASSWORD, "again": PASSWORD, **fields}).status_code

    for fields in ({"password": "short", "again": "short"}, {"again": PASSWORD + "x"}, {"name": " "},
                   {"name": PASSWORD}, {"name": "x" * 300}):
        assert make(**fields) == 422, fields
    assert make(name=staff.login.upper()) == 409
    assert make() == 303
    assert make(name="eve") == 410


def test_secrets_of_staff_are_in_no_file_and_no_log(server):
    import os
    from test_http import used_bytes
    staff = Staff(server, "auditor", name="Hemlig Medarbetare")
    link = invite_staff(server)["path"].rsplit("/", 1)[1]
    cookie = staff.http.cookies["lov-staff"]
    staff.page("/console")
    server.log.flush()
    everything = b"".join(used_bytes(os.path.join(folder, name)) for folder, _, names in os.walk(server.folder)
                          for name in names if not name.startswith("permits") and name != "socket")
    with open(server.log.name, "rb") as file:
        everything += file.read()
    for secret in (PASSWORD, cookie, link, "Hemlig Medarbetare", staff.login):
        assert secret.encode() not in everything, secret


def test_who_may_manage_staff(server):
    for role in ROLES:
        session = server.session("--staff", role)
        status = session.get(server.url + "/v1/staff", timeout=20).status_code
        assert status == (200 if role == "admin" else 403), role
    assert server.marketing.post(server.url + "/v1/staff", json={"name": "x", "roles": ["admin"]},
                                 timeout=20).status_code == 403


def test_the_ledger_is_right_after_all_of_the_console(server):
    assert "events and" in lov("log", "verify", "--dir", server.folder)
