"""Every command that README.md, docs/backup.md and docs/api.md show is run, in their order, as a reader would."""

import json
import os
import re
import shutil
import socket
import subprocess

import pytest

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


def test_the_commands_of_the_backup_guide_run(tmp_path):
    make_demo(tmp_path)
    shown = blocks("docs/backup.md")
    assert len(shown) >= 5
    for block in shown:
        result = bash(f"export LOV_DIR=demo\nlov() {{ '{LOV}' \"$@\"; }}\n" + block, tmp_path)
        assert result.returncode == 0, block + result.stdout + result.stderr


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


def page(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as text:
        return text.read()


def test_the_service_in_the_operations_guide_is_one_that_systemd_takes(tmp_path):
    unit = re.search(r"^```ini\n(.*?)^```", page("docs/operations.md"), re.S | re.M)[1]
    command = re.search(r"^ExecStart=\S+/lov (.*)$", unit, re.M)[1]
    for option in re.findall(r"--[a-z-]+", command):
        assert option in lov("serve", "--help")
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze here")
    path = tmp_path / "lov.service"
    path.write_text(unit.replace("/usr/local/bin/lov", LOV), encoding="utf-8")
    out = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True,
                         timeout=60, check=False)
    assert out.returncode == 0 and "lov.service" not in out.stderr, out.stderr
    out = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", path],
                         capture_output=True, text=True, timeout=60, check=False)
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", out.stdout)
    assert float(exposure[1]) < 2.0, out.stdout


def test_every_metric_is_explained_and_every_explained_one_is_there(tmp_path):
    make_demo(tmp_path)
    server = Server(tmp_path / "demo")
    server.reason()
    text = server.admin.get(server.url + "/metrics", timeout=20).text
    ready = server.admin.get(server.url + "/readyz", timeout=20)
    server.stop()
    told = set(re.findall(r"^# TYPE (\S+) ", text, re.M))
    explained = set(re.findall(r"^\| `(lov_[a-z_]+)", page("docs/operations.md"), re.M))
    assert told == explained and len(told) > 10 and ready.ok


def test_every_limit_of_the_operations_guide_is_an_option(tmp_path):
    shown = lov("serve", "--help")
    options = set(re.findall(r"`(--[a-z-]+)`", page("docs/operations.md")))
    assert len(options) > 6
    for option in options - {"--dir"}:
        assert option in shown


def test_every_page_is_reached_from_the_readme():
    pages = {name for name in os.listdir(os.path.join(ROOT, "docs"))}
    linked = set(re.findall(r"\(docs/([\w.]+)\)", page("README.md")))
    assert pages <= linked


def test_the_operators_commands_run(tmp_path):
    """Those of docs/operations.md, in their order, with another folder and port."""
    first, *rest = blocks("docs/operations.md")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    script = first.replace("\nlov serve", "\nexec lov serve").replace("--policy policy", f"--policy {ROOT}/policy")
    assert "exec lov serve" in script
    start = f"({script}) > out 2> log & server=$!; until curl -sf URL/readyz >/dev/null; do sleep 0.05; done\n"
    text = (start + "\n".join(rest) + "\nkill -HUP $server; kill $server; wait $server\n")
    text = text.replace("URL", "http://127.0.0.1:8787").replace("8787", str(port))
    text = text.replace("/var/lib/lov", str(tmp_path / "lov")).replace("lov init", "lov init")
    text = re.sub(r"(^|\(|exec )lov ", rf"\1{LOV} ", text, flags=re.M)
    result = bash(text, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr + (tmp_path / "log").read_text()
    assert '{"status":"alive"}' in result.stdout and '"ready":true' in result.stdout
    assert "lov_decisions_total" in result.stdout and "are right, root" in result.stdout
