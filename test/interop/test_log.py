"""The ledger as golang.org/x/mod/sumdb sees it, which nobody here wrote: it verifies what Lov
publishes, and Lov verifies what it signs."""

import base64
import os
import subprocess
import sys

import pytest
import requests

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "system"))
# pylint: disable=wrong-import-position
from test_cli import NO, USAGE, lov, lov_json, serving  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
ORIGIN = "consent.example.com/lov"
POLICY = os.path.join(HERE, "..", "..", "policy")
MAPPING = """
kind: consumers
format: csv
members:
  - {member: consumer, column: id}
  - {member: residence, column: lives}
"""


@pytest.fixture(scope="module")
def checker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("go")
    go = "/usr/bin/go" if os.path.exists("/usr/bin/go") else "go"
    env = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode",
           "GOTOOLCHAIN": "local", "GOCACHE": str(folder / "cache"), "GOFLAGS": ""}
    subprocess.run([go, "build", "-o", str(folder / "checker"), os.path.join(HERE, "checker.go")],
                   check=True, env=env, timeout=300)

    def run(*args, code=0, text=None):
        result = subprocess.run([str(folder / "checker"), *args], input=text, text=True,
                                capture_output=True, timeout=120, check=False)
        assert result.returncode == code, (args, result.stdout, result.stderr)
        return result.stdout

    return run


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """700 consumers: more than two tiles of events."""
    folder = tmp_path_factory.mktemp("log") / "lov"
    lov("init", "--dir", folder, "--origin", ORIGIN, "--policy", POLICY)
    rows = tmp_path_factory.mktemp("rows")
    (rows / "mapping.yaml").write_text(MAPPING, encoding="ascii")
    (rows / "rows.csv").write_text("id,lives\n" + "".join(f"c{n},SE\n" for n in range(700)),
                                   encoding="ascii")
    lov("import", "consumers", rows / "rows.csv", "--mapping", rows / "mapping.yaml",
        directory=folder)
    return folder


def test_go_verifies_what_lov_publishes(installation, checker):
    key = lov("key", "log", directory=installation).stdout.strip()
    token = lov_json("key", "create", "--staff", "auditor", directory=installation)["key"]
    lov("log", "checkpoint", directory=installation)
    with serving(installation) as (_, url):
        size = int(checker("log", url, key, token))
        assert size > 700
        assert size == lov_json("log", "audit", "--against", write(installation, key),
                                directory=installation)["events"]


def write(installation, key):
    path = installation.parent / "checkpoint"
    path.write_text(lov("log", "checkpoint", directory=installation).stdout, encoding="utf-8")
    assert key.startswith(ORIGIN + "/0+")
    return path


def test_go_opens_the_checkpoint_and_refuses_a_changed_one(installation, checker):
    key = lov("key", "log", directory=installation).stdout.strip()
    note = lov("log", "checkpoint", directory=installation).stdout
    assert checker("note", key, text=note) == note.split("\n\n")[0] + "\n"
    checker("note", key, text=note.replace(ORIGIN, "evil.example.com/lov", 1), code=1)


def test_lov_verifies_what_go_signs(installation, checker, tmp_path):
    lov("log", "checkpoint", directory=installation)
    text = lov("log", "checkpoint", directory=installation).stdout.split("\n\n")[0] + "\n"
    (tmp_path / "text").write_text(text, encoding="utf-8")
    key, _, note = checker("sign", ORIGIN + "/0", str(tmp_path / "text")).partition("\n")
    (tmp_path / "note").write_text(note, encoding="utf-8")
    audit = ["log", "audit", "--against", tmp_path / "note", "--key"]
    assert lov_json(*audit, key, directory=installation)["ok"]
    # Another key of that name; and a root that the key signed, but no ledger ever had.
    other = checker("sign", ORIGIN + "/0", str(tmp_path / "text")).partition("\n")[0]
    lov(*audit, other, directory=installation, code=None)
    lines = text.split("\n")
    lines[2] = base64.b64encode(bytes(32)).decode()
    (tmp_path / "text").write_text("\n".join(lines), encoding="utf-8")
    key, _, note = checker("sign", ORIGIN + "/0", str(tmp_path / "text")).partition("\n")
    (tmp_path / "note").write_text(note, encoding="utf-8")
    assert lov_json(*audit, key, directory=installation, code=NO)["finding"] == "forked"
    assert lov(*audit, other, directory=installation, code=None).returncode in (NO, USAGE)


def test_a_signature_of_a_witness_by_go_is_kept_and_served(installation, checker, tmp_path):
    note = lov("log", "checkpoint", directory=installation).stdout
    (tmp_path / "text").write_text(note.split("\n\n")[0] + "\n", encoding="utf-8")
    witness, _, signed = checker("sign", "witness.example", str(tmp_path / "text")).partition("\n")
    line = signed.split("\n\n")[1].encode()
    (installation / "witnesses").write_text(f"# who watches\n{witness}\n", encoding="ascii")
    with serving(installation) as (_, url):
        def hand_in(body):
            return requests.post(url + "/log/0/cosignature", data=body, timeout=20,
                                 params={"size": note.split("\n")[1]},
                                 headers={"Content-Type": "text/plain"})
        assert hand_in(line).json() == {"kept": 1}
        assert hand_in(line).json() == {"kept": 0}
        assert hand_in(line[:-6] + b"AAA=\n").status_code == 400
        served = requests.get(url + "/log/0/checkpoint", timeout=20,
                              params={"size": note.split("\n")[1]}).content.decode()
    assert served == note + line.decode()
    checker("note", witness, text=served)
    checker("note", lov("key", "log", directory=installation).stdout.strip(), text=served)
