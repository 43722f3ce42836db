#!/usr/bin/python3
"""screenshots.py FOLDER [--english] [PAGE ...] - pictures of every page of portal and console, phone and
desktop, light and dark, in both languages, of a demo company with some activity. Prints what it made."""

import os
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from desk import Staff, invite_staff, propose, propose_read  # noqa: E402
from portal import DESKTOP, PHONE, PURCHASE, ROOT, Browser, Person, Server, invite, lov, make_demo  # noqa: E402


def use_data(server):
    """Marketing uses data that it may, and asks for data that it may not."""
    for recipient, purpose, category in (("marketing", "personal_offers", "purchases"),
                                         ("risk", "credit_scoring", "credit"),
                                         ("customer_service", "customer_support", "contact")):
        session = server.session("--recipient", recipient)
        answer = session.post(server.url + "/access/v1/evaluation", timeout=20, json={
            "subject": {"type": "recipient", "id": recipient}, "action": {"name": purpose},
            "resource": {"type": category, "id": "00001"}, "context": {"record": True}})
        assert answer.status_code == 200, answer.text


def ask_for_data(server):
    """One request waits for its answer, another one was refused."""
    for right, steps in (("access", ()), ("rectification", (
            ("verify-identity", {"note": "signed in"}),
            ("refuse", {"reason": "data_is_accurate", "note": "The till and the receipt say the same amount."})))):
        answer = server.admin.post(server.url + "/v1/requests", timeout=20, json={
            "consumer": "00001", "right": right, "channel": "web", "detail": "The kettle cost 349.50 kr."})
        assert answer.status_code == 201, answer.text
        for step, body in steps:
            done = server.admin.post(f"{server.url}/v1/requests/{answer.json()['id']}/{step}", timeout=20, json=body)
            assert done.ok, done.text


def buy_twice(server):
    """The same purchase came in twice, which is asked about."""
    for _ in range(2):
        answer = server.admin.post(server.url + "/v1/consumers/00001/records/purchases", timeout=20, json=PURCHASE)
        assert answer.status_code == 201, answer.text


def told(person):
    """The newest message, once there are some."""
    import time
    deadline = time.monotonic() + 20
    while True:
        found = re.findall(r'<a href="(/portal/messages/event-\d+)"', person.page("/portal/messages"))
        if len(found) > 3:
            return found[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)


def change_the_policy(server, folder):
    """A notice says more than before."""
    import shutil
    policy = folder / "policy"
    shutil.copytree(os.path.join(ROOT, "policy"), policy)
    for language in ("en", "sv"):
        file = policy / "notices" / f"personal_offers.{language}.md"
        text = file.read_text(encoding="utf-8").replace("version: 1", "version: 2").replace("material: true", "material: false")
        file.write_text(text + "\n.\n", encoding="utf-8")
    lov("policy", "apply", policy, "--dir", server.folder)


def pages_of(person):
    activity = person.page("/portal/activity")
    event = re.search(r'/portal/why/(\d+)', activity)[1]
    receipt = re.search(r'/portal/receipts/([0-9a-f]{32}\?event=\d+)', person.page("/portal/receipts"))[1]
    message = told(person)
    return {
        "overview": "/portal", "choices": "/portal/choices",
        "choice": "/portal/choices/personal_offers_by_marketing", "activity": "/portal/activity",
        "why": f"/portal/why/{event}", "complaint": f"/portal/activity/{event}/complaint",
        "receipts": "/portal/receipts", "receipt": f"/portal/receipts/{receipt}",
        "policies": "/portal/policies", "policy": "/portal/policies/personal_offers",
        "data": "/portal/data", "requests": "/portal/requests", "ask": "/portal/ask/erasure", "messages": "/portal/messages",
        "message": message, "apps": "/portal/apps", "account": "/portal/account",
        "prove": "/portal/prove", "missing": "/portal/nowhere",
    }


def console_pages(staff, viewer):
    """Every page of the console as the viewer sees it, with something on it that others proposed."""
    proposal = propose(staff, retention_days=400)
    read, own = (propose_read(who, form=form, why="The customers for whom the spring campaign is meant.")
                 for who, form in ((staff, "ids"), (viewer, "csv")))
    hash_ = re.search(r"<code>([0-9a-f]{64})</code>", staff.page(own))[1]
    assert staff.send(own + "/approve", hash=hash_).status_code == 303
    request = staff.server.admin.get(staff.server.url + "/v1/requests?state=live", timeout=20).json()["items"][0]["id"]
    return {"desk-today": "/console", "desk-policy": "/console/policy", "desk-propose": "/console/policy/propose",
            "desk-proposal": proposal, "desk-reads": "/console/reads", "desk-read": read, "desk-read-own": own,
            "desk-reports": "/console/reports", "desk-processing": "/console/reports/processing",
            "desk-log": "/console/log", "desk-event": "/console/log/300", "desk-consumers": "/console/consumers", "desk-recipients": "/console/recipients", "desk-recipient": "/console/recipients/marketing",
            "desk-requests": "/console/requests", "desk-request": f"/console/requests/{request}", "desk-account": "/console/account", "desk-missing": "/console/nowhere"}


def staff_pages(server):
    """The pages of staff: somebody came in lately, somebody was invited by a colleague, somebody left."""
    chief = Staff(server, "admin", name="Maj Chef")
    answer = chief.send("/console/staff", name="Siv Ek", trained_until="2031-06-30",
                        **{"role-privacy_officer": "1", "role-support": "1", "for-customer_service": "1"})
    member = re.search(r"/console/staff/([0-9a-f]{32})/link", answer.text)[1]
    lov("staff", "disable", invite_staff(server, "Olle Borta", "marketing")["id"], "--dir", server.folder)
    lov("key", "create", "--staff", "privacy_officer", "--dir", server.folder)
    return chief, {"desk-staff": "/console/staff", "desk-member": f"/console/staff/{member}"}


def main():
    out = pathlib.Path(sys.argv[1])
    english = "--english" in sys.argv
    only = [name for name in sys.argv[2:] if name != "--english"]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(make_demo(pathlib.Path(folder)))
        try:
            person = Person(server, "00001")
            use_data(server)
            ask_for_data(server)
            buy_twice(server)
            change_the_policy(server, pathlib.Path(folder))
            welcome = invite(server, "00002")
            pages = pages_of(person)
            staff = Staff(server, "privacy_officer,admin,support", departments="customer_service")
            untrained = Staff(server, "support", trained="2026-01-31")
            desk_pages = console_pages(Staff(server, "privacy_officer"), staff)
            chief, chief_pages = staff_pages(server)
            staff_link = invite_staff(server)["path"]
            for width, size in (("phone", PHONE), ("desktop", DESKTOP)):
                for scheme, language in (("light", "en" if english else "sv"), ("dark", "en")):
                    browser = Browser(size, language=language, dark=scheme == "dark")
                    outside = {"sign": "/portal/sign-in", "welcome": welcome, "desk-sign": "/console/sign-in",
                               "desk-welcome": staff_link}
                    for who, paths in ((None, outside), (person, pages), (staff, desk_pages),
                                       (chief, chief_pages),
                                       (untrained, {"desk-untrained": "/console"})):
                        if who:
                            browser.become(who)
                        for name, path in paths.items():
                            if only and name not in only:
                                continue
                            browser.open(server.url + path).picture(out / f"{name}-{width}-{scheme}.png")
                    browser.close()
        finally:
            server.stop()
    print(f"{len(list(out.glob('*.png')))} pictures in {out}")


if __name__ == "__main__":
    main()
