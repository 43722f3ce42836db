"""Staff by command and by HTTP: invited, listed, trained, disabled; what is wrong is said, and changes
nothing. What they see is test/browser's."""

import json
import re

import pytest

from test_http import demo, lov, shared  # noqa: F401 (fixtures)


def staff(folder, *args, code=0):
    return lov("staff", *args, "--dir", folder, code=code)


def listed(folder):
    return {s["id"]: s for s in json.loads(staff(folder, "list", "--json"))["items"]}


def test_staff_are_invited_trained_and_disabled(shared):  # noqa: F811
    folder = shared.folder
    made = json.loads(staff(folder, "invite", "Anna Berg", "--roles", "support,auditor", "--for", "customer_service",
                            "--trained-until", "2027-06-30", "--json"))
    assert made["url"] == shared.url + made["path"] and made["path"].startswith("/console/welcome/")
    one = listed(folder)[made["id"]]
    assert one["roles"] == ["support", "auditor"] and one["recipients"] == ["customer_service"]
    assert one["trained_until"] == "2027-06-30" and not one["has_account"] and one["disabled_at"] is None
    line = next(line for line in staff(folder, "list").splitlines() if line.startswith(made["id"]))
    assert "Anna Berg" in line and "trained until 2027-06-30" in line and "no account yet" in line
    assert "trained until 2028-01-31" in staff(folder, "training", made["id"], "--until", "2028-01-31")
    assert re.match(rf"{shared.url}/console/welcome/[\w-]{{43}}\n$", staff(folder, "link", made["id"], "--hours", "1"))
    assert "kept out" in staff(folder, "disable", made["id"])
    assert listed(folder)[made["id"]]["disabled_at"]
    for args in (["disable"], ["link"], ["training", "--until", "2028-01-31"], ["change", "--roles", "auditor"]):
        staff(folder, args[0], made["id"], *args[1:], code=1)
    kinds = [e["kind"] for e in shared.admin.get(shared.url + "/v1/events?limit=1000", timeout=20).json()["items"]
             if e.get("staff") == made["id"]]
    assert kinds == ["staff.invite", "staff.training", "staff.invite", "staff.disable"]


def test_a_second_page_of_staff_goes_on_where_the_first_ended(shared):  # noqa: F811
    for n in range(5):
        staff(shared.folder, "invite", f"Page {n}", "--roles", "analyst")
    found, after = [], ""
    while after is not None:
        page = shared.admin.get(f"{shared.url}/v1/staff?limit=2{'&after=' + after if after else ''}", timeout=20).json()
        assert len(page["items"]) <= 2
        found += [s["id"] for s in page["items"]]
        after = page["next"]
    assert len(found) == len(set(found)) == len(listed(shared.folder))


@pytest.mark.parametrize("body,reason", [
    ({"name": "x"}, "missing_field"), ({"roles": ["admin"]}, "missing_field"),
    ({"name": " ", "roles": ["admin"]}, "invalid_field"), ({"name": "x", "roles": []}, "invalid_field"),
    ({"name": "x", "roles": ["king"]}, "unknown_role"), ({"name": "x", "roles": ["collector"]}, "unknown_role"),
    ({"name": "x", "roles": ["admin"], "recipients": ["nobody"]}, "unknown_recipient"),
    ({"name": "x", "roles": ["admin"], "recipients": ["adnord"]}, "unknown_recipient"),
    ({"name": "x", "roles": ["admin"], "trained_until": "soon"}, "invalid_field"),
    ({"name": "x\n", "roles": ["admin"]}, "invalid_field"), ({"name": "x" * 201, "roles": ["admin"]}, "invalid_field"),
    ({"name": "x", "roles": ["admin"], "hours": 721}, "invalid_field"),
    ({"name": "x", "roles": ["admin"], "password": "x"}, "unknown_field"),
])
def test_what_is_wrong_with_new_staff_is_said(shared, body, reason):  # noqa: F811
    before = shared.state()
    answer = shared.admin.post(shared.url + "/v1/staff", json=body, timeout=20)
    assert answer.status_code in (400, 422) and answer.json()["reason"] == reason, answer.text
    assert shared.state() == before


@pytest.mark.parametrize("body,reason", [
    ({}, "missing_field"), ({"roles": None}, "missing_field"), ({"roles": []}, "invalid_field"),
    ({"roles": ["king"]}, "unknown_role"), ({"roles": ["collector"]}, "unknown_role"),
    ({"roles": ["auditor", "auditor"]}, "invalid_field"), ({"roles": "auditor"}, "invalid_field"),
    ({"recipients": ["adnord"]}, "unknown_recipient"), ({"roles": ["auditor"], "recipients": ["nobody"]},
                                                        "unknown_recipient"),
    ({"trained_until": "2027-02-30"}, "invalid_field"), ({"name": "x"}, "unknown_field"),
])
def test_what_is_wrong_with_a_change_is_said_and_changes_nothing(shared, body, reason):  # noqa: F811
    made = json.loads(staff(shared.folder, "invite", "Bo", "--roles", "support", "--for", "risk", "--json"))["id"]
    before, was = shared.state(), listed(shared.folder)[made]
    answer = shared.admin.post(f"{shared.url}/v1/staff/{made}/change", json=body, timeout=20)
    assert answer.status_code in (400, 422) and answer.json()["reason"] == reason, answer.text
    assert shared.state() == before and listed(shared.folder)[made] == was


def test_roles_and_departments_are_changed(shared):  # noqa: F811
    folder = shared.folder
    made = json.loads(staff(folder, "invite", "Cid", "--roles", "support", "--for", "risk,customer_service", "--json"))
    line = staff(folder, "change", made["id"], "--roles", "auditor,analyst")
    assert "auditor,analyst for risk,customer_service" in line
    answer = shared.admin.post(f"{shared.url}/v1/staff/{made['id']}/change", timeout=20,
                               json={"recipients": ["risk"], "trained_until": "2029-01-31"}).json()
    assert answer == shared.admin.get(f"{shared.url}/v1/staff/{made['id']}", timeout=20).json()
    assert (answer["roles"], answer["recipients"], answer["trained_until"]) == (
        ["auditor", "analyst"], ["risk"], "2029-01-31")
    assert " for " not in staff(folder, "change", made["id"], "--for", "-")
    said = [(e["kind"], e.get("roles"), e.get("departments")) for e in
            shared.admin.get(shared.url + "/v1/events?limit=1000", timeout=20).json()["items"]
            if e.get("staff") == made["id"]]
    assert said[1:] == [("staff.change", ["auditor", "analyst"], ["risk", "customer_service"]),
                        ("staff.change", ["auditor", "analyst"], ["risk"]),
                        ("staff.change", ["auditor", "analyst"], [])]
    for session in (shared.session("--staff", "privacy_officer"), shared.marketing):
        assert session.post(f"{shared.url}/v1/staff/{made['id']}/change", json={"roles": ["admin"]},
                            timeout=20).status_code == 403


def test_staff_who_are_not_there_are_not_found(shared):  # noqa: F811
    for one in ("0" * 32, "x", "0" * 31):
        assert shared.admin.get(f"{shared.url}/v1/staff/{one}", timeout=20).status_code == 404
        for rest, body in (("invitations", {}), ("disable", {}), ("training", {"trained_until": "2027-01-01"}),
                           ("change", {"roles": ["auditor"]})):
            answer = shared.admin.post(f"{shared.url}/v1/staff/{one}/{rest}", json=body, timeout=20)
            assert answer.status_code == 404 and answer.json()["reason"] == "unknown_staff"


def test_the_overview_counts_and_names_nobody(shared):  # noqa: F811
    from test_http import question
    before = shared.admin.get(shared.url + "/v1/overview", timeout=20).json()
    body = question("00003")
    body["context"] = {"record": True}
    assert shared.marketing.post(shared.url + "/access/v1/evaluation", json=body, timeout=20).ok
    after = shared.admin.get(shared.url + "/v1/overview", timeout=20).json()
    days = [sum(overview["uses"]["days"][-1][k] for k in ("permitted", "denied")) for overview in (before, after)]
    assert days[1] == days[0] + 1
    assert len(after["uses"]["days"]) == 14
    assert sum(after["uses"]["denied"].values()) == sum(day["denied"] for day in after["uses"]["days"])
    assert after["consumers"] > 0 and after["activities"]
    for activity in after["activities"]:
        assert 0 <= activity["permitted"] <= after["consumers"]
    assert shared.admin.get(shared.url + "/v1/overview?x=1", timeout=20).status_code == 400


def test_uses_are_counted_by_recipient_and_cut_to_ones_own(shared):  # noqa: F811
    def counted(session):
        items = session.get(shared.url + "/v1/uses", timeout=20).json()["items"]
        return {(i["recipient"], i["purpose"]): (i["permitted"], i["refused"], sum(i["denied"].values())) for i in items}

    from test_http import question
    risk = shared.session("--recipient", "risk")
    for session, body in ((shared.marketing, question("00004")), (risk, question("00004", "risk"))):
        body["context"] = {"record": True}
        assert session.post(shared.url + "/access/v1/evaluation", json=body, timeout=20).ok
    everything = counted(shared.admin)
    own = counted(risk)
    assert own and all(key[0] == "risk" for key in own) and own.items() <= everything.items()
    assert ("marketing", "personal_offers") in everything
    assert all(refused == reasons for _, refused, reasons in everything.values())
