#!/usr/bin/python3
"""Checks that there is one way to the contents of a record, and that it asks first.

* Only src/vault/read.c opens what is sealed in a record, in one static function, reveal(), which hands
  on what a view has left and nothing else.
* The functions that lead there stop the process unless they are given what permits it: vault_read() an
  access that is permitted and durable in the ledger, vault_disclose() a disclosure to the consumer that
  is, read_for_sums() a permit to an aggregate.
* Data keys of consumers, and opening anything by a key, are for the files listed here.
* The rows of records are read by src/vault alone.

Without arguments: tests itself on sources with a way around, then checks src/.
"""

import os
import re
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
READER = "src/vault/read.c"
# Who calls what, and why they may: a new file here wants a reason.
CALLERS = {
    r"\bunseal\s*\(": {
        "src/base/crypt.c", "src/base/crypt.h",  # what it is
        "src/identity/identity.c", "src/identity/rotate.c",  # by the key-encryption key
        "src/consent/sealed.c",  # evidence of consents, birthdays
        "src/api/search.c", "src/api/records.c",  # cursors, by a key of their own
        "src/vault/issue.c",  # what is proposed, which is no record
        # By keys of their own:
        "src/identity/account.c", "src/identity/staff.c", "src/rights/notify.c", "src/web/provider.c",
        READER,
    },
    r"\bidentity_data_key\s*\(": {
        "src/identity/identity.c", "src/identity/identity.h", "src/consent/sealed.c",
        "src/vault/write.c",  # to seal
        "src/vault/questions.c",  # proposals
        "src/identity/account.c",
        READER,
    },
    r"\brecord_associated\s*\(": {
        "src/vault/record.c", "src/vault/private.h", "src/vault/write.c", READER},
    r"\bviewer_write\s*\(": {"src/vault/view.c", "src/vault/private.h", READER},
    r"\bread_for_sums\s*\(": {"src/vault/private.h", "src/vault/aggregate.c", READER},
    r"\bEVP_(aes_256_gcm|Decrypt\w*)\s*\(": {"src/base/crypt.c"},
}
ROWS = re.compile(r"\b(from|join|into|update)\s+record\b")
ERASING = {"src/consent/rows.c"}
DELETE = re.compile(r"delete from record where shard = \$1 and cid = \$2\"")


def without_comments(text):
    return re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.S)


def body_of(text, head):
    """The function that begins with `head`, to the brace in the first column; "" without it."""
    match = re.search(head + r"[^;{]*\{.*?^\}", text, re.S | re.M)
    return match[0] if match else ""


def check_reader(text):
    wrong = []
    if len(re.findall(r"\bunseal\s*\(", text)) != 1:
        wrong.append("opens sealed bytes in more than one place")
    reveal = body_of(text, r"^static int reveal\(")
    if "unseal(" not in reveal:
        wrong.append("reveal() is not the static function that opens a record")
    if "viewer_write(&x->viewer, buf_view(&x->plain), &x->data" not in reveal:
        wrong.append("reveal() does not cut what it opened")
    if "secret_wipe_bytes(x->plain.p" not in reveal:
        wrong.append("reveal() does not wipe what it opened")
    if re.search(r"\bplain\b", text.replace(reveal, "").replace("struct buf plain, data", "")
                 .replace("&x.plain", "").replace("bufs[] = {&x->plain,", "").replace("&plain", "").replace("buf plain = ", "")):
        wrong.append("what was opened is used outside of reveal()")
    read = body_of(text, r"^int vault_read\(")
    if not re.search(r"kind != WRITE_ACCESS \|\| access->job\.rc != 0 \|\| "
                     r"!access->decision\.permit \|\|\s+access->reported\)\s+bug\(", read):
        wrong.append("vault_read() does not demand a permitted access that is recorded")
    sums = body_of(text, r"^int read_for_sums\(")
    if not re.search(r"!reader->decision->permit.*VIEW_AGGREGATE\)\s+bug\(", sums, re.S):
        wrong.append("read_for_sums() does not demand a permit and an aggregate")
    own = body_of(text, r"^int vault_disclose\(")
    if not re.search(r"recorded->kind != WRITE_OTHER \|\| recorded->other != record_disclosure \|\|\s+"
                     r"recorded->job\.rc != 0\)\s+bug\(", own):
        wrong.append("vault_disclose() does not demand a recorded disclosure")
    doors = set(re.findall(r"^int (\w+)\(", text, re.M)) - {"vault_open"}
    if doors != {"vault_read", "read_for_sums", "vault_disclose"}:
        wrong.append(f"has other doors: {', '.join(sorted(doors))}")
    return [f"{READER}: {w}" for w in wrong]


def check_file(path, text):
    wrong = []
    for pattern, allowed in CALLERS.items():
        if path not in allowed and re.search(pattern, text):
            wrong.append(f"{path}: {pattern} is not for this file")
    if path.startswith("src/vault/") or not ROWS.search(text):
        return wrong
    if path not in ERASING or ROWS.sub("", DELETE.sub("", text)) != DELETE.sub("", text):
        wrong.append(f"{path}: touches the rows of records")
    return wrong


def check(root):
    complaints, reader = [], ""
    for folder, folders, names in os.walk(os.path.join(root, "src")):
        folders.sort()
        for name in sorted(names):
            if not name.endswith((".c", ".h")):
                continue
            full = os.path.join(folder, name)
            path = os.path.relpath(full, root)
            with open(full, encoding="utf-8") as file:
                text = without_comments(file.read())
            if path == READER:
                reader = text
            complaints += check_file(path, text)
    return complaints + check_reader(reader)


# A way around, as (file, what is replaced, by what); "" adds a line at the end.
LIES = [
    (READER, "access->job.rc != 0 || ", ""),
    (READER, "!access->decision.permit ||", ""),
    (READER, "!reader->decision->permit || ", ""),
    (READER, "recorded->other != record_disclosure ||", ""),
    (READER, "static int reveal(", "int reveal("),
    (READER, "rc = viewer_write(&x->viewer, buf_view(&x->plain), &x->data, x->err);",
     "buf_str(&x->data, buf_view(&x->plain));"),
    (READER, "secret_wipe_bytes(x->plain.p, x->plain.n);", ""),
    (READER, ".data = buf_view(&x->data)", ".data = buf_view(&x->plain)"),
    (READER, "", "int vault_peek(struct vault *v) { return 0; }"),
    ("src/vault/retention.c", "", "int f(void) { return unseal(0, a, b, 0, 0); }"),
    ("src/vault/view.c", "", "int f(void) { return identity_data_key(0, 0, 0, 0, 0); }"),
    ("src/api/records.c", "", 'static const char sql[] = "select sealed from record";'),
    ("src/consent/person.c", "", 'static const char sql[] = "select sealed from record";'),
    ("src/cli/read.c", "", "int f(void) { return EVP_DecryptUpdate(0, 0, 0, 0, 0); }"),
]


def test_itself():
    """The ways around that are not found."""
    wrong = []
    for path, old, new in LIES:
        with tempfile.TemporaryDirectory() as root:
            for name in {READER, path}:
                os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
                with open(os.path.join(ROOT, name), encoding="utf-8") as file:
                    text = file.read()
                if name == path and old and old not in text:
                    wrong.append(f"self-test: {path} has no {old!r}")
                if name == path:
                    text = text.replace(old, new, 1) if old else text + new + "\n"
                with open(os.path.join(root, name), "w", encoding="utf-8") as file:
                    file.write(text)
            if not check(root):
                wrong.append(f"self-test: not found: {path}: {old!r} -> {new!r}")
    return wrong


def main():
    wrong = test_itself()
    complaints = check(ROOT)
    print("\n".join(wrong + complaints))
    failed = len(wrong) + (1 if complaints else 0)
    print(f"{len(LIES) + 1 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
