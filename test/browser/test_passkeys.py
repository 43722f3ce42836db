"""Passkeys, with Chromium's virtual authenticator: made, used instead of a password, and ended. What
an authenticator must sign is test/unit/test_base_webauthn.c's."""

import re

import requests
from selenium.webdriver.common.virtual_authenticator import VirtualAuthenticatorOptions

from portal import PASSWORD, invite


def begin(server, open_browser, consumer, verified=True):
    """A new account in a browser with an authenticator. Passkeys are bound to a name, so the server is
    called by one."""
    url = server.url.replace("127.0.0.1", "localhost")
    browser = open_browser()
    options = VirtualAuthenticatorOptions()
    options.has_resident_key = options.has_user_verification = True
    options.is_user_verified = verified
    browser.driver.add_virtual_authenticator(options)
    browser.open(url + invite(server, consumer))
    for name, value in (("name", consumer + "@example.com"), ("password", PASSWORD), ("again", PASSWORD)):
        browser.find("#" + name).send_keys(value)
    browser.find("form.stack button").click()
    browser.wait(lambda b: b.find(".sums"))
    return browser, url


def make_passkey(browser, url):
    browser.open(url + "/portal/account")
    button = browser.wait(lambda b: b.find("form.passkey.ready button"))
    browser.run("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()


def sign_out(browser):
    leave = "form[action='/portal/sign-out'] button"
    browser.find(leave).click()
    # The page that is left may have such a form, too.
    browser.wait(lambda b: not b.all(leave) and b.find("form.passkey.ready button"))


def test_a_passkey_signs_in_until_it_is_ended(server, open_browser):
    browser, url = begin(server, open_browser, "00030")
    make_passkey(browser, url)
    browser.wait(lambda b: b.find("form[action$='/end'][action*='passkeys'] button"), "the passkey in the list")
    sign_out(browser)
    browser.open(url + "/portal/sign-in?next=/portal/receipts")
    browser.wait(lambda b: b.find("form.passkey.ready button")).click()
    browser.wait(lambda b: b.driver.current_url == url + "/portal/receipts", "the page that was asked for")
    browser.open(url + "/portal/activity")
    assert "You made a passkey" in browser.find(".events").text
    # The counter has moved on; it works again.
    sign_out(browser)
    browser.wait(lambda b: b.find("form.passkey.ready button")).click()
    browser.wait(lambda b: b.find(".sums"))
    browser.open(url + "/portal/account")
    browser.find("form[action$='/end'][action*='passkeys'] button").click()
    browser.wait(lambda b: not b.all("form[action$='/end'][action*='passkeys']"), "the end of the passkey")
    sign_out(browser)
    browser.wait(lambda b: b.find("form.passkey.ready button")).click()
    browser.wait(lambda b: "not known here" in b.find(".problem").text)


def catch_answer(browser):
    """What the browser would send, which is not sent."""
    browser.run("HTMLFormElement.prototype.submit = function () { window.sent = [...new FormData(this)]; }")
    browser.find("form.passkey.ready button").click()
    fields = dict(browser.wait(lambda b: b.run("return window.sent"), "the authenticator"))
    cookies = {c["name"]: c["value"] for c in browser.driver.get_cookies()}
    return fields, cookies


def test_an_answer_is_good_once_and_for_its_browser_alone(server, open_browser):
    browser, url = begin(server, open_browser, "00031")
    make_passkey(browser, url)
    browser.wait(lambda b: b.find("form[action$='/end'][action*='passkeys'] button"))
    sign_out(browser)
    fields, cookies = catch_answer(browser)

    def send(**changes):
        return requests.post(url + "/portal/sign-in/passkey", data={**fields, **changes}, cookies=cookies, timeout=20,
                             allow_redirects=False)

    assert send(csrf="x").status_code == 403
    good = send()
    assert good.status_code == 303 and "lov-session" in good.cookies
    assert send().status_code == 401  # again
    # Each part is held against the others.
    for part in ("id", "client", "data", "signature"):
        browser.open(url + "/portal/sign-in")
        browser.wait(lambda b: b.find("form.passkey.ready button"))
        fields, cookies = catch_answer(browser)
        text = fields[part]
        flipped = text[:10] + ("A" if text[10] != "A" else "B") + text[11:]
        assert send(**{part: flipped}).status_code == 401, part
        assert send(**{part: "%%%"}).status_code == 401, part
        assert send(**{part: ""}).status_code == 401, part


def test_a_passkey_needs_its_person(server, open_browser):
    browser, url = begin(server, open_browser, "00032", verified=False)
    make_passkey(browser, url)
    browser.open(url + "/portal/account")
    assert not browser.all("form[action$='/end'][action*='passkeys']")


def test_without_a_name_there_is_no_offer(server, person, open_browser):
    browser = open_browser().become(person).open(server.url + "/portal/account")
    form = browser.find("form.passkey")
    assert not form.is_displayed()
    assert re.search(r'data-challenge="[\w-]{43}"', person.page("/portal/account"))


def test_nobody_makes_a_passkey_with_what_was_signed_elsewhere(server, open_browser):
    browser, url = begin(server, open_browser, "00033")
    browser.open(url + "/portal/account")
    browser.wait(lambda b: b.find("form.passkey.ready button"))
    fields, cookies = catch_answer(browser)
    other, _ = begin(server, open_browser, "00034")
    stolen = {c["name"]: c["value"] for c in other.driver.get_cookies()}
    csrf = re.search(r'name="csrf" value="([^"]+)"', requests.get(url + "/portal/account", cookies=stolen, timeout=20).text)[1]

    def send(cookies, csrf):
        return requests.post(url + "/portal/account/passkeys", data={**fields, "csrf": csrf}, cookies=cookies,
                             timeout=20, allow_redirects=False).status_code

    assert send(stolen, csrf) == 400  # the challenge was given to another session
    assert send(cookies, fields["csrf"]) == 303
    assert send(cookies, fields["csrf"]) == 400  # and is used up
