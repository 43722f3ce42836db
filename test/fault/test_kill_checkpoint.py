"""Kills the server at random moments while it signs checkpoints: one that anybody has seen is there
afterwards, word for word, and the ledger still continues it.

LOV_CRASHES sets how many times (25 here at most), LOV_SEED repeats a run."""

import os
import random
import threading
import time

import requests

from test_kill import CRASHES, ROOT, Server, lov


def give(n):
    return {"consumer": f"k{n}", "purpose": "personal_offers", "recipient": "marketing",
            "categories": ["purchases"], "decision": "give", "channel": "web",
            "notice": {"id": "personal_offers", "version": 1, "language": "sv"}}


def write(server, key, stop):
    """Batches of writes, so that tiles are completed too."""
    n = 0
    while not stop.is_set():
        items = [give(n % 500 + i) for i in range(200)]
        n += 200
        try:
            requests.post(server.url + "/v1/consents/batch", json={"items": items}, timeout=20,
                          headers={"Authorization": f"Bearer {key}"})
        except requests.RequestException:
            return


def sign(server, key, seen):
    while True:
        try:
            answer = requests.post(server.url + "/v1/log/checkpoint", timeout=20,
                                   headers={"Authorization": f"Bearer {key}"})
        except requests.RequestException:
            return
        assert answer.status_code == 200, answer.text
        seen.append(answer.json()["shards"][0]["checkpoint"])


def check(folder, server, seen):
    for note in seen[-5:]:
        size = note.split("\n")[1]
        kept = requests.get(f"{server.url}/log/0/checkpoint?size={size}", timeout=20)
        assert kept.text == note
    path = os.path.join(folder, "seen.checkpoint")
    with open(path, "w", encoding="utf-8") as out:
        out.write(seen[-1])
    audit = lov("log", "audit", "--dir", folder, "--against", path)
    assert audit.returncode == 0, audit.stdout + audit.stderr


def test_a_checkpoint_that_was_seen_survives_kills(tmp_path):
    seed = int(os.environ.get("LOV_SEED", time.time_ns()))
    print(f"LOV_SEED={seed}")
    rng = random.Random(seed)
    folder = str(tmp_path / "lov")
    made = lov("init", "--dir", folder, "--policy", os.path.join(ROOT, "policy"))
    assert made.returncode == 0, made.stderr
    key = lov("key", "create", "--dir", folder, "--staff", "admin").stdout.split()[-1]
    seen = []
    for _ in range(min(CRASHES, 25)):
        server = Server(folder)
        if seen:
            check(folder, server, seen)
        stop = threading.Event()
        threads = [threading.Thread(target=write, args=(server, key, stop)),
                   threading.Thread(target=sign, args=(server, key, seen))]
        for thread in threads:
            thread.start()
        time.sleep(rng.uniform(0.02, 0.3))
        server.kill()
        stop.set()
        for thread in threads:
            thread.join(60)
    assert len(seen) > 25
    verified = lov("log", "verify", "--dir", folder)
    assert verified.returncode == 0, verified.stdout
    assert int(seen[-1].split("\n")[1]) > 1000
