"""Rotation, backup and restore under kill -9, a full disk and a failing fsync; and bits that the disk
has changed. LOV_KILLS sets how many times each is killed (15), LOV_SEED repeats a run."""

import contextlib
import glob
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
from test_disk import SHIM  # noqa: E402
from test_http import GIVE, LOV, ROOT, Server, lov  # noqa: E402

KILLS = int(os.environ.get("LOV_KILLS", "15"))
PEOPLE = 6000
BORN = "1987-06-05"


@pytest.fixture(name="chance")
def fixture_chance():
    seed = int(os.environ.get("LOV_SEED", time.time_ns()))
    print(f"LOV_SEED={seed}")
    return random.Random(seed)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An installation with many consumers, each with something sealed."""
    base = tmp_path_factory.mktemp("store")
    with open(base / "people.jsonl", "w", encoding="ascii") as people:
        for n in range(PEOPLE):
            people.write(json.dumps({"id": f"p{n:05d}", "country": "SE", "born": BORN}) + "\n")
    lov("init", "--dir", base / "lov", "--policy", os.path.join(ROOT, "policy"))
    lov("import", "consumers", base / "people.jsonl", "--mapping",
        os.path.join(ROOT, "data", "consumers.example.yaml"), "--dir", base / "lov")
    return base / "lov"


@pytest.fixture(name="folder")
def fixture_folder(made, tmp_path):
    subprocess.run(["cp", "-a", str(made), str(tmp_path / "lov")], check=True)
    return tmp_path / "lov"


def start(*args, **more):
    return subprocess.Popen([LOV, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, **more)


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()


def expect_readable(server, chance, count=40):
    """The ids are found and what is sealed opens."""
    for n in [0, PEOPLE - 1, *(chance.randrange(PEOPLE) for _ in range(count))]:
        answer = server.admin.get(f"{server.url}/v1/consumers/p{n:05d}", timeout=20)
        assert answer.status_code == 200, (n, answer.text)
        assert answer.json()["birth_date"] == BORN


def expect_rotated(folder, old_key):
    """Everything opens by the new key alone, nothing by the old one."""
    assert not os.path.exists(folder / "key.next")
    assert (folder / "key").read_text() != old_key
    lov("log", "verify", "--dir", folder)
    other = subprocess.run([LOV, "key", "list", "--dir", str(folder)], capture_output=True,
                           text=True, timeout=60, check=False,
                           env={**os.environ, "LOV_KEY": old_key.strip()})
    assert other.returncode == 3 and "does not open" in other.stderr


# ---- kill -9 ----


def let_run(process, chance, round_, begun):
    """Until a moment for the kill: any, or every other time one after the work has begun."""
    end = time.monotonic() + 30
    while round_ % 2 and process.poll() is None and not begun():
        assert time.monotonic() < end, "it does not begin"
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.05 if round_ % 2 else 0.3))


def test_a_rotation_survives_kills_of_the_server(folder, chance):
    old_key = (folder / "key").read_text()
    half_done = 0
    for n in range(KILLS):
        server = Server(folder)
        rotation = start("key", "rotate", "--dir", folder)
        let_run(rotation, chance, n, (folder / "key.next").exists)
        server.process.kill()
        server.process.wait()
        rotation.communicate(timeout=60)
        half_done += os.path.exists(folder / "key.next")
        again = Server(folder)
        expect_readable(again, chance, 10)
        assert again.give(consumer=f"new-{half_done}").status_code == 201
        again.process.kill()
        again.process.wait()
    assert half_done > 0, "no kill hit a rotation"
    server = Server(folder)
    lov("key", "rotate", "--dir", folder)
    expect_readable(server, chance, 400)
    server.stop()
    expect_rotated(folder, old_key)


def test_a_rotation_survives_kills_of_the_command(folder, chance):
    old_key = (folder / "key").read_text()
    half_done = 0
    for n in range(KILLS):
        rotation = start("key", "rotate", "--dir", folder)
        let_run(rotation, chance, n, (folder / "key.next").exists)
        kill(rotation)
        half_done += os.path.exists(folder / "key.next")
    assert half_done > 0, "no kill hit a rotation"
    lov("key", "rotate", "--dir", folder)
    expect_rotated(folder, old_key)
    server = Server(folder)
    expect_readable(server, chance, 400)
    server.stop()


@contextlib.contextmanager
def writing(server):
    """Gives consents all the time; the list of those that were acknowledged."""
    told, stop = [], threading.Event()

    def write():
        while not stop.is_set():
            consumer = f"w{len(told)}"
            if server.give(consumer=consumer).status_code == 201:
                told.append(consumer)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield told
    finally:
        stop.set()
        thread.join()


def restore(backup, into, folder, *more):
    shutil.rmtree(into, ignore_errors=True)
    return subprocess.run([LOV, "restore", str(backup), "--dir", str(into), "--key",
                           str(folder / "key"), *more], capture_output=True, text=True, timeout=120,
                          check=False)


def test_a_backup_is_whole_or_none_over_many_kills(folder, tmp_path, chance):
    server, backup = Server(folder), tmp_path / "backup"
    halves = 0
    with writing(server) as told:
        for n in range(KILLS):
            running = start("backup", backup, "--dir", folder)
            let_run(running, chance, n, lambda: glob.glob(f"{backup}/*.part*"))
            kill(running)
            halves += bool(glob.glob(f"{backup}/*.part*"))
            for copy in glob.glob(f"{backup}/lov-*.db"):
                if os.path.exists(copy[:-3] + ".json"):
                    continue
                result = restore(backup, tmp_path / "new", folder, "--at",
                                 os.path.basename(copy)[4:-3])
                assert result.returncode == 1 and "no complete backup" in result.stderr
        before = len(told)
        lov("backup", backup, "--dir", folder)
    assert halves > 0, "no kill hit a backup"
    assert not glob.glob(f"{backup}/*.part*")
    result = restore(backup, tmp_path / "new", folder)
    assert result.returncode == 0, result.stderr
    lov("log", "verify", "--dir", tmp_path / "new")
    restored = Server(tmp_path / "new")
    assert before > 0
    for consumer in told[:before]:
        assert restored.reason(consumer) == "permitted"
    expect_readable(restored, chance)
    restored.stop()
    # Every copy that is there is whole.
    for manifest in glob.glob(f"{backup}/lov-*.json"):
        stamp = os.path.basename(manifest)[4:-5]
        assert restore(backup, tmp_path / "new", folder, "--at", stamp).returncode == 0
    server.stop()


def test_a_restore_is_whole_or_none_over_many_kills(folder, tmp_path, chance):
    lov("backup", tmp_path / "backup", "--dir", folder)
    new, whole, none = tmp_path / "new", 0, 0
    for n in range(KILLS):
        shutil.rmtree(new, ignore_errors=True)
        running = start("restore", tmp_path / "backup", "--dir", new, "--key", folder / "key")
        let_run(running, chance, n, lambda: glob.glob(f"{new}/*.part*"))
        kill(running)
        if os.path.exists(new / "lov.db"):
            whole += 1
            lov("key", "list", "--dir", new)  # opens it: what was left to do is done
            assert not os.path.exists(new / "restored")
            events = lov("log", "show", "--dir", new, "--after", str(PEOPLE))
            assert events.count("store.restore") >= 1
        else:
            none += 1
            more = [] if os.path.exists(new / "key") else ["--key", str(folder / "key")]
            lov("restore", tmp_path / "backup", "--dir", new, *more)
        lov("log", "verify", "--dir", new)
    print(f"{whole} whole, {none} none")
    assert none > 0


# ---- a backup of a half rotated store ----


def test_no_backup_is_made_while_two_keys_are_needed(folder, tmp_path):
    (folder / "key.next").write_text("ab" * 32 + "\n")
    os.chmod(folder / "key.next", 0o600)
    result = subprocess.run([LOV, "backup", str(tmp_path / "b"), "--dir", str(folder)],
                            capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1 and "key.next" in result.stderr
    assert not os.path.exists(tmp_path / "b")
    lov("key", "rotate", "--dir", folder)  # takes the key that was put there
    assert (folder / "key").read_text() == "ab" * 32 + "\n"
    lov("backup", tmp_path / "b", "--dir", folder)


def test_a_key_in_the_environment_is_changed_there(folder, tmp_path):
    old = (folder / "key").read_text().strip()
    os.remove(folder / "key")

    def run(key, *args):
        return subprocess.run([LOV, *args, "--dir", str(folder)], capture_output=True, text=True,
                              timeout=60, check=False, env={**os.environ, "LOV_KEY": key})

    result = run(old, "key", "rotate")
    assert result.returncode == 0 and "set LOV_KEY" in result.stdout
    new = (folder / "key.next").read_text().strip()
    assert run(old, "log", "verify").returncode == 0  # until the variable is changed
    os.remove(folder / "key.next")
    assert run(new, "log", "verify").returncode == 0
    assert "does not open" in run(old, "key", "list").stderr
    assert run(new, "key", "list").returncode == 0


# ---- a full disk ----


@pytest.fixture(name="small")
def fixture_small(tmp_path):
    """A small file system: (folder, resize)."""
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m,mode=700", "tmpfs", str(mount)],
                   check=True)

    def resize(megabytes):
        subprocess.run(["mount", "-o", f"remount,size={megabytes}m", str(mount)], check=True)

    yield mount, resize
    subprocess.run(["umount", "-l", str(mount)], check=True)


def run(*args):
    return subprocess.run([LOV, *map(str, args)], capture_output=True, text=True, timeout=120,
                          check=False)


def test_a_disk_that_is_full_ends_a_backup_cleanly(folder, small):
    mount, resize = small
    resize(2)
    result = run("backup", mount / "backup", "--dir", folder)
    assert result.returncode == 3 and result.stderr
    assert os.listdir(mount / "backup") == []
    assert run("restore", mount / "backup", "--dir", mount / "new").returncode == 1
    resize(100)
    lov("backup", mount / "backup", "--dir", folder)
    resize(-(-sum(os.path.getsize(p) for p in glob.glob(f"{mount}/backup/*")) // 2**20) + 1)
    before = sorted(os.listdir(mount / "backup"))
    assert run("backup", mount / "backup", "--dir", folder).returncode == 3
    assert sorted(os.listdir(mount / "backup")) == before
    resize(100)
    assert restore(mount / "backup", mount / "new", folder).returncode == 0


def test_a_disk_that_is_full_ends_a_restore_cleanly(folder, tmp_path, small):
    mount, resize = small
    lov("backup", tmp_path / "backup", "--dir", folder)
    resize(2)
    result = restore(tmp_path / "backup", mount / "new", folder)
    assert result.returncode == 3 and not os.path.exists(mount / "new" / "lov.db")
    assert not glob.glob(f"{mount}/new/*.part*")
    resize(100)
    assert restore(tmp_path / "backup", mount / "new", folder).returncode == 0
    lov("log", "verify", "--dir", mount / "new")


def test_a_rotation_goes_on_after_a_full_disk(folder, small, chance):
    mount, resize = small
    old_key = (folder / "key").read_text()
    subprocess.run(["cp", "-a", str(folder), str(mount / "lov")], check=True)
    server = Server(mount / "lov")
    used = shutil.disk_usage(mount).used
    resize(-(-used // 2**20) + 1)
    with open(mount / "filler", "wb") as filler:
        filler.write(bytes(max(0, shutil.disk_usage(mount).free - 200 * 1024)))
    result = run("key", "rotate", "--dir", mount / "lov")
    assert result.returncode == 3, result.stdout + result.stderr
    assert os.path.exists(mount / "lov" / "key.next")
    server.process.kill()
    server.process.wait()
    resize(100)
    server = Server(mount / "lov")
    expect_readable(server, chance)
    lov("key", "rotate", "--dir", mount / "lov")
    expect_readable(server, chance)
    server.stop()
    expect_rotated(mount / "lov", old_key)


# ---- a failing fsync ----


@pytest.fixture(name="shim")
def fixture_shim(tmp_path):
    (tmp_path / "shim.c").write_text(SHIM, encoding="ascii")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(tmp_path / "shim.so"),
                    str(tmp_path / "shim.c"), "-ldl"], check=True)
    (tmp_path / "fail").write_text("now", encoding="ascii")
    return {**os.environ, "LD_PRELOAD": str(tmp_path / "shim.so"),
            "FAIL_SYNC": str(tmp_path / "fail")}


def test_what_is_not_synced_is_no_backup_and_no_restore(folder, tmp_path, shim):
    def run_failing(*args):
        return subprocess.run([LOV, *map(str, args)], capture_output=True, text=True, timeout=60,
                              check=False, env=shim)

    result = run_failing("backup", tmp_path / "backup", "--dir", folder)
    assert result.returncode == 3, result.stderr
    assert os.listdir(tmp_path / "backup") == []
    lov("backup", tmp_path / "backup", "--dir", folder)
    result = run_failing("restore", tmp_path / "backup", "--dir", tmp_path / "new")
    assert result.returncode == 3, result.stderr
    (tmp_path / "new2").mkdir(mode=0o700)
    shutil.copy2(folder / "key", tmp_path / "new2" / "key")
    result = run_failing("restore", tmp_path / "backup", "--dir", tmp_path / "new2")
    assert result.returncode == 3, result.stderr
    assert not os.path.exists(tmp_path / "new2" / "lov.db")


def test_a_rotation_that_is_not_synced_keeps_both_keys(folder, shim, chance):
    old_key = (folder / "key").read_text()
    result = subprocess.run([LOV, "key", "rotate", "--dir", str(folder)], capture_output=True,
                            text=True, timeout=60, check=False, env=shim)
    assert result.returncode == 3, result.stdout + result.stderr
    assert (folder / "key").read_text() == old_key
    server = Server(folder)
    expect_readable(server, chance)
    lov("key", "rotate", "--dir", folder)
    server.stop()
    expect_rotated(folder, old_key)


# ---- bits ----


def test_a_flipped_bit_in_any_page_is_found(made, tmp_path, chance):
    subprocess.run(["cp", "-a", str(made), str(tmp_path / "lov")], check=True)
    for name in ("lov.db", "identity.db"):
        path = tmp_path / "lov" / name
        pages = os.path.getsize(path) // 4096
        assert pages > 100
        # The first pages hold the header, the schema and the small tables.
        for page in [*range(12), pages - 1, *(chance.randrange(pages) for _ in range(25))]:
            at, bit = page * 4096 + chance.randrange(4096), 1 << chance.randrange(8)

            def flip():
                with open(path, "r+b") as file:
                    file.seek(at)
                    byte = file.read(1)[0] ^ bit
                    file.seek(at)
                    file.write(bytes([byte]))

            flip()
            result = run("log", "verify", "--dir", tmp_path / "lov")
            flip()
            assert result.returncode == 1, (name, at, bit, result.stdout, result.stderr)
            assert f"{name} is damaged" in result.stdout, (name, at, bit, result.stdout)
    lov("log", "verify", "--dir", tmp_path / "lov")


def test_a_page_that_was_changed_is_not_served(folder):
    path = folder / "identity.db"
    with open(path, "r+b") as file:
        for page in range(1, os.path.getsize(path) // 4096):
            file.seek(page * 4096 + 2000)
            byte = file.read(1)[0] ^ 4
            file.seek(page * 4096 + 2000)
            file.write(bytes([byte]))
    result = run("key", "list", "--dir", folder)
    assert result.returncode == 3 and "checksum" in result.stderr


def test_a_damaged_backup_is_not_restored(folder, tmp_path, chance):
    lov("backup", tmp_path / "backup", "--dir", folder)
    for name in (glob.glob(f"{tmp_path}/backup/lov-*.db")[0], f"{tmp_path}/backup/identity.db"):
        at = chance.randrange(os.path.getsize(name))
        for _ in range(2):
            with open(name, "r+b") as file:
                file.seek(at)
                byte = file.read(1)[0] ^ 16
                file.seek(at)
                file.write(bytes([byte]))
            result = restore(tmp_path / "backup", tmp_path / "new", folder)
            assert os.path.exists(tmp_path / "new" / "lov.db") == (result.returncode == 0)
            outcome = result.returncode, result.stderr
        assert outcome[0] == 0, outcome
        with open(name, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0] ^ 16
            file.seek(at)
            file.write(bytes([byte]))
        result = restore(tmp_path / "backup", tmp_path / "new", folder)
        assert result.returncode == 3 and "damaged" in result.stderr, (name, at, result.stderr)
        with open(name, "r+b") as file:
            file.seek(at)
            file.write(bytes([byte ^ 16]))


def test_a_copy_under_another_ones_name_is_not_restored(folder, tmp_path):
    backup = tmp_path / "backup"
    told = json.loads(lov("backup", backup, "--dir", folder, "--json"))
    assert os.path.exists(told["file"]) and told["consumers"] == PEOPLE and told["opened"]
    told = json.loads(lov("backup", backup, "--identities", "--dir", folder, "--json"))
    assert "file" not in told and told["consumers"] == PEOPLE
    lov("key", "create", "--staff", "admin", "--dir", folder)
    lov("backup", backup, "--dir", folder)
    older, newer = sorted(glob.glob(f"{backup}/lov-*.db"))
    shutil.copy(older, newer)
    result = restore(backup, tmp_path / "new", folder)
    assert result.returncode == 3 and "is not the copy" in result.stderr
    assert not os.path.exists(tmp_path / "new" / "lov.db")
    with open(newer[:-3] + ".json", "w", encoding="ascii") as manifest:
        manifest.write('{"version": 1, "made_at": "yesterday"}')
    result = restore(backup, tmp_path / "new", folder)
    assert result.returncode == 3 and "is damaged" in result.stderr
    stamp = os.path.basename(older)[4:-3]
    assert restore(backup, tmp_path / "new", folder, "--at", stamp).returncode == 0
    assert restore(backup, tmp_path / "new2", folder, "--at", "../" + stamp).returncode == 2
    assert restore(backup, tmp_path / "new2", folder, "--at", "20200101T000000001Z").returncode == 1
    again = run("restore", backup, "--dir", tmp_path / "new")
    assert again.returncode == 1 and "overwrites nothing" in again.stderr


def test_what_another_program_wrote_is_refused_and_mended_when_it_is_right(folder):
    server = Server(folder)
    assert server.give(consumer="before").status_code == 201
    server.process.kill()
    server.process.wait()
    # SQLite's own program puts the log of the crash into the file, without checksums.
    sql = ["sqlite3", str(folder / "lov.db")]
    subprocess.run([*sql, "select count(*) from bundle"], check=True, stdout=subprocess.DEVNULL)
    refused = run("key", "list", "--dir", folder)
    assert refused.returncode == 3 and "checksum" in refused.stderr
    assert "lov.db is damaged" in run("log", "verify", "--dir", folder).stdout
    assert run("log", "verify", "--mend", "--dir", folder).returncode == 0
    server = Server(folder)
    assert server.reason("before") == "permitted"
    busy = run("log", "verify", "--mend", "--dir", folder)
    assert busy.returncode == 1 and "open" in busy.stderr
    server.stop()
    subprocess.run([*sql, "update consent set status = 'withdrawn'"], check=True)
    wrong = run("log", "verify", "--mend", "--dir", folder)
    assert wrong.returncode == 3 and "nothing is mended" in wrong.stderr
    assert run("log", "verify", "--dir", folder).returncode == 1
