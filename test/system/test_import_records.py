"""lov import records: CSV with look-ups in other files, and columns between blanks, into records that
are read back for a purpose; what cannot be a record is a reject, and nothing is stored twice."""

import json
import os
import subprocess

import pytest

from test_http import LOV, ROOT, lov

CDNOW = (" customer_id  date number_of_cds  dollar_value\r\n"
         " 00001 19970101  1   11.77\r\n"
         " 00002 19970112  1   12.00\r\n"
         " 00002 19970112  5   77.00\r\n"
         "\r\n"
         " 00003 19970102  x   20.76\r\n"
         " 00003 19970102  2   20.7612345\r\n"
         " 00004 19970102  2\r\n")
BERKA = {
    "client.csv": '"client_id","gender","birth_date","district_id"\n1,"F","1970-12-13",18\n'
                  '2,"M","1945-02-04",1\n3,"F","1940-10-09",1\n',
    "disp.csv": '"disp_id","client_id","account_id","type"\n1,1,1,"OWNER"\n2,3,2,"DISPONENT"\n'
                '3,2,2,"OWNER"\n',
    "account.csv": '"account_id","district_id","frequency","date"\n1,18,"POPLATEK MESICNE","1995-03-24"\n'
                   '2,1,"POPLATEK MESICNE","1993-02-26"\n9,1,"POPLATEK MESICNE","1993-02-26"\n',
    "card.csv": '"card_id","disp_id","type","issued"\n1,2,"gold","1998-10-16"\n',
    "loan.csv": '"loan_id","account_id","date","amount","duration","payments","status"\n'
                '4959,2,"1994-01-05",80952,24,3373.0,"A"\n',
}


@pytest.fixture
def folder(tmp_path):
    lov("init", "--dir", tmp_path / "lov", "--policy", os.path.join(ROOT, "policy"))
    for name, text in BERKA.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "CDNOW_master.txt").write_bytes(CDNOW.encode())
    return tmp_path


def load(folder, file, mapping, *options, code=0):
    out = lov("import", "records", folder / file, "--dir", folder / "lov", "--json", "--mapping",
              os.path.join(ROOT, "data", mapping) if isinstance(mapping, str) else mapping, *options,
              code=code)
    return json.loads(out)


def read(folder, consumer, category, purpose, recipient):
    out = lov("read", consumer, category, "--purpose", purpose, "--recipient", recipient, "--dir",
              folder / "lov")
    return [json.loads(line)["data"] for line in out.splitlines()]


def support(folder, consumer, category):
    return read(folder, consumer, category, "customer_support", "customer_service")


def test_columns_become_records_and_what_is_wrong_is_a_reject(folder):
    told = load(folder, "CDNOW_master.txt", "cdnow.yaml", "--rejects", folder / "rejects.csv", code=1)
    assert (told["rows"], told["accepted"], told["rejected"]) == (6, 3, 3)
    assert [line.split(",")[2] for line in (folder / "rejects.csv").read_text().splitlines()[1:]] == [
        "invalid_row", "invalid_record", "malformed_row"]
    assert support(folder, "00002", "purchases") == [
        {"order_id": "cdnow-2", "bought_at": "1997-01-12T00:00:00Z", "product": "CD",
         "department": "home", "quantity": 1, "amount": {"amount": "12.00", "currency": "USD"}},
        {"order_id": "cdnow-3", "bought_at": "1997-01-12T00:00:00Z", "product": "CD",
         "department": "home", "quantity": 5, "amount": {"amount": "77.00", "currency": "USD"}}]
    load(folder, "CDNOW_master.txt", "cdnow.yaml", code=1)
    assert len(support(folder, "00002", "purchases")) == 2
    lov("log", "verify", "--dir", folder / "lov")


LIMITED = ("who;what;only;never;by\n"
           "1;A;service;;\n"
           "1;B;service,ads;ads;customer_service, marketing\n"
           "1;C;;;\n"
           "1;D;everything;;\n"
           "1;E;;;nobody_known\n"
           "1;F;ads;;\n")


def test_a_mapping_says_what_each_record_may_be_used_for(folder):
    words = [{"from": "service", "to": "customer_support"}, {"from": "ads", "to": "personal_offers"}]
    (folder / "m.yaml").write_text(json.dumps({
        "kind": "records", "format": "csv", "delimiter": ";", "members": [
            {"member": "consumer", "column": "who"}, {"member": "category", "constant": "purchases"},
            {"member": "limits.recipients", "column": "by"},
            {"member": "data.order_id", "column": "what"}, {"member": "data.product", "constant": "kettle"},
            {"member": "data.bought_at", "constant": "2026-11-20", "type": "time", "date": "YYYY-MM-DD"},
            {"member": "data.amount", "constant": "12.50", "type": "amount", "currency": "SEK"},
            {"member": "limits.purposes", "column": "only", "values": words},
            {"member": "limits.objections", "column": "never", "values": words}]}))
    (folder / "f.csv").write_text(LIMITED)
    told = load(folder, "f.csv", folder / "m.yaml", "--rejects", folder / "rejects.csv", code=1)
    assert (told["accepted"], told["rejected"]) == (4, 2)
    assert [line.split(",")[2] for line in (folder / "rejects.csv").read_text().splitlines()[1:]] == [
        "invalid_row", "unknown_recipient"]
    listed = json.loads(lov("records", "list", "--dir", folder / "lov", "--json"))["items"]
    assert [r["limits"] for r in listed] == [
        {"purposes": ["customer_support"]},
        {"objections": ["personal_offers"], "purposes": ["customer_support", "personal_offers"],
         "recipients": ["customer_service", "marketing"]}, {}, {"purposes": ["personal_offers"]}]
    assert [r["order_id"] for r in support(folder, "1", "purchases")] == ["A", "B", "C"]
    lov("log", "verify", "--dir", folder / "lov")


def test_the_example_is_imported_with_what_the_consumer_objects_to(folder):
    assert load(folder, os.path.join(ROOT, "data", "records.example.csv"), "records.example.yaml")["accepted"] == 3
    listed = json.loads(lov("records", "list", "--dir", folder / "lov", "--json"))["items"]
    assert len(listed) == 3
    assert [r["limits"] for r in listed if r["limits"]] == [{"objections": ["personal_offers"]}]


def test_an_account_is_a_record_of_its_owner(folder):
    assert load(folder, "client.csv", "berka-clients.yaml")["accepted"] == 3
    told = load(folder, "account.csv", "berka-accounts.yaml", code=1)
    assert (told["accepted"], told["rejected"]) == (2, 1)  # account 9 has no owner
    assert load(folder, "card.csv", "berka-cards.yaml")["accepted"] == 1
    assert load(folder, "loan.csv", "berka-loans.yaml")["accepted"] == 1
    assert read(folder, "client-1", "profile", "fraud_prevention", "risk") == [
        {"birth_date": "1970-12-13", "language": "cs"}]
    assert support(folder, "client-2", "account") == [
        {"account_id": "account-2", "type": "current", "opened": "1993-02-26"},
        {"account_id": "loan-4959", "type": "loan", "opened": "1994-01-05",
         "balance": {"amount": "-80952", "currency": "CZK"}}]
    assert support(folder, "client-3", "account") == [
        {"account_id": "card-1", "type": "card", "opened": "1998-10-16"}]


@pytest.mark.parametrize("change,told", [
    ("type: money", "type is text, integer"),
    ("type: amount", "has a currency"),
    ("currency: SEK", "has a currency"),
    ("lookup: nowhere", "no such lookup"),
    ("member: data.Bad", "no name of a field"),
    ("member: nothing", "no such member"),
])
def test_a_mapping_that_cannot_be_right_is_refused(folder, change, told):
    key, value = change.split(": ")
    member = {"member": "data.order_id", "column": "a", key: value}
    mapping = {"kind": "records", "format": "csv", "members": [
        {"member": "consumer", "column": "a"}, {"member": "category", "constant": "purchases"}, member]}
    (folder / "m.yaml").write_text(json.dumps(mapping))
    (folder / "f.csv").write_text("a\n1\n")
    result = subprocess.run([LOV, "import", "records", folder / "f.csv", "--mapping", folder / "m.yaml",
                             "--dir", folder / "lov"], capture_output=True, text=True, timeout=60,
                            check=False)
    assert result.returncode == 2 or result.returncode == 1 or result.returncode == 3
    assert told in result.stderr, result.stderr


@pytest.mark.parametrize("file", ["../account.csv", "/etc/passwd", "..", "missing.csv", "client.csv"])
def test_a_lookup_stays_beside_the_file_and_has_its_columns(folder, file):
    mapping = {"kind": "records", "format": "csv",
               "lookups": [{"name": "o", "file": file, "key": "account_id", "value": "client_id"}],
               "members": [{"member": "consumer", "column": "account_id", "lookup": "o"},
                           {"member": "category", "constant": "account"}]}
    (folder / "m.yaml").write_text(json.dumps(mapping))
    result = subprocess.run([LOV, "import", "records", folder / "account.csv", "--mapping",
                             folder / "m.yaml", "--dir", folder / "lov"], capture_output=True, text=True,
                            timeout=60, check=False)
    assert result.returncode not in (0, -6, -11) and result.stderr
