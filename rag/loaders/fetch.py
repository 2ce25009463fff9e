"""Fetching a URL without being led into the private network.

One parser reads the URL for the check and for the request; the host is resolved once, every address is
checked, and the connection goes to the address checked, with the host's name for TLS. Each redirect is
checked again the same way.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from rag.errors import LoadError

__all__ = ["ALLOW_PRIVATE", "fetch"]

ALLOW_PRIVATE = "RAGASSAY_ALLOW_PRIVATE_URLS"
_MAX_REDIRECTS = 5
_CONNECT_TIMEOUT_S = 10.0
_DEADLINE_S = 120.0
_BLOCK = 1 << 16
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
_PRIVATE_HOLES = tuple(
    ipaddress.ip_network(net)
    for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "100.64.0.0/10", "192.0.0.0/24")
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Target:
    parts: SplitResult
    host: str
    port: int
    address: str


def fetch(url: str, *, max_bytes: int, deadline_s: float = _DEADLINE_S) -> bytes:
    """Return the body of `url`, of at most `max_bytes` bytes, within `deadline_s` seconds in all.

    Raises:
        LoadError: a private address (unless RAGASSAY_ALLOW_PRIVATE_URLS=1), another status than 200, too
            large, too slow, or no connection.
    """
    until = time.monotonic() + deadline_s
    for _ in range(_MAX_REDIRECTS + 1):
        target = _check(url)
        body, location = _get(target, max_bytes=max_bytes, until=until)
        if location is None:
            return body
        url = urljoin(url, location)
    raise LoadError(f"more than {_MAX_REDIRECTS} redirects; give the final URL.")


def _check(url: str) -> _Target:
    """Parse, resolve and check a URL; the address returned is the one to connect to."""
    if _FORBIDDEN.search(url):
        raise LoadError(
            "the URL holds a blank, a backslash or a control character; encode it as %20, %5C, ..."
        )
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = (parts.hostname or "").encode("idna").decode("ascii") if parts.hostname else ""
    except (ValueError, UnicodeError) as exc:
        raise LoadError(f"not a valid URL ({exc}); check the spelling.") from exc
    if parts.scheme not in {"http", "https"}:
        raise LoadError(
            f"only http and https are fetched, not {parts.scheme or 'a path'!r}; download it yourself."
        )
    if parts.username or parts.password:
        raise LoadError("URLs with a user name or password are refused; download it yourself.")
    if not host:
        raise LoadError("the URL names no host; check the spelling.")
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise LoadError(
            f"the host {host!r} is not found ({exc.strerror}); check the name and the network."
        ) from exc
    addresses = [str(info[4][0]) for info in infos]
    if os.environ.get(ALLOW_PRIVATE) != "1":
        for address in addresses:
            if not _is_public(address):
                raise LoadError(
                    f"{host!r} is at the private address {address}, which is refused; "
                    f"set {ALLOW_PRIVATE}=1 to allow it."
                )
    return _Target(parts=parts, host=host, port=port, address=addresses[0])


def _is_public(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    hole = any(ip.version == net.version and ip in net for net in _PRIVATE_HOLES)
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not hole


def _get(target: _Target, *, max_bytes: int, until: float) -> tuple[bytes, str | None]:
    """Make one request; return the body, or the place that a redirect names."""
    connection = _Pinned(target)
    # A server may drip one byte at a time, which no socket timeout sees: the timer ends that.
    timer = threading.Timer(max(0.1, until - time.monotonic()), connection.abort)
    timer.daemon = True
    timer.start()
    try:
        path = quote(target.parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = f"?{quote(target.parts.query, safe='/%:@!$&()*+,;=~-._?')}" if target.parts.query else ""
        headers = {
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "ragassay",
            "Connection": "close",
        }
        connection.request("GET", path + query, headers=headers)
        reply = connection.getresponse()
        location = reply.getheader("Location")
        if reply.status in _REDIRECTS and location:
            return b"", location
        _check_reply(reply, max_bytes)
        body = _read(reply, max_bytes)
    except (OSError, http.client.HTTPException, ValueError) as exc:
        if connection.aborted:
            raise LoadError("the server took too long; try again later or download it yourself.") from exc
        raise LoadError(
            f"{target.host} did not answer properly ({exc or type(exc).__name__}); try again later."
        ) from exc
    finally:
        timer.cancel()
        connection.close()
    if connection.aborted:
        raise LoadError("the server took too long; try again later or download it yourself.")
    return body, None


def _check_reply(reply: http.client.HTTPResponse, max_bytes: int) -> None:
    if reply.status != 200:
        cure = "it needs a login: download it yourself" if reply.status in {401, 403} else "check the address"
        raise LoadError(f"the server answered {reply.status} {reply.reason}; {cure}.")
    if (reply.getheader("Content-Encoding") or "identity").lower() != "identity":
        raise LoadError("the server sent a compressed body that was not asked for; download it yourself.")
    length = reply.getheader("Content-Length") or ""
    if length.isdigit() and int(length) > max_bytes:
        raise _too_large(max_bytes)


def _read(reply: http.client.HTTPResponse, max_bytes: int) -> bytes:
    blocks, size = [], 0
    while block := reply.read(_BLOCK):
        blocks.append(block)
        size += len(block)
        if size > max_bytes:
            raise _too_large(max_bytes)
    if reply.length:
        raise http.client.IncompleteRead(b"", reply.length)
    return b"".join(blocks)


def _too_large(max_bytes: int) -> LoadError:
    return LoadError(f"larger than {max_bytes // 1_000_000} MB; download it and split it into smaller files.")


class _Pinned(http.client.HTTPConnection):
    """A connection to the address that was checked, under the name that was asked for."""

    def __init__(self, target: _Target) -> None:
        super().__init__(target.host, target.port, timeout=_CONNECT_TIMEOUT_S)
        self._target = target
        self.aborted = False
        self._raw: socket.socket | None = None
        self._tls = ssl.create_default_context() if target.parts.scheme == "https" else None
        if self._tls is not None:
            self.default_port = 443

    def connect(self) -> None:
        """Connect to the pinned address; verify the certificate against the host's name."""
        raw = socket.create_connection((self._target.address, self._target.port), timeout=_CONNECT_TIMEOUT_S)
        self.sock = self._tls.wrap_socket(raw, server_hostname=self._target.host) if self._tls else raw
        self._raw = self.sock  # http.client forgets its own once the reply's headers are read

    def abort(self) -> None:
        """Break the connection from another thread."""
        self.aborted = True
        if self._raw is not None:
            with contextlib.suppress(OSError):  # closed in the same moment
                self._raw.shutdown(socket.SHUT_RDWR)
