"""Messages to consumers: made of the ledger, to whom they concern, once; sealed, so that an erasure takes
them; and e-mails that say no more than that there is one, through a real mail server."""

import email
import email.policy
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from test_http import ROOT, Server, demo, lov  # noqa: F401 (fixture)
from test_webhooks import certificate, until

sys.path.insert(0, os.path.join(ROOT, "test", "browser"))

from portal import Person, token  # noqa: E402

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


def rows(server, sql, *values):
    store = sqlite3.connect(f"file:{server.folder}/lov.db?mode=ro", uri=True)
    found = store.execute(sql, values).fetchall()
    store.close()
    return found


def titles(person):
    page = person.page("/portal/messages")
    return re.findall(r"<div>(?:<strong>)?([^<]+)(?:</strong> <span class=\"new\">New</span>)?<br>", page)


def await_title(person, title):
    return until(lambda: title in titles(person))


class Mail:
    """A mail server that keeps what it is sent."""

    def __init__(self, tls=None, password=None):
        self.letters, self.refuse = [], False
        mail = self

        class Handler:
            async def handle_DATA(self, _server, _session, envelope):
                if mail.refuse:
                    return "451 try again"
                mail.letters.append(envelope)
                return "250 taken"

        options = {"hostname": "127.0.0.1", "port": 0, "tls_context": tls}
        if password:
            options["auth_required"] = True
            options["authenticator"] = lambda *call: AuthResult(
                success=call[4].login == b"lov" and call[4].password == password.encode())
        self.controller = Controller(Handler(), **options)
        # Its own check of the start connects to the port that was asked for, which is any.
        self.controller._trigger_server = lambda: socket.create_connection(  # pylint: disable=protected-access
            self.controller.server.sockets[0].getsockname()).close()
        self.controller.start()
        self.port = self.controller.server.sockets[0].getsockname()[1]
        self.url = f"smtp://127.0.0.1:{self.port}"

    def stop(self):
        self.controller.stop()

    def read(self, index=0):
        return email.message_from_bytes(self.letters[index].content, policy=email.policy.default)


@pytest.fixture
def serve(demo, tmp_path):  # noqa: F811
    """Makes servers of one installation, which are stopped at the end."""
    subprocess.run(["cp", "-a", str(demo), str(tmp_path / "lov")], check=True)
    servers = []

    def start(*options, **more):
        servers.append(Server(tmp_path / "lov", *options, **more))
        return servers[-1]

    yield start
    for one in servers:
        if one.process.poll() is None:
            one.stop()
    lov("log", "verify", "--dir", tmp_path / "lov")


def sold(folder, name, begins):
    """The demo's policy where the successor begins then; None: nobody takes over."""
    policy = folder / name
    shutil.copytree(os.path.join(ROOT, "policy"), policy)
    file = policy / "recipients.yaml"
    file.write_text(re.sub(r"from: 2026-11-01", f"from: {begins or '2026-11-01'}", file.read_text(encoding="utf-8")),
                    encoding="utf-8")
    if not begins:
        file = policy / "activities.yaml"
        text = file.read_text(encoding="utf-8")
        file.write_text(re.sub(r"  - id: business_transfer_by_nyhandel\n.*?(?=\n  - id: )", "", text, flags=re.S),
                        encoding="utf-8")
    return policy


def new_policy(folder, change):
    """The demo's policy with the next version of the notice about personal offers, or a new recipient."""
    policy = folder / f"policy-{change}"
    shutil.copytree(os.path.join(ROOT, "policy"), policy)
    # The linter demands that a notice names whoever it is for.
    for language, name in (("en", "Nordhandel's product department"), ("sv", "Nordhandels produktavdelning")):
        file = policy / "notices" / f"personal_offers.{language}.md"
        text = file.read_text(encoding="utf-8").replace("version: 1", "version: 2")
        text = re.sub(r"(Nordhandels? ?'?s? ?(marknadsavdelning|marketing department))", rf"\1, {name}", text, flags=re.I)
        file.write_text(text + f"\nAnd more: {name}.\n", encoding="utf-8")
    if change == "recipient":
        file = policy / "activities.yaml"
        text = file.read_text(encoding="utf-8")
        one = re.search(r"  - id: personal_offers_by_marketing\n.*?(?=\n  - id: )", text, re.S)[0]
        other = one.replace("personal_offers_by_marketing", "personal_offers_by_product").replace(
            "recipient: marketing", "recipient: product")
        file.write_text(text.replace(one, one + "\n" + other), encoding="utf-8")
    return policy


def test_a_change_of_the_policy_is_told_to_whom_it_concerns_once(serve, tmp_path):
    server = serve()
    person = Person(server, "00001")
    server.give(consumer="00001")
    server.give(consumer="m-new")
    other = Person(server, server.admin.put(server.url + "/v1/consumers/m-quiet", json={"residence": "SE"},
                                            timeout=20).json()["consumer"])
    lov("policy", "apply", new_policy(tmp_path, "notice"), "--dir", server.folder)
    await_title(person, "The policy has changed")
    asked, = rows(server, "select count(distinct cid) from consent where purpose = 'personal_offers' and "
                  "recipient = 'marketing' and status <> 'superseded'")[0]
    until(lambda: rows(server, "select ended_at from message_round where version = 2 and ended_at is not null"))
    assert asked > 20
    assert rows(server, "select count(*), count(distinct cid) from message") == [(asked, asked)]
    assert rows(server, "select told from message_round where version = 2") == [(asked,)]
    assert titles(other) == []
    link = re.search(r"/portal/messages/event-\d+", person.page("/portal/messages"))[0]
    page = person.page(link)
    assert "/portal/policies/personal_offers?version=2" in page
    event = [e for e in server.admin.get(server.url + "/v1/events", params={"limit": 1000}, timeout=20).json()["items"]
             if e["kind"] == "message.round"]
    assert [e["told"] for e in event] == [asked]


def test_a_new_owner_is_told_to_everybody(serve, tmp_path):
    server = serve()
    for who in ("m-quiet", "m-other"):
        assert server.admin.put(f"{server.url}/v1/consumers/{who}", json={"residence": "SE"}, timeout=20).ok
    quiet, busy = Person(server, "m-quiet"), Person(server, "00005")
    lov("policy", "apply", sold(tmp_path, "before", None), "--dir", server.folder)
    lov("policy", "apply", sold(tmp_path, "sold", "2099-01-01"), "--dir", server.folder)
    until(lambda: rows(server, "select 1 from message_round where version = 3 and ended_at is not null"), 60)
    everybody, = rows(server, "select count(*) from consumer")[0]
    assert rows(server, "select told from message_round where version = 3") == [(everybody,)]
    answered = "select count(distinct cid) from consent where purpose = 'business_transfer' and status <> 'superseded'"
    assert rows(server, "select told from message_round where version = 2") == rows(server, answered)
    for person in (quiet, busy):
        await_title(person, "The policy has changed")
        page = person.page(re.search(r"/portal/messages/event-\d+", person.page("/portal/messages"))[0])
        assert "gets a new owner" in page and "Nyhandel" in page and 'href="/portal/choices"' in page


def test_a_new_recipient_is_told_to_those_who_said_yes_to_the_purpose(serve, tmp_path):
    server = serve()
    yes, no = Person(server, "00003"), Person(server, "00004")
    server.give(consumer="00003")
    server.give(consumer="00004", decision="refuse")
    lov("policy", "apply", new_policy(tmp_path, "recipient"), "--dir", server.folder)
    await_title(yes, "The policy has changed")
    until(lambda: rows(server, "select 1 from message_round where version = 2 and ended_at is not null"))
    page = yes.page(re.search(r"/portal/messages/event-\d+", yes.page("/portal/messages"))[0])
    assert "Somebody new asks to use your data" in page and "product department" in page
    # Who said no hears of the new text alone.
    await_title(no, "The policy has changed")
    page = no.page(re.search(r"/portal/messages/event-\d+", no.page("/portal/messages"))[0])
    assert "Somebody new" not in page and "personal_offers?version=2" in page


def test_nobody_is_told_twice_when_the_server_is_killed(serve, tmp_path):
    server = serve()
    for n in range(400):
        server.give(consumer=f"m-{n:03d}")
    lov("policy", "apply", new_policy(tmp_path, "notice"), "--dir", server.folder)
    for _ in range(4):
        time.sleep(0.15)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(20)
        server = serve()
    until(lambda: rows(server, "select 1 from message_round where version = 2 and ended_at is not null"))
    asked, = rows(server, "select count(distinct cid) from consent where purpose = 'personal_offers' and "
                  "recipient = 'marketing' and status <> 'superseded'")[0]
    assert rows(server, "select count(*), count(distinct cid) from message") == [(asked, asked)]


def test_a_withdrawal_and_a_request_are_told(serve):
    server = serve()
    person = Person(server, "00005")
    consent = server.give(consumer="00005").json()
    server.admin.post(f"{server.url}/v1/consents/{consent['id']}/withdraw", json={}, timeout=20).raise_for_status()
    await_title(person, "You took back a yes")
    request = server.admin.post(server.url + "/v1/requests", timeout=20, json={
        "consumer": "00005", "right": "access", "channel": "email", "detail": "a private wish"}).json()
    for step, title in (("ask-identity", "We need to know that it is you"), ("verify-identity", None),
                        ("extend", "Your request takes longer"), ("fulfil", "Your request is done")):
        server.admin.post(f"{server.url}/v1/requests/{request['id']}/{step}", json={"note": "private words"},
                          timeout=20).raise_for_status()
        if title:
            await_title(person, title)
    assert "We have your request" in titles(person)
    refused = server.admin.post(server.url + "/v1/requests", timeout=20, json={
        "consumer": "00005", "right": "opt_out", "channel": "web"}).json()
    assert "id" in refused or refused["reason"] == "no_such_right"


def test_an_erasure_takes_the_messages(serve):
    server = serve()
    person = Person(server, "00006")
    consent = server.give(consumer="00006").json()
    server.admin.post(f"{server.url}/v1/consents/{consent['id']}/withdraw", json={}, timeout=20).raise_for_status()
    await_title(person, "You took back a yes")
    sealed = bytes(rows(server, "select sealed from message")[0][0])
    assert b"withdrawal" not in sealed and b"marketing" not in sealed
    server.admin.post(server.url + "/v1/consumers/00006/erase", json={}, timeout=20).raise_for_status()
    until(lambda: rows(server, "select count(*) from message") == [(0,)])
    # Housekeeping overwrites what was deleted.
    until(lambda: sealed not in b"".join(open(os.path.join(server.folder, name), "rb").read()
                                         for name in ("lov.db", "lov.db-wal")
                                         if os.path.exists(os.path.join(server.folder, name))))


def settings(person, **fields):
    return person.post("/portal/messages/settings", csrf=token(person.page("/portal/messages")), **fields)


MAIL = ("--base-url", "http://consent.example.com", "--smtp-from", "lov@nordhandel.example")


def withdraw(server, consumer):
    consent = server.give(consumer=consumer).json()
    server.admin.post(f"{server.url}/v1/consents/{consent['id']}/withdraw", json={}, timeout=20).raise_for_status()


def test_an_e_mail_says_no_more_than_that_there_is_a_message(serve):
    mail = Mail()
    server = serve(*MAIL, "--smtp-url", mail.url)
    # Behind such a URL cookies are as on plain HTTP.
    person, quiet = Person(server, "00007", language="sv"), Person(server, "00008")
    assert settings(person, often="monthly", mail="1").status_code == 303
    withdraw(server, "00008")
    withdraw(server, "00007")
    until(lambda: mail.letters)
    letter, envelope = mail.read(), mail.letters[0]
    assert envelope.rcpt_tos == ["00007@example.com"] and envelope.mail_from == "lov@nordhandel.example"
    assert letter["To"] == "00007@example.com" and letter["Auto-Submitted"] == "auto-generated"
    text = letter.get_content()
    assert "http://consent.example.com/portal/messages" in text and "Logga in" in text
    everything = str(letter["Subject"]) + text
    assert not [word for word in ("00007", "marketing", "marknad", "erbjudande", "ja") if
                re.search(rf"\b{word}", everything.replace("Nordhandel", ""))]
    assert "Nordhandel" in letter["Subject"] and letter["Message-ID"] and letter["Date"]
    # One message, one e-mail; what was read before is not told of; nobody else gets any.
    await_title(quiet, "You took back a yes")
    time.sleep(1.5)
    assert len(mail.letters) == 1
    assert rows(server, "select count(*) from message where mail_at is not null") == [(0,)]
    mail.stop()


def test_a_mail_server_that_fails_is_tried_again_later(serve):
    mail = Mail()
    mail.refuse = True
    server = serve(*MAIL, "--smtp-url", mail.url)
    person = Person(server, "00009")
    settings(person, often="never", mail="1")
    before = time.time() * 1000
    withdraw(server, "00009")
    until(lambda: rows(server, "select 1 from message where mail_attempts = 1"))
    later, = rows(server, "select mail_at from message")[0]
    assert later - before > 30000 and not mail.letters
    text = server.admin.get(server.url + "/metrics", timeout=20).text
    assert re.search(r"^lov_mails_failed_total 1$", text, re.M) and re.search(r"^lov_mails_waiting 1$", text, re.M)
    with open(server.folder + ".log", encoding="utf-8") as log:
        assert "example.com\"" not in log.read() and "00009" not in log.read()
    mail.stop()


def test_a_mail_server_may_demand_tls_and_a_password(serve, tmp_path):
    context = certificate(tmp_path, "mail")
    mail = Mail(tls=context, password="hemligt ord")
    credentials = tmp_path / "credentials"
    credentials.write_text("lov\nhemligt ord\n")
    credentials.chmod(0o600)
    server = serve(*MAIL, "--smtp-url", mail.url, "--smtp-credentials", credentials, "--webhook-ca",
                   tmp_path / "mail.crt")
    person = Person(server, "00010")
    settings(person, often="never", mail="1")
    withdraw(server, "00010")
    until(lambda: mail.letters)
    mail.stop()


def test_what_cannot_send_is_refused_at_the_start(demo, tmp_path):  # noqa: F811
    secret = tmp_path / "secret"
    secret.write_text("one line")
    for mode in (0o600, 0o644):
        secret.chmod(mode)
        lov("serve", "--dir", demo, *MAIL, "--smtp-url", "smtp://localhost", "--smtp-credentials", secret,
            code=2)
    for options in (("--smtp-url", "http://localhost"), ("--smtp-url", "smtp://localhost", "--smtp-from", "a b@c"),
                    ("--smtp-url", "smtp://localhost"), ("--smtp-from", "lov@nordhandel.example")):
        lov("serve", "--dir", demo, *options, code=2)


def test_summaries_come_when_a_quarter_is_over_to_those_who_want_them(demo, tmp_path):  # noqa: F811
    folder = tmp_path / "lov"
    subprocess.run(["cp", "-a", str(demo), str(folder)], check=True)
    clock = tmp_path / "clock"
    clock.write_text("+0")
    server = Server(folder, environment={
        "LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    try:
        people = {often: Person(server, f"0001{n}") for n, often in
                  enumerate(("never", "monthly", "quarterly", "yearly", "default"))}
        for often, person in people.items():
            if often != "default":
                assert settings(person, often=often).status_code == 303
        server.give(consumer="00012")
        body = {"subject": {"type": "recipient", "id": "marketing"}, "action": {"name": "personal_offers"},
                "resource": {"type": "purchases", "id": "00012"}, "context": {"record": True}}
        for _ in range(3):
            assert server.marketing.post(server.url + "/access/v1/evaluation", json=body,
                                         timeout=20).json()["decision"]
        # The first day of the month after the next quarter begins.
        now = time.gmtime()
        year, month = (now.tm_year + 1, 1) if now.tm_mon > 9 else (now.tm_year, 3 * ((now.tm_mon + 2) // 3) + 1)
        source = f"summary-{year}-{month:02d}-01"
        ahead = time.mktime((year, month, 1, 12, 0, 0, 0, 0, 0)) - time.time()
        clock.write_text(f"+{int(ahead)}")
        until(lambda: rows(server, "select 1 from message_round where source = ? and ended_at is not null", source), 40)
        told, = rows(server, "select count(*) from message where source = ?", source)[0]
        assert told == (4 if month == 1 else 3)
        fresh = Person.__new__(Person)
        fresh.server, fresh.consumer, fresh.name = server, "00012", "00012@example.com"
        import requests
        fresh.http = requests.Session()
        fresh.http.headers["Accept-Language"] = "en"
        form = token(fresh.get("/portal/sign-in").text)
        assert fresh.post("/portal/sign-in", csrf=form, name=fresh.name,
                          password="korrekt häst batteri").status_code == 303
        page = fresh.page("/portal/messages/" + source)
        assert "Who used your data" in page and re.search(r'<span class="times">\d+ ', page)
    finally:
        server.stop()


def test_a_message_is_of_one_consumer_alone(serve):
    server = serve()
    one, other = Person(server, "00020"), Person(server, "00021")
    withdraw(server, "00020")
    await_title(one, "You took back a yes")
    path = re.search(r"/portal/messages/event-\d+", one.page("/portal/messages"))[0]
    assert other.get(path).status_code == 404
    assert other.post(path + "/unread", csrf=token(other.page("/portal/messages"))).status_code == 404
    assert one.get("/portal/messages/event-1").status_code == 404
    assert one.get("/portal/messages/" + "x" * 200).status_code == 404
    assert one.get("/portal/messages?before=rubbish").status_code == 404
