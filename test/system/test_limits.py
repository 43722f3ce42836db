"""Limits on size, rate, time and connections: what is beyond them is refused as documented, what is
within goes on as if nothing were."""

import json
import re
import resource
import shutil
import socket
import subprocess
import time

import pytest

from test_http import GIVE, LOV, NO_INDEX, ROOT, Server, demo, lov, question, shared  # noqa: F401 (fixtures)

DEADLINE = 30


@pytest.fixture
def start(demo, tmp_path):  # noqa: F811
    """Starts a server with options on a copy of the demo company."""
    servers = []

    def start_with(*options):
        folder = tmp_path / f"lov{len(servers)}"
        subprocess.run(["cp", "-a", str(demo), str(folder)], check=True)
        servers.append(Server(folder, *options))
        return servers[-1]

    yield start_with
    for server in servers:
        if server.process.poll() is None:
            server.stop()
        lov("log", "verify", "--dir", server.folder)


def dial(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE)


def hear(s):
    """All until the end of the stream: (status, head, body)."""
    told = b""
    try:
        while part := s.recv(65536):
            told += part
    except ConnectionError:
        pass
    head, _, body = told.partition(b"\r\n\r\n")
    match = re.match(rb"HTTP/1.1 (\d+) ", head)
    return int(match[1]) if match else 0, head.decode("latin-1"), body


def say(server, text):
    with dial(server) as s:
        s.sendall(text.encode() if isinstance(text, str) else text)
        return hear(s)


def is_problem(told, status, reason):
    assert told[0] == status, told
    assert "Content-Type: application/problem+json" in told[1]
    problem = json.loads(told[2])
    assert problem["status"] == status and problem["reason"] == reason and problem["detail"]


def metric(server, name):
    text = server.admin.get(server.url + "/metrics", timeout=20).text
    return float(re.search(rf"^{name} (\S+)$", text, re.M)[1])


def post(server, path, length_or_encoding):
    return (f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: "
            f"{server.admin.headers['Authorization']}\r\nContent-Type: application/json\r\n"
            f"{length_or_encoding}\r\n\r\n")


# ---- size ----


@pytest.mark.parametrize("path, most", [("/v1/consents", 64 << 10), ("/access/v1/evaluation", 64 << 10),
                                        ("/v1/keys", 4 << 10), ("/v1/accesses", 4 << 20),
                                        ("/v1/consents/batch", 8 << 20), ("/v1/policy/check", 16 << 20)])
def test_a_body_above_its_limit_is_413_before_it_is_sent(shared, path, most):  # noqa: F811
    is_problem(say(shared, post(shared, path, f"Content-Length: {most + 1}")), 413, "too_large")
    fits = shared.admin.post(shared.url + path, data=b" " * most, timeout=20,
                             headers={"Content-Type": "application/json"})
    assert fits.status_code == 400 and fits.json()["reason"] == "invalid_json"


def test_a_chunked_body_above_its_limit_is_413(shared):  # noqa: F811
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    head = post(shared, "/v1/consents", "Transfer-Encoding: chunked\r\nConnection: close").encode()
    with dial(shared) as s:
        s.sendall(head + chunk * 17 + b"0\r\n\r\n")
        is_problem(hear(s), 413, "too_large")


def test_a_target_above_8_kib_is_414_and_a_head_above_16_kib_is_431(shared):  # noqa: F811
    end = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert say(shared, "GET /healthz?" + "a" * 8000 + end)[0] == 200
    is_problem(say(shared, "GET /healthz?" + "a" * 9000 + end), 414, "target_too_long")
    is_problem(say(shared, "GET /" + "a" * 9000 + end), 414, "target_too_long")
    assert say(shared, "GET /healthz HTTP/1.1\r\nX: " + "a" * 15000 + end[9:])[0] == 200
    is_problem(say(shared, "GET /healthz HTTP/1.1\r\nX: " + "a" * 17000 + end[9:]), 431,
               "head_too_large")
    many = "".join(f"X-{n}: {n}\r\n" for n in range(2000))
    assert say(shared, f"GET /healthz HTTP/1.1\r\n{many}Host: x\r\n\r\n")[0] == 431


def test_what_is_no_http_is_refused_and_closed(shared):  # noqa: F811
    for text in ("\x16\x03\x01\x02\x00\x01\x00", "GET\r\n\r\n", "GET / HTTP/9.9\r\nHost: x\r\n\r\n",
                 "GET /" + "a" * 60000 + " HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n",
                 "POST /v1/consents HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n"):
        with dial(shared) as s:
            s.sendall(text.encode("latin-1"))
            try:
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # refused and closed already
            assert hear(s)[0] in (0, 400, 414, 431, 505), text[:60]
    assert shared.reason() == "permitted"


# ---- rate ----


def test_a_caller_beyond_its_rate_waits_and_others_do_not(start):
    server = start("--rate-limit", 5)
    ask = {"url": server.url + "/access/v1/evaluation", "json": question(), "timeout": 20}
    given = server.give(consumer="limited")
    answers = [server.admin.post(**ask) for _ in range(20)]
    refused = [a for a in answers if a.status_code == 429]
    assert refused and {a.status_code for a in answers} == {200, 429}
    assert refused[0].headers["Content-Type"] == "application/problem+json"
    assert refused[0].json()["reason"] == "too_many_requests"
    wait = int(refused[-1].headers["Retry-After"])
    assert 1 <= wait <= 2
    assert server.marketing.post(**ask).status_code == 200
    # A withdrawal always comes through.
    for _ in range(3):
        answer = server.admin.post(f"{server.url}/v1/consents/{given.json()['id']}/withdraw", timeout=20)
        assert answer.status_code == 200
    time.sleep(wait)  # what Retry-After promises is the thing under test
    assert server.admin.post(**ask).status_code == 200
    assert metric(server, "lov_http_limited_total") == len(refused)


# ---- time ----


def test_slow_heads_and_bodies_are_cut_and_others_served(start):
    server = start("--timeout", 1)
    slow = {"head": "GET /healthz HTTP/1.1\r\nHost: x\r\nX: ",
            "body": post(server, "/v1/consents", "Content-Length: 1000") + "{",
            "chunks": post(server, "/v1/consents", "Transfer-Encoding: chunked") + "1000\r\n"}
    lines = {name: dial(server) for name in slow}
    begin = time.monotonic()
    for name, text in slow.items():
        lines[name].sendall(text.encode())
    alive, told = set(lines), {}
    while alive and time.monotonic() - begin < DEADLINE:
        assert server.reason() == "permitted"
        for name in list(alive):
            try:
                lines[name].sendall(b"a")
                lines[name].settimeout(0.05)
                told[name] = told.get(name, b"") + lines[name].recv(4096)
                alive.discard(name)
            except socket.timeout:
                pass
            except ConnectionError:
                alive.discard(name)
    assert not alive, "still open: " + ", ".join(alive)
    assert time.monotonic() - begin < 10
    answers = [t for t in told.values() if t]
    assert answers, "nobody was told why"
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 408 ") and b"application/problem+json" in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["reason"] == "timeout"
    for line in lines.values():
        line.close()


def test_a_silent_connection_is_closed(start):
    server = start("--timeout", 1)
    with dial(server) as s:
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        begin = time.monotonic()
        assert hear(s)[0] == 200
        assert time.monotonic() - begin < 10
    with dial(server) as s:
        assert hear(s)[0] == 0, "nothing was ever said"


# ---- connections ----


def answers(s):
    s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    s.settimeout(1)
    try:
        return s.recv(4096).startswith(b"HTTP/1.1 200 ")
    except (socket.timeout, ConnectionError):
        return False


def wait_for(condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("option", ["--connections", "--connections-per-address"])
def test_connections_beyond_the_limit_get_none_until_others_end(start, option):
    server = start("--threads", 2, option, 8)
    server.admin.close()
    open_ones = [dial(server) for _ in range(8)]
    wait_for(lambda: sum(answers(s) for s in open_ones) == 8)
    with dial(server) as ninth:
        assert not answers(ninth)
    # The operator's own door is another one.
    lov("check", "--dir", server.folder, "--recipient", "marketing", "--purpose", "personal_offers",
        "--category", "purchases", "--consumer", "00001")
    for s in open_ones:
        s.close()

    def served():
        with dial(server) as s:
            return answers(s)
    wait_for(served)


def test_more_connections_than_the_soft_limit_of_files_are_served(demo, tmp_path):  # noqa: F811
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 600:
        pytest.skip(f"the hard limit of open files is {hard}")
    shutil.copytree(demo, tmp_path / "lov", ignore=NO_INDEX)
    (tmp_path / "lov").chmod(0o700)
    process = subprocess.Popen(
        [LOV, "serve", "--dir", tmp_path / "lov", "--listen", "127.0.0.1:0", "--json",
         "--connections", "300"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)))
    lines = []
    try:
        port = int(json.loads(process.stdout.readline())["url"].rsplit(":", 1)[1])
        lines += [socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) for _ in range(200)]
        assert all(answers(s) for s in lines)
    finally:
        for line in lines:
            line.close()
        process.terminate()
        assert process.wait(DEADLINE) == 0
        process.stdout.close()


@pytest.mark.parametrize("option, value", [("--timeout", "0"), ("--timeout", "x"), ("--connections", "-1"),
                                           ("--connections-per-address", "0"), ("--threads", "257"),
                                           ("--rate-limit", "1.5")])
def test_a_limit_that_is_no_number_is_wrong_usage(demo, option, value):  # noqa: F811
    out = subprocess.run([LOV, "serve", "--dir", demo, option, value], capture_output=True, text=True,
                         timeout=60, check=False, cwd=ROOT)
    assert out.returncode == 2 and option in out.stderr


def test_a_batch_of_more_than_a_thousand_is_refused_whole(shared):  # noqa: F811
    before = shared.state()
    items = [{**GIVE, "consumer": f"many-{n}"} for n in range(1001)]
    answer = shared.admin.post(shared.url + "/v1/consents/batch", json={"items": items}, timeout=60)
    assert answer.status_code == 400 and shared.state() == before
