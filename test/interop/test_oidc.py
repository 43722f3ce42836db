"""Consumers sign in with the controller's OpenID provider: a real one (npm oidc-provider), in each of
the algorithms; and one that lies, in each way that a client has to notice."""

import base64
import hashlib
import html
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

import pytest
import requests

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test", "system"))

from test_http import LOV, Server, demo, lov  # noqa: E402,F401

MODULES = os.path.join(ROOT, ".cache", "node", "node_modules")
PROVIDER = os.path.join(ROOT, "test", "interop", "oidc_provider.mjs")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def serve(demo, tmp_path):  # noqa: F811
    """Starts a server that trusts the issuer."""
    started = []

    def start(issuer, *more):
        folder = tmp_path / f"lov{len(started)}"
        subprocess.run(["cp", "-a", str(demo), str(folder)], check=True)
        started.append(Server(folder, "--oidc-issuer", issuer, "--oidc-client", "portal", *more))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def redirect_of(server):
    return server.url + "/portal/provider/back"


# ---- a real one ----


class Provider:
    def __init__(self, port, redirect, algorithm, *secret):
        env = {**os.environ, "NODE_PATH": MODULES, "NODE_NO_WARNINGS": "1"}
        self.process = subprocess.Popen(["node", PROVIDER, str(port), "portal", redirect, algorithm, *secret], env=env,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        lines = []
        while True:
            line = self.process.stdout.readline()
            if line.strip() == "ready":
                break
            lines.append(line)
            assert line, self.process.stderr.read() + "".join(lines)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def walk(url, name):
    """From the portal to the provider's pages and back: the browser, and the answer that ends it."""
    browser = requests.Session()
    answer = browser.get(url, timeout=20, allow_redirects=False)
    for _ in range(20):
        if "Location" in answer.headers:
            target = urllib.parse.urljoin(answer.url, answer.headers["Location"])
            answer = browser.get(target, timeout=20, allow_redirects=False)
            if urllib.parse.urlparse(target).path == "/portal/provider/back":
                return browser, answer
            continue
        form = re.search(r'<form[^>]* action="([^"]+)"', answer.text)
        assert form, answer.text
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', answer.text))
        if "login" in fields.get("prompt", ""):
            fields.update(login=name, password="any")
        answer = browser.post(urllib.parse.urljoin(answer.url, html.unescape(form[1])), data=fields, timeout=20,
                              allow_redirects=False)
    raise AssertionError("it goes in a circle")


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_a_real_provider_signs_consumers_in(serve, tmp_path, algorithm):
    port = free_port()
    more = []
    if algorithm == "RS256":  # a confidential client once
        (tmp_path / "secret").write_text("correct horse\n", encoding="ascii")
        (tmp_path / "secret").chmod(0o600)
        more = ["--oidc-secret", tmp_path / "secret"]
    server = serve(f"http://127.0.0.1:{port}", *more)
    provider = Provider(port, redirect_of(server), algorithm, *(["correct horse"] if more else []))
    try:
        page = requests.get(server.url + "/portal/sign-in?next=/portal/receipts", timeout=20).text
        link = re.search(r'href="(/portal/provider[^"]*)"', page)[1]
        browser, answer = walk(server.url + html.unescape(link), "00001")
        assert answer.status_code == 303, answer.text
        assert answer.headers["Location"] == "/portal/receipts"
        seen = browser.get(server.url + "/portal/account", timeout=20)
        assert seen.status_code == 200 and "00001" in seen.text
        # What asks for a proof leads to the provider, which asks anew; then it is open.
        again, back = walk(server.url + "/portal/provider?again=1&next=/portal/activity", "00001")
        assert back.status_code == 303 and back.headers["Location"] == "/portal/activity"
        assert again.get(server.url + "/portal/prove?next=/portal/receipts", timeout=20,
                         allow_redirects=False).headers["Location"].startswith("/portal/provider?again=1")
        # Somebody whom the company does not know here is told so, and is not in.
        stranger, answer = walk(server.url + "/portal/provider", "nobody")
        assert answer.status_code == 403 and "lov-session" not in stranger.cookies
    finally:
        provider.stop()
    # Without a provider the page says what failed; with a password one still comes in.
    assert requests.get(server.url + "/portal/sign-in", timeout=20).status_code == 200


# ---- one that lies ----


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Liar(http.server.BaseHTTPRequestHandler):
    """A provider whose next token is what the test says."""

    def log_message(self, *_):
        pass

    def tell(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        s = self.server
        if self.path.startswith("/.well-known/"):
            self.tell({"issuer": s.claimed or s.issuer, "authorization_endpoint": s.issuer + "/auth",
                       "token_endpoint": s.issuer + "/token", "jwks_uri": s.issuer + "/keys"})
        else:
            self.tell({"keys": [s.jwk]})

    def do_POST(self):
        form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        self.server.asked.append(form)
        self.tell({"access_token": "x", "token_type": "Bearer", "id_token": self.server.token})


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp("key") / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", path, "2048"], check=True, capture_output=True)
    out = subprocess.run(["openssl", "rsa", "-in", path, "-noout", "-modulus"], check=True, capture_output=True, text=True)
    return path, {"kty": "RSA", "use": "sig", "kid": "1", "n": b64(bytes.fromhex(out.stdout.strip().split("=")[1])),
                  "e": "AQAB"}


@pytest.fixture
def liar(key):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    server.issuer, server.claimed = f"http://127.0.0.1:{server.server_port}", None
    server.jwk, server.token, server.asked = key[1], "", []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def sign(key, claims, header=None):
    text = b64(json.dumps(header or {"alg": "RS256", "kid": "1"}).encode()) + "." + b64(json.dumps(claims).encode())
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key[0]], input=text.encode(), check=True,
                               capture_output=True).stdout
    return text + "." + b64(signature)


def begin(server):
    browser = requests.Session()
    answer = browser.get(server.url + "/portal/provider", timeout=20, allow_redirects=False)
    assert answer.status_code == 303, answer.text
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlparse(answer.headers["Location"]).query))
    return browser, asked


def finish(server, browser, **query):
    answer = browser.get(server.url + "/portal/provider/back", params={"code": "c", **query}, timeout=20,
                         allow_redirects=False)
    return answer.status_code


def claims_for(liar, asked, **changes):
    now = int(time.time())
    claims = {"iss": liar.issuer, "aud": "portal", "sub": "00001", "exp": now + 300, "iat": now, "nonce": asked["nonce"]}
    return {k: v for k, v in {**claims, **changes}.items() if v is not None}


def test_a_token_is_believed_only_where_all_of_it_is_right(serve, liar, key):
    server = serve(liar.issuer)
    now = int(time.time())

    def status(header=None, spoil=lambda t: t, **changes):
        browser, asked = begin(server)
        liar.token = spoil(sign(key, claims_for(liar, asked, **changes), header))
        got = finish(server, browser, state=asked["state"])
        assert ("lov-session" in browser.cookies) == (got == 303)
        return got

    assert status() == 303
    assert status(aud=["portal"]) == 303
    assert status(aud=["portal", "other"], azp="portal") == 303
    for wrong in ({"iss": "http://127.0.0.1:1"}, {"iss": None}, {"aud": "other"}, {"aud": None}, {"aud": []},
                  {"aud": ["portal", "other"]}, {"aud": ["portal", "other"], "azp": "other"}, {"exp": now - 120},
                  {"exp": None}, {"exp": "soon"}, {"iat": None}, {"nonce": None}, {"nonce": "x"}):
        assert status(**wrong) == 401, wrong
    assert status(sub=None) == 403 and status(sub=7) == 403 and status(sub="x" * 200) == 403
    for header in ({"alg": "none"}, {"alg": "HS256", "kid": "1"}, {"alg": "RS512", "kid": "1"}, {"kid": "1"},
                   {"alg": "PS256", "kid": "1"}, {"alg": "ES256", "kid": "1"}, {"alg": "RS256", "kid": "2"},
                   {"alg": "RS256", "kid": "1", "crit": ["b64"]}):
        assert status(header) == 401, header
    for spoil in (lambda t: t[:-4] + "AAAA", lambda t: t.rsplit(".", 1)[0] + ".", lambda t: "", lambda t: "a.b.c",
                  lambda t: t + ".x", lambda t: t * 20,
                  lambda t: ".".join([t.split(".")[0], b64(b'{"sub":"00002"}'), t.split(".")[2]])):
        assert status(spoil=spoil) == 401


def test_coming_back_needs_the_trip_that_was_begun(serve, liar, key):
    server = serve(liar.issuer)
    browser, asked = begin(server)
    liar.token = sign(key, claims_for(liar, asked))
    assert asked["code_challenge_method"] == "S256" and asked["response_type"] == "code"
    assert asked["redirect_uri"] == redirect_of(server)
    assert finish(server, requests.Session(), state=asked["state"]) == 400  # another browser
    assert finish(server, browser, state="x" * 43) == 400
    assert finish(server, browser) == 400
    assert browser.get(server.url + "/portal/provider/back", params={"error": "access_denied", "state": asked["state"]},
                       timeout=20, allow_redirects=False).status_code == 400
    assert not liar.asked
    assert finish(server, browser, state=asked["state"]) == 303
    form = liar.asked[-1]
    challenge = b64(hashlib.sha256(form["code_verifier"].encode()).digest())
    assert challenge == asked["code_challenge"] and form["redirect_uri"] == asked["redirect_uri"]
    assert form["client_id"] == "portal" and form["grant_type"] == "authorization_code"
    # Once: the cookie of the trip is gone with it.
    assert finish(server, browser, state=asked["state"]) == 400


def test_metadata_of_another_issuer_is_not_believed(serve, liar):
    liar.claimed = "https://other.example"
    server = serve(liar.issuer)
    assert requests.get(server.url + "/portal/provider", timeout=20, allow_redirects=False).status_code == 502
    assert requests.get(server.url + "/portal/sign-in", timeout=20).status_code == 200


def test_without_a_provider_there_is_no_such_page(demo, tmp_path):  # noqa: F811
    subprocess.run(["cp", "-a", str(demo), str(tmp_path / "lov")], check=True)
    server = Server(tmp_path / "lov")
    try:
        assert requests.get(server.url + "/portal/provider", timeout=20).status_code == 404
        assert "/portal/provider" not in requests.get(server.url + "/portal/sign-in", timeout=20).text
    finally:
        server.stop()
    lov("serve", "--dir", tmp_path / "lov", "--oidc-issuer", "https://x.example", code=2)
