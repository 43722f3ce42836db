"""What the browser tests share: a demo company that serves, accounts in it, and Chromium."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import requests
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test", "system"))

from test_http import LOV, PURCHASES, Server, lov, question  # noqa: E402,F401

PASSWORD = "korrekt häst batteri"
PHONE, DESKTOP = (360, 740), (1280, 900)
PURCHASE = {"source": "till", "observed_at": "2026-11-20T10:15:30Z", "data": {
    "order_id": "A-17", "bought_at": "2026-11-20T10:15:30Z", "product": "kettle", "department": "home",
    "quantity": 2, "amount": {"amount": "349.50", "currency": "SEK"}, "store": "Lund"}}


def make_demo(folder):
    with open(folder / "purchases.txt", "w", encoding="ascii") as file:
        file.write(PURCHASES)
    lov("demo", "--dir", folder / "demo", "--purchases", folder / "purchases.txt")
    return folder / "demo"


def invite(server, consumer):
    return json.loads(lov("account", "invite", "--dir", server.folder, consumer, "--json"))["path"]


class Person:
    """A consumer with an account, by plain HTTP: what a browser without scripts can do."""

    def __init__(self, server, consumer, name=None, language="en"):
        self.server, self.consumer, self.name = server, consumer, name or f"{consumer}@example.com"
        self.http = requests.Session()
        self.http.headers["Accept-Language"] = language
        path = invite(server, consumer)
        page = self.get(path)
        answer = self.post(path, csrf=token(page.text), name=self.name, password=PASSWORD, again=PASSWORD)
        assert answer.status_code == 303, answer.text
        assert answer.headers["Location"] == "/portal"

    def get(self, path, **options):
        options.setdefault("allow_redirects", False)
        return self.http.get(self.server.url + path, timeout=20, **options)

    def post(self, path, headers=None, **fields):
        return self.http.post(self.server.url + path, data=fields, timeout=20, headers=headers or {},
                              allow_redirects=False)

    def page(self, path):
        answer = self.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:500])
        return answer.text

    def choice(self, activity):
        """The hidden fields of a choice's form, as the page has them."""
        return hidden(self.page(f"/portal/choices/{activity}").split('class="answer"')[1].split("</form>")[0])

    def answer(self, activity, say, **changes):
        return self.post(f"/portal/choices/{activity}", answer=say, **{**self.choice(activity), **changes})


def token(page):
    return hidden(page)["csrf"]


def hidden(page):
    import html
    import re
    return {name: html.unescape(value) for name, value in
            re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)}


class Browser:
    """Chromium of a size, with or without JavaScript, in light or dark."""

    def __init__(self, size=DESKTOP, script=True, language="en", dark=False):
        options = webdriver.ChromeOptions()
        self.profile = tempfile.mkdtemp(prefix="lov-chromium-")
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                         "--hide-scrollbars", "--force-color-profile=srgb", f"--lang={language}",
                         f"--user-data-dir={self.profile}"):
            options.add_argument(argument)
        preferences = {"intl.accept_languages": language}
        if not script:
            preferences["profile.managed_default_content_settings.javascript"] = 2
        options.add_experimental_option("prefs", preferences)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        self.command = self.driver.execute_cdp_cmd
        self.command("Emulation.setDeviceMetricsOverride", {
            "width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 600})
        self.command("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})

    def close(self):
        self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)

    def open(self, url):
        self.driver.get(url)
        return self

    def find(self, css):
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def all(self, css):
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def run(self, script, *args):
        return self.driver.execute_script(script, *args)

    def wait(self, condition, what="the page", seconds=15):
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = condition(self)
            except Exception:  # noqa: BLE001 the page is on its way
                found = None
            if found:
                return found
            assert time.monotonic() < deadline, f"waited for {what}: {self.driver.current_url}"
            time.sleep(0.05)

    def become(self, person):
        """Takes over the session that a person has by plain HTTP."""
        self.open(person.server.url + "/portal/assets/favicon.svg")
        for cookie in person.http.cookies:
            self.command("Network.setCookie", {"name": cookie.name, "value": cookie.value,
                                               "url": person.server.url, "httpOnly": True})
        self.errors()  # that the server has no favicon.ico is not the page's
        return self

    def errors(self):
        """What the page's console complained about."""
        return [line["message"] for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]

    def picture(self, path):
        """The whole page."""
        size = self.run("return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
        import base64
        shot = self.command("Page.captureScreenshot", {
            "captureBeyondViewport": True, "clip": {
                "x": 0, "y": 0, "width": size[0], "height": min(size[1], 4000), "scale": 1}})
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))
