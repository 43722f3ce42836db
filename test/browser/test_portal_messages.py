"""The portal's messages: a list with read and unread, one message, and how to hear; in both languages, on a
phone and a desktop, with and without scripts, as axe-core likes it."""

import json
import os
import re
import time

import pytest

from portal import DESKTOP, PHONE, ROOT, token
from test_portal import axe

with open(os.path.join(ROOT, "web", "portal.en.json"), encoding="utf-8") as file:
    WORDS = json.load(file)


def until(condition):
    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def withdraw(server, consumer):
    consent = server.give(consumer=consumer).json()
    server.admin.post(f"{server.url}/v1/consents/{consent['id']}/withdraw", json={}, timeout=20).raise_for_status()


def links(person, path="/portal/messages"):
    return re.findall(r'<a href="(/portal/messages/event-\d+)"', person.page(path))


def told(server, person, times=1):
    for _ in range(times):
        withdraw(server, person.consumer)
    return until(lambda: len(links(person)) >= min(times, 20) and links(person))


def unread(person):
    found = re.search(r'<span class="count">(\d+)', person.page("/portal"))
    return int(found[1]) if found else 0


def test_without_messages_the_page_says_so_and_shows_the_choices(server, person):
    page = person.page("/portal/messages")
    assert WORDS["messages_none"] in page and WORDS["messages_settings"] in page
    assert 'value="quarterly" checked' in page
    assert unread(person) == 0


def test_a_message_is_new_until_it_is_opened_and_can_be_kept_as_new(server, person):
    path = told(server, person)[0]
    assert unread(person) == 1
    page = person.page(path)
    assert WORDS["message_lead_withdrawal"] in page and "marketing department" in page
    assert unread(person) == 0 and '<span class="new">' not in person.page("/portal/messages")
    assert person.post(path + "/unread", csrf=token(page)).status_code == 303
    assert unread(person) == 1
    told(server, person, 2)
    until(lambda: unread(person) == 3)
    answer = person.post("/portal/messages/read", csrf=token(person.page("/portal/messages")))
    assert answer.headers["Location"] == "/portal/messages"
    assert unread(person) == 0


def test_nothing_is_changed_without_the_form_of_the_page(server, person):
    path = told(server, person)[0]
    for target, fields in (("/portal/messages/read", {}), (path + "/unread", {}),
                           ("/portal/messages/settings", {"often": "never"})):
        assert person.post(target, csrf="wrong", **fields).status_code == 403
        assert person.post(target, csrf="", **fields).status_code == 403
    assert unread(person) == 1
    assert 'value="quarterly" checked' in person.page("/portal/messages")
    form = token(person.page("/portal/messages"))
    assert person.post("/portal/messages/settings", csrf=form, often="hourly").status_code == 400
    assert person.post("/portal/messages/settings", csrf=form).status_code == 400


def test_many_messages_come_in_pages(server, person):
    for _ in range(23):
        withdraw(server, person.consumer)
    until(lambda: unread(person) == 23)
    first = links(person)
    older = re.search(r'rel="next" href="([^"]+)"', person.page("/portal/messages"))[1]
    second = links(person, older)
    assert (len(first), len(second)) == (20, 3) and not set(first) & set(second)
    numbers = [int(link.rsplit("-", 1)[1]) for link in first + second]
    assert numbers == sorted(numbers, reverse=True)


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("language", ["sv", "en"])
def test_a_consumer_reads_and_chooses(server, person, open_browser, language, size, script):
    with open(os.path.join(ROOT, "web", f"portal.{language}.json"), encoding="utf-8") as words_file:
        words = json.load(words_file)
    told(server, person)
    browser = open_browser(size, script, language).become(person).open(server.url + "/portal/messages")
    assert browser.find(".menu .count").text.split()[0] == "1"
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
    browser.find(".messages a").click()
    browser.wait(lambda b: b.find("h1").text == words["message_withdrawal"])
    assert not browser.all(".menu .count")
    browser.open(server.url + "/portal/messages")
    browser.find("input[value=monthly]").click()
    button = browser.find("form[action$=settings] button")
    browser.run("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    browser.wait(lambda b: words["messages_saved"] in b.find("[role=status]").text)
    assert browser.find("input[value=monthly]").is_selected()
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
    assert [error for error in browser.errors() if "favicon.ico" not in error] == []


@pytest.mark.parametrize("size,dark,language", [(PHONE, True, "sv"), (DESKTOP, False, "en")], ids=["phone", "desktop"])
def test_axe_finds_nothing_on_messages(server, person, open_browser, size, dark, language):
    path = told(server, person)[0]
    browser = open_browser(size, language=language, dark=dark).become(person)
    for page in ("/portal/messages", path):
        assert axe(browser.open(server.url + page)) == []
