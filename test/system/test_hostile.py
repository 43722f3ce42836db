"""Hostile bodies, paths and queries for every operation of docs/openapi.yaml: the answer is one that is
documented, an error is a problem, and after an error nothing has changed - not the ledger, and no row of
any table. LOV_SEED repeats a run, LOV_EXAMPLES sets how many each operation gets (60)."""

import copy
import http.client
import json
import os
import re
import sqlite3
import subprocess
import time
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from test_http import Server, demo  # noqa: F401 (fixture)
from test_openapi import CALLS, VALUES, check, examples

SEED = int(os.environ.get("LOV_SEED", time.time_ns()))
EXAMPLES = int(os.environ.get("LOV_EXAMPLES", "60"))
# Rows of consumer and consent follow their events a little later: that they agree is for `log verify` below.
TABLES = {"lov": ("shard", "event", "policy", "notice", "api_key", "idempotency", "read_proposal"),
          "identity": ("consumer", "erased", "secret")}


class Answer:
    """What check() of test_openapi looks at."""

    def __init__(self, got):
        self.status_code = got.status
        self.headers = dict(got.getheaders())
        self.content = got.read()
        self.text = self.content.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.content)


class Target:
    """A server, a connection to it, and a look at its stores."""

    def __init__(self, folder):
        self.server = Server(folder, "--aggregate-seconds", 86400)
        self.key = self.server.admin.headers["Authorization"]
        self.stores = {name: sqlite3.connect(f"file:{folder}/{name}.db?mode=ro", uri=True)
                       for name in TABLES}
        self.line = None

    def state(self):
        """Of the stores, when all that was acknowledged is committed: whoever reads events waits for that."""
        self.server.admin.get(self.server.url + "/v1/events?limit=1", timeout=20)
        told = []
        for name, tables in TABLES.items():
            told += [self.stores[name].execute(f"select count(*) from {t}").fetchone()[0]
                     for t in tables]
        told += self.stores["lov"].execute("select size, frontier from shard").fetchall()
        return told

    def send(self, method, target, body, headers):
        for attempt in range(2):
            if self.line is None:
                self.line = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
            try:
                self.line.putrequest(method, target, skip_accept_encoding=True)
                for name, value in {"Authorization": self.key, **headers}.items():
                    self.line.putheader(name, value)
                if body is not None:
                    self.line.putheader("Content-Length", str(len(body)))
                self.line.endheaders()
                if body:
                    self.line.send(body)
                answer = Answer(self.line.getresponse())
                if answer.headers.get("Connection") == "close":
                    self.line = None
                return answer
            except (http.client.HTTPException, ConnectionError):
                # Closed behind the answer before, or ahead of a body that nobody will read.
                self.line = None
                if attempt:
                    raise
        return None


@pytest.fixture(scope="module")
def target(demo, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("hostile") / "lov"
    subprocess.run(["cp", "-a", str(demo), str(folder)], check=True)
    target = Target(folder)
    yield target
    target.server.stop()


HOSTILE_TEXT = st.one_of(
    st.sampled_from(["", " ", "\x00", "a\x00b", "\n", "\u202e", "\ufeff", "..", "../../etc/passwd",
                     "%00", "%", "'; drop table event; --", "a" * 65, "a" * 129, "a" * 5000, "NaN",
                     "{{7*7}}", "<script>", "\ud83d\ude00", "-1", "1e999", "2026-02-30T00:00:00Z",
                     "9999-12-31T23:59:59Z", "0000-00-00T00:00:00Z", "personal_offers", "marketing",
                     "00001", "purchases", "0" * 32]),
    st.text(max_size=40))
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.integers(-2 ** 70, 2 ** 70),
                    st.floats(allow_nan=False, allow_infinity=False), HOSTILE_TEXT)
TREES = st.recursive(SCALARS, lambda t: st.lists(t, max_size=4)
                     | st.dictionaries(HOSTILE_TEXT, t, max_size=4), max_leaves=12)
RAW = st.one_of(
    st.binary(max_size=60), st.just(b"[" * 3000), st.just(b'{"a":' * 3000), st.just(b"\xef\xbb\xbf{}"),
    st.just(b'{"a":1,"a":2}'), st.just(b'{"\\ud800":1}'), st.just(b"{} {}"), st.just(b"{}\x00"),
    st.just(b'{"items":[' + b"{}," * 2000 + b"{}]}"))


def places(tree, here=()):
    yield here
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from places(value, here + (key,))


@st.composite
def spoilt(draw, example):
    """The example with one to three places changed."""
    tree = copy.deepcopy(example)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(list(places(tree))))
        how = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if not place:
            if isinstance(tree, dict) and how != "replace":
                tree[draw(HOSTILE_TEXT)] = draw(SCALARS)
            continue
        node = tree
        for key in place[:-1]:
            node = node[key]
        if how == "remove":
            del node[place[-1]]
        elif how == "add" and isinstance(node[place[-1]], dict):
            node[place[-1]][draw(HOSTILE_TEXT)] = draw(SCALARS)
        elif how == "add" and isinstance(node[place[-1]], list):
            node[place[-1]].append(draw(TREES))
        else:
            node[place[-1]] = draw(TREES)
    return json.dumps(tree).encode("utf-8", "surrogatepass")


@st.composite
def bodies(draw, call):
    if "requestBody" not in call:
        return draw(st.one_of(st.none(), st.none(), RAW))
    shown = [e for e in examples(call) if e] or [{}]
    as_it_is = st.sampled_from([json.dumps(e).encode() for e in shown])
    return draw(st.one_of(st.sampled_from(shown).flatmap(spoilt), st.sampled_from(shown).flatmap(spoilt),
                          TREES.map(lambda t: json.dumps(t).encode("utf-8", "surrogatepass")), RAW,
                          as_it_is, st.just(None)))


@st.composite
def targets(draw, path, call):
    def value(match):
        if draw(st.booleans()):
            return VALUES.get(match.group(1), "00001")
        if draw(st.booleans()):
            return draw(st.sampled_from(["%", "%zz", "%ff", "%00", "%2e%2e", ".", "%2F", "a%0Ab", "%C3%28"]))
        return quote(draw(HOSTILE_TEXT).encode("utf-8", "surrogatepass"), safe="") or "x"
    target = re.sub(r"{(\w+)}", value, path)
    names = [p["name"] for p in call.get("parameters", []) if p.get("in") == "query"]
    names += ["limit", "after", "surprise"]
    if draw(st.integers(0, 2)) == 0:
        pairs = draw(st.lists(st.tuples(st.sampled_from(names), HOSTILE_TEXT), max_size=3))
        target += "?" + "&".join(
            f"{n}={quote(v.encode('utf-8', 'surrogatepass'), safe='')}" for n, v in pairs)
    return target


HEADERS = st.one_of(
    st.just({"Content-Type": "application/json"}), st.just({"Content-Type": "application/json"}),
    st.just({"Content-Type": "text/html"}), st.just({}),
    HOSTILE_TEXT.map(lambda t: {"Content-Type": "application/json", "Idempotency-Key":
                                re.sub(r"[^ -~]", "?", t)[:300]}))


@pytest.mark.parametrize("path,method,call", CALLS, ids=[f"{m} {p}" for p, m, _ in CALLS])
def test_hostile_requests_get_documented_answers_and_change_nothing(target, path, method, call):
    print(f"LOV_SEED={SEED}")
    seen = set()

    @seed(SEED)
    @settings(max_examples=EXAMPLES, deadline=None, database=None,
              suppress_health_check=list(HealthCheck))
    @given(targets(path, call), bodies(call), HEADERS)
    def attack(where, body, headers):
        before = target.state()
        answer = target.send(method.upper(), where, body, headers)
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        check(call, answer)
        seen.add(answer.status_code)
        if answer.status_code < 400:
            return
        assert answer.headers["Content-Type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == answer.status_code and problem["reason"] and problem["detail"]
        assert target.state() == before, (where, body, answer.text)

    attack()
    assert seen, "nothing was sent"


def test_the_installation_is_sound_after_all_that(target):
    from test_http import lov
    assert target.server.process.poll() is None
    assert target.server.admin.get(target.server.url + "/readyz", timeout=20).ok
    lov("log", "verify", "--dir", target.server.folder)
