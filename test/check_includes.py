#!/usr/bin/python3
"""Checks from the #include lines of src/ that a module includes only modules below it.

The order is base < permit < db < identity, policy, ledger < consent < vault < rights, share, insight, watch,
notify < api, web, cli; modules of one step do not include each other, but cli and web may include
api. http stands beside them: it includes base only, and only api, web and cli include it. From
outside, a module is entered by its door alone, module/module.h.

Without arguments: tests itself, then checks src/.
"""

import os
import re
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STEPS = [
    {"base"},
    {"permit"},
    {"db"},
    {"identity", "policy", "ledger"},
    {"consent"},
    {"vault"},
    {"rights", "share", "insight", "watch", "notify"},
    {"api", "web", "cli"},
]
STEP_OF = {module: step for step, modules in enumerate(STEPS) for module in modules}
TOP = STEPS[-1]
BESIDE = {("cli", "api"), ("web", "api"), ("cli", "web")}
# More than one door: base is a library of small headers; the writer is a part of db of its own
# right, and the schema is text. What verifies notes, checkpoints, proofs
# and receipts needs no ledger at all.
DOORS = {
    "db": {"db.h", "writer.h", "schema.h"},
    "ledger": {"ledger.h", "event.h", "note.h", "checkpoint.h", "proof.h", "tiles.h", "publish.h",
               "audit.h"},
    "consent": {"consent.h", "bulk.h", "receipt.h"},
    "permit": {"permit.h", "format.h", "image.h"},
    "identity": {"identity.h", "account.h", "staff.h"},
    "api": {"api.h", "eyes.h", "roles.h", "export.h", "receipt_page.h"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def allowed(user, used):
    if user == used or used == "base":
        return True
    if used == "http":
        return user in TOP
    if user == "http":
        return False
    return STEP_OF[used] < STEP_OF[user] or (user, used) in BESIDE


def is_door(module, header):
    return module == "base" or header in DOORS.get(module, {module + ".h"})


def judge(user, include):
    """What is wrong with a file of the module `user` that includes `include`, or None."""
    module, _, header = include.partition("/")
    if include == "lov.h":
        return None
    if not header or (module not in STEP_OF and module != "http"):
        return f'"{include}" is not module/header.h of a known module'
    if not allowed(user, module):
        return f"{user} must not include {module}"
    if module != user and not is_door(module, header):
        return f"{include} is private to {module}"
    return None


def check(root):
    """Complaints about the tree below root/src, and the number of files read."""
    complaints, files = [], 0
    for folder, folders, names in os.walk(os.path.join(root, "src")):
        folders.sort()
        module = os.path.relpath(folder, os.path.join(root, "src")).split(os.sep)[0]
        for name in sorted(names):
            if not name.endswith((".c", ".h")):
                continue
            files += 1
            path = os.path.join(folder, name)
            if module not in STEP_OF and module != "http":
                complaints.append(f"{os.path.relpath(path, root)}: not in a known module")
                continue
            with open(path, encoding="utf-8") as file:
                text = file.read()
            for match in INCLUDE.finditer(text):
                wrong = judge(module, match[1])
                if wrong:
                    line = text.count("\n", 0, match.start(1)) + 1
                    complaints.append(f"{os.path.relpath(path, root)}:{line}: {wrong}")
    return complaints, files


GOOD = ["db base/str.h", "consent ledger/ledger.h", "api http/http.h", "cli api/api.h",
        "web api/api.h", "ledger ledger/tree.h", "identity db/schema.h", "policy db/writer.h",
        "http base/json.h", "rights vault/vault.h", "api lov.h"]
BAD = ["base db/db.h", "db ledger/ledger.h", "ledger policy/policy.h", "consent consent.h",
       "consent ledger/tree.h", "api consent/index.h", "api cli/cli.h", "api web/web.h",
       "web cli/cli.h", "http db/db.h", "consent http/http.h", "share rights/rights.h",
       "consent vault/vault.h", "cli nowhere/nowhere.h", "cli ../test/x.h"]


def test_itself():
    """The cases that are judged wrongly: each is also put into a file and read back."""
    wrong = []
    for cases, expected in ((GOOD, 0), (BAD, 1)):
        for case in cases:
            user, include = case.split()
            with tempfile.TemporaryDirectory() as root:
                os.makedirs(os.path.join(root, "src", user))
                with open(os.path.join(root, "src", user, "a.c"), "w", encoding="utf-8") as file:
                    file.write(f'/* one */\n#include <stdio.h>\n  # include "{include}"\n')
                complaints, _ = check(root)
                if len(complaints) != expected or not all(":3:" in c for c in complaints):
                    wrong.append(f"self-test: {case}: {complaints}")
    return wrong


def main():
    wrong = test_itself()
    complaints, files = check(ROOT)
    if files == 0:
        complaints.append("no file below src/")
    print("\n".join(wrong + complaints))
    failed = len(wrong) + (1 if complaints else 0)
    print(f"{len(GOOD) + len(BAD) + 1 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
