"""TLS by certificate and key files: what is offered, what metadata says, and new files by SIGHUP while
connections run."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import warnings

import pytest
import requests

from test_http import LOV, NO_INDEX, Server, demo, question  # noqa: F401 (fixture)

DEADLINE = 20


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A folder with an authority, and certificates old, new and other, each with its key."""
    folder = tmp_path_factory.mktemp("tls")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", "/CN=authority", "-keyout", folder / "ca.key", "-out",
            folder / "ca.pem")
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("old", "new", "other"):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key", "-out",
                folder / f"{name}.csr")
        openssl("x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / "ca.pem", "-CAkey",
                folder / "ca.key", "-CAcreateserial", "-days", "2", "-extfile", folder / "san",
                "-out", folder / f"{name}.pem")
        (folder / f"{name}.key").chmod(0o600)
    return folder


def install(authority, folder, cert, key=None):
    """Puts new files in place of the old ones, as who renews them does."""
    for source, target in ((f"{cert}.pem", "cert.pem"), (f"{key or cert}.key", "cert.key")):
        shutil.copy(authority / source, folder / f"{target}.new")
        (folder / f"{target}.new").chmod(0o600)
        os.replace(folder / f"{target}.new", folder / target)


@pytest.fixture
def server(demo, authority, tmp_path):  # noqa: F811
    shutil.copytree(demo, tmp_path / "lov", ignore=NO_INDEX)
    (tmp_path / "lov").chmod(0o700)
    install(authority, tmp_path, "old")
    server = Server(tmp_path / "lov", "--tls-cert", tmp_path / "cert.pem", "--tls-key",
                    tmp_path / "cert.key", authority=authority / "ca.pem")
    server.files = tmp_path
    yield server
    if server.process.poll() is None:
        server.stop()


def context_of(authority, **limits):
    context = ssl.create_default_context(cafile=str(authority / "ca.pem"))
    for name, value in limits.items():
        setattr(context, name, value)
    return context


def shown(server, authority):
    return shown_at(server.port, authority)


def shown_at(port, authority):
    """The name in the certificate that a new connection is shown."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as s:
        with context_of(authority).wrap_socket(s, server_hostname="127.0.0.1") as tls:
            return dict(part[0] for part in tls.getpeercert()["subject"])["commonName"]


def log_of(server):
    with open(server.folder + ".log", encoding="utf-8") as log:
        return log.read()


def reload(server, expected):
    """SIGHUP, until the log has one more line with these words."""
    before = log_of(server).count(expected)
    server.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + DEADLINE
    while log_of(server).count(expected) == before:
        assert time.monotonic() < end and server.process.poll() is None, log_of(server)
        time.sleep(0.01)


def test_decisions_come_over_tls(server):
    assert server.url.startswith("https://")
    assert server.reason() == "permitted"
    assert server.give(consumer="over-tls").status_code == 201


def test_metadata_says_https(server):
    told = server.admin.get(server.url + "/.well-known/authzen-configuration", timeout=20).json()
    assert told["policy_decision_point"] == server.url
    for url in told.values():
        assert url.startswith("https://")
    answer = server.admin.post(told["access_evaluation_endpoint"], json=question(), timeout=20)
    assert answer.json()["decision"] is True


def test_the_line_that_announces_the_server_says_https(demo, authority, tmp_path):  # noqa: F811
    shutil.copytree(demo, tmp_path / "lov", ignore=NO_INDEX)
    (tmp_path / "lov").chmod(0o700)
    install(authority, tmp_path, "old")
    process = subprocess.Popen(
        [LOV, "serve", "--dir", tmp_path / "lov", "--listen", "127.0.0.1:0", "--json", "--tls-cert",
         tmp_path / "cert.pem", "--tls-key", tmp_path / "cert.key"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        url = json.loads(process.stdout.readline())["url"]
        assert url.startswith("https://127.0.0.1:")
        assert shown_at(int(url.rsplit(":", 1)[1]), authority) == "old"
    finally:
        process.terminate()
        assert process.wait(DEADLINE) == 0
        process.stdout.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(server, authority, version):
    context = context_of(authority, minimum_version=version, maximum_version=version)
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as s:
        with context.wrap_socket(s, server_hostname="127.0.0.1") as tls:
            assert tls.version() == version.name.replace("_", ".")


def test_older_versions_are_not_spoken(server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as s:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(s)


def test_plain_http_to_a_tls_port_learns_nothing(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as s:
        s.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        told = b""
        try:
            while part := s.recv(4096):
                told += part
        except ConnectionError:
            pass
    assert b"HTTP/" not in told and b"ready" not in told
    assert server.reason() == "permitted"


def test_new_files_are_shown_after_sighup_and_connections_go_on(server, authority):
    kept = server.session("--staff", "admin")
    trouble, count, stop = [], [0], threading.Event()

    def load():
        session = requests.Session()
        session.headers.update(server.admin.headers)
        session.verify, session.trust_env = server.verify, False
        while not stop.is_set():
            try:
                answer = session.post(server.url + "/access/v1/evaluation", json=question(),
                                      timeout=20, headers={"Connection": "close"})
                if answer.status_code != 200:
                    trouble.append(answer.text)
                count[0] += 1
            except requests.RequestException as error:
                trouble.append(str(error))

    assert shown(server, authority) == "old"
    assert kept.post(server.url + "/access/v1/evaluation", json=question(), timeout=20).ok
    raw = context_of(authority).wrap_socket(
        socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE),
        server_hostname="127.0.0.1")
    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for name in ("new", "old", "other", "new"):
            install(authority, server.files, name)
            reload(server, "reloaded certificates")
            assert shown(server, authority) == name
        # The connection from before the first reload is still the same one, and answers.
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        told = b""
        while part := raw.recv(4096):
            told += part
        assert told.startswith(b"HTTP/1.1 200 ")
        end = time.monotonic() + DEADLINE
        while count[0] <= 20 and time.monotonic() < end:
            time.sleep(0.01)
    finally:
        raw.close()
        stop.set()
        for thread in threads:
            thread.join()
    assert not trouble, trouble[:3]
    assert count[0] > 20


def make_bad(server, authority, how):
    files = server.files
    if how == "another key":
        install(authority, files, "new", "other")
    elif how == "no certificate":
        (files / "cert.pem").write_text("not a certificate\n")
    elif how == "gone":
        (files / "cert.pem").unlink()
    elif how == "no key":
        (files / "cert.key").write_text("")
    elif how == "others can read the key":
        install(authority, files, "new")
        (files / "cert.key").chmod(0o644)


@pytest.mark.parametrize("how", ["another key", "no certificate", "gone", "no key",
                                 "others can read the key"])
def test_bad_new_files_leave_the_old_ones_in_force(server, authority, how):
    make_bad(server, authority, how)
    reload(server, "reload failed, nothing changed")
    assert shown(server, authority) == "old"
    assert server.reason() == "permitted"
    install(authority, server.files, "new")
    reload(server, "reloaded certificates")
    assert shown(server, authority) == "new"


@pytest.mark.parametrize("how", ["another key", "no certificate", "gone", "no key",
                                 "others can read the key"])
def test_a_server_does_not_start_with_bad_files(server, authority, how):
    server.stop()
    make_bad(server, authority, how)
    out = subprocess.run([LOV, "serve", "--dir", server.folder, "--listen", "127.0.0.1:0",
                          "--tls-cert", server.files / "cert.pem", "--tls-key",
                          server.files / "cert.key"], capture_output=True, text=True, timeout=60,
                         check=False)
    assert out.returncode in (2, 3) and out.stderr.startswith("lov: ")
    assert "cert." in out.stderr


def test_the_level_of_the_log_changes_by_sighup(server):
    with open(server.folder + "/log-level", "w", encoding="ascii") as level:
        level.write("error\n")
    server.process.send_signal(signal.SIGHUP)
    with open(server.folder + "/log-level", "w", encoding="ascii") as level:
        level.write("nonsense\n")
    reload(server, "reload failed, nothing changed")
    with open(server.folder + "/log-level", "w", encoding="ascii") as level:
        level.write("info\n")
    reload(server, "reloaded certificates and log level")
