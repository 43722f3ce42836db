"""Every command that README.md, docs/api.md and docs/ledger.md show is run, in their order, as a reader would."""

import json
import os
import re
import subprocess

from test_http import LOV, PURCHASES, ROOT, Server, lov


def blocks(page):
    with open(os.path.join(ROOT, page), encoding="utf-8") as text:
        return re.findall(r"^```sh\n(.*?)^```", text.read(), re.S | re.M)


def make_demo(folder):
    (folder / "purchases.txt").write_text(PURCHASES, encoding="ascii")
    lov("demo", "--dir", folder / "demo", "--purchases", folder / "purchases.txt")


def bash(script, folder):
    return subprocess.run(["bash", "-eu", "-c", script], cwd=folder, capture_output=True, text=True,
                          timeout=120, check=False)


def test_the_commands_of_the_readme_run(tmp_path):
    make_demo(tmp_path)
    shown = blocks("README.md")
    assert len(shown) >= 3
    for block in shown:
        result = bash(block.replace("build/lov", LOV), tmp_path)
        assert result.returncode == 0, block + result.stdout + result.stderr


def test_the_commands_about_the_ledger_run(tmp_path):
    make_demo(tmp_path)
    shown = blocks("docs/ledger.md")
    assert len(shown) == 3
    result = bash("\n".join(shown).replace("build/lov", LOV), tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "are those of the checkpoint" in result.stdout


def test_the_calls_of_the_api_guide_are_answered(tmp_path):
    make_demo(tmp_path)
    server = Server(tmp_path / "demo")
    key = server.admin.headers["Authorization"].split()[1]
    start, *rest = blocks("docs/api.md")
    start = start.replace("lov_...", key).replace("http://127.0.0.1:8787", server.url)
    result = bash(start + "\n" + "\n".join(rest).replace("build/lov", LOV), tmp_path)
    server.stop()
    assert result.returncode == 0, result.stderr
    answers = [line for line in result.stdout.splitlines() if line.startswith('{"')]
    assert len(answers) >= 5, result.stdout
    for line in answers:
        assert json.loads(line).get("status", 200) not in (401, 404, 405, 500), line
