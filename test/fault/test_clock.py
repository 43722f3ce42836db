"""A clock that ran backwards: everything is denied, and every door says why."""

import json
import os
import re
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from test_http import LOV, PURCHASES, Server, lov, question  # noqa: E402

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <stdio.h>
#include <time.h>
static long offset(void) {
    const char *path = getenv("CLOCK_OFFSET");
    FILE *file = path ? fopen(path, "r") : NULL;
    long seconds = 0;
    if (file) { if (fscanf(file, "%ld", &seconds) != 1) seconds = 0; fclose(file); }
    return seconds;
}
int clock_gettime(clockid_t id, struct timespec *out) {
    int rc = ((int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime"))(id, out);
    if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) out->tv_sec += offset();
    return rc;
}
"""


@pytest.fixture
def clock(tmp_path, monkeypatch):
    """Sets the clock of what is started from now on, in seconds from the real one."""
    (tmp_path / "shim.c").write_text(SHIM, encoding="ascii")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(tmp_path / "shim.so"),
                    str(tmp_path / "shim.c"), "-ldl"], check=True)
    path = tmp_path / "offset"
    path.write_text("0", encoding="ascii")
    monkeypatch.setenv("CLOCK_OFFSET", str(path))
    monkeypatch.setenv("LD_PRELOAD", str(tmp_path / "shim.so"))
    return lambda seconds: path.write_text(str(seconds), encoding="ascii")


@pytest.fixture
def demo(tmp_path):
    (tmp_path / "purchases.txt").write_text(PURCHASES, encoding="ascii")
    lov("demo", "--dir", tmp_path / "demo", "--purchases", tmp_path / "purchases.txt")
    return tmp_path / "demo"


def ask(server, path, body):
    answer = server.admin.post(server.url + path, json=body, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_clock_behind_the_ledger_denies_and_says_so_everywhere(demo, clock):
    server = Server(demo)
    assert server.reason() == "permitted"
    clock(86400)
    given = server.give(consumer="tomorrow")
    assert given.status_code == 201
    latest = given.json()["given_at"][:16]
    clock(0)
    searched = {**question(), "resource": {"type": "purchases"}}
    told = ask(server, "/access/v1/evaluation", question())
    assert told["decision"] is False and told["context"]["reason"] == "unavailable"
    assert told["context"]["cause"] == "clock_ran_backwards"
    assert "clock ran backwards" in told["context"]["reason_text"]
    assert latest in told["context"]["reason_text"]
    found = ask(server, "/access/v1/search/resource", searched)
    assert found["results"] == [] and found["context"]["cause"] == "clock_ran_backwards"
    ready = server.admin.get(server.url + "/readyz", timeout=20)
    assert ready.status_code == 503 and ready.json()["reasons"] == ["clock_ran_backwards"]
    out = subprocess.run([LOV, "check", "--dir", demo, "--recipient", "marketing", "--purpose",
                          "personal_offers", "--category", "purchases", "--consumer", "00001"],
                         capture_output=True, text=True, timeout=60, check=False)
    assert out.returncode == 1 and re.match(r"deny unavailable: .*clock ran backwards.*" + latest,
                                            out.stdout)
    # Within the tolerance, and when the clock is right again, decisions are made.
    clock(86400 - 3)
    assert server.reason() == "permitted"
    clock(86400 + 60)
    assert server.reason() == "permitted"
    found = ask(server, "/access/v1/search/resource", searched)
    assert found["results"] and "context" not in found
    assert server.admin.get(server.url + "/readyz", timeout=20).status_code == 200
    server.stop()
    lov("log", "verify", "--dir", demo)


def test_a_clock_that_ran_backwards_while_stopped_is_noticed_at_start(demo, clock):
    clock(86400)
    server = Server(demo)
    assert server.give(consumer="tomorrow").status_code == 201
    server.stop()
    clock(0)
    out = subprocess.run([LOV, "check", "--dir", demo, "--recipient", "marketing", "--purpose",
                          "personal_offers", "--category", "purchases", "--consumer", "00001", "--json"],
                         capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(out.stdout)["context"]["cause"] == "clock_ran_backwards"
    # What is written meanwhile keeps the order of the ledger.
    assert json.loads(lov("key", "create", "--dir", demo, "--staff", "support", "--json"))["key"]
    lov("log", "verify", "--dir", demo)


def test_without_a_policy_the_answer_says_that(tmp_path):
    lov("init", "--dir", tmp_path / "lov")
    out = subprocess.run([LOV, "check", "--dir", tmp_path / "lov", "--recipient", "marketing",
                          "--purpose", "personal_offers", "--category", "purchases", "--consumer",
                          "00001"], capture_output=True, text=True, timeout=60, check=False)
    assert out.returncode == 1
    assert out.stdout == "deny unavailable: No policy is in force, so the answer is no.\n"
