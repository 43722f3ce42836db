"""What the tests of the console share: members of staff, by plain HTTP and in Chromium."""

import json
import os
import re

import requests

from portal import PASSWORD, ROOT, lov, token

ROLES = ("admin", "privacy_officer", "analyst", "support", "marketing", "auditor")


def invite_staff(server, name="Anna Berg", roles="privacy_officer", departments=None, trained="2030-12-31"):
    options = ["--roles", roles]
    if departments:
        options += ["--for", departments]
    if trained:
        options += ["--trained-until", trained]
    return json.loads(lov("staff", "invite", name, *options, "--dir", server.folder, "--json"))


class Staff:
    """A member of staff with an account, signed in."""

    count = 0

    def __init__(self, server, roles="privacy_officer", name="Anna Berg", departments=None, trained="2030-12-31",
                 language="en"):
        Staff.count += 1
        self.server, self.name, self.login = server, name, f"staff{Staff.count}@example.com"
        link = invite_staff(server, name, roles, departments, trained)
        self.id = link["id"]
        self.http = requests.Session()
        self.http.headers["Accept-Language"] = language
        answer = self.post(link["path"], csrf=token(self.get(link["path"]).text), name=self.login, password=PASSWORD,
                           again=PASSWORD)
        assert answer.status_code == 303, answer.text
        assert answer.headers["Location"] == "/console/sign-in"
        answer = self.sign_in()
        assert answer.status_code == 303, answer.text
        assert answer.headers["Location"] == "/console"

    def sign_in(self, password=PASSWORD, **fields):
        page = self.get("/console/sign-in").text
        return self.post("/console/sign-in", csrf=token(page), name=self.login, password=password, **fields)

    def get(self, path, **options):
        options.setdefault("allow_redirects", False)
        return self.http.get(self.server.url + path, timeout=30, **options)

    def post(self, path, headers=None, files=None, **fields):
        return self.http.post(self.server.url + path, data=fields, files=files, timeout=30, headers=headers or {},
                              allow_redirects=False)

    def page(self, path):
        answer = self.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:800])
        return answer.text

    def token(self):
        return token(self.page("/console/account"))

    def send(self, path, **fields):
        """A form with the token of the session."""
        return self.post(path, csrf=self.token(), **fields)


def propose_read(staff, what="marketing personal_offers purchases", form="jsonl", why="The spring campaign."):
    """The path of the page of a proposed read."""
    answer = staff.send("/console/reads", what=what, format=form, why=why)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def activities(retention_days):
    """The demo's activities, with another retention of the first one."""
    with open(os.path.join(ROOT, "policy", "activities.yaml"), encoding="utf-8") as file:
        return re.sub(r"retention: \d+", f"retention: {retention_days}", file.read(), count=1)


def propose(staff, retention_days, status=303, name="activities.yaml"):
    """The path of the page of a proposal."""
    answer = staff.post("/console/policy/propose", csrf=staff.token(),
                        files=[("files", (name, activities(retention_days).encode(), "text/yaml"))])
    assert answer.status_code == status, answer.text
    return answer.headers.get("Location")
