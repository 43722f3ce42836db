"""Every command that README.md, docs/api.md, docs/backup.md and docs/ledger.md show is run, in their order,
as a reader would."""

import json
import os
import re
import shutil
import socket
import subprocess

import pytest

from test_http import LOV, PURCHASES, ROOT, Server, lov


def page(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as text:
        return text.read()


def blocks(path, language="sh"):
    return re.findall(rf"^```{language}\n(.*?)^```", page(path), re.S | re.M)


def make_demo(folder):
    (folder / "purchases.txt").write_text(PURCHASES, encoding="ascii")
    lov("demo", "--dir", folder / "demo", "--purchases", folder / "purchases.txt")


def bash(script, folder):
    return subprocess.run(["bash", "-eu", "-c", script], cwd=folder, capture_output=True, text=True,
                          timeout=120, check=False)


class Shell:
    """A bash in which one command after another is run."""

    def __init__(self, folder):
        self.process = subprocess.Popen(["bash"], cwd=folder, stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, command):
        self.process.stdin.write(command + "\necho; echo __done__\n")
        self.process.stdin.flush()
        lines = []
        while (line := self.process.stdout.readline()) != "__done__\n":
            assert line, "the shell ended"
            lines.append(line)
        return "".join(lines).rstrip("\n")

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(20) == 0
        self.process.stdout.close()


def commands(block):
    """(command, what it prints) of a block: a command begins with "$ "."""
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        lines = part.splitlines()
        count = 1
        while subprocess.run(["bash", "-n", "-c", "\n".join(lines[:count])], check=False,
                             capture_output=True).returncode or lines[count - 1].endswith("\\"):
            count += 1
        yield "\n".join(lines[:count]), "\n".join(lines[count:])


def looks_like(shown):
    """What is shown, as a pattern: "..." is anything; times, numbers and ids are others each time."""
    pattern = re.escape(shown)
    pattern = re.sub(r"\b[0-9a-f]{64}\b", "[0-9a-f]{64}", pattern)
    pattern = re.sub(r"\b[0-9a-f]{32}\b", "([0-9a-f]{32})", pattern)
    pattern = re.sub(r"\d{4}\\-\d\d\\-\d\dT[\d:]+\\\.\d+Z", r"\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z", pattern)
    pattern = re.sub(r"^\d+\b(?=\\ )", r"\\d+", pattern, flags=re.M)
    pattern = re.sub(r"\b\d+(?=\\ (events|rows))", r"\\d+", pattern)
    pattern = pattern.replace("\\.\\.\\.\\\n", "(?:.*\n)*")  # a line of its own: any lines, or none
    return re.sub(r"\\\.\\\.\\\.", r"(?:.|\\n)*", pattern)


def test_the_readme_tells_what_happens(tmp_path):
    """Each command of its console blocks prints what is shown below it."""
    make_demo(tmp_path)
    server = Server(tmp_path / "demo")
    shell = Shell(tmp_path)
    ids, count = {}, 0
    try:
        for command, shown in (c for b in blocks("README.md", "console") for c in commands(b)):
            for there, here in ids.items():
                command = command.replace(there, here)
            command = command.replace("build/lov", LOV).replace("http://127.0.0.1:8787", server.url)
            printed = shell.run(command)
            match = re.fullmatch(looks_like(shown), printed)
            assert match, f"{command}\n{printed}\nREADME.md shows\n{shown}"
            ids.update(zip(re.findall(r"\b[0-9a-f]{32}\b", shown), match.groups()))
            count += 1
    finally:
        shell.close()
        server.stop()
    assert count >= 7 and len(ids) == 1


def test_the_make_targets_that_pages_show_are_there():
    with open(os.path.join(ROOT, "Makefile"), encoding="utf-8") as text:
        targets = set(re.findall(r"^([a-z-]+):", text.read(), re.M))
    shown = [line for name in ("README.md", "CONTRIBUTING.md", "docs/performance.md")
             for line in re.findall(r"^make ([a-z-]+)", page(name), re.M)]
    assert set(shown) <= targets and len(shown) >= 5
    for name, line in ((n, l) for n in ("CONTRIBUTING.md",)
                       for l in re.findall(r"^test/run (\w+)", page(n), re.M)):
        assert f'"{line}"' in page("test/run"), (name, line)


def test_files_that_the_policy_guide_names_are_those_of_a_policy():
    shown = re.findall(r"^```\n(controller.yaml.*?)^```", page("docs/policy.md"), re.S | re.M)[0]
    names = {line.split()[0] for line in shown.splitlines()}
    there = {os.path.relpath(os.path.join(folder, file), os.path.join(ROOT, "policy"))
             for folder, _, files in os.walk(os.path.join(ROOT, "policy")) for file in files}
    patterns = {name: re.sub(r"<\w+>", "[a-z_]+", re.escape(name)) for name in names}
    for file in there:
        assert any(re.fullmatch(p, file) for p in patterns.values()), file
    for name, pattern in patterns.items():
        assert any(re.fullmatch(pattern, file) for file in there), name


def test_what_the_demo_prints_to_try_works(tmp_path):
    """make run ends in tools/run_demo: its commands, but for the port."""
    make_demo(tmp_path)
    process = subprocess.Popen(
        ["sh", "-c", 'exec sh -s "$0" demo', LOV], cwd=tmp_path, stdin=subprocess.PIPE, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = str(s.getsockname()[1])
    process.stdin.write(page("tools/run_demo").replace("8787", port))
    process.stdin.close()
    shell = Shell(tmp_path)
    try:
        text = ""
        while "serves demo on" not in text:
            line = process.stdout.readline()
            assert line, text
            text += line
        indented = re.findall(r"(?:^    .*\n)+", text, re.M)
        told = [shell.run(block) for block in indented]
        again = shell.run(indented[0])
    finally:
        shell.close()
        process.terminate()
        assert process.wait(60) == 0
        process.stdout.close()
    assert len(indented) == 4
    assert told[0].startswith("permit permitted") and again.startswith("deny withdrawn")
    assert "withdrawn" in told[1] and '"reason":"withdrawn"' in told[2]
    assert "consent.withdraw" in told[3] and "are right" in told[3]


def test_the_commands_of_the_backup_guide_run(tmp_path):
    make_demo(tmp_path)
    shown = blocks("docs/backup.md")
    assert len(shown) >= 5
    for block in shown:
        result = bash(f"export LOV_DIR=demo\nlov() {{ '{LOV}' \"$@\"; }}\n" + block, tmp_path)
        assert result.returncode == 0, block + result.stdout + result.stderr


def test_the_commands_about_the_ledger_run(tmp_path):
    make_demo(tmp_path)
    shown = blocks("docs/ledger.md")
    assert len(shown) == 4
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
    pages = {name for name in os.listdir(os.path.join(ROOT, "docs")) if name != "pictures"}
    pages |= {f"pictures/{name}" for name in os.listdir(os.path.join(ROOT, "docs", "pictures"))}
    linked = set(re.findall(r"\(docs/([\w./-]+)\)", page("README.md")))
    assert pages <= linked


def test_the_operators_commands_run(tmp_path):
    """Those of docs/operations.md, in their order, with another folder and port."""
    first, *rest = blocks("docs/operations.md")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    script = first.replace("\nlov serve", "\nexec lov serve").replace("--policy policy", f"--policy {ROOT}/policy")
    assert "exec lov serve" in script
    start = (f"({script}) > out 2> log & server=$!; trap 'kill $server 2>/dev/null || true' EXIT; "
             "timeout 60 sh -c 'until curl -sf URL/readyz >/dev/null; do sleep 0.05; done'\n")
    text = (start + "\n".join(rest) + "\nkill -HUP $server; kill $server; wait $server\n")
    text = text.replace("URL", "http://127.0.0.1:8787").replace("8787", str(port))
    text = text.replace("/var/lib/lov", str(tmp_path / "lov")).replace("lov init", "lov init")
    text = re.sub(r"(^|\(|exec )lov ", rf"\1{LOV} ", text, flags=re.M)
    result = bash(text, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr + (tmp_path / "log").read_text()
    assert '{"status":"alive"}' in result.stdout and '"ready":true' in result.stdout
    assert "lov_decisions_total" in result.stdout and "are right, root" in result.stdout


def test_the_commands_of_the_cli_page_run(tmp_path):
    make_demo(tmp_path)
    (tmp_path / "data").symlink_to(os.path.join(ROOT, "data"))
    (tmp_path / ".local/share/bash-completion/completions").mkdir(parents=True)
    shown = blocks("docs/cli.md")
    assert len(shown) >= 6
    for block in shown:
        script = re.sub(r"^lov ", f"{LOV} ", block, flags=re.M)
        result = subprocess.run(
            ["bash", "-eu", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120,
            env={**os.environ, "LOV_DIR": str(tmp_path / "demo"), "HOME": str(tmp_path)}, check=False)
        assert result.returncode == 0, block + result.stdout + result.stderr
