from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from rag.errors import LoadError
from rag.loaders import Source, load
from rag.loaders import fetch as module
from rag.loaders.fetch import ALLOW_PRIVATE, fetch

PAGE = b"<html><title>Terms</title><p>Thirty days.</p></html>"


class Handler(BaseHTTPRequestHandler):
    hits: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.hits.append(self.path)
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", self.path[4:])
            self.end_headers()
        elif self.path == "/drip":
            self.send_response(200)
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b".")
                self.wfile.flush()
                time.sleep(0.05)
        elif self.path == "/missing":
            self.send_error(404)
        elif self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"short")
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b"x" * 1000)
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PAGE)

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    Handler.hits = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        monkeypatch.setenv(ALLOW_PRIVATE, "1")
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_a_page_is_fetched_through_redirects_and_loaded(server: str) -> None:
    assert fetch(f"{server}/to?/a%20b?x=1", max_bytes=10_000) == PAGE
    assert Handler.hits[-1] == "/a%20b?x=1"
    (document,) = load(Source(name=f"{server}/terms", locator=f"{server}/terms"))
    assert (document.title, document.text, document.source) == ("Terms", "Thirty days.", f"{server}/terms")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/missing", "404"),
        ("/endless", "larger than"),
        ("/cut", "did not answer properly"),
        ("/to?/to?/to?/to?/to?/to?/x", "redirects"),
        ("/to?ftp://x/y", "only http and https"),
        ("/to?//user:pw@127.0.0.1/", "user name or password"),
    ],
)
def test_bad_replies_are_named(server: str, path: str, words: str) -> None:
    with pytest.raises(LoadError, match=words):
        fetch(server + path, max_bytes=10_000)


def test_a_dripping_server_is_cut_off(server: str) -> None:
    began = time.monotonic()
    with pytest.raises(LoadError, match="too long"):
        fetch(f"{server}/drip", max_bytes=10_000, deadline_s=0.4)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://169.254.169.254/latest/", "http://10.0.0.1/",
        "http://192.168.1.1/", "http://172.16.0.1/", "http://0.0.0.0/", "http://[::ffff:127.0.0.1]/", "http://0/",
        "http://[64:ff9b::a9fe:a9fe]/", "http://[2002:7f00:1::]/", "http://100.64.0.1/", "http://[fd00::1]/",
        "http://2130706433/", "http://0x7f000001/", "http://127.1/", "http://[fe80::1]/", "http://224.0.0.1/",
        "http://192.0.0.192/", "http://0177.0.0.1/", "http://[::]/",
    ],
)  # fmt: skip
def test_private_addresses_are_refused(url: str) -> None:
    with pytest.raises(LoadError, match=r"private address|is not found"):
        fetch(url, max_bytes=100)


@pytest.mark.parametrize(
    "url",
    ["http://a b/", "http://127.0.0.1\\@example.org/", "http://example.org\t/", "http://", "http://x:99999/",
     "gopher://x/", "http://u@x/", "http://\x00/", "https:///x"],
)  # fmt: skip
def test_urls_that_two_parsers_may_read_differently_are_refused(url: str) -> None:
    with pytest.raises(LoadError):
        fetch(url, max_bytes=100)


def test_a_redirect_into_the_private_network_is_refused(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ALLOW_PRIVATE)
    checks: list[str] = []
    real = module._is_public

    def public_at_first(address: str) -> bool:
        checks.append(address)
        return len(checks) == 1 or real(address)

    monkeypatch.setattr(module, "_is_public", public_at_first)
    with pytest.raises(LoadError, match=r"private address 169\.254"):
        fetch(f"{server}/to?http://169.254.169.254/latest", max_bytes=100)
    assert checks == ["127.0.0.1", "169.254.169.254"]


def test_a_name_that_changes_its_address_gains_nothing(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ALLOW_PRIVATE)
    port = int(server.rsplit(":", 1)[1])
    answers = iter([["93.184.216.34", "127.0.0.1"]])

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(answers)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(LoadError, match=r"private address 127\.0\.0\.1"):
        fetch(f"http://rebind.example:{port}/", max_bytes=100)
    assert Handler.hits == []
