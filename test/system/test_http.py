"""The server over HTTP, as an application sees it: the story of the README at every door, hostile
input that changes nothing, and what may not be found in logs and files."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
import requests

import ledger_rows

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOV = os.environ.get("LOV", os.path.join(ROOT, "build", "lov"))
PURCHASES = " customer_id  date number_of_cds  dollar_value\r\n" + "".join(
    f" {n:05d} 1997{1 + n % 12:02d}{1 + n % 28:02d}  1   11.77\r\n" for n in range(1, 61))
# The permit index is sparse; a copy would fill its holes. It is made anew where it is missing.
NO_INDEX = shutil.ignore_patterns("permits.*")
GIVE = {"consumer": "00001", "purpose": "personal_offers", "recipient": "marketing",
        "categories": ["purchases"], "decision": "give", "channel": "web",
        "notice": {"id": "personal_offers", "version": 1, "language": "sv"}}


def lov(*args, code=0):
    result = subprocess.run([LOV, *map(str, args)], capture_output=True, text=True, timeout=120,
                            check=False)
    assert result.returncode == code, (args, result.returncode, result.stdout, result.stderr)
    return result.stdout


def question(consumer="00001", recipient="marketing"):
    return {"subject": {"type": "recipient", "id": recipient},
            "action": {"name": "personal_offers"},
            "resource": {"type": "purchases", "id": consumer}}


def used_bytes(path):
    """What a file holds; the permit index is sparse, and larger than memory where nothing is."""
    data = b""
    with open(path, "rb") as file:
        end = 0
        while True:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:
                return data
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            data += os.pread(file.fileno(), end - start, start)


class Server:
    """A server of the installation in `folder`. `options` go to lov serve; `authority`, the file of a
    certificate to trust, says that they make it speak TLS. `environment` is added to the server's."""

    def __init__(self, folder, *options, authority=None, environment=None):
        self.folder = str(folder)
        self.verify = str(authority) if authority else True
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.url = f"http{'s' if authority else ''}://127.0.0.1:{self.port}"
        self.log = open(self.folder + ".log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [LOV, "serve", "--dir", self.folder, "--listen", f"127.0.0.1:{self.port}",
             *map(str, options)],
            stderr=self.log, stdout=subprocess.DEVNULL, env={**os.environ, **(environment or {})})
        deadline = time.monotonic() + 30
        while True:
            try:
                if requests.get(self.url + "/readyz", timeout=5, verify=self.verify).ok:
                    break
            except requests.RequestException:
                pass
            assert time.monotonic() < deadline and self.process.poll() is None
            time.sleep(0.01)
        self.admin = self.session("--staff", "admin")
        self.marketing = self.session("--recipient", "marketing")

    def session(self, *holder):
        key = json.loads(lov("key", "create", "--dir", self.folder, *holder, "--json"))["key"]
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {key}"
        session.verify = self.verify
        session.trust_env = False  # an environment's own authorities would win over `verify`
        return session

    def reason(self, consumer="00001"):
        answer = self.marketing.post(self.url + "/access/v1/evaluation", json=question(consumer),
                                     timeout=20)
        assert answer.status_code == 200
        return answer.json()["context"]["reason"]

    def give(self, **changes):
        return self.admin.post(self.url + "/v1/consents", json={**GIVE, **changes}, timeout=20)

    def state(self):
        return lov("log", "root", "--dir", self.folder, "--json")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        with open(self.log.name, encoding="utf-8") as log:
            assert code == 0, log.read()[-4000:]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    base = tmp_path_factory.mktemp("http")
    (base / "purchases.txt").write_text(PURCHASES, encoding="ascii")
    lov("demo", "--dir", base / "demo", "--purchases", base / "purchases.txt")
    return base / "demo"


@pytest.fixture
def server(demo, tmp_path):
    subprocess.run(["cp", "-a", str(demo), str(tmp_path / "lov")], check=True)
    server = Server(tmp_path / "lov")
    yield server
    if server.process.poll() is None:
        server.stop()
    lov("log", "verify", "--dir", server.folder)


# ---- the story ----


def test_a_withdrawal_is_told_at_every_door(server):
    consents = server.admin.get(server.url + "/v1/consumers/00001/consents", timeout=20).json()
    mine = [c for c in consents["items"] if c["recipient"] == "marketing"]
    assert server.reason() == "permitted"
    answer = server.admin.post(f"{server.url}/v1/consents/{mine[0]['id']}/withdraw", timeout=20)
    assert answer.status_code == 200 and answer.json()["status"] == "withdrawn"
    assert server.reason() == "withdrawn"
    q = question()
    many = server.marketing.post(server.url + "/access/v1/evaluations", timeout=20, json={
        "subject": q["subject"], "action": q["action"], "evaluations": [{"resource": q["resource"]}]})
    assert many.json()["evaluations"][0]["decision"] is False
    audience = server.marketing.post(server.url + "/access/v1/search/resource", timeout=20, json={
        **q, "resource": {"type": "purchases"}, "page": {"limit": 10000}}).json()
    assert "00001" not in [r["id"] for r in audience["results"]]
    assert audience["results"], "others are permitted"
    out = lov("check", "--dir", server.folder, "--recipient", "marketing", "--purpose",
              "personal_offers", "--category", "purchases", "--consumer", "00001", code=1)
    assert "withdrawn" in out


def test_a_history_is_complete_before_and_after_a_withdrawal(server):
    given = server.give(consumer="new-one").json()
    server.admin.post(f"{server.url}/v1/consents/{given['id']}/withdraw", timeout=20)
    history = server.admin.get(server.url + "/v1/consumers/new-one/history", timeout=20).json()
    assert [i["kind"] for i in history["items"]] == ["consumer.add", "consent.give",
                                                      "consent.withdraw"]
    assert history["next"] is None
    assert all(i["consent"] == given["id"] for i in history["items"][1:])


def test_a_history_tells_which_answer_took_the_place_of_which(server):
    both = server.give(consumer="often", categories=["purchases", "profile"]).json()["id"]
    one = server.give(consumer="often", categories=["profile"]).json()["id"]
    last = server.give(consumer="often", categories=["purchases", "profile"]).json()["id"]
    history = server.admin.get(server.url + "/v1/consumers/often/history", timeout=20).json()["items"]
    assert [(i["kind"], i["consent"]) for i in history[1:]] == [
        ("consent.give", both), ("consent.supersede", both), ("consent.give", one), ("consent.give", last)]
    assert history[-1]["supersedes"] == [
        {"consent": both, "event": history[2]["seq"]}, {"consent": one, "event": history[3]["seq"]}]
    assert not any("supersedes" in i for i in history[:-1])
    listed = server.admin.get(server.url + "/v1/consumers/often/consents", timeout=20).json()["items"]
    assert [(i["id"], i["status"], i["categories"]) for i in listed] == [
        (both, "superseded", ["purchases"]), (one, "superseded", ["profile"]),
        (last, "active", ["purchases", "profile"])]
    for item in listed:
        assert server.admin.get(server.url + "/v1/consents/" + item["id"], timeout=20).json() == item
        gone = server.admin.post(server.url + "/v1/consents/" + item["id"] + "/withdraw", timeout=20)
        assert gone.status_code == (200 if item["id"] == last else 409)


def test_a_recorded_use_is_in_the_ledger_before_the_answer(server):
    asked = {**question(), "context": {"record": True}}
    answer = server.marketing.post(server.url + "/access/v1/evaluation", json=asked, timeout=20)
    event = answer.json()["context"]["event"]
    after = server.admin.get(f"{server.url}/v1/events?after={event - 1}&limit=1", timeout=20).json()
    assert after["items"][0]["kind"] == "access"
    with ledger_rows.opened(server.folder + "/lov.db") as db:
        kind, body = db.execute("select kind, body from event where seq = ?", (event,)).fetchone()
    assert kind == "access" and json.loads(body)["category"] == "purchases"


def test_a_policy_takes_effect_without_a_restart(server, tmp_path):
    subprocess.run(["cp", "-r", os.path.join(ROOT, "policy"), str(tmp_path / "policy")], check=True)
    for language in ("en", "sv"):
        path = tmp_path / "policy" / "notices" / f"personal_offers.{language}.md"
        path.write_text(path.read_text("utf-8").replace("version: 1", "version: 2"), "utf-8")
    assert server.reason() == "permitted"
    told = json.loads(lov("policy", "diff", tmp_path / "policy", "--dir", server.folder, "--json"))
    change = [c for c in told["changes"] if c["what"] == "notice"][0]
    assert change["material"] and change["consumers"] > 0 and change["consents"] > 0
    lov("policy", "apply", tmp_path / "policy", "--dir", server.folder)
    assert server.reason() == "notice_superseded"
    assert server.give().status_code == 422
    assert server.give(notice={**GIVE["notice"], "version": 2}).status_code == 201
    assert server.reason() == "permitted"


def test_a_notice_of_long_ago_is_told_in_full(server, tmp_path):
    def notice(**query):
        answer = server.admin.get(server.url + "/v1/notices/personal_offers", params=query, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()

    first = notice(language="sv")
    subprocess.run(["cp", "-r", os.path.join(ROOT, "policy"), str(tmp_path / "policy")], check=True)
    for language in ("en", "sv"):
        path = tmp_path / "policy" / "notices" / f"personal_offers.{language}.md"
        text = path.read_text("utf-8").replace("version: 1", "version: 2")
        text = text.replace("material: true", "material: false")
        path.write_text(re.sub(r"^# .*$", "# A new title", text, flags=re.M), "utf-8")
    lov("policy", "apply", tmp_path / "policy", "--dir", server.folder)
    assert notice(language="sv")["title"] == "A new title" and not notice(language="sv")["material"]
    assert notice(language="sv", version=1) == {**first, "current": False}
    assert first["title"] and first["material"] is True and first["current"] is True


def test_a_recipient_asks_for_itself_only_and_records_no_consent(server):
    other = server.marketing.post(server.url + "/access/v1/evaluation", timeout=20,
                                  json=question(recipient="risk"))
    assert other.status_code == 403
    assert server.marketing.post(server.url + "/v1/consents", json=GIVE, timeout=20).status_code == 403
    assert requests.post(server.url + "/v1/consents", json=GIVE, timeout=20).status_code == 401


def test_an_idempotency_key_makes_one_consent_of_many_requests(server):
    headers = {"Idempotency-Key": "once"}
    first, again = (server.admin.post(server.url + "/v1/consents", json=GIVE, headers=headers,
                                      timeout=20) for _ in range(2))
    assert first.status_code == again.status_code == 201
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    other = server.admin.post(server.url + "/v1/consents", headers=headers, timeout=20,
                              json={**GIVE, "decision": "refuse"})
    assert other.status_code == 422 and other.json()["reason"] == "idempotency_key_reused"


def test_a_stop_finishes_what_is_in_flight(server):
    answers, stop = [], threading.Event()

    def write(number):
        session = requests.Session()
        session.headers.update(server.admin.headers)
        while not stop.is_set():
            try:
                answers.append(session.post(server.url + "/v1/consents", timeout=20,
                                            json={**GIVE, "consumer": f"w{number}"}).status_code)
            except requests.ConnectionError:
                return

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    while len(answers) < 50:
        time.sleep(0.001)
    server.stop()
    stop.set()
    for thread in threads:
        thread.join()
    assert set(answers) <= {201, 503}
    with ledger_rows.opened(f"{server.folder}/lov.db") as db:
        given = db.execute("select count(*) from event where kind = 'consent.give' and actor like "
                           "'staff:admin%'").fetchone()[0]
    assert given >= answers.count(201)


# ---- hostile input ----

HOSTILE = [
    (b"", 400), (b"{", 400), (b"[]", 400), (b"null", 400), (b'"x"', 400), (b"\xff\xfe", 400),
    (b'{"a":1,"a":2}', 400), (b"[" * 5000, 400), (b"[" * 100000, 413), (b'{"x":' * 5000, 400),
    (b'{"consumer":"\xc3\x28"}', 400), (b'{"consumer":"\\ud800"}', 400),
    (json.dumps({**GIVE, "surprise": 1}).encode(), 400),
    (json.dumps({**GIVE, "consumer": 5}).encode(), 400),
    (json.dumps({**GIVE, "consumer": ""}).encode(), 400),
    (json.dumps({**GIVE, "consumer": "a" * 1000}).encode(), 400),
    (json.dumps({**GIVE, "consumer": "a\x00b"}).encode(), 400),
    (json.dumps({**GIVE, "consumer": "a\nb"}).encode(), 400),
    (json.dumps({**GIVE, "categories": []}).encode(), 400),
    (json.dumps({**GIVE, "categories": ["purchases", "purchases"]}).encode(), 400),
    (json.dumps({**GIVE, "categories": "purchases"}).encode(), 400),
    (json.dumps({**GIVE, "decision": "maybe"}).encode(), 400),
    (json.dumps({**GIVE, "channel": "telepathy"}).encode(), 400),
    (json.dumps({**GIVE, "expires_at": "2026-02-30T00:00:00Z"}).encode(), 400),
    (json.dumps({**GIVE, "expires_at": "tomorrow"}).encode(), 400),
    (json.dumps({**GIVE, "expires_at": "2020-01-01T00:00:00Z"}).encode(), 422),
    (json.dumps({**GIVE, "notice": {**GIVE["notice"], "version": 10 ** 30}}).encode(), 400),
    (json.dumps({**GIVE, "notice": {**GIVE["notice"], "version": -1}}).encode(), 400),
    (json.dumps({**GIVE, "notice": {**GIVE["notice"], "hash": "zz"}}).encode(), 400),
    (json.dumps({**GIVE, "notice": {**GIVE["notice"], "hash": "0" * 64}}).encode(), 422),
    (json.dumps({**GIVE, "purpose": "../../etc"}).encode(), 400),
    (json.dumps({**GIVE, "purpose": "world_domination"}).encode(), 422),
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_bodies_get_a_clear_answer_and_change_nothing(shared, number):
    body, status = HOSTILE[number]
    before = shared.state()
    answer = shared.admin.post(shared.url + "/v1/consents", data=body, timeout=20,
                               headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status and problem["detail"] and problem["reason"]
    assert shared.state() == before


@pytest.fixture(scope="module")
def shared(demo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared") / "lov"
    subprocess.run(["cp", "-a", str(demo), str(folder)], check=True)
    server = Server(folder)
    yield server
    server.stop()


@pytest.mark.parametrize("path", ["/v1/consumers/%00/consents", "/v1/consumers/%ff/consents",
                                  "/v1/consumers/%2e%2e/consents", "/v1/consumers/a%0ab/history",
                                  "/v1/consents/x", "/v1/consents/" + "0" * 32, "/v1/../v1/policy",
                                  "/v1/nothing", "/v1/events?after=x", "/v1/events?limit=0"])
def test_hostile_paths_are_refused(shared, path):
    with socket.create_connection(("127.0.0.1", shared.port), timeout=20) as s:
        s.sendall((f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: "
                   f"{shared.admin.headers['Authorization']}\r\nConnection: close\r\n\r\n").encode())
        answer = b""
        while chunk := s.recv(65536):
            answer += chunk
    assert re.match(rb"HTTP/1.1 (400|404) ", answer), answer[:200]


def test_nothing_personal_is_in_logs_or_in_the_clear_on_disk(demo, tmp_path):
    folder = tmp_path / "lov"
    subprocess.run(["cp", "-a", str(demo), str(folder)], check=True)
    server = Server(folder)
    secret = "Sesam-4711-very-private"
    assert server.give(consumer=secret, evidence={"said": secret + "!"}).status_code == 201
    server.admin.get(f"{server.url}/v1/consumers/{secret}/consents", timeout=20)
    server.admin.get(f"{server.url}/v1/consumers/{secret}/nothing?x={secret}", timeout=20)
    server.admin.post(f"{server.url}/v1/consents", data=secret, timeout=20)
    server.stop()
    server.log.seek(0)
    assert secret not in server.log.read()
    for name in os.listdir(folder):
        if os.path.isfile(folder / name):
            assert secret.encode() not in used_bytes(folder / name), name
