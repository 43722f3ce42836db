"""A disk that is full or does not sync while a checkpoint is signed: none is handed out that is not durable,
and the next one after the mending continues the last one that was."""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from test_disk import SHIM, demo  # noqa: E402, F401 (fixture)
from test_http import GIVE, Server, lov  # noqa: E402

SELDOM = ("--checkpoint-seconds", "3600")


def grow(server, count):
    for first in range(0, count, 500):
        items = [{**GIVE, "consumer": f"grown-{n}"} for n in range(first, min(first + 500, count))]
        answer = server.admin.post(server.url + "/v1/consents/batch", json={"items": items}, timeout=60)
        assert answer.status_code == 200, answer.text


def checkpoint(server):
    return server.admin.get(server.url + "/log/0/checkpoint", timeout=20).text


def publish(server):
    return server.admin.post(server.url + "/v1/log/checkpoint", timeout=60)


def size_of(note):
    return int(note.splitlines()[1])


def expect_continued(folder, before, tmp_path):
    """After the mending: a larger checkpoint, of which the one from before is the beginning."""
    server = Server(folder, *SELDOM)
    assert publish(server).status_code == 200
    after = checkpoint(server)
    assert size_of(after) > size_of(before)
    server.stop()
    for number, note in enumerate((before, after)):
        path = tmp_path / f"checkpoint-{number}"
        path.write_text(note, encoding="utf-8")
        lov("log", "audit", "--against", path, "--dir", folder)
    lov("log", "verify", "--dir", folder)


def expect_none(server, before):
    answer = publish(server)
    assert answer.status_code in (500, 503), answer.text
    assert checkpoint(server) == before
    ready = server.admin.get(server.url + "/readyz", timeout=20)
    assert ready.status_code == 503 and "writer_stopped" in ready.json()["reasons"]
    server.process.kill()
    server.process.wait()


def test_a_full_disk_hands_out_no_checkpoint(demo, tmp_path):  # noqa: F811
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m,mode=700", "tmpfs", str(mount)], check=True)
    try:
        subprocess.run(["cp", "-a", str(demo), str(mount / "lov")], check=True)
        server = Server(mount / "lov", *SELDOM)
        assert publish(server).status_code == 200
        before = checkpoint(server)
        grow(server, 3000)
        with open(mount / "fill", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        expect_none(server, before)
        os.unlink(mount / "fill")
        assert shutil.disk_usage(mount).free > 2**20
        expect_continued(mount / "lov", before, tmp_path)
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_checkpoint_that_is_not_synced_is_not_handed_out(demo, tmp_path, monkeypatch):  # noqa: F811
    (tmp_path / "shim.c").write_text(SHIM, encoding="ascii")
    shim, trigger = tmp_path / "shim.so", tmp_path / "fail"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(shim), str(tmp_path / "shim.c"), "-ldl"], check=True)
    monkeypatch.setenv("FAIL_SYNC", str(trigger))
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    server = Server(demo, *SELDOM)
    monkeypatch.delenv("LD_PRELOAD")
    assert publish(server).status_code == 200
    before = checkpoint(server)
    grow(server, 1000)
    trigger.write_text("now", encoding="ascii")
    expect_none(server, before)
    expect_continued(demo, before, tmp_path)


