"""Kills the server at random moments under load: what was acknowledged is there, what was not is there
once or not at all, the ledger verifies, and every decision is the one that the clients expect.

LOV_CRASHES sets how many times (200), LOV_SEED repeats a run."""

import json
import os
import random
import signal
import socket
import subprocess
import threading
import time

import pytest
import requests

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOV = os.environ.get("LOV", os.path.join(ROOT, "build", "lov"))
CRASHES = int(os.environ.get("LOV_CRASHES", "200"))
CLIENTS = 4
CONSUMERS_EACH = 5
QUESTION = {"recipient": "marketing", "purpose": "personal_offers", "category": "purchases"}


def lov(*args):
    return subprocess.run([LOV, *map(str, args)], capture_output=True, text=True, timeout=120,
                          cwd=ROOT, check=False)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, folder):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [LOV, "serve", "--dir", folder, "--listen", f"127.0.0.1:{self.port}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                if requests.get(self.url + "/readyz", timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                pass
            assert self.process.poll() is None, "the server ended by itself"
            assert time.monotonic() < deadline, "the server is not ready in time"
            time.sleep(0.01)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Client:
    """Owns some consumers, writes to them one write at a time, and remembers what it was told."""

    def __init__(self, name, key, seed):
        self.name = name
        self.random = random.Random(seed)
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {key}"
        self.consumers = [f"{name}-{i}" for i in range(CONSUMERS_EACH)]
        self.said = {c: None for c in self.consumers}  # the reason that a decision must have
        self.consent = {}  # id of the latest consent
        self.events = {c: 0 for c in self.consumers}  # acknowledged events that a history must show
        self.count = 0
        self.unknown = None  # a write that was sent and not answered
        self.trouble = None

    def next_write(self):
        consumer = self.random.choice(self.consumers)
        self.count += 1
        key = f"{self.name}-{self.count}"
        if self.said[consumer] == "permitted" and self.random.random() < 0.5:
            what = self.random.choice(["withdraw", "use"])
        else:
            what = self.random.choice(["give", "refuse"])
        return consumer, what, key

    def send(self, url, write):
        consumer, what, key = write
        headers = {"Idempotency-Key": key}
        if what == "withdraw":
            return self.session.post(f"{url}/v1/consents/{self.consent[consumer]}/withdraw",
                                     headers=headers, timeout=20)
        if what == "use":
            item = {**QUESTION, "consumer": consumer}
            return self.session.post(f"{url}/v1/accesses", json={"items": [item]},
                                     headers=headers, timeout=20)
        body = {"consumer": consumer, "purpose": QUESTION["purpose"],
                "recipient": QUESTION["recipient"], "categories": ["purchases"], "decision": what,
                "notice": {"id": "personal_offers", "version": 1, "language": "sv"},
                "channel": "web", "evidence": {"key": key}}
        return self.session.post(f"{url}/v1/consents", json=body, headers=headers, timeout=20)

    def note(self, write, answer):
        consumer, what, _ = write
        assert answer.status_code in (200, 201), (write, answer.status_code, answer.text)
        if what == "use":
            assert answer.json()["items"][0]["event"] is not None
        else:
            self.consent[consumer] = answer.json()["id"]
            self.said[consumer] = {"give": "permitted", "refuse": "refused",
                                   "withdraw": "withdrawn"}[what]
        self.events[consumer] += 1

    def run(self, url, stop):
        try:
            while not stop.is_set():
                write = self.next_write()
                self.unknown = write
                try:
                    answer = self.send(url, write)
                except requests.RequestException:
                    return  # the server is gone: whether it was written is not known
                self.note(write, answer)
                self.unknown = None
        except Exception as trouble:  # told by the test, not lost with the thread
            self.trouble = trouble

    def settle(self, url):
        """Sends the unanswered write again under its key: then it is there, exactly once."""
        if self.unknown:
            write, self.unknown = self.unknown, None
            self.note(write, self.send(url, write))

    def check(self, url):
        items = [{"resource": {"type": QUESTION["category"], "id": c}} for c in self.consumers]
        answer = self.session.post(f"{url}/access/v1/evaluations", timeout=20, json={
            "subject": {"type": "recipient", "id": QUESTION["recipient"]},
            "action": {"name": QUESTION["purpose"]}, "evaluations": items})
        reasons = [e["context"]["reason"] for e in answer.json()["evaluations"]]
        assert reasons == [self.said[c] or "unknown_consumer" for c in self.consumers]

    def check_history(self, url):
        for consumer in self.consumers:
            if self.events[consumer] == 0:
                continue
            kinds, after = [], None
            while True:
                page = self.session.get(f"{url}/v1/consumers/{consumer}/history", timeout=20,
                                        params={"limit": 1000, **({"after": after} if after else {})})
                kinds += [item["kind"] for item in page.json()["items"]]
                after = page.json()["next"]
                if not after:
                    break
            told = [k for k in kinds if k in ("consent.give", "consent.refuse", "consent.withdraw",
                                              "access", "access.denied")]
            assert len(told) == self.events[consumer], consumer


@pytest.fixture
def installation(tmp_path):
    folder = str(tmp_path / "lov")
    assert lov("init", "--dir", folder).returncode == 0
    assert lov("policy", "apply", "policy", "--dir", folder).returncode == 0
    key = json.loads(lov("key", "create", "--dir", folder, "--staff", "admin", "--json").stdout)
    return folder, key["key"]


def verify(folder):
    result = lov("log", "verify", "--dir", folder)
    assert result.returncode == 0, result.stdout + result.stderr


def test_nothing_acknowledged_is_lost_over_many_kills(installation):
    folder, key = installation
    seed = int(os.environ.get("LOV_SEED", time.time_ns()))
    print(f"LOV_SEED={seed}")
    chance = random.Random(seed)
    clients = [Client(f"c{i}", key, chance.random()) for i in range(CLIENTS)]
    server = Server(folder)
    for _ in range(CRASHES):
        stop = threading.Event()
        threads = [threading.Thread(target=c.run, args=(server.url, stop)) for c in clients]
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.02, 0.4))  # the moment of the kill: nothing is waited for
        server.kill()
        stop.set()
        for thread in threads:
            thread.join()
        verify(folder)
        server = Server(folder)
        for client in clients:
            assert client.trouble is None, client.trouble
            client.settle(server.url)
            client.check(server.url)
    for client in clients:
        client.check_history(server.url)
    server.process.terminate()
    assert server.process.wait(30) == 0
    verify(folder)
    written = sum(sum(c.events.values()) for c in clients)
    print(f"{CRASHES} kills, {written} acknowledged writes")
    assert written > CRASHES
