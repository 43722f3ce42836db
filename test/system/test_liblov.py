"""liblov beside a running server: the examples as users have them, withdrawals that race with readers
in other processes, a server that is killed, and an index that was lost or belongs to another past."""

import importlib.util
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import time

import pytest

from test_http import LOV, PURCHASES, ROOT, Server, lov, used_bytes

BUILD = os.path.dirname(LOV)
LIBRARY = os.path.join(BUILD, "liblov.so.1")
USE = ("marketing", "personal_offers", "purchases")
NODE = os.path.join(ROOT, ".cache", "node")

pytestmark = pytest.mark.skipif(os.path.basename(BUILD) != "build",
                                reason="Python does not load a library with a sanitizer")


def example():
    os.environ["LOV_LIBRARY"] = LIBRARY
    spec = importlib.util.spec_from_file_location("decide", f"{ROOT}/examples/decide.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    base = tmp_path_factory.mktemp("liblov")
    (base / "purchases.txt").write_text(PURCHASES, encoding="ascii")
    lov("demo", "--dir", base / "demo", "--purchases", base / "purchases.txt")
    return base / "demo"


@pytest.fixture
def server(demo, tmp_path):
    subprocess.run(["cp", "-a", str(demo), str(tmp_path / "lov")], check=True)
    server = Server(tmp_path / "lov")
    yield server
    if server.process.poll() is None:
        server.stop()
    lov("log", "verify", "--dir", server.folder)


@pytest.fixture
def reader(server):
    reader = example().Lov(server.folder)
    yield reader
    reader.close()


def consent_of(server, consumer):
    consents = server.admin.get(f"{server.url}/v1/consumers/{consumer}/consents", timeout=20).json()
    return [c["id"] for c in consents["items"]
            if c["recipient"] == "marketing" and c["status"] == "active"][0]


def withdraw(server, consumer):
    answer = server.admin.post(f"{server.url}/v1/consents/{consent_of(server, consumer)}/withdraw",
                               timeout=20)
    assert answer.status_code == 200


def reason(reader, consumer):
    return reader.reason(reader.decide(*USE, consumer))


def wait_until(reader, consumer, expected, seconds=15):
    deadline = time.monotonic() + seconds
    while reason(reader, consumer) != expected:
        assert time.monotonic() < deadline, (consumer, reason(reader, consumer), expected)
        time.sleep(0.01)


# ---- the same answers ----


def test_every_consumer_is_answered_as_the_server_answers(server, reader):
    consumers = [f"{n:05d}" for n in range(1, 61)] + ["nobody"]
    for recipient, purpose, category in (USE, ("risk", "fraud_prevention", "purchases"),
                                         ("nobody", "x", "y")):
        admin = [{"subject": {"type": "recipient", "id": recipient}, "action": {"name": purpose},
                  "resource": {"type": category, "id": c}} for c in consumers]
        told = server.admin.post(server.url + "/access/v1/evaluations", timeout=20,
                                 json={"evaluations": admin}).json()["evaluations"]
        found = reader.decide_many(recipient, purpose, category, consumers)
        for consumer, one, ours in zip(consumers, told, found):
            explained = json.loads(reader.explain(ours))
            assert bool(ours.permit) == one["decision"], consumer
            for member in ("reason", "reason_text", "basis", "policy_version"):
                assert explained[member] == one["context"][member], consumer
            assert explained.get("obligations") == one["context"].get("obligations")
    assert {reader.reason(d) for d in found} == {"recipient_unknown"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("install") / "usr"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    subprocess.run(["make", "--no-print-directory", "install", f"PREFIX={prefix}"], cwd=ROOT,
                   check=True, stdout=subprocess.DEVNULL, env=environment)
    yield prefix
    subprocess.run(["make", "--no-print-directory", "uninstall", f"PREFIX={prefix}"], cwd=ROOT,
                   check=True, stdout=subprocess.DEVNULL, env=environment)
    left = [os.path.join(d, f) for d, _, files in os.walk(prefix) for f in files]
    assert left == []


def run_example(server, command, consumers, **more):
    result = subprocess.run([*command, server.folder, *USE, *consumers], capture_output=True,
                            text=True, timeout=60, check=False, **more)
    assert result.stderr == ""
    lines = [line.split(" ", 1) for line in result.stdout.splitlines()]
    return result.returncode, [(c, json.loads(text)) for c, text in lines]


def check_example(server, command, **more):
    """One yes ends with 0, yes and no with 1; the texts say why."""
    code, answers = run_example(server, command, ["00001"], **more)
    assert code == 0 and answers[0][0] == "00001" and answers[0][1]["permit"] is True
    assert answers[0][1]["obligations"]["retention_days"] == 365
    code, answers = run_example(server, command, ["00001", "nobody"], **more)
    assert code == 1
    assert [a["reason"] for _, a in answers] == ["permitted", "unknown_consumer"]
    bad = subprocess.run([*command, "/nowhere", *USE, "1"], capture_output=True, text=True,
                         timeout=60, check=False, **more)
    assert bad.returncode == 2 and "/nowhere" in bad.stderr


@pytest.mark.parametrize("kind", ["shared", "static"])
def test_the_c_example_builds_with_pkg_config_and_decides(server, installed, tmp_path, kind):
    environment = {**os.environ, "PKG_CONFIG_PATH": str(installed / "lib" / "pkgconfig"),
                   "LD_LIBRARY_PATH": str(installed / "lib")}
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "lov"], env=environment, check=True,
                           capture_output=True, text=True).stdout.split()
    if kind == "static":
        flags = [str(installed / "lib" / "liblov.a") if f == "-llov" else f for f in flags]
    program = tmp_path / "decide"
    subprocess.run(["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", f"{ROOT}/examples/decide.c",
                    "-o", str(program), *flags], check=True)
    check_example(server, [str(program)], env=environment)


def test_the_python_example_decides(server):
    check_example(server, ["/usr/bin/python3", f"{ROOT}/examples/decide.py"],
                  env={**os.environ, "LOV_LIBRARY": LIBRARY})


def test_the_node_example_decides(server, tmp_path):
    if not os.path.isdir(os.path.join(NODE, "node_modules", "koffi")):
        pytest.fail("koffi is missing: make test-deps installs it")
    script = tmp_path / "decide.mjs"
    shutil.copy(f"{ROOT}/examples/decide.mjs", script)
    os.symlink(os.path.join(NODE, "node_modules"), tmp_path / "node_modules")
    check_example(server, ["node", str(script)], env={**os.environ, "LOV_LIBRARY": LIBRARY})


def test_the_library_shows_its_own_names_and_needs_libc_alone():
    names = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], check=True, capture_output=True,
                           text=True).stdout.split("\n")
    shown = {line.split()[-1] for line in names if " T " in line}
    assert shown == {f"lov_{n}@@LOV_1" for n in
                     ("open", "close", "decide", "decide_many", "prepare", "ask", "ask_many",
                      "question_free", "explain", "reason_name", "reason_text", "version")}
    assert not [line for line in names if line and " T " not in line and " A " not in line]
    dynamic = subprocess.run(["readelf", "-d", LIBRARY], check=True, capture_output=True,
                             text=True).stdout
    assert [line for line in dynamic.split("\n") if "NEEDED" in line and "libc.so.6" not in line] == []
    static = subprocess.run(["nm", "-g", "--defined-only", os.path.join(BUILD, "liblov.a")],
                            check=True, capture_output=True, text=True).stdout
    assert all(" lov_" in line for line in static.split("\n") if " T " in line)


# ---- withdrawals that race ----


def race(folder, state, counts, consumers):
    """Asks for each consumer over and over; state[i] is 1 once i's withdrawal was answered."""
    reader = example().Lov(folder)
    while not state[len(consumers)]:
        for i, consumer in enumerate(consumers):
            answered = state[i]
            decision = reader.decide(*USE, consumer)
            counts[0] += 1
            if answered and decision.permit:
                counts[1] += 1
            if reader.reason(decision) not in ("permitted", "withdrawn"):
                counts[2] += 1
    reader.close()


def test_no_process_permits_once_a_withdrawal_was_answered(server):
    consumers = [f"race-{n:03d}" for n in range(150)]
    for consumer in consumers:
        assert server.give(consumer=consumer).status_code == 201
    state = multiprocessing.RawArray("b", len(consumers) + 1)
    counts = [multiprocessing.RawArray("q", 3) for _ in range(2)]
    readers = [multiprocessing.Process(target=race, args=(server.folder, state, c, consumers))
               for c in counts]
    for process in readers:
        process.start()
    while any(c[0] < 1000 for c in counts):
        time.sleep(0.01)
    for i, consumer in enumerate(consumers):
        withdraw(server, consumer)
        state[i] = 1
    seen = [c[0] for c in counts]
    while any(c[0] < s + 2 * len(consumers) for c, s in zip(counts, seen)) or \
            sum(c[0] for c in counts) < 200_000:
        time.sleep(0.01)
    state[len(consumers)] = 1
    for process in readers:
        process.join(30)
        assert process.exitcode == 0
    assert sum(c[0] for c in counts) >= 200_000
    assert [c[1] for c in counts] == [0, 0], "permitted after the withdrawal was answered"
    assert [c[2] for c in counts] == [0, 0]


def test_a_policy_holds_in_other_processes_when_its_call_returns(server, reader):
    bundle = {"files": {}}
    for folder, _, names in os.walk(f"{ROOT}/policy"):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as file:
                bundle["files"][os.path.relpath(path, f"{ROOT}/policy")] = file.read()
    assert reason(reader, "00001") == "permitted"
    text = bundle["files"]["recipients.yaml"]
    at = text.index("id: marketing")
    bundle["files"]["recipients.yaml"] = text[:at] + "id: marketing\n    status: suspended" + \
        text[at + len("id: marketing"):]
    answer = server.admin.post(server.url + "/v1/policy", json=bundle, timeout=20)
    assert answer.ok, answer.text
    assert reason(reader, "00001") == "recipient_suspended"


# ---- the server goes and comes ----


def test_a_killed_server_is_noticed_and_what_it_acknowledged_is_there_again(server, reader):
    server.give(consumer="just-before")
    withdraw(server, "00001")
    assert reason(reader, "just-before") == "permitted"
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    wait_until(reader, "just-before", "unavailable", 5)
    server.__init__(server.folder)
    assert reason(reader, "just-before") == "permitted"
    assert reason(reader, "00001") == "withdrawn"


def test_a_stopped_server_is_noticed_at_once(server, reader):
    server.stop()
    assert reason(reader, "00001") == "unavailable"
    server.__init__(server.folder)
    assert reason(reader, "00001") == "permitted"


def test_a_lost_index_is_made_anew_and_readers_go_over_to_it(server, reader):
    withdraw(server, "00001")
    server.stop()
    os.remove(f"{server.folder}/permits.idx")
    server.__init__(server.folder)
    wait_until(reader, "00002", server.reason("00002"))
    assert reason(reader, "00001") == "withdrawn"


def test_an_index_of_another_past_is_not_believed(server, reader):
    """The stores are put back to an older copy, the index is the newer one: it is filled anew."""
    server.stop()
    old = server.folder + ".old"
    subprocess.run(["cp", "-a", server.folder, old], check=True)
    server.__init__(server.folder)
    withdraw(server, "00001")
    server.stop()
    for name in os.listdir(old):
        if name.startswith(("lov.db", "identity.db")):
            shutil.copy(os.path.join(old, name), os.path.join(server.folder, name))
    server.__init__(server.folder)
    server.give(consumer="of-another-past")
    assert reason(reader, "00001") == server.reason("00001") == "permitted"
    assert reason(reader, "of-another-past") == "permitted"


# ---- what is in it ----


def test_the_index_holds_neither_ids_nor_cids(server):
    server.give(consumer="somebody-with-a-name")
    server.stop()
    path = f"{server.folder}/permits.idx"
    data = used_bytes(path)
    assert b"personal_offers" in data, "the policy is there"
    assert b"somebody-with-a-name" not in data
    with sqlite3.connect(f"{server.folder}/identity.db") as db:
        cids = [row[0] for row in db.execute("select cid from consumer")]
    assert len(cids) > 50
    assert not [cid for cid in cids if cid in data]
    assert stat.S_IMODE(os.stat(path).st_mode) & ~0o640 == 0
    assert stat.S_IMODE(os.stat(f"{server.folder}/permits.cid").st_mode) == 0o600


def test_the_index_may_lie_behind_a_link(server, tmp_path):
    server.stop()
    shared = tmp_path / "shared"
    shared.mkdir()
    os.remove(f"{server.folder}/permits.idx")
    os.symlink(shared / "permits.idx", f"{server.folder}/permits.idx")
    server.__init__(server.folder)
    reader = example().Lov(shared)
    assert reason(reader, "00001") == "permitted"
    withdraw(server, "00001")
    assert reason(reader, "00001") == "withdrawn"
    reader.close()
