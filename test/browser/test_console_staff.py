"""Staff at the console: invited, changed and kept out by an administrator who has just signed in; in both
languages, on a phone and a desk, with and without JavaScript; and against those who would misuse it."""

import os
import re
import sqlite3
import subprocess

import pytest
import requests

from desk import ROLES, Staff, invite_staff
from portal import DESKTOP, PASSWORD, PHONE, Server, lov, token
from test_console import WORDS, events
from test_portal import axe

HOSTILE = "\"'><script>window.hit=1</script>{{csrf}}"


@pytest.fixture(scope="module")
def admin(server):
    return Staff(server, "admin,auditor", name="Maj Chef")


def listed(server):
    return {s["id"]: s for s in server.admin.get(server.url + "/v1/staff?limit=1000", timeout=20).json()["items"]}


def roles(*names):
    return {f"role-{name}": "1" for name in names}


def change(staff, member, *names, departments=(), **more):
    return staff.send(f"/console/staff/{member}/change", **roles(*names),
                      **{f"for-{name}": "1" for name in departments}, **more)


def let_time_pass(server, staff):
    """More than five minutes since they signed in."""
    with sqlite3.connect(os.path.join(server.folder, "identity.db")) as db:
        db.execute("update staff_session set proved_at = proved_at - 301000 where staff = ?",
                   (bytes.fromhex(staff.id),))


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("language", ["sv", "en"])
def test_somebody_is_invited_changed_and_kept_out(server, admin, open_browser, language, size, script):
    words = WORDS[language]
    name = f"Åsa {language} {size[0]} {script}"
    browser = open_browser(size, script, language).become(admin)
    browser.open(server.url + "/console/staff")
    assert browser.find("h1").text == words["desk_staff"]
    assert browser.driver.find_element("css selector", "nav.menu [aria-current]").text == words["desk_staff"]
    browser.find("#name").send_keys(name)
    browser.find("[name=role-support]").click()
    browser.find("[name=for-customer_service]").click()
    browser.run("arguments[0].value = '2031-06-30'", browser.find("#trained")) if script else None
    browser.find("form[action='/console/staff'] button").click()
    link = browser.wait(lambda b: b.find("code.secret")).text
    assert re.fullmatch(rf"{server.url}/console/welcome/[\w-]{{43}}", link)
    assert browser.find("h1").text == name
    made, = (s for s in listed(server).values() if s["name"] == name)
    assert made["roles"] == ["support"] and made["recipients"] == ["customer_service"]
    assert made["trained_until"] == ("2031-06-30" if script else None)
    # The link is there this once.
    page = f"/console/staff/{made['id']}"
    browser.open(server.url + page)
    assert not browser.driver.find_elements("css selector", "code.secret")
    assert words["staff_invited"] in browser.find("dl.facts").text
    browser.find("[name=role-auditor]").click()
    browser.find("[name=role-support]").click()
    browser.find("form[action$='/change'] button").click()
    browser.wait(lambda b: words["role_auditor"] in b.find("dl.facts").text)
    assert listed(server)[made["id"]]["roles"] == ["auditor"]
    browser.driver.find_elements("css selector", "details summary")[1].click()
    browser.wait(lambda b: b.find("form[action$='/disable'] button").is_displayed())
    browser.find("form[action$='/disable'] button").click()
    browser.wait(lambda b: words["staff_disabled"] in b.find("dl.facts").text)
    assert not browser.driver.find_elements("css selector", "form[action$='/change']")
    assert listed(server)[made["id"]]["disabled_at"]
    kinds = [(e["kind"], e["actor"]) for kind in ("staff.invite", "staff.change", "staff.disable")
             for e in events(server, kind) if e["staff"] == made["id"]]
    assert kinds == [(kind, f"staff:admin/{admin.id}") for kind in ("staff.invite", "staff.change", "staff.disable")]


@pytest.mark.parametrize("language", ["sv", "en"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_pages_of_staff_pass_axe_and_fit(server, admin, open_browser, size, language):
    member = invite_staff(server, "Siv " + "långtnamn" * 8, "support,auditor", "customer_service")["id"]
    browser = open_browser(size, language=language).become(admin)
    for path in ("/console/staff", f"/console/staff/{member}", f"/console/staff/{admin.id}", "/console"):
        browser.open(server.url + path)
        browser.run("document.querySelectorAll('details').forEach(d => { d.open = true })")
        assert axe(browser) == [], path
        assert browser.run("return document.documentElement.scrollWidth") <= size[0], path
        assert not re.search(r"\b(desk|staff|role|problem|alert)_[a-z_]+\b", browser.find("body").text), path
    # The link that was made stands on the page whole.
    browser.open(server.url + f"/console/staff/{member}")
    browser.driver.find_elements("css selector", "details summary")[0].click()
    browser.find("form[action$='/link'] button").click()
    browser.wait(lambda b: b.find("code.secret"))
    assert axe(browser) == []
    assert browser.run("return document.documentElement.scrollWidth") <= size[0]


def test_a_role_that_was_taken_cannot_be_used_any_more(server, admin):
    staff = Staff(server, "support,privacy_officer", departments="customer_service")
    assert staff.send("/console/role", role="privacy_officer").status_code == 303
    csrf = staff.token()
    assert staff.get("/console/log").status_code == 200
    assert change(admin, staff.id, "support", departments=["customer_service"]).status_code == 303
    # Not with the session that was open in it, nor with a form that was.
    for answer in (staff.get("/console/log"), staff.post("/console/log", csrf=csrf),
                   staff.post("/console/role", csrf=csrf, role="privacy_officer")):
        assert answer.status_code == 303 and answer.headers["Location"].startswith("/console/sign-in")
    assert staff.sign_in().status_code == 303
    assert staff.get("/console/log").status_code == 403
    assert staff.send("/console/role", role="privacy_officer").status_code == 403
    # Given back, the session of before does not come to life again.
    old = staff.http.cookies["lov-staff"]
    assert change(admin, staff.id, "support", "privacy_officer").status_code == 303
    assert requests.get(server.url + "/console", cookies={"lov-staff": old}, timeout=20,
                        allow_redirects=False).status_code == 303


def test_a_department_that_was_taken_cannot_be_read_for_any_more(server, admin):
    staff = Staff(server, "support", departments="customer_service")
    good = "customer_support_by_customer_service"
    assert staff.send("/console/consumers", consumer="00009", activity=good).status_code == 200
    csrf = staff.token()
    assert change(admin, staff.id, "support", departments=["risk"]).status_code == 303
    assert listed(server)[staff.id]["recipients"] == ["risk"]
    # They are the same roles: they stay signed in, and what they do is decided anew.
    assert staff.post("/console/consumers", csrf=csrf, consumer="00009", activity=good).status_code == 403


def test_roles_in_another_order_are_the_same(server, admin):
    staff = Staff(server, "support,auditor,analyst")
    assert change(admin, staff.id, "analyst", "auditor", "support", trained_until="2031-01-31").status_code == 303
    assert staff.get("/console").status_code == 200
    assert listed(server)[staff.id]["roles"] == ["support", "auditor", "analyst"]
    assert listed(server)[staff.id]["trained_until"] == "2031-01-31"


def test_each_change_takes_a_sign_in_of_the_last_minutes(server):
    staff = Staff(server, "admin")
    victim = Staff(server, "support")
    fields = {"csrf": staff.token(), "name": "x", **roles("auditor")}
    pages = {"/console/staff": "/console/staff", f"/console/staff/{victim.id}/change": f"/console/staff/{victim.id}",
             f"/console/staff/{victim.id}/link": f"/console/staff/{victim.id}",
             f"/console/staff/{victim.id}/disable": f"/console/staff/{victim.id}"}
    let_time_pass(server, staff)
    before, was = server.state(), listed(server)
    for path, back in pages.items():
        answer = staff.post(path, **fields)
        assert answer.status_code == 303 and answer.headers["Location"] == f"/console/sign-in?again=1&next={back}"
        page = staff.page(back)
        assert f'href="/console/sign-in?again=1&amp;next={back}"' in page and "<fieldset" not in page
    assert server.state() == before and listed(server) == was
    assert staff.sign_in(next=f"/console/staff/{victim.id}").headers["Location"] == f"/console/staff/{victim.id}"
    assert change(staff, victim.id, "auditor").status_code == 303
    assert listed(server)[victim.id]["roles"] == ["auditor"]


def test_nobody_changes_themselves(server, admin):
    before, was = server.state(), listed(server)[admin.id]
    page = admin.page(f"/console/staff/{admin.id}")
    assert WORDS["en"]["problem_own_account"] in page and "/change" not in page and "/disable" not in page
    for step in ("change", "link", "disable"):
        answer = admin.send(f"/console/staff/{admin.id}/{step}", **roles("admin", "privacy_officer"),
                            trained_until="2039-12-31", hours="1")
        assert answer.status_code == 403 and WORDS["en"]["problem_own_account"] in answer.text, step
    assert server.state() == before
    assert {**listed(server)[admin.id], "signed_in_at": 0} == {**was, "signed_in_at": 0}


def test_the_last_admin_stays_one(made, tmp_path):
    folder = tmp_path / "lov"
    subprocess.run(["cp", "-a", str(made), str(folder)], check=True)
    server = Server(folder)
    try:
        last = Staff(server, "admin")
        invite_staff(server, "Not yet", "admin")  # without an account they let nobody in
        for args in (["change", last.id, "--roles", "auditor"], ["disable", last.id]):
            lov("staff", *args, "--dir", folder, code=1)
        for step, body in (("change", {"roles": ["auditor"]}), ("disable", {})):
            answer = server.admin.post(f"{server.url}/v1/staff/{last.id}/{step}", json=body, timeout=20)
            assert answer.status_code == 409 and answer.json()["reason"] == "last_admin"
        lov("staff", "change", last.id, "--roles", "admin,auditor", "--dir", folder)
        last.sign_in()
        other = Staff(server, "admin")
        assert change(last, other.id, "support").status_code == 303
        assert change(last, other.id, "admin").status_code == 303
        lov("staff", "disable", last.id, "--dir", folder)
        lov("staff", "disable", other.id, "--dir", folder, code=1)
        assert last.get("/console").status_code == 303
    finally:
        server.stop()


@pytest.mark.parametrize("role", [r for r in ROLES if r != "admin"])
def test_only_an_admin_manages_staff(server, admin, role):
    staff = Staff(server, role)
    before, was = server.state(), listed(server)
    for path in ("/console/staff", f"/console/staff/{admin.id}"):
        assert staff.get(path).status_code == 403
    for path in ("/console/staff", *(f"/console/staff/{m}/{s}" for m in (staff.id, admin.id)
                                     for s in ("change", "link", "disable"))):
        assert staff.send(path, name="x", **roles("admin")).status_code == 403, path
    assert "/console/staff" not in staff.page("/console")
    assert server.state() == before and listed(server) == was
    # Nor an admin who works in another role.
    two = Staff(server, f"{role},admin")
    assert two.send(f"/console/staff/{staff.id}/disable").status_code == 403


def test_members_who_are_not_there_are_not_found(server, admin):
    before = server.state()
    for one in ("0" * 32, "x", "%2e%2e", "..%2f..%2fconsumers", "%22%3E%3Cscript%3E", "%0d%0ax"):
        assert admin.get(f"/console/staff/{one}").status_code in (400, 404), one
        for step in ("change", "link", "disable"):
            assert admin.send(f"/console/staff/{one}/{step}", **roles("auditor")).status_code in (400, 404), (one, step)
    assert server.state() == before


def test_what_is_wrong_in_the_form_is_said_and_changes_nothing(server, admin):
    member = invite_staff(server, "Eva", "support")["id"]
    before, was = server.state(), listed(server)
    for fields in ({"name": "Nils Ny", **roles("collector")}, {"name": "Nils Ny"}, {"name": " ", **roles("support")},
                   {"name": "Nils Ny", "hours": "0", **roles("support")}, {"name": "x" * 201, **roles("support")},
                   {"name": "Nils Ny", "hours": "x", "trained_until": "soon", **roles("support")},
                   {"name": "Nils Ny", "trained_until": "2027-02-30", **roles("support")}):
        answer = admin.send("/console/staff", **fields)
        assert answer.status_code == 400 and 'role="alert"' in answer.text, (fields, answer.status_code)
        if fields["name"] == "Nils Ny":
            assert 'value="Nils Ny"' in answer.text  # what was filled in stays
    for fields in ({}, roles("king"), {"trained_until": "2027-13-01", **roles("support")}):
        answer = admin.send(f"/console/staff/{member}/change", **fields)
        assert answer.status_code == 400 and 'role="alert"' in answer.text, fields
    assert admin.send(f"/console/staff/{member}/link", hours="721").status_code == 400
    assert server.state() == before and listed(server) == was


def test_a_forgotten_password_is_chosen_anew_by_a_link(server, admin):
    staff = Staff(server, "support")
    answer = admin.send(f"/console/staff/{staff.id}/link", hours="2")
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store"
    path = re.search(r"/console/welcome/[\w-]{43}", answer.text)[0]
    csrf = token(staff.get(path).text)
    assert staff.post(path, csrf=csrf, name=staff.login, password=PASSWORD + "!", again=PASSWORD + "!").status_code == 303
    assert staff.get("/console").status_code == 303
    assert staff.sign_in().status_code == 401
    assert staff.sign_in(password=PASSWORD + "!").status_code == 303
    assert staff.get(path).status_code == 410


def test_a_hostile_name_does_nothing(server, admin, open_browser):
    answer = admin.send("/console/staff", name=HOSTILE, **roles("support"))
    assert "<script>window" not in answer.text and "&lt;script&gt;" in answer.text
    member, = (s["id"] for s in listed(server).values() if s["name"] == HOSTILE)
    browser = open_browser().become(admin)
    for path in ("/console/staff", f"/console/staff/{member}"):
        browser.open(server.url + path)
        assert browser.run("return window.hit") is None
        assert "<script>window" not in admin.page(path)


def test_power_that_somebody_was_given_is_told_on_the_first_page(server, admin):
    auditor = Staff(server, "auditor")
    admin.send("/console/staff", name="Ny Dataskydd", **roles("privacy_officer"))
    lov("key", "create", "--staff", "admin", "--dir", server.folder)
    lov("policy", "apply", "policy", "--alone", "--dir", server.folder)
    for staff in (admin, auditor):
        page = staff.page("/console")
        assert "Ny Dataskydd, privacy officer</strong> " + WORDS["en"]["alert_eyes_staff"] in page
        assert WORDS["en"]["alert_eyes_key"] in page and WORDS["en"]["alert_eyes_policy"] in page
    assert WORDS["en"]["alert_eyes_key"] not in Staff(server, "support").page("/console")
    assert WORDS["en"]["staff_approves"] in admin.page("/console/staff")


def test_the_ledger_is_right_after_all_of_this(server):
    assert "events and" in lov("log", "verify", "--dir", server.folder)
