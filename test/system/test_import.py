"""Imports of consents: in bulks, where no server runs, and through a server. Both record the same,
and what was killed at any moment goes on without losing or doubling a row."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

import ledger_rows

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOV = os.path.abspath(os.environ.get("LOV", os.path.join(ROOT, "build", "lov")))
DEADLINE = 120
YES, NO = 0, 1
HEADER = "who,what,answer,language,day,note,guardian\n"
MAPPING = """
format: csv
members:
  - {member: consumer, column: who}
  - {member: purpose, constant: personal_offers}
  - {member: recipient, constant: marketing}
  - {member: categories, column: what, separator: "|"}
  - member: decision
    column: answer
    values: [{from: "yes", to: give}, {from: "no", to: refuse}]
  - {member: notice.id, constant: personal_offers}
  - {member: notice.version, constant: "1"}
  - {member: notice.language, column: language, default: sv}
  - {member: channel, constant: import}
  - {member: given_at, column: day, date: DD/MM/YYYY}
  - {member: evidence, column: note}
  - {member: guardian, column: guardian}
"""


def lov(*args, directory, code=YES):
    result = subprocess.run([LOV, *map(str, args), "--dir", str(directory)], capture_output=True,
                            text=True, timeout=DEADLINE, check=False)
    assert code is None or result.returncode == code, (args, result.stdout, result.stderr)
    return result


@contextlib.contextmanager
def serving(directory):
    process = subprocess.Popen([LOV, "serve", "--dir", str(directory), "--listen", "127.0.0.1:0",
                                "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        process.stdout.readline()
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=DEADLINE)
        process.stdout.close()


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Somebody is there, somebody has withdrawn, somebody is a child, somebody was erased."""
    folder = tmp_path_factory.mktemp("start")
    directory = folder / "lov"
    lov("init", directory=directory)
    lov("policy", "apply", os.path.join(ROOT, "policy"), directory=directory)
    for who in ("there", "withdrawn", "gone"):
        lov("consent", "give", "--consumer", who, "--purpose", "personal_offers", "--recipient",
            "marketing", "--categories", "purchases,contact", "--notice", "personal_offers@1",
            "--language", "sv", directory=directory)
    given = json.loads(lov("consent", "list", "--consumer", "withdrawn", "--json",
                           directory=directory).stdout)["items"][0]["id"]
    lov("consent", "withdraw", given, directory=directory)
    (folder / "people.csv").write_text("id,born\nchild,2021-01-01\nadult,1980-01-01\n")
    (folder / "people.yaml").write_text("format: csv\nmembers:\n  - {member: consumer, column: id}"
                                        "\n  - {member: birth_date, column: born}\n")
    lov("import", "consumers", folder / "people.csv", "--mapping", folder / "people.yaml",
        directory=directory)
    lov("consumer", "shred", "gone", directory=directory)
    return directory


@pytest.fixture
def copies(start, tmp_path):
    def copy(name):
        subprocess.run(["cp", "-a", str(start), str(tmp_path / name)], check=True)  # sparse files
        return tmp_path / name
    return copy


def rows_of(count, seed):
    """What companies have: many answer once, some often, some rows are wrong."""
    draw = random.Random(seed)
    special = ["there", "withdrawn", "gone", "child", "adult", "often"]
    for i in range(count):
        who = draw.choice(special) if draw.random() < 0.01 else f"c{draw.randrange(count)}"
        what = draw.choice(["purchases", "contact", "purchases|contact"])
        if draw.random() < 0.002:
            what = "nonsense"
        note = f"row {i}" if draw.random() < 0.05 or who == "often" else ""
        guardian = "a parent" if who == "child" and draw.random() < 0.5 else ""
        day = "01/02/2199" if draw.random() < 0.001 else f"{1 + i % 28:02d}/02/2026"
        yield f"{who},{what},{draw.choice(['yes', 'yes', 'no'])},{draw.choice(['', 'en'])}," \
              f"{day},{note},{guardian}"


@pytest.fixture
def file(tmp_path):
    seed = int(os.environ.get("LOV_SEED", random.randrange(1 << 30)))
    print("LOV_SEED", seed)

    def write(count):
        data, mapping = tmp_path / "in.csv", tmp_path / "mapping.yaml"
        data.write_text(HEADER + "\n".join(rows_of(count, seed)) + "\n")
        mapping.write_text(MAPPING)
        return ["import", "consents", data, "--mapping", mapping, "--json"]
    return write


def recorded(directory):
    """Everything that the stores say, but for what is drawn or is the time of the import."""
    store = sqlite3.connect(f"file:{directory}/lov.db?mode=ro", uri=True)
    who = sqlite3.connect(f"file:{directory}/identity.db?mode=ro", uri=True)
    names = {}

    def name(cid):
        return names.setdefault(cid, len(names)) if cid else None

    def plain(body):
        return re.sub(r'"sealed":"[^"]*"', '"sealed":"?"', body)
    events = [(kind, prev, name(cid), actor, activity, plain(body))
              for _, _, prev, _, kind, cid, actor, activity, body, _ in ledger_rows.rows_of(store)
              if not kind.startswith("log.")]
    consumers = sorted((name(cid), *rest) for cid, *rest in store.execute(
        "select cid, residence, restricted, opt_out_signal, length(sealed), event, last_event "
        "from consumer"))
    consents = sorted((seq, name(cid), *rest) for seq, cid, *rest in store.execute(
        "select seq, cid, purpose, recipient, categories, narrowed, status, notice, "
        "notice_version, notice_language, hex(notice_hash), channel, given_at, expires_at, "
        "guardian, length(sealed), event from consent"))
    identities = [(number, name(cid), length) for number, cid, length in who.execute(
        "select number, cid, length(sealed_id) from consumer order by number")]
    erased = list(who.execute("select count(*) from erased"))
    store.close()
    who.close()
    return {"events": events, "consumers": consumers, "consents": consents,
            "identities": identities, "erased": erased}


def same(one, other):
    for part, rows in one.items():
        assert len(rows) == len(other[part]), part
        for mine, theirs in zip(rows, other[part]):
            assert mine == theirs, part


def test_bulks_and_a_server_record_the_same_and_refuse_the_same(copies, file, tmp_path):
    args = file(25000)
    results = []
    for where in ("bulk", "server"):
        directory = copies(where)
        with serving(directory) if where == "server" else contextlib.nullcontext():
            told = lov(*args, "--rejects", tmp_path / f"{where}.csv", directory=directory, code=NO)
        results.append(json.loads(told.stdout))
        lov("log", "verify", directory=directory)
    assert results[0] == results[1] and results[0]["rejected"] > 50
    rejects = [(tmp_path / f"{where}.csv").read_text() for where in ("bulk", "server")]
    assert rejects[0] == rejects[1]
    for reason in ("erased", "unknown_category", "guardian_required"):
        assert reason in rejects[0]
    same(recorded(tmp_path / "bulk"), recorded(tmp_path / "server"))
    for who in ("often", "there", "child", "adult"):
        lists = [[{**c, "id": None} for c in json.loads(lov(
            "consent", "list", "--consumer", who, "--json", directory=tmp_path / where,
            code=None).stdout)["items"]] for where in ("bulk", "server")]
        strip = [[{k: v for k, v in c.items() if k not in ("id", "event")} for c in some]
                 for some in lists]
        assert len(strip[0]) == len(strip[1]) > 0
        assert who != "often" or all(c.get("evidence") for c in strip[0])


def test_the_index_says_what_the_stores_say(copies, file):
    directory = copies("lov")
    lov(*file(3000), directory=directory, code=NO)
    ask = ["check", "--recipient", "marketing", "--purpose", "personal_offers", "--category",
           "purchases", "--json", "--consumer"]
    people = [f"c{i}" for i in range(40)] + ["often", "there", "withdrawn", "child", "gone"]

    def answers():
        told = [json.loads(lov(*ask, who, directory=directory, code=None).stdout)
                for who in people]
        return [(t.get("decision"), t.get("context", {}).get("reason", t.get("reason")))
                for t in told]
    before = answers()
    for part in ("permits.idx", "permits.cid"):
        (directory / part).unlink()
    assert answers() == before and len(set(before)) > 2


@pytest.mark.parametrize("kills", [6])
def test_killed_at_any_moment_it_goes_on_as_if_it_had_not_been(copies, file, tmp_path, kills):
    args = file(90000)
    whole, killed = copies("whole"), copies("killed")
    began = time.monotonic()
    expected = json.loads(lov(*args, "--rejects", tmp_path / "whole.csv", directory=whole,
                              code=NO).stdout)
    took = time.monotonic() - began
    rejects = ["--rejects", tmp_path / "killed.csv"]
    hit = 0
    for _ in range(kills):
        process = subprocess.Popen([LOV, *map(str, [*args, *rejects, "--resume"]), "--dir",
                                    str(killed)], stdout=subprocess.PIPE, text=True)
        try:
            out, _ = process.communicate(timeout=random.uniform(0.02, took / 3))
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            hit += 1
    else:
        out = lov(*args, *rejects, "--resume", directory=killed, code=NO).stdout
    told = json.loads(out)
    told.pop("replayed")
    expected.pop("replayed")
    assert hit and told == expected
    assert (tmp_path / "killed.csv").read_text() == (tmp_path / "whole.csv").read_text()
    same(recorded(whole), recorded(killed))
    lov("log", "verify", directory=killed)


def test_what_was_imported_one_way_is_known_to_the_other(copies, file):
    args = file(1500)
    for ways in (("bulk", "server"), ("server", "bulk")):
        directory = copies("-".join(ways))
        states = []
        for way in ways:
            with serving(directory) if way == "server" else contextlib.nullcontext():
                told = json.loads(lov(*args, directory=directory, code=NO).stdout)
            states.append(recorded(directory))
        assert told["replayed"] == told["accepted"] > 1000
        same(*states)
        lov("log", "verify", directory=directory)


def test_a_row_that_was_refused_is_recorded_once_it_is_right(copies, tmp_path):
    directory = copies("lov")
    data, mapping = tmp_path / "in.csv", tmp_path / "mapping.yaml"
    data.write_text(HEADER + "n1,purchases,yes,,01/02/2026,,\nn2,purchases,nej,,01/02/2026,,\n"
                    "n3,purchases,yes,,01/02/2026,,\n")
    results = []
    for text in (MAPPING, MAPPING.replace('from: "no"', 'from: "nej"')) * 2:
        mapping.write_text(text)
        told = json.loads(lov("import", "consents", data, "--mapping", mapping, "--json",
                              directory=directory, code=None).stdout)
        results.append((told["accepted"], told["replayed"], told["rejected"]))
    assert results == [(2, 0, 1), (3, 2, 0), (3, 3, 0), (3, 3, 0)]
    listed = lov("consent", "list", "--consumer", "n2", "--json", directory=directory).stdout
    assert len(json.loads(listed)["items"]) == 1


def test_without_a_policy_nothing_is_imported_and_it_says_so(file, tmp_path):
    directory = tmp_path / "empty"
    lov("init", directory=directory)
    told = lov(*file(10), directory=directory, code=None)
    assert told.returncode == 3 and "no policy" in told.stderr
    shutil.rmtree(directory)
