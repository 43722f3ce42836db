"""What each kind of recipient may get of one consumer's data, asked for with its own key: a department, a
processor, an advertiser, an affiliate, a broker and a successor."""

import json
import subprocess
import time

import pytest
import requests

from test_http import Server, demo, lov  # noqa: F401 (fixture)
from test_openapi import CONTRACT, check
from test_records import LIST

CONTACT = {"name": "Siv Ek", "email": "siv.ek@example.org", "postal_code": "22100"}
PROFILE = {"birth_date": "1980-02-03", "language": "sv", "interests": "tea"}
PURCHASE = {"order_id": "A-17", "bought_at": "2026-11-20T10:15:30Z", "product": "kettle",
            "amount": {"amount": "349.50", "currency": "SEK"}}


@pytest.fixture(scope="module")
def server(demo, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("sharing") / "lov"
    subprocess.run(["cp", "-a", str(demo), str(folder)], check=True)
    server = Server(folder)
    for category, data in (("contact", CONTACT), ("profile", PROFILE), ("purchases", PURCHASE)):
        for who in ("new01", "new02"):
            answer = server.admin.post(f"{server.url}/v1/consumers/{who}/records/{category}", timeout=30,
                                       json={"data": data, "source": "till"})
            assert answer.status_code == 201, answer.text
    yield server
    server.stop()
    lov("log", "verify", "--dir", server.folder)


class Recipient:
    def __init__(self, server, name):
        self.server = server
        self.session = requests.Session()
        answer = server.admin.post(server.url + "/v1/keys", json={"recipient": name}, timeout=30)
        self.session.headers["Authorization"] = "Bearer " + answer.json()["key"]

    def read(self, purpose, category, who="new01"):
        answer = self.session.get(f"{self.server.url}/v1/consumers/{who}/records/{category}",
                                  params={"purpose": purpose}, timeout=30)
        check(CONTRACT["paths"][LIST]["get"], answer)
        return answer


def answer_notice(server, decision, purpose, recipient, categories, who="new01"):
    body = {"consumer": who, "purpose": purpose, "recipient": recipient, "categories": categories,
            "decision": decision, "notice": {"id": purpose, "version": 1, "language": "sv"},
            "channel": "web"}
    answer = server.admin.post(server.url + "/v1/consents", json=body, timeout=30)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_a_department_gets_the_fields_of_its_view_once_the_consumer_says_yes(server):
    marketing = Recipient(server, "marketing")
    assert marketing.read("personal_offers", "contact").json()["reason"] == "no_consent"
    answer_notice(server, "give", "personal_offers", "marketing", ["contact"])
    item = marketing.read("personal_offers", "contact").json()["items"][0]
    assert item["data"] == {"name": "Siv Ek", "email": "siv.ek@example.org"}
    assert item["consumer"] == "new01" and "source" not in item
    assert marketing.read("personal_offers", "contact", "new02").status_code == 403


def test_a_processor_gets_what_its_contract_is_for_and_nothing_else(server):
    mailhouse = Recipient(server, "mailhouse")
    assert mailhouse.read("personal_offers", "contact").json()["reason"] == "not_in_policy"
    answer_notice(server, "give", "newsletter_delivery", "mailhouse", ["contact"])
    got = mailhouse.read("newsletter_delivery", "contact").json()["items"][0]["data"]
    assert got["email"] == "siv.ek@example.org" and "postal_code" not in got
    assert mailhouse.read("newsletter_delivery", "purchases").status_code == 403


def test_an_advertiser_gets_sums_and_no_row(server):
    adnord = Recipient(server, "adnord")
    policy = server.admin.get(server.url + "/v1/policy", timeout=30).json()
    activity = next(a for a in policy["activities"] if a["recipient"] == "adnord")
    answer_notice(server, "give", activity["purpose"], "adnord", activity["categories"])
    for category in activity["categories"]:
        answer = adnord.read(activity["purpose"], category)
        assert answer.status_code == 403 and answer.json()["reason"] == "aggregate_only", answer.text
    # One yes is no crowd: there is no group of it.
    answer = adnord.session.post(server.url + "/v1/aggregates", timeout=30, json={
        "purpose": activity["purpose"], "category": "purchases", "group_by": ["department"]})
    check(CONTRACT["paths"]["/v1/aggregates"]["post"], answer)
    assert answer.status_code == 200 and answer.json()["groups"] == [], answer.text


def test_an_affiliate_is_outside_and_asks_like_anybody(server):
    policy = server.admin.get(server.url + "/v1/policy", timeout=30).json()
    nordbank = Recipient(server, "nordbank")
    activity = next(a for a in policy["activities"] if a["recipient"] == "nordbank")
    assert "consent" in activity["basis"].values()
    for category in activity["categories"]:
        assert nordbank.read(activity["purpose"], category).json()["reason"] == "no_consent"
    assert nordbank.read("personal_offers", "contact").json()["reason"] == "not_in_policy"
    answer_notice(server, "give", activity["purpose"], "nordbank", ["purchases"])
    item = nordbank.read(activity["purpose"], "purchases").json()["items"][0]
    assert item["data"] == {"bought_at": "2026-11", "amount": PURCHASE["amount"]}
    assert item["consumer"] != "new01"  # a code that is nordbank's alone
    assert nordbank.read(activity["purpose"], "loyalty").json()["reason"] == "no_consent"


def test_a_broker_gets_what_may_be_sold_with_its_provenance_until_the_consumer_opts_out(server):
    datamark = Recipient(server, "datamark")
    assert datamark.read("data_sale", "profile").json()["reason"] == "no_consent"
    consent = answer_notice(server, "give", "data_sale", "datamark", ["profile"])
    item = datamark.read("data_sale", "profile").json()["items"][0]
    assert item["data"] == {"interests": "tea", "language": "sv"}
    assert item["provenance"]["controller"] == "nordhandel"
    assert item["provenance"]["source"] == "till"
    assert item["provenance"]["observed_at"] <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(
        time.time() + 60))
    answer = server.admin.post(f"{server.url}/v1/consents/{consent}/withdraw", json={}, timeout=30)
    assert answer.status_code == 200
    assert datamark.read("data_sale", "profile").json()["reason"] == "withdrawn"


def test_provenance_goes_to_brokers_alone(server):
    marketing = Recipient(server, "marketing")
    answer_notice(server, "give", "personal_offers", "marketing", ["contact"], "new02")
    assert "provenance" not in marketing.read("personal_offers", "contact", "new02").json()["items"][0]


def test_a_successor_gets_what_was_not_refused_and_the_switch_is_recorded(server):
    nyhandel = Recipient(server, "nyhandel")
    answer_notice(server, "refuse", "business_transfer", "nyhandel", ["contact", "purchases"], "new02")
    got = nyhandel.read("business_transfer", "contact").json()["items"][0]["data"]
    assert got == {"name": "Siv Ek", "email": "siv.ek@example.org"}
    assert nyhandel.read("business_transfer", "contact", "new02").json()["reason"] == "objected"
    deadline = time.time() + 20
    while time.time() < deadline:
        page = server.admin.get(server.url + "/v1/events?limit=1000", timeout=30).json()
        begun, after = [], None
        while True:
            begun += [e for e in page["items"] if e["kind"] == "transfer.begin"]
            after = page["next"]
            if not after:
                break
            page = server.admin.get(f"{server.url}/v1/events?limit=1000&after={after}",
                                    timeout=30).json()
        if begun:
            break
        time.sleep(0.3)
    assert len(begun) == 1
    assert begun[0]["recipient"] == "nyhandel" and begun[0]["begins"] == "2026-11-01T00:00:00Z"
    assert {p["category"] for p in begun[0]["permitted"]} == {"contact", "purchases"}


def test_a_successor_waits_while_consumers_choose_and_the_switch_is_proven_by_command(server, tmp_path):
    from test_messages import sold
    nyhandel, at = Recipient(server, "nyhandel"), ["--dir", server.folder]

    def events():
        return json.loads(lov("log", "show", "--json", *at))["items"]

    def begun():
        return [e for e in events() if e["kind"] == "transfer.begin"]

    seen = len(begun())
    lov("policy", "apply", sold(tmp_path, "sold", "2099-01-01"), *at)
    assert nyhandel.read("business_transfer", "contact").json()["reason"] == "recipient_not_begun"
    recipient, = [r for r in server.admin.get(server.url + "/v1/policy", timeout=30).json()["recipients"]
                  if r["id"] == "nyhandel"]
    assert (recipient["transfer_announced"][:10], recipient["transfer_begins"][:10]) == ("2026-09-01", "2099-01-01")
    consent = lov("consent", "refuse", "--consumer", "new01", "--purpose", "business_transfer", "--recipient", "nyhandel",
                  "--categories", "contact,purchases", "--notice", "business_transfer@1", "--language", "sv", *at)
    assert consent and len(begun()) == seen
    lov("policy", "apply", sold(tmp_path, "begun", "2026-10-31"), *at)
    assert nyhandel.read("business_transfer", "contact").json()["reason"] == "objected"
    deadline = time.time() + 20
    while len(begun()) == seen:
        assert time.time() < deadline
        time.sleep(0.2)
    switch = begun()[-1]
    assert switch["begins"] == "2026-10-31T00:00:00Z"
    lov("log", "checkpoint", *at)
    proof = json.loads(lov("log", "proof", "inclusion", "--seq", switch["seq"], "--json", *at))
    assert proof["seq"] == switch["seq"]
