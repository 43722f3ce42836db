"""A receipt as golang.org/x/mod/sumdb sees it, which nobody here wrote."""

import json
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "system"))
# pylint: disable=wrong-import-position
from test_http import ROOT, lov  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(scope="module")
def checker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("go")
    go = "/usr/bin/go" if os.path.exists("/usr/bin/go") else "go"
    env = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode",
           "GOTOOLCHAIN": "local", "GOCACHE": str(folder / "cache"), "GOFLAGS": ""}
    subprocess.run([go, "build", "-o", str(folder / "receipt"), os.path.join(HERE, "receipt.go")],
                   check=True, env=env, timeout=300)

    def run(key, text):
        return subprocess.run([str(folder / "receipt"), key], input=text, text=True, timeout=60,
                              capture_output=True, check=False)

    return run


def test_go_verifies_receipts_of_lov_and_refuses_altered_ones(checker, tmp_path):
    folder = tmp_path / "lov"
    lov("init", "--dir", folder, "--origin", "consent.example.com/lov", "--policy",
        os.path.join(ROOT, "policy"))
    receipts = []
    for n in range(9):
        consent = json.loads(lov(
            "consent", "give", "--dir", folder, "--consumer", f"c{n}", "--purpose", "personal_offers",
            "--recipient", "marketing", "--categories", "purchases", "--notice", "personal_offers@1",
            "--language", "sv", "--evidence", '{"text": "Å & <b> \\"ja\\"", "x": 1.5e300}',
            "--json"))["id"]
        receipts.append(lov("receipt", "get", consent, "--copy", "consumer", "--dir", folder))
    key = lov("key", "log", "--dir", folder).strip()
    for receipt in receipts:
        result = checker(key, receipt)
        assert result.returncode == 0, result.stderr
        assert int(result.stdout) == json.loads(receipt)["proof"]["seq"]
    for old, new in (("Nordhandel AB", "Sydhandel AB"), ('"seq": ', '"seq": 1'),
                     ("consent.example.com/lov/0\\n", "consent.example.com/lov/1\\n")):
        head, _, proof = receipts[5].rpartition('"proof"')
        text = head.replace(old, new, 1) + '"proof"' + proof.replace(old, new, 1)
        assert text != receipts[5] and checker(key, text).returncode == 1
