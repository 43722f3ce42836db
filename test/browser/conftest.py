"""A demo company is made once; each module serves a copy of it."""

import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from portal import Browser, Person, Server, make_demo  # noqa: E402


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return make_demo(tmp_path_factory.mktemp("portal"))


@pytest.fixture(scope="module")
def server(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server") / "lov"
    subprocess.run(["cp", "-a", str(made), str(folder)], check=True)
    server = Server(folder)
    yield server
    server.stop()


@pytest.fixture
def person(server, request):
    """Somebody new for each test, with the answers that the demo drew for them."""
    number = server.next = getattr(server, "next", 1) + 1
    return Person(server, f"{number:05d}")


@pytest.fixture
def open_browser():
    """Browsers that are closed at the end of the test."""
    opened = []

    def make(*args, **options):
        opened.append(Browser(*args, **options))
        return opened[-1]

    yield make
    for browser in opened:
        browser.close()
