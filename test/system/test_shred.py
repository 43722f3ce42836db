"""After a consumer was shredded, their bytes are looked for in every file of the installation, of its
backups, and of an old backup that is restored beside the current identities."""

import ctypes
import ctypes.util
import glob
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import time

import pytest

import ledger_rows

from test_http import GIVE, LOV, ROOT, Server, lov

VICTIM = "victim-7391-qz"
BORN = "1987-06-05"
EVIDENCE = "evidence-that-nobody-may-read-8261"
GUARDIAN = "guardian-of-the-victim-5528"
DETAIL = "detail-of-a-use-9917"
BOUGHT = "bought-by-the-victim-3306"
CRYPTO = ctypes.CDLL(ctypes.util.find_library("crypto"))


def unseal(key, associated, sealed):
    """AES-256-GCM of nonce | ciphertext | tag; None when it does not open."""
    nonce, text, tag = sealed[:12], sealed[12:-16], sealed[-16:]
    CRYPTO.EVP_CIPHER_CTX_new.restype = ctypes.c_void_p
    CRYPTO.EVP_aes_256_gcm.restype = ctypes.c_void_p
    ctx = ctypes.c_void_p(CRYPTO.EVP_CIPHER_CTX_new())
    out, n = ctypes.create_string_buffer(len(text) + 16), ctypes.c_int()
    CRYPTO.EVP_DecryptInit_ex(ctx, ctypes.c_void_p(CRYPTO.EVP_aes_256_gcm()), None, key, nonce)
    CRYPTO.EVP_DecryptUpdate(ctx, None, ctypes.byref(n), associated, len(associated))
    CRYPTO.EVP_DecryptUpdate(ctx, out, ctypes.byref(n), text, len(text))
    CRYPTO.EVP_CIPHER_CTX_ctrl(ctx, 0x11, 16, tag)
    ok = CRYPTO.EVP_DecryptFinal_ex(ctx, ctypes.byref(out, n.value), ctypes.byref(n))
    CRYPTO.EVP_CIPHER_CTX_free(ctx)
    return out.raw[:len(text)] if ok == 1 else None


def read_only(path):
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True)


def newest_row(folder):
    with read_only(f"{folder}/identity.db") as db:
        return db.execute("select lookup, cid, sealed_id, data_key from consumer "
                          "order by number desc limit 1").fetchone()


def kek(folder):
    with open(f"{folder}/key", encoding="ascii") as key:
        return bytes.fromhex(key.read().strip())


class Victim:
    """What may not be found any more, by the name of what it is."""

    def __init__(self, folder):
        self.lookup, self.cid, sealed_id, sealed_key = newest_row(folder)
        assert unseal(kek(folder), b"lov id" + self.cid, sealed_id) == VICTIM.encode()
        self.key = unseal(kek(folder), b"lov data key" + self.cid, sealed_key)
        assert len(self.key) == 32
        self.nowhere = {
            "id": VICTIM.encode(), "birth date": BORN.encode(), "evidence": EVIDENCE.encode(),
            "guardian": GUARDIAN.encode(), "detail": DETAIL.encode(),
            "record": BOUGHT.encode(), "sealed id": sealed_id[:16],
            "sealed data key": sealed_key[:16], "end of sealed data key": sealed_key[-16:],
            "data key": self.key[:16], "data key in hexadecimal": self.key[:16].hex().encode(),
            "cid in hexadecimal": self.cid.hex().encode(),
        }


def files_below(*folders):
    found = [p for folder in folders for p in glob.glob(f"{folder}/**", recursive=True)
             if os.path.isfile(p)]
    assert found
    return found


def content_of(path):
    """What a file holds; holes of a sparse one, which may be larger than memory, are left out."""
    content, at = b"", 0
    with open(path, "rb") as file:
        while at < os.fstat(file.fileno()).st_size:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            content += os.pread(file.fileno(), at - start, start)
    return content


def findings(victim, *folders):
    """The cid stays in lov's files, where it points at nobody; elsewhere it would connect."""
    found = []
    for path in files_below(*folders):
        content = content_of(path)
        found += [f"{what} in {path}" for what, needle in victim.nowhere.items()
                  if needle in content]
        if victim.cid in content and not os.path.basename(path).startswith("lov"):
            found.append(f"cid in {path}")
        if victim.lookup in content and os.path.basename(path).startswith("lov"):
            found.append(f"lookup in {path}")
    return found


def add_people(server, first, count):
    items = [{**GIVE, "consumer": f"person-{n:05d}", "evidence": f"e{n}" * (n % 20)}
             for n in range(first, first + count)]
    answer = server.admin.post(server.url + "/v1/consents/batch", json={"items": items}, timeout=60)
    assert answer.status_code == 200, answer.text


def add_record(server, consumer, product):
    """The id of a record, and a part of what is sealed in its row, which only its row has."""
    answer = server.admin.post(f"{server.url}/v1/consumers/{consumer}/records/purchases", timeout=20,
                               json={"data": {"order_id": "1", "bought_at": "2026-11-20T10:15:30Z",
                                              "product": product * 20, "amount": {
                                                  "amount": "1", "currency": "SEK"}}})
    assert answer.status_code == 201, answer.text
    db = read_only(f"{server.folder}/lov.db")
    [sealed] = db.execute("select sealed from record order by seq desc limit 1").fetchone()
    db.close()
    assert len(sealed) > 200
    return answer.json()["id"], sealed[100:132]


def holds(needle, *folders):
    return [path for path in files_below(*folders) if needle in content_of(path)]


def add_victim(server):
    server.admin.put(f"{server.url}/v1/consumers/{VICTIM}", timeout=20,
                     json={"birth_date": BORN, "residence": "SE"}).raise_for_status()
    victim = Victim(server.folder)
    body = {**GIVE, "consumer": VICTIM, "evidence": {"text": EVIDENCE},
            "guardian": {"name": GUARDIAN}}
    answer = server.admin.post(server.url + "/v1/consents", timeout=20, json=body,
                               headers={"Idempotency-Key": f"give-{VICTIM}"})
    # A hash that anybody can make of what was asked would tell who tries whose event it was.
    request = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    victim.nowhere["hash of the request"] = hashlib.sha256(
        b"POST\0/v1/consents\0" + request).digest()
    assert answer.status_code == 201, answer.text
    victim.sealed_records = [add_record(server, VICTIM, BOUGHT)[1] for _ in range(30)]
    use = {"consumer": VICTIM, "recipient": "marketing", "purpose": "personal_offers",
           "category": "purchases", "detail": DETAIL}
    server.admin.post(server.url + "/v1/accesses", json={"items": [use]},
                      timeout=20).raise_for_status()
    return victim, answer.json()["id"]


@pytest.fixture
def server(tmp_path):
    lov("init", "--dir", tmp_path / "lov", "--policy", os.path.join(ROOT, "policy"))
    server = Server(tmp_path / "lov")
    add_people(server, 0, 300)
    yield server
    if server.process.poll() is None:
        server.stop()


def wait_until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


def test_nothing_of_a_shredded_consumer_is_left_anywhere(server, tmp_path):
    victim, consent = add_victim(server)
    add_people(server, 300, 600)  # pages of the identities are split around the victim
    lov("backup", tmp_path / "backup", "--dir", server.folder)
    assert any("sealed data key" in f for f in findings(victim, server.folder))

    told = json.loads(lov("consumer", "shred", VICTIM, "--dir", server.folder, "--json"))
    assert told["erased"] and told["overwritten"]
    assert findings(victim, server.folder, server.folder + ".log") == []
    assert [r for r in victim.sealed_records if holds(r, server.folder)] == []
    assert server.reason(VICTIM) == "erased"
    assert server.admin.get(f"{server.url}/v1/consents/{consent}", timeout=20).status_code == 404
    lov("log", "verify", "--dir", server.folder)

    lov("backup", tmp_path / "backup", "--identities", "--dir", server.folder)
    assert findings(victim, tmp_path / "backup") == []
    add_people(server, 900, 300)
    server.stop()
    assert findings(victim, server.folder, server.folder + ".log", tmp_path / "backup") == []


def test_an_old_backup_beside_the_current_identities_knows_nothing_of_them(server, tmp_path):
    victim, consent = add_victim(server)
    add_people(server, 300, 100)
    lov("backup", tmp_path / "backup", "--dir", server.folder)
    lov("consumer", "shred", VICTIM, "--dir", server.folder)
    server.stop()
    os.rename(f"{server.folder}/lov.db", tmp_path / "lost.db")

    lov("restore", tmp_path / "backup", "--dir", server.folder)
    assert findings(victim, server.folder) == []
    # What is sealed in the old store opens by no key that is left.
    with ledger_rows.opened(f"{server.folder}/lov.db") as db:
        kinds = [k for k, in db.execute("select kind from event where cid = ? order by seq",
                                        (victim.cid,))]
        rows = db.execute("select (select count(*) from consumer where cid = ?1) + "
                          "(select count(*) from record where cid = ?1) + "
                          "(select count(*) from consent where cid = ?1)", (victim.cid,)).fetchone()
    assert kinds[0] == "consumer.add" and kinds[-1] == "consumer.erase"
    assert rows == (0,)
    lov("log", "verify", "--dir", server.folder)

    again = Server(server.folder)
    assert again.reason(VICTIM) == "erased"
    assert again.reason("person-00007") == "permitted"
    assert again.admin.get(f"{again.url}/v1/consents/{consent}", timeout=20).status_code == 404
    events = again.admin.get(again.url + "/v1/events?limit=1000", timeout=20).text
    assert VICTIM not in events and EVIDENCE not in events
    again.stop()


def test_who_was_erased_in_the_ledger_is_erased_in_older_identities(server, tmp_path):
    """The reverse: the identities are those of a backup, the lov store is the current one."""
    victim, _ = add_victim(server)
    lov("backup", tmp_path / "backup", "--dir", server.folder)
    lov("consumer", "shred", VICTIM, "--dir", server.folder)
    lov("backup", tmp_path / "later", "--dir", server.folder)
    server.stop()
    shutil.copy(tmp_path / "backup" / "identity.db", tmp_path / "later" / "identity.db")
    lov("restore", tmp_path / "later", "--dir", tmp_path / "new",
        "--key", f"{server.folder}/key")
    assert findings(victim, tmp_path / "new") == []
    restored = Server(tmp_path / "new")
    assert restored.reason(VICTIM) == "erased"
    assert restored.reason("person-00007") == "permitted"
    restored.stop()
    lov("log", "verify", "--dir", tmp_path / "new")


def test_what_is_sealed_in_a_deleted_or_corrected_record_is_overwritten(server):
    add_people(server, 300, 100)
    records = [add_record(server, f"person-{n:05d}", f"thing-{n}") for n in range(20)]
    for n, (record, sealed) in enumerate(records):
        assert holds(sealed, server.folder)
        url = f"{server.url}/v1/consumers/person-{n:05d}/records/purchases/{record}"
        answer = server.admin.delete(url, timeout=20) if n % 2 else server.admin.put(
            url, timeout=20, json={"data": {"order_id": "2", "bought_at": "2026-11-20T10:15:30Z",
                                            "product": "x", "amount": {
                                                "amount": "1", "currency": "SEK"}}})
        assert answer.status_code == 200, answer.text
    wait_until(lambda: not [r for _, r in records if holds(r, server.folder)])
    lov("log", "verify", "--dir", server.folder)


def test_a_reader_delays_the_overwriting_and_nothing_else(server):
    victim, _ = add_victim(server)
    reader = read_only(f"{server.folder}/identity.db")
    reader.execute("begin")
    reader.execute("select count(*) from consumer").fetchone()
    told = json.loads(lov("consumer", "shred", VICTIM, "--dir", server.folder, "--json"))
    assert told["erased"] and not told["overwritten"]
    assert server.reason(VICTIM) == "erased"
    add_people(server, 300, 10)
    reader.close()
    wait_until(lambda: findings(victim, server.folder) == [])


def test_a_crash_after_the_erasure_leaves_nothing_once_lov_is_opened(server):
    victim, _ = add_victim(server)
    reader = read_only(f"{server.folder}/identity.db")
    reader.execute("begin")
    reader.execute("select count(*) from consumer").fetchone()
    lov("consumer", "shred", VICTIM, "--dir", server.folder)
    server.process.kill()
    server.process.wait()
    reader.close()
    assert findings(victim, server.folder) != []
    lov("key", "list", "--dir", server.folder)
    assert findings(victim, server.folder) == []


def test_shredding_without_a_server(server):
    victim, _ = add_victim(server)
    server.stop()
    lov("consumer", "shred", VICTIM, "--dir", server.folder)
    assert findings(victim, server.folder) == []
    assert "no such consumer" in subprocess.run(
        [LOV, "consumer", "shred", "nobody", "--dir", server.folder], capture_output=True,
        text=True, timeout=60, check=False).stderr


def test_an_id_from_the_time_that_a_restore_lost_is_nobodys(server, tmp_path):
    """Numbers are given again after a restore: ids made of them must not meet."""
    kept = server.give(consumer="kept").json()["id"]
    lov("backup", tmp_path / "backup", "--dir", server.folder)
    lost = {server.give(consumer=f"lost-{n}").json()["id"] for n in range(30)}
    server.stop()
    os.rename(f"{server.folder}/lov.db", tmp_path / "lost.db")
    seen = set()
    for _ in range(2):  # the second time the same backup: its numbers are given a third time
        lov("restore", tmp_path / "backup", "--dir", server.folder)
        again = Server(server.folder)
        new = {again.give(consumer=f"new-{n}").json()["id"] for n in range(40)}
        for consent in lost | seen:
            url = f"{again.url}/v1/consents/{consent}"
            assert again.admin.get(url, timeout=20).status_code == 404
            assert again.admin.post(url + "/withdraw", timeout=20).status_code == 404
        for consent in {kept, *new}:
            url = f"{again.url}/v1/consents/{consent}"
            assert again.admin.get(url, timeout=20).status_code == 200
        assert all(again.reason(f"new-{n}") == "permitted" for n in range(40))
        assert again.reason("kept") == "permitted"
        assert again.reason("lost-3") in ("no_consent", "unknown_consumer")
        again.stop()
        seen |= new
        os.rename(f"{server.folder}/lov.db", tmp_path / f"lost{len(seen)}.db")
