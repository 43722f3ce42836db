"""Global Privacy Control in the portal: a browser that says so opts its consumer out, where their law
demands it, and the page says that it was honoured."""

import pytest
import requests

from portal import question

SIGNAL = {"Sec-GPC": "1"}


def moved(server, person, residence):
    answer = server.admin.put(f"{server.url}/v1/consumers/{person.consumer}", timeout=20,
                              json={"residence": residence, "opt_out_signal": False})
    assert answer.ok, answer.text
    return person.consumer


def opted_out(server, consumer):
    return server.admin.get(f"{server.url}/v1/consumers/{consumer}", timeout=20).json()["opt_out_signal"]


@pytest.mark.parametrize("path", ["/portal", "/portal/choices"])
def test_the_signal_of_the_browser_is_an_opt_out(server, person, path):
    consumer = moved(server, person, "US-CA")
    assert "Global Privacy Control" not in person.get("/portal").text
    for other in ("0", "true", "1, 1"):
        assert person.get(path, headers={"Sec-GPC": other}).status_code == 200
    assert not opted_out(server, consumer)
    answer = person.get(path, headers=SIGNAL)
    assert (answer.status_code, answer.headers["Location"]) == (303, path)
    assert opted_out(server, consumer)
    assert person.get(path, headers=SIGNAL).status_code == 200
    assert "Global Privacy Control" in person.get("/portal").text  # its absence takes nothing back
    answer = server.admin.post(server.url + "/access/v1/evaluation", json=question(consumer), timeout=20).json()
    assert answer["context"]["reason"] == "opted_out"


def test_it_changes_nothing_where_no_law_demands_it(server, person):
    consumer = moved(server, person, "SE")
    assert person.get("/portal", headers=SIGNAL).status_code == 200
    assert not opted_out(server, consumer)


def test_it_changes_nothing_of_who_is_not_signed_in(server, person):
    consumer = moved(server, person, "US-CA")
    answer = requests.get(server.url + "/portal", headers=SIGNAL, timeout=20, allow_redirects=False)
    assert answer.status_code == 303 and not opted_out(server, consumer)
