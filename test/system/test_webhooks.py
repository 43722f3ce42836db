"""Webhooks, to real endpoints: signed as Standard Webhooks demands, in CloudEvents, at least once, whatever
the endpoint does and however the server ends."""

import base64
import hashlib
import hmac
import http.server
import json
import os
import signal
import ssl
import subprocess
import threading
import time

import pytest

from test_http import LOV, ROOT, Server, demo, lov  # noqa: F401 (fixture)
from test_openapi import CONTRACT, check

OPTIONS = ("--webhook-private", "--webhook-retry-seconds", 1, "--webhook-attempts", 3, "--webhook-timeout", 2)


class Endpoint:
    """An HTTP server that keeps what it was sent, and answers what it is told to."""

    def __init__(self, status=200, context=None, port=0):
        self.status, self.headers, self.slow, self.seen = status, {}, 0, []
        self.lock = threading.Lock()
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(endpoint.slow)
                status = endpoint.status(json.loads(body)) if callable(endpoint.status) else endpoint.status
                with endpoint.lock:
                    endpoint.seen.append((dict(self.headers), body, status))
                try:
                    self.send_response(status)
                    for name, value in endpoint.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    pass  # they did not wait

            do_GET = do_POST

            def log_message(self, *args):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass

        self.server = Quiet(("127.0.0.1", port), Handler)
        self.scheme = "http"
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.scheme = "https"
        self.port = self.server.server_address[1]
        self.url = f"{self.scheme}://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def taken(self, kind=None):
        """The events that were answered with a 2xx, in order."""
        with self.lock:
            events = [json.loads(body) for _, body, status in self.seen if 200 <= status < 300]
        return [e for e in events if kind is None or e["type"] == f"lov.{kind}"]

    def tries(self, kind):
        with self.lock:
            return [e for e in (json.loads(body) for _, body, _ in self.seen) if e["type"] == f"lov.{kind}"]


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)
    return found


@pytest.fixture
def endpoint():
    endpoint = Endpoint()
    yield endpoint
    endpoint.close()


@pytest.fixture(scope="module")
def folder(demo, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("webhooks") / "lov"
    subprocess.run(["cp", "-a", str(demo), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def server(folder):
    server = Server(folder, *OPTIONS)
    yield server
    server.stop()
    lov("log", "verify", "--dir", server.folder)


def call(server, method, path, status=200, pattern=None, **options):
    answer = server.admin.request(method, server.url + path, timeout=30, **options)
    assert answer.status_code == status, answer.text
    check(CONTRACT["paths"][pattern or path][method], answer)
    return answer.json()


def made(server, url, **members):
    return call(server, "post", "/v1/webhooks", 201, json={"url": url, **members})


def state(server, hook):
    return call(server, "get", f"/v1/webhooks/{hook['id']}", pattern="/v1/webhooks/{id}")


def failures(server, hook):
    return call(server, "get", f"/v1/webhooks/{hook['id']}/failures", pattern="/v1/webhooks/{id}/failures")["items"]


def change(server, hook, what, status=200, **members):
    return call(server, "post", f"/v1/webhooks/{hook['id']}/{what}", status, "/v1/webhooks/{id}/" + what,
                json=members)


def revoke(server, hook):
    return call(server, "delete", f"/v1/webhooks/{hook['id']}", pattern="/v1/webhooks/{id}")


def verified(secret, headers, body):
    """The check of the specification's reference libraries."""
    headers = {name.lower(): value for name, value in headers.items()}
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return any(hmac.compare_digest(part.split(",", 1)[1], expected)
               for part in headers["webhook-signature"].split(" ") if part.startswith("v1,"))


def test_an_event_arrives_signed_as_a_cloud_event(server, endpoint):
    hook = made(server, endpoint.url)
    consent = server.give(consumer="w-ada").json()
    event = until(lambda: endpoint.taken("consent.give"))[0]
    headers, body, _ = endpoint.seen[0]
    assert verified(hook["secret"], headers, body)
    assert not verified(hook["secret"], headers, body + b" ")
    assert headers["Content-Type"].startswith("application/cloudevents+json")
    assert event["specversion"] == "1.0" and event["id"] == headers["webhook-id"]
    assert event["subject"] == f"consents/{consent['id']}" and event["data"]["consumer"] == "w-ada"
    listed = server.admin.get(server.url + "/v1/events", params={"after": event["data"]["seq"] - 1, "limit": 1},
                              timeout=20).json()["items"][0]
    assert event["data"] == listed and event["time"] == listed["at"]
    until(lambda: state(server, hook)["delivered"] >= 1)
    assert revoke(server, hook)["state"] == "revoked"


def test_what_may_not_be_registered_is_refused(server):
    for url in ("http://example.com/hook", "ftp://example.com/", "https://", "https://a b/", "not a url",
                "https://user:secret@example.com/", "https://example.com/#part", "file:///etc/passwd",
                "http://127.0.0.1.example.com/", "https://example.com/\u00e5"):
        answer = server.admin.post(server.url + "/v1/webhooks", json={"url": url}, timeout=20)
        assert (answer.status_code, answer.json()["reason"]) == (400, "invalid_url"), url
    for members in ({"kinds": ["access"]}, {"kinds": []}, {"recipient": "nobody_known"}, {"more": 1}):
        answer = server.admin.post(server.url + "/v1/webhooks", json={"url": "https://example.com/", **members},
                                   timeout=20)
        assert answer.status_code in (400, 422), answer.text
    assert server.marketing.get(server.url + "/v1/webhooks", timeout=20).status_code == 403


def test_a_recipient_gets_its_own_events_alone(server, endpoint):
    other = Endpoint()
    hooks = [made(server, endpoint.url, recipient="marketing"), made(server, other.url, recipient="risk")]
    consent = server.give(consumer="w-bo").json()
    server.admin.post(f"{server.url}/v1/consents/{consent['id']}/withdraw", json={}, timeout=20).raise_for_status()
    server.give(consumer="w-bo")
    request = server.admin.post(server.url + "/v1/requests", timeout=20, json={
        "consumer": "w-bo", "right": "erasure", "channel": "web"}).json()
    for step, body in (("verify-identity", {"note": "BankID"}), ("fulfil", {})):
        server.admin.post(f"{server.url}/v1/requests/{request['id']}/{step}", json=body,
                          timeout=20).raise_for_status()
    # Who was erased is named to the recipient that had their data, so that it can erase them too.
    told = until(lambda: endpoint.taken("notification.make"))[0]["data"]
    assert (told["right"], told["recipient"], told["consumer"]) == ("erasure", "marketing", "w-bo")
    # ... and told that this is acknowledged, which another system of theirs may have done.
    [open_one] = server.marketing.get(server.url + "/v1/notifications", timeout=20).json()["items"]
    server.marketing.post(f"{server.url}/v1/notifications/{open_one['id']}/acknowledge", json={},
                          timeout=20).raise_for_status()
    done = until(lambda: endpoint.taken("notification.acknowledge"))[0]["data"]
    assert (done["recipient"], done["consumer"]) == ("marketing", None)
    until(lambda: (len(endpoint.taken("consent.give")), len(endpoint.taken("consent.withdraw"))) == (2, 1))
    kinds = [e["type"] for e in endpoint.taken()]
    assert not [kind for kind in kinds if kind.startswith("lov.request.")]
    assert all(e["data"]["recipient"] == "marketing" for e in endpoint.taken())
    assert other.taken() == []
    for hook in hooks:
        revoke(server, hook)
    other.close()


def test_requests_are_told_step_by_step(server, endpoint):
    hook = made(server, endpoint.url, kinds=["request"])
    server.admin.put(server.url + "/v1/consumers/w-cy", json={"residence": "SE"}, timeout=20).raise_for_status()
    request = server.admin.post(server.url + "/v1/requests", timeout=20, json={
        "consumer": "w-cy", "right": "access", "channel": "web", "detail": "a secret wish"}).json()
    server.admin.post(f"{server.url}/v1/requests/{request['id']}/verify-identity", json={"note": "BankID"},
                      timeout=20).raise_for_status()
    until(lambda: len(endpoint.taken()) == 2)
    received, event = sorted(endpoint.taken(), key=lambda e: e["data"]["seq"])
    assert (received["type"], event["type"]) == ("lov.request.receive", "lov.request.verify_identity")
    assert event["subject"] == f"requests/{request['id']}"
    assert not [body for _, body, _ in endpoint.seen if b"secret wish" in body or b"sealed" in body]
    revoke(server, hook)


def test_what_fails_is_tried_again_and_then_is_dead(server, endpoint):
    endpoint.status = 500
    hook = made(server, endpoint.url)
    server.give(consumer="w-di")
    dead = until(lambda: [f for f in failures(server, hook) if f["dead"]], 40)[0]
    assert (dead["attempts"], dead["error"], dead["status"]) == (3, "status", 500)
    ids = [h["webhook-id"] for h, _, _ in endpoint.seen]
    assert len(ids) == 3 and set(ids) == {dead["message"]}
    assert state(server, hook)["state"] == "failing"
    endpoint.status = 200
    assert change(server, hook, "replay")["events"] == 1
    until(lambda: endpoint.taken("consent.give"))
    until(lambda: state(server, hook)["state"] == "active")
    assert failures(server, hook) == []
    revoke(server, hook)


def test_one_event_that_always_fails_holds_up_no_other(server, endpoint):
    poison = set()
    endpoint.status = lambda event: 500 if event["data"].get("consumer") == "w-poison" else 200
    hook = made(server, endpoint.url, kinds=["consent.give"])
    server.give(consumer="w-poison")
    for n in range(20):
        server.give(consumer=f"w-healthy-{n}")
    until(lambda: len(endpoint.taken()) == 20)
    assert {e["data"]["consumer"] for e in endpoint.taken()} == {f"w-healthy-{n}" for n in range(20)}
    until(lambda: [f for f in failures(server, hook) if f["dead"]], 40)
    poison.update(f["seq"] for f in failures(server, hook))
    assert len(poison) == 1
    revoke(server, hook)


def test_an_endpoint_that_was_down_gets_everything_once_it_is_up(server):
    gone = Endpoint()
    gone.close()
    hook = made(server, gone.url, kinds=["consent.give"])
    for n in range(12):
        server.give(consumer=f"w-down-{n}")
    assert until(lambda: failures(server, hook))[0]["error"] == "unreachable"
    back = Endpoint(port=gone.port)
    until(lambda: {e["data"]["consumer"] for e in back.taken()} == {f"w-down-{n}" for n in range(12)}, 40)
    until(lambda: state(server, hook)["state"] == "active")
    revoke(server, hook)
    back.close()


def test_a_slow_endpoint_is_given_up_on_and_a_redirect_is_not_followed(server, endpoint):
    other = Endpoint()
    endpoint.status, endpoint.headers = 302, {"Location": other.url}
    redirected = made(server, endpoint.url, kinds=["consent.give"])
    slow = Endpoint()
    slow.slow = 3
    late = made(server, slow.url, kinds=["consent.give"])
    server.give(consumer="w-ed")
    failure = until(lambda: failures(server, redirected))[0]
    assert (failure["error"], failure["status"]) == ("status", 302)
    assert until(lambda: failures(server, late))[0]["error"] == "timeout"
    assert other.seen == []
    slow.slow = 0
    until(lambda: slow.taken("consent.give"))
    for hook in (redirected, late):
        revoke(server, hook)
    slow.close()
    other.close()


def test_an_endpoint_that_is_gone_is_left_alone_until_it_is_asked_for(server, endpoint):
    endpoint.status = 410
    hook = made(server, endpoint.url, kinds=["consent.give"])
    server.give(consumer="w-fi")
    until(lambda: state(server, hook)["state"] == "stopped")
    tries = len(endpoint.seen)
    server.give(consumer="w-gu")
    time.sleep(1.5)
    assert len(endpoint.seen) == tries
    endpoint.status = 200
    change(server, hook, "replay")
    until(lambda: {e["data"]["consumer"] for e in endpoint.taken()} == {"w-fi", "w-gu"})
    revoke(server, hook)


def test_two_secrets_sign_while_one_takes_the_place_of_the_other(server, endpoint):
    hook = made(server, endpoint.url, kinds=["consent.give"])
    new = change(server, hook, "rotate", hours=1)["secret"]
    assert new != hook["secret"]
    time.sleep(1.2)  # a registration is read again each second
    server.give(consumer="w-ha")
    until(lambda: endpoint.taken("consent.give"))
    headers, body, _ = endpoint.seen[-1]
    assert verified(hook["secret"], headers, body) and verified(new, headers, body)
    newest = change(server, hook, "rotate", hours=0)["secret"]
    time.sleep(1.2)
    server.give(consumer="w-ib")
    until(lambda: len(endpoint.taken("consent.give")) == 2)
    headers, body, _ = endpoint.seen[-1]
    assert verified(newest, headers, body)
    assert not verified(hook["secret"], headers, body) and not verified(new, headers, body)
    revoke(server, hook)


def test_everything_can_be_delivered_again_from_a_number_on(server, endpoint):
    first = server.give(consumer="w-ja").json()
    hook = made(server, endpoint.url, kinds=["consent.give"])
    server.give(consumer="w-ka")
    second = until(lambda: endpoint.taken("consent.give"))[0]
    until(lambda: state(server, hook)["position"] > second["data"]["seq"])
    events = change(server, hook, "replay", **{"from": second["data"]["seq"] - 3})["events"]
    assert events >= 4
    again = until(lambda: [e for e in endpoint.taken("consent.give") if e["data"]["consent"] == first["id"]])
    assert again
    until(lambda: [e["id"] for e in endpoint.taken()].count(second["id"]) == 2)
    change(server, hook, "replay", 400, **{"from": 10 ** 9})
    revoke(server, hook)


def test_a_test_event_goes_to_one_webhook_alone(server, endpoint):
    other = Endpoint()
    hook, quiet = made(server, endpoint.url), made(server, other.url)
    assert lov("webhook", "test", "--dir", server.folder, hook["id"]) == "delivered\n"
    assert [e["type"] for e in endpoint.taken()] == ["lov.webhook.test"]
    other.close()
    lov("webhook", "test", "--dir", server.folder, quiet["id"], code=1)
    assert not other.seen
    for one in (hook, quiet):
        lov("webhook", "revoke", "--dir", server.folder, one["id"])
    assert "revoked" in lov("webhook", "list", "--dir", server.folder)


def test_metrics_tell_of_deliveries_and_of_nobody(server):
    text = server.admin.get(server.url + "/metrics", timeout=20).text
    assert 'lov_webhook_attempts_total{outcome="delivered"}' in text
    assert "lov_webhooks " in text and "lov_webhook_dead_letters " in text
    assert "127.0.0.1:" not in text.replace(server.url, "")


def test_secrets_are_in_no_file(server):
    hook = made(server, "https://example.com/hook")
    raw = base64.b64decode(hook["secret"].removeprefix("whsec_"))
    for name in os.listdir(server.folder):
        path = os.path.join(server.folder, name)
        if not os.path.isfile(path) or name.startswith("permits"):
            continue
        with open(path, "rb") as file:
            data = file.read()
        assert raw not in data and hook["secret"].encode() not in data, name
    with open(server.folder + ".log", encoding="utf-8") as log:
        assert "whsec_" not in log.read()
    revoke(server, hook)


def certificate(folder, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", folder / f"{name}.key",
                    "-out", folder / f"{name}.crt"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    return context


@pytest.fixture
def own(demo, tmp_path):  # noqa: F811
    """Makes servers of one installation, with options of the test's own."""
    subprocess.run(["cp", "-a", str(demo), str(tmp_path / "lov")], check=True)
    servers = []

    def serve(*options):
        servers.append(Server(tmp_path / "lov", *options))
        return servers[-1]

    yield serve
    for one in servers:
        if one.process.poll() is None:
            one.stop()
    lov("log", "verify", "--dir", tmp_path / "lov")


def test_tls_is_checked(own, tmp_path):
    good = Endpoint(context=certificate(tmp_path, "good"))
    bad = Endpoint(context=certificate(tmp_path, "bad"))
    server = own(*OPTIONS, "--webhook-ca", tmp_path / "good.crt")
    hooks = [made(server, one.url) for one in (good, bad)]
    server.give(consumer="w-la")
    event = until(lambda: good.taken("consent.give"))
    assert event[0]["data"]["consumer"] == "w-la"
    assert until(lambda: failures(server, hooks[1]))[0]["error"] == "tls"
    assert bad.seen == []


def test_private_addresses_are_left_alone_unless_the_operator_says_so(own):
    endpoint = Endpoint()
    server = own("--webhook-retry-seconds", 1)
    hooks = [made(server, url) for url in (endpoint.url, endpoint.url.replace("127.0.0.1", "localhost"),
                                           "https://[::ffff:10.0.0.1]/", "https://169.254.169.254/latest")]
    server.give(consumer="w-ma")
    for hook in hooks:
        assert until(lambda one=hook: failures(server, one))[0]["error"] == "private_address"
    assert endpoint.seen == []
    endpoint.close()


def test_nothing_is_lost_when_the_server_is_killed(own):
    """Between the delivery and its note: the endpoint ends the server as soon as it has the event."""
    endpoint = Endpoint()
    server = own(*OPTIONS)
    hook = made(server, endpoint.url, kinds=["consent.give"])
    given = set()
    for round_ in range(5):
        victim = server.process

        def kill(event, victim=victim):
            victim.send_signal(signal.SIGKILL)
            return 200

        endpoint.status = kill
        consumer = f"w-kill-{round_}"
        given.add(server.give(consumer=consumer).json()["id"])
        assert victim.wait(20) == -signal.SIGKILL
        endpoint.status = 200
        server = own(*OPTIONS)
        # What was delivered but not noted comes again, under the same id.
        until(lambda: sum(e["data"]["consumer"] == consumer for e in endpoint.taken()) >= 2)
        assert len({e["id"] for e in endpoint.taken() if e["data"]["consumer"] == consumer}) == 1
    until(lambda: state(server, hook)["delivered"] >= 1)
    assert {e["data"]["consent"] for e in endpoint.taken()} == given


def test_events_of_a_time_without_a_server_are_delivered_afterwards(own):
    endpoint = Endpoint()
    server = own(*OPTIONS)
    made(server, endpoint.url, kinds=["consent.give"])
    server.stop()
    for consumer in ("w-na", "w-ob"):
        lov("consent", "give", "--dir", server.folder, "--consumer", consumer, "--purpose", "personal_offers",
            "--recipient", "marketing", "--categories", "purchases", "--notice", "personal_offers@1", "--language", "sv")
    own(*OPTIONS)
    until(lambda: sorted(e["data"]["consumer"] for e in endpoint.taken()) == ["w-na", "w-ob"])


def test_the_check_that_the_documentation_shows_is_right(server, endpoint):
    with open(os.path.join(ROOT, "docs", "notify.md"), encoding="utf-8") as page:
        example = page.read().split("```python\n")[1].split("```")[0]
    shown = {}
    exec(compile(example, "docs/notify.md", "exec"), shown)  # pylint: disable=exec-used
    hook = made(server, endpoint.url)
    lov("webhook", "test", "--dir", server.folder, hook["id"])
    headers, body, _ = endpoint.seen[0]
    headers = {name.lower(): value for name, value in headers.items()}
    assert shown["is_genuine"](hook["secret"], headers, body)
    assert not shown["is_genuine"](hook["secret"], headers, body + b"x")
    assert not shown["is_genuine"](hook["secret"], {**headers, "webhook-id": "other"}, body)
    assert not shown["is_genuine"](hook["secret"], {**headers, "webhook-timestamp": "1"}, body)
    revoke(server, hook)
