"""The commands of lov, run as a user runs them: what they print, their JSON and their exit codes,
with and without a server on the same installation."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
import requests

import ledger_rows

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOV = os.path.abspath(os.environ.get("LOV", os.path.join(ROOT, "build", "lov")))
POLICY = os.path.join(ROOT, "policy")
DEADLINE = 30
YES, NO, USAGE, UNAVAILABLE = 0, 1, 2, 3
COMMANDS = [
    "init", "demo", "serve", "check", "consent give", "consent refuse", "consent withdraw",
    "consent renew", "consent amend", "consent list", "policy check", "policy diff",
    "policy apply", "policy show", "policy history", "import consents", "import consumers",
    "log show", "log verify", "log root", "log checkpoint", "log proof", "log audit", "key create",
    "key revoke", "key list", "key log", "key rotate", "consumer shred", "backup", "restore",
    "staff invite", "staff link", "staff list", "staff change", "staff training",
    "staff disable", "policy propose",
    "version", "help", "completion", "man",
]
ASK = ["check", "--recipient", "marketing", "--purpose", "personal_offers",
       "--category", "purchases", "--consumer"]
NOTICE = ["--notice", "personal_offers@1", "--language", "sv"]


def lov(*args, directory=None, code=YES, env=None):
    environment = {k: v for k, v in os.environ.items() if k != "LOV_DIR"}
    if directory:
        environment["LOV_DIR"] = str(directory)
    result = subprocess.run([LOV, *map(str, args)], capture_output=True, text=True,
                            env={**environment, **(env or {})}, timeout=120, check=False)
    if code is not None:
        assert result.returncode == code, (args, result.returncode, result.stdout, result.stderr)
    return result


def lov_json(*args, **more):
    return json.loads(lov(*args, "--json", **more).stdout)


def wait_for(condition):
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("the condition did not come true in time")


@contextlib.contextmanager
def serving(directory, *options):
    """A server on a free port: (process, url)."""
    command = [LOV, "serve", "--dir", str(directory), "--listen", "127.0.0.1:0", "--json", *options]
    with open(os.path.join(directory, "server.log"), "ab") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        yield process, json.loads(process.stdout.readline())["url"]
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=DEADLINE)
        process.stdout.close()


@pytest.fixture(scope="session")
def purchases(tmp_path_factory):
    """Sixty customers in the format of CDNOW_master.txt."""
    path = tmp_path_factory.mktemp("cdnow") / "CDNOW_master.txt"
    lines = [" customer_id  date number_of_cds  dollar_value"]
    for customer in range(1, 61):
        for purchase in range(1 + customer % 4):
            lines.append(f" {customer:05d} 1997010{purchase + 1}  1   11.77")
    path.write_bytes("\r\n".join(lines).encode() + b"\r\n")
    return path


@pytest.fixture(scope="session")
def made(tmp_path_factory, purchases):
    """A demo company that no test changes, and what making it told."""
    directory = tmp_path_factory.mktemp("demo") / "demo"
    told = lov_json("demo", "--dir", directory, "--purchases", purchases)
    return directory, told


@pytest.fixture
def demo(made, tmp_path):
    """A copy of it, to change."""
    directory = tmp_path / "demo"
    subprocess.run(["cp", "-a", str(made[0]), str(directory)], check=True)  # files are sparse
    directory.chmod(0o700)
    return directory


def problem(result):
    told = json.loads(result.stderr)
    assert told["detail"] and told["reason"] and told["type"].startswith("urn:lov:problem:")
    return told


# ---- help, usage, generated texts ----


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_names_its_common_options(command):
    text = lov(*command.split(), "--help").stdout
    assert text.startswith(f"lov {command} - ")
    assert "--dir" in text and "--json" in text
    assert lov("help", *command.split()).stdout == text


def test_the_overview_lists_every_command():
    text = lov("help").stdout
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", text, re.M)
    assert lov("--help").stdout == text
    assert lov(code=USAGE).stderr == text


def test_a_group_lists_its_commands():
    assert "consent amend" in lov("consent", "--help").stdout
    assert "consent amend" in lov("consent", code=USAGE).stderr


@pytest.mark.parametrize("args, meant", [
    (["chekc"], "check"), (["consent", "giv"], "consent give"), (["polcy", "show"], "policy"),
    (["check", "--recipent", "x"], "--recipient"), (["key", "create", "--staf", "x"], "--staff"),
])
def test_a_misspelt_word_is_answered_with_the_one_that_was_meant(args, meant):
    assert f"did you mean {meant}?" in lov(*args, code=USAGE).stderr


@pytest.mark.parametrize("args", [
    ["check"], ["check", "--recipient"], ["version", "more"], ["version", "--dir="],
    ["check", "--record=yes"], ["consent", "withdraw"], ["key", "create"],
    ["key", "create", "--staff", "king"], ["log", "show", "--limit", "0"],
    ["log", "show", "--limit", "many"], ["version", "--dir", "a", "--dir", "b"], ["completion", "zsh"],
    ["version", "-x"], ["frobnicate"], ["policy", "frobnicate"],
])
def test_wrong_usage_is_exit_2_and_one_sentence(args):
    result = lov(*args, code=USAGE, directory="/nonexistent")
    assert result.stderr.startswith("lov: ") and result.stderr.count("\n") == 1
    assert problem(lov(*args, "--json", code=USAGE, directory="/nonexistent"))["reason"]


def test_version_is_printed_as_text_and_json():
    version = lov_json("version")["version"]
    assert lov("version").stdout == f"lov {version}\n" == lov("--version").stdout


def test_the_manual_in_the_documentation_is_that_of_the_program():
    with open(os.path.join(ROOT, "docs", "cli.md"), encoding="utf-8") as docs:
        assert lov("man", "--markdown").stdout.strip() in docs.read()


def test_the_manual_page_is_one_that_man_renders(tmp_path):
    page = tmp_path / "lov.1"
    page.write_text(lov("man").stdout, encoding="utf-8")
    result = subprocess.run(["man", "--warnings", "-l", str(page)], capture_output=True, text=True,
                            env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"}, check=True)
    assert "consent withdraw" in result.stdout
    assert "warning" not in result.stderr


def test_completion_offers_commands_members_options_and_choices():
    script = (f'source <({LOV} completion bash); '
              'try() { COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); '
              '_lov; echo "${COMPREPLY[*]}"; }; try lov pol; try lov policy di; '
              'try lov check --rec; try lov consent give --channel p')
    result = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True,
                            check=True)
    assert result.stdout.splitlines() == ["policy", "diff", "--recipient --record", "phone paper"]


# ---- installations ----


def test_init_makes_a_private_installation_once(tmp_path):
    directory = tmp_path / "lov"
    assert lov_json("init", "--dir", directory) == {"dir": str(directory)}
    assert directory.stat().st_mode & 0o777 == 0o700
    assert problem(lov("init", "--dir", directory, "--json", code=NO))["reason"] == "conflict"
    assert lov(*ASK, "1", directory=directory, code=NO).stdout.startswith("deny unavailable")


def test_init_applies_a_policy(tmp_path):
    lov("init", "--dir", tmp_path / "lov", "--policy", POLICY)
    assert lov_json("policy", "show", directory=tmp_path / "lov")["version"] == 1


@pytest.mark.parametrize("args", [
    [*ASK, "1"], ["consent", "list", "--consumer", "1"], ["key", "list"], ["log", "verify"],
    ["log", "root"], ["log", "show"], ["policy", "show"], ["serve"],
])
def test_without_an_installation_commands_are_not_available(tmp_path, args):
    result = lov(*args, directory=tmp_path / "nothing", code=UNAVAILABLE)
    assert "lov init" in result.stderr
    problem(lov(*args, "--json", directory=tmp_path / "nothing", code=UNAVAILABLE))
    assert "LOV_DIR" in lov(*args, code=USAGE).stderr


def test_an_installation_that_others_can_read_is_refused(demo):
    demo.chmod(0o755)
    lov("key", "list", directory=demo, code=UNAVAILABLE)
    lov("serve", "--listen", "127.0.0.1:0", directory=demo, code=UNAVAILABLE)


# ---- the demo ----


def test_the_demo_draws_the_same_answers_each_time(made, purchases, tmp_path):
    told = made[1]
    again = lov_json("demo", "--dir", tmp_path / "demo", "--purchases", purchases)
    for member in ("consumers", "consents", "given", "refused", "withdrawn"):
        assert again[member] == told[member]
    assert told["consumers"] == 60
    assert told["given"] + told["refused"] == told["consents"]


def test_consumer_00001_has_consented_to_personal_offers(made):
    directory, told = made
    consents = lov_json("consent", "list", "--consumer", "00001", directory=directory)["items"]
    first = [c for c in consents if c["purpose"] == "personal_offers"]
    assert len(first) == 1 and first[0]["id"] == told["consent"]
    assert first[0]["status"] == "active" and first[0]["recipient"] == "marketing"
    assert first[0]["categories"] == ["purchases", "profile", "contact"]
    assert lov(*ASK, "00001", directory=directory).stdout.startswith("permit permitted: ")


def test_the_demo_prints_commands_that_work(purchases, tmp_path):
    text = lov("demo", "--dir", tmp_path / "demo", "--purchases", purchases, "--consumers", 5).stdout
    commands = [line for line in text.replace("\\\n", " ").splitlines() if line.startswith("  lov ")]
    assert len(commands) == 6
    for command in commands:
        if " serve " not in command:
            lov(*command.split()[1:])
    lov(*ASK, "00001", directory=tmp_path / "demo", code=NO)
    assert re.search(r"Bearer lov_\S{20,}'", text)


def test_the_demo_says_what_to_do_without_purchases(tmp_path):
    result = lov("demo", "--dir", tmp_path / "demo", "--purchases", "/nonexistent",
                 code=UNAVAILABLE)
    assert "/nonexistent" in result.stderr and not (tmp_path / "demo").exists()
    (tmp_path / "other.txt").write_text("a,b,c\n")
    lov("demo", "--dir", tmp_path / "demo", "--purchases", tmp_path / "other.txt", code=USAGE)


def test_a_demo_is_not_made_over_an_installation(demo, purchases):
    lov("demo", "--dir", demo, "--purchases", purchases, code=NO)


def test_a_demo_that_was_interrupted_is_made_anew(purchases, tmp_path):
    (tmp_path / "demo.making").mkdir(mode=0o700)
    (tmp_path / "demo.making" / "key").write_text("half")
    lov("demo", "--dir", tmp_path / "demo", "--purchases", purchases)
    assert not (tmp_path / "demo.making").exists()


# ---- check, consents ----


def test_check_tells_the_reason_and_exits_by_the_decision(demo):
    answer = lov_json(*ASK, "00001", directory=demo)
    assert answer["decision"] is True and answer["context"]["reason"] == "permitted"
    assert lov(*ASK, "99999", directory=demo, code=NO).stdout.startswith("deny unknown_consumer: ")


def test_a_recorded_check_is_in_the_ledger(demo):
    assert "event" in lov_json(*ASK, "00001", "--record", directory=demo)["context"]
    kinds = [e["kind"] for e in lov_json("log", "show", "--consumer", "00001",
                                         directory=demo)["items"]]
    assert any(kind.startswith("access") for kind in kinds)


def give(demo, *more, **options):
    return lov_json("consent", "give", "--consumer", "x 1/å", "--purpose", "personal_offers",
                    "--recipient", "marketing", "--categories", "purchases,contact", *NOTICE, *more,
                    directory=demo, **options)


def test_a_consent_is_given_narrowed_widened_renewed_and_withdrawn(demo):
    consent = give(demo, "--channel", "phone", "--evidence", '{"call":"77"}')
    assert consent["status"] == "active" and consent["channel"] == "phone"
    assert consent["evidence"] == {"call": "77"}
    ask = [*ASK, "x 1/å"]
    lov(*ask, directory=demo)
    narrowed = lov_json("consent", "amend", consent["id"], "--categories", "contact",
                        directory=demo)
    assert narrowed["categories"] == ["contact"]
    lov(*ask, directory=demo, code=NO)
    widened = lov_json("consent", "amend", consent["id"], "--categories", "contact,purchases",
                       *NOTICE, directory=demo)
    lov(*ask, directory=demo)
    renewed = lov_json("consent", "renew", widened["id"], *NOTICE, directory=demo)
    lov("consent", "withdraw", renewed["id"], "--reason", "too many letters", directory=demo)
    assert "withdrawn" in lov(*ask, directory=demo, code=NO).stdout
    listed = lov("consent", "list", "--consumer", "x 1/å", directory=demo).stdout
    assert "withdrawn" in listed and "personal_offers by marketing" in listed


def test_a_refusal_is_recorded(demo):
    lov("consent", "refuse", "--consumer", "n", "--purpose", "personal_offers", "--recipient",
        "marketing", "--categories", "purchases", *NOTICE, directory=demo)
    assert lov(*ASK, "n", directory=demo, code=NO).stdout.startswith("deny refused")


def test_the_notice_in_force_is_taken_when_no_version_is_said(demo):
    consent = lov_json("consent", "give", "--consumer", "v", "--purpose", "personal_offers",
                       "--recipient", "marketing", "--categories", "purchases", "--notice",
                       "personal_offers", "--language", "en", directory=demo)
    assert consent["notice"]["version"] == 1 and consent["notice"]["language"] == "en"


def test_an_idempotency_key_makes_a_repetition_harmless(demo):
    first = give(demo, "--idempotency-key", "k1")
    assert give(demo, "--idempotency-key", "k1")["id"] == first["id"]
    assert give(demo, "--idempotency-key", "k2")["id"] != first["id"]


def test_refusals_of_the_api_are_told_in_words_and_as_problems(demo):
    args = ["consent", "give", "--consumer", "x", "--purpose", "nonsense", "--recipient",
            "marketing", "--categories", "purchases", *NOTICE]
    assert lov(*args, directory=demo, code=NO).stderr.startswith("lov: the policy has no such")
    told = problem(lov(*args, "--json", directory=demo, code=NO))
    assert told["reason"] == "unknown_purpose" and told["status"] == 422
    lov("consent", "withdraw", "0" * 32, directory=demo, code=NO)
    lov("consent", "list", "--consumer", "nobody", directory=demo, code=NO)
    assert "expires_at" in lov(*args, "--expires-at", "tomorrow", directory=demo,
                               code=USAGE).stderr


# ---- policy ----


@pytest.fixture
def policy(tmp_path):
    shutil.copytree(POLICY, tmp_path / "policy")
    return tmp_path / "policy"


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_policy_check_needs_no_installation_and_names_file_and_line(policy):
    assert "in order" in lov("policy", "check", policy).stdout
    assert lov_json("policy", "check", policy)["ok"] is True
    edit(policy / "activities.yaml", "recipient: marketing", "recipient: nobody")
    line = 1 + (policy / "activities.yaml").read_text().split("recipient: nobody")[0].count("\n")
    result = lov("policy", "check", policy, code=NO)
    assert f"{policy}/activities.yaml:{line}: error: unknown_name: " in result.stdout
    found = lov_json("policy", "check", policy, code=NO)
    assert found["ok"] is False and found["findings"][0]["line"] == line


def test_policy_check_of_no_policy_is_told(tmp_path):
    assert "holds no policy files" in lov("policy", "check", tmp_path, code=NO).stderr
    assert "nothing" in lov("policy", "check", tmp_path / "nothing", code=NO).stderr


def test_policy_diff_counts_consents_and_apply_puts_it_in_force(demo, policy):
    assert lov("policy", "diff", policy, directory=demo).stdout == "no change\n"
    edit(policy / "activities.yaml", "categories: [purchases, profile, contact]",
         "categories: [profile, contact]")
    edit(policy / "activities.yaml", "        - purchases.product\n        - purchases.department\n"
         "        - purchases.bought_at\n        - purchases.amount\n", "")
    for language, line in (("en", "- **Purchases**"), ("sv", "- **Köp**")):
        path = policy / "notices" / f"personal_offers.{language}.md"
        edit(path, "version: 1", "version: 2")
        text = path.read_text(encoding="utf-8")
        path.write_text("".join(l for l in text.splitlines(True) if not l.startswith(line)),
                        encoding="utf-8")
    change = lov_json("policy", "diff", policy, directory=demo)["changes"][0]
    assert change["what"] == "activity" and change["recipient"] == "marketing"
    assert change["consumers"] > 0 and change["permits_lost"] > 0
    assert f"{change['consumers']} consumers" in lov("policy", "diff", policy,
                                                     directory=demo).stdout


def test_policy_diff_says_what_a_day_to_come_will_change(demo, policy):
    assert lov("policy", "diff", "--as-of", "2098-12-31", directory=demo).stdout == "no change\n"
    edit(policy / "laws" / "gdpr.yaml", "{guardian_below: {DK: 15}}",
         "{guardian_below: {DK: 15}}\n  - {from: 2099-01-01, source: § 1, name: Later}")
    assert lov("policy", "diff", policy, directory=demo).stdout == "no change\n"
    lov("policy", "apply", policy, directory=demo)
    law = next(l for l in lov_json("policy", "show", directory=demo)["laws"] if l["id"] == "gdpr")
    assert law["changes"] == [{"from": "2099-01-01T00:00:00Z", "source": "§ 1"}]
    assert lov("policy", "diff", "--as-of", "2098-12-31", directory=demo).stdout == "no change\n"
    told = lov("policy", "diff", "--as-of", "2099-01-01", directory=demo).stdout
    assert "law gdpr: name" in told and "Later" in told and "covers " in told
    change, = lov_json("policy", "diff", policy, "--as-of", "2099-01-01", directory=demo)["changes"]
    assert change["what"] == "law" and change["covered"] > 0 and change["consumers"] == 0
    for wrong in (["--as-of", "tomorrow"], ["--as-of", "2001-01-01"], []):
        refused = lov("policy", "diff", *wrong, directory=demo, code=None)
        assert refused.returncode and refused.stderr


def test_policy_versions_are_applied_and_listed(demo, policy):
    edit(policy / "activities.yaml", "retention: 730", "retention: 731")
    assert "activity" in lov("policy", "diff", policy, directory=demo).stdout
    assert "policy version 2 is in force" in lov("policy", "apply", policy, directory=demo).stdout
    versions = [v["version"] for v in lov_json("policy", "history", directory=demo)["items"]]
    assert versions == [2, 1]
    assert lov("policy", "show", directory=demo).stdout.startswith("policy version 2, ")
    edit(policy / "activities.yaml", "recipient: marketing", "recipient: nobody")
    result = lov("policy", "apply", policy, directory=demo, code=NO)
    assert "unknown_name" in result.stdout
    assert lov_json("policy", "show", directory=demo)["version"] == 2


# ---- keys ----


def test_keys_are_made_listed_and_revoked(demo):
    key = lov_json("key", "create", "--staff", "admin", directory=demo)
    assert key["key"].startswith("lov_") and key["id"] in key["key"]
    assert lov("key", "create", "--recipient", "marketing",
               directory=demo).stdout.startswith("lov_")
    unknown = lov("key", "create", "--recipient", "nobody", "--json", directory=demo, code=NO)
    assert problem(unknown)["reason"] == "unknown_recipient"
    assert "revoked" in lov("key", "revoke", key["id"], directory=demo).stdout
    listed = {k["id"]: k for k in lov_json("key", "list", directory=demo)["items"]}
    assert listed[key["id"]]["revoked_at"] and "key" not in listed[key["id"]]
    lov("key", "revoke", "nothing", directory=demo, code=NO)


# ---- the ledger ----


def test_log_show_pages_and_limits(demo):
    events = lov_json("log", "show", directory=demo)["items"]
    assert len(events) > 60 and [e["seq"] for e in events] == list(range(len(events)))
    page = lov_json("log", "show", "--after", 4, "--limit", 3, directory=demo)
    assert [e["seq"] for e in page["items"]] == [5, 6, 7]
    assert len(lov("log", "show", directory=demo).stdout.splitlines()) == len(events)


def test_log_verify_names_the_first_wrong_event(demo):
    verified = lov_json("log", "verify", directory=demo)
    root = lov_json("log", "root", directory=demo)["shards"][0]
    assert verified["ok"] and verified["shards"][0]["root"] == root["root"]
    with ledger_rows.opened(demo / "lov.db") as db:
        db.execute("update event set actor = 'staff:mallory' where seq = 7")
    assert "event 7 is wrong" in lov("log", "verify", directory=demo, code=NO).stdout
    wrong = lov_json("log", "verify", directory=demo, code=NO)["shards"][0]
    assert wrong["event"] == 7 and wrong["ok"] is False


# ---- serve ----


def test_serve_finishes_with_exit_code_0_on_a_signal(demo):
    for stop in (signal.SIGTERM, signal.SIGINT):
        with serving(demo) as (process, url):
            assert requests.get(url + "/healthz", timeout=DEADLINE).status_code == 200
            process.send_signal(stop)
            assert process.wait(timeout=DEADLINE) == YES


def test_serve_reloads_its_log_level_on_sighup(demo):
    with serving(demo, "--log-level", "error") as (process, _):
        (demo / "log-level").write_text("info\n")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reloaded" in (demo / "server.log").read_text())
        (demo / "log-level").write_text("loud\n")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reload failed" in (demo / "server.log").read_text())
        for line in (demo / "server.log").read_text().splitlines():
            json.loads(line)


def test_serve_refuses_what_is_unsafe(demo):
    lov("serve", "--listen", "0.0.0.0:0", directory=demo, code=USAGE)
    lov("serve", "--tls-cert", "x", directory=demo, code=USAGE)
    key = demo / "tls.pem"
    key.write_text("x")
    key.chmod(0o644)
    lov("serve", "--tls-cert", key, "--tls-key", key, directory=demo, code=USAGE)


def test_commands_give_the_same_answers_with_and_without_a_server(demo):
    reads = [[*ASK, "00001"], [*ASK, "00002"], [*ASK, "nobody"],
             ["consent", "list", "--consumer", "00001"],
             ["consent", "list", "--consumer", "nobody"],
             ["consent", "withdraw", "zz"], ["policy", "show"], ["policy", "history"],
             ["policy", "diff", POLICY], ["key", "list"], ["key", "revoke", "zz"],
             ["log", "show", "--limit", "20"], ["log", "show", "--consumer", "00001"],
             ["log", "verify"], ["log", "root"]]

    def answers():
        told = []
        for args in reads:
            for more in ([], ["--json"]):
                r = lov(*args, *more, directory=demo, code=None)
                # How many pages the store has is its own affair.
                out = re.sub(r"\d+ pages|(?<=\"pages\": )\d+|(?<=\"pages\":)\d+", "N pages", r.stdout)
                told.append((args, r.returncode, out, r.stderr))
        return told

    alone = answers()
    with serving(demo):
        assert answers() == alone


def test_writes_beside_a_server_are_in_force_in_it(demo, made):
    with serving(demo) as (_, url):
        key = lov_json("key", "create", "--staff", "admin", directory=demo)["key"]
        question = {"subject": {"type": "recipient", "id": "marketing"},
                    "action": {"name": "personal_offers"},
                    "resource": {"type": "purchases", "id": "00001"}}

        def ask():
            return requests.post(url + "/access/v1/evaluation", json=question, timeout=DEADLINE,
                                 headers={"Authorization": f"Bearer {key}"}).json()["decision"]

        assert ask() is True
        lov("consent", "withdraw", made[1]["consent"], directory=demo)
        assert ask() is False
    lov(*ASK, "00001", directory=demo, code=NO)


def test_two_commands_at_a_time_wait_for_each_other(demo):
    processes = [subprocess.Popen([LOV, *ASK, "00001", "--dir", str(demo)],
                                  stdout=subprocess.DEVNULL) for _ in range(6)]
    assert [p.wait(timeout=DEADLINE) for p in processes] == [YES] * 6


# ---- import ----

MAPPING = """
kind: consents
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
"""
HEADER = "who,what,answer,language,day,note\r\n"


@pytest.fixture
def mapping(tmp_path):
    path = tmp_path / "mapping.yaml"
    path.write_text(MAPPING)
    return path


def consents_of(demo, consumer):
    return lov_json("consent", "list", "--consumer", consumer, directory=demo)["items"]


def test_csv_with_bom_crlf_and_quoted_newlines_is_imported(demo, mapping, tmp_path):
    data = tmp_path / "in.csv"
    data.write_bytes(("\ufeff" + HEADER + 'i1,purchases|contact,yes,,01/02/2026,"said ""yes"",\r\n'
                      'twice"\r\n\r\n"i2",purchases,no,en,28/02/2026,').encode())
    result = lov_json("import", "consents", data, "--mapping", mapping, directory=demo)
    assert result == {"rows": 2, "accepted": 2, "replayed": 0, "rejected": 0}
    first, second = consents_of(demo, "i1")[0], consents_of(demo, "i2")[0]
    assert first["given_at"] == "2026-02-01T00:00:00Z" and first["notice"]["language"] == "sv"
    assert first["categories"] == ["purchases", "contact"]
    assert first["evidence"] == 'said "yes",\r\ntwice'
    assert second["status"] == "refused" and second["notice"]["language"] == "en"


HOSTILE = [
    ('a"b,purchases,yes,,01/02/2026,', "malformed_row"),
    ('"a"b,purchases,yes,,01/02/2026,', "malformed_row"),
    ("a,purchases,yes,,01/02/2026", "malformed_row"),
    ("a,purchases,yes,,01/02/2026,,", "malformed_row"),
    ("a\rb,purchases,yes,,01/02/2026,", "malformed_row"),
    (b"a\xff,purchases,yes,,01/02/2026,", "malformed_row"),
    ("," * 300, "malformed_row"),
    (",purchases,yes,,01/02/2026,", "invalid_row"),
    ("a,purchases,maybe,,01/02/2026,", "invalid_row"),
    ("a,purchases,yes,,31/02/2026,", "invalid_row"),
    ("a,purchases,yes,,2026-02-01,", "invalid_row"),
    ("a,purchases,yes,,01/02/2026," + "x" * 20000, "invalid_row"),
    (b"a\x00b,purchases,yes,,01/02/2026,", None),
    ("a\x1bb,purchases,yes,,01/02/2026,", None),
    ("a,nonsense,yes,,01/02/2026,", "unknown_category"),
    ("a,purchases,yes,xx,01/02/2026,", "notice_language_missing"),
    ("a,purchases,yes,,01/02/2199,", None),
    ("x" * 200 + ",purchases,yes,,01/02/2026,", "invalid_field"),
]


def test_hostile_rows_are_refused_one_by_one_with_their_reasons(demo, mapping, tmp_path):
    rows = [r if isinstance(r, bytes) else r.encode() for r, _ in HOSTILE]
    good = b"good,purchases,yes,,01/02/2026,\r\n"
    data, rejects = tmp_path / "in.csv", tmp_path / "rejects.jsonl"
    data.write_bytes(HEADER.encode() + b"".join(row + b"\r\n" + good for row in rows)
                     + b'"never closed,' + b"y" * 100)
    result = lov_json("import", "consents", data, "--mapping", mapping, "--rejects", rejects,
                      directory=demo, code=NO)
    told = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert result["rejected"] == len(rows) + 1 == len(told) and result["accepted"] == len(rows)
    for i, ((_, reason), line) in enumerate(zip(HOSTILE, told)):
        assert line["row"] == 2 * i + 1 and line["detail"]
        assert reason in (None, line["reason"]), line
    assert len(consents_of(demo, "good")) == len(rows)
    lov("log", "verify", directory=demo)


def test_rejects_are_csv_and_an_import_without_a_file_tells_them(demo, mapping, tmp_path):
    data, rejects = tmp_path / "in.csv", tmp_path / "rejects.csv"
    data.write_text(HEADER + "a,nonsense,yes,,01/02/2026,\n")
    lov("import", "consents", data, "--mapping", mapping, "--rejects", rejects, directory=demo,
        code=NO)
    lines = rejects.read_text().splitlines()
    assert lines[0] == "row,line,reason,detail" and lines[1].startswith("1,2,unknown_category,")
    told = lov("import", "consents", data, "--mapping", mapping, directory=demo, code=NO)
    assert "row 1 (line 2)" in told.stderr


@pytest.mark.parametrize("old, new", [
    ("format: csv", "format: xml"), ("column: who", "column: whom"), ("kind: consents", "kind: x"),
    ("member: consumer,", "member: consumr,"), ("date: DD/MM/YYYY", "date: DD/MM"),
    ("  - {member: channel, constant: import}\n", ""), ("column: who", "colum: who"),
    ("member: evidence", "member: consumer"), ("kind: consents", "kind: [a"),
])
def test_a_wrong_mapping_is_refused_before_anything_is_imported(demo, tmp_path, old, new):
    assert old in MAPPING
    path, data = tmp_path / "mapping.yaml", tmp_path / "in.csv"
    path.write_text(MAPPING.replace(old, new, 1))
    data.write_text(HEADER + "a,purchases,yes,,01/02/2026,\n")
    result = lov("import", "consents", data, "--mapping", path, directory=demo, code=USAGE)
    assert result.stderr.startswith("lov: ") and result.stderr.count("\n") == 1
    lov("consent", "list", "--consumer", "a", directory=demo, code=NO)


def test_a_repeated_import_doubles_nothing_even_when_the_mapping_is_corrected(demo, tmp_path):
    path, data = tmp_path / "mapping.yaml", tmp_path / "in.csv"
    path.write_text(MAPPING.replace('{from: "no", to: refuse}', '{from: "nej", to: refuse}'))
    data.write_text(HEADER + "r1,purchases,no,,01/02/2026,\nr2,purchases,yes,,01/02/2026,\n")
    first = lov_json("import", "consents", data, "--mapping", path, directory=demo, code=NO)
    assert (first["accepted"], first["rejected"]) == (1, 1)
    path.write_text(MAPPING)
    again = lov_json("import", "consents", data, "--mapping", path, directory=demo)
    assert (again["accepted"], again["replayed"]) == (2, 1)
    assert len(consents_of(demo, "r1")) == len(consents_of(demo, "r2")) == 1


@pytest.mark.parametrize("beside_a_server", [False, True])
def test_an_import_that_was_killed_goes_on_and_doubles_nothing(demo, mapping, tmp_path,
                                                               beside_a_server):
    rows = 15000 if beside_a_server else 60000  # a bulk is of 20,000
    before = lov_json("log", "show", directory=demo)["items"][-1]["seq"]
    data, rejects = tmp_path / "in.csv", tmp_path / "rejects.csv"
    data.write_text(HEADER + "".join(
        f"k{i},{'nonsense' if i % 1000 == 7 else 'purchases'},yes,,01/02/2026,{i}\n"
        for i in range(rows)))
    args = ["import", "consents", data, "--mapping", mapping, "--rejects", rejects]
    with serving(demo) if beside_a_server else contextlib.nullcontext():
        process = subprocess.Popen([LOV, *map(str, args), "--dir", str(demo)],
                                   stdout=subprocess.DEVNULL)
        wait_for(lambda: list((demo / "import").glob("*.json")) if (demo / "import").exists()
                 else None)
        process.kill()
        killed = process.wait(timeout=DEADLINE) == -signal.SIGKILL
        state = list((demo / "import").glob("*.json"))
        result = lov_json(*args, "--resume", directory=demo, code=NO)
    assert killed and state
    assert (result["rows"], result["rejected"]) == (rows, rows // 1000)
    assert len(rejects.read_text().splitlines()) == 1 + rows // 1000
    assert not list((demo / "import").glob("*.json"))
    events = lov_json("log", "show", "--after", before, directory=demo)["items"]
    given = [e["consumer"] for e in events if e["kind"] == "consent.give"]
    assert len(given) == len(set(given)) == rows - rows // 1000
    again = lov_json(*args, directory=demo, code=NO)
    assert again["replayed"] == again["accepted"] == rows - rows // 1000
    lov("log", "verify", directory=demo)


def test_resume_refuses_another_mapping(demo, mapping, tmp_path):
    data = tmp_path / "in.csv"
    data.write_text(HEADER + "".join(f"m{i},purchases,yes,,01/02/2026,\n" for i in range(60000)))
    process = subprocess.Popen([LOV, "import", "consents", str(data), "--mapping", str(mapping),
                                "--dir", str(demo)], stdout=subprocess.DEVNULL)
    wait_for(lambda: (demo / "import").exists() and list((demo / "import").glob("*.json")))
    process.kill()
    process.wait(timeout=DEADLINE)
    mapping.write_text(MAPPING + "# another\n")
    result = lov("import", "consents", data, "--mapping", mapping, "--resume", "--json",
                 directory=demo, code=NO)
    assert problem(result)["reason"] == "mapping_changed"


def test_json_lines_set_consumers(demo, tmp_path):
    path, data = tmp_path / "mapping.yaml", tmp_path / "in.jsonl"
    path.write_text("format: jsonl\nmembers:\n  - {member: consumer, column: person.id}\n"
                    "  - {member: residence, column: country, default: SE}\n"
                    "  - {member: birth_date, column: born, date: YYYYMMDD}\n"
                    "  - {member: restricted, column: stop}\n")
    lines = [json.dumps({"person": {"id": f"c/{i}"}, "born": 19800101 + i, "stop": i == 3})
             for i in range(20)]
    lines += ["{", "[]", '{"person":{"id":"d"},"person":1}', '{"person":{"id":"e"},"country":"??"}']
    data.write_text("\n".join(lines))
    result = lov_json("import", "consumers", data, "--mapping", path, directory=demo, code=NO)
    assert (result["accepted"], result["rejected"]) == (20, 4)
    assert "restricted" in lov("check", "--recipient", "customer_service", "--purpose",
                               "customer_support", "--category", "contact", "--consumer", "c/3",
                               directory=demo, code=NO).stdout


def test_the_examples_in_data_are_imported(demo):
    for kind, suffix in (("consents", "csv"), ("consumers", "jsonl")):
        lov("import", kind, os.path.join(ROOT, "data", f"{kind}.example.{suffix}"), "--mapping",
            os.path.join(ROOT, "data", f"{kind}.example.yaml"), directory=demo)
