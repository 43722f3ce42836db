"""A disk that is full or does not sync: nothing is acknowledged that is not durable, the server says so,
and what was acknowledged before is there when it starts again."""

import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from test_http import GIVE, PURCHASES, ROOT, Server, lov, question  # noqa: E402

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
static int broken(void) { const char *f = getenv("FAIL_SYNC"); return f && access(f, F_OK) == 0; }
int fsync(int fd) {
    if (broken()) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
int fdatasync(int fd) {
    if (broken()) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
"""


@pytest.fixture
def demo(tmp_path):
    (tmp_path / "purchases.txt").write_text(PURCHASES, encoding="ascii")
    lov("demo", "--dir", tmp_path / "demo", "--purchases", tmp_path / "purchases.txt")
    return tmp_path / "demo"


def write_until_refused(server, most):
    """The consumers whose consent was acknowledged, and the answer that was none."""
    told = []
    for number in range(most):
        answer = server.give(consumer=f"disk-{number}", evidence={"filling": "x" * 8000})
        if answer.status_code != 201:
            return told, answer
        told.append(f"disk-{number}")
    raise AssertionError("the disk never failed")


def expect_red(server, answer):
    assert answer.status_code in (500, 503), answer.text
    ready = server.admin.get(server.url + "/readyz", timeout=20)
    assert ready.status_code == 503 and ready.json()["ready"] is False
    assert server.give(consumer="after").status_code == 503
    asked = {**question(), "context": {"record": True}}
    told = server.admin.post(server.url + "/access/v1/evaluation", json=asked, timeout=20).json()
    assert told["decision"] is False and told["context"]["reason"] == "unavailable"
    assert told["context"]["cause"] == "not_recorded"


def expect_all(folder, told):
    server = Server(folder)
    for consumer in told:
        assert server.reason(consumer) == "permitted"
    server.stop()
    lov("log", "verify", "--dir", folder)


def test_a_full_disk_loses_nothing_that_was_acknowledged(demo, tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=700", "tmpfs", str(mount)],
                   check=True)
    try:
        subprocess.run(["cp", "-a", str(demo), str(mount / "lov")], check=True)
        server = Server(mount / "lov")
        told, answer = write_until_refused(server, 20000)
        expect_red(server, answer)
        server.process.kill()
        server.process.wait()
        subprocess.run(["mount", "-o", "remount,size=100m", str(mount)], check=True)
        assert len(told) > 10
        expect_all(mount / "lov", told)
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_failing_sync_is_not_acknowledged(demo, tmp_path, monkeypatch):
    (tmp_path / "shim.c").write_text(SHIM, encoding="ascii")
    shim = tmp_path / "shim.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(shim), str(tmp_path / "shim.c"), "-ldl"],
                   check=True)
    trigger = tmp_path / "fail"
    monkeypatch.setenv("FAIL_SYNC", str(trigger))
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    server = Server(demo)
    monkeypatch.delenv("LD_PRELOAD")
    assert server.give(consumer="before").status_code == 201
    trigger.write_text("now", encoding="ascii")
    expect_red(server, server.give(consumer="during"))
    server.process.kill()
    server.process.wait()
    expect_all(demo, ["before"])


def test_a_second_server_on_the_same_folder_is_refused(demo):
    server = Server(demo)
    second = subprocess.run([LOV_BINARY, "serve", "--dir", str(demo), "--listen", "127.0.0.1:0"],
                            capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 3, second.stderr
    server.stop()


def test_a_key_that_others_can_read_is_refused(demo):
    os.chmod(demo / "key", 0o644)
    out = subprocess.run([LOV_BINARY, "serve", "--dir", str(demo)], capture_output=True, text=True,
                         timeout=60, check=False)
    assert out.returncode != 0 and "chmod" in out.stderr


LOV_BINARY = os.environ.get("LOV", os.path.join(ROOT, "build", "lov"))
