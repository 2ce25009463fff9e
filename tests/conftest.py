"""What every test gets: a home of its own, and a network that ends at loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).parent.parent
GOLDEN = REPO / "tests" / "golden"
SHARED_DATA = REPO.parent / "shared" / "data"

_connect = socket.socket.connect

# A background job of a shell ignores Ctrl-C, and its children inherit that: interrupting needs the default.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _loopback_only(self: socket.socket, address: Any) -> None:
    if self.family in {socket.AF_INET, socket.AF_INET6}:
        try:
            loopback = ip_address(address[0]).is_loopback
        except ValueError:
            loopback = address[0] == "localhost"
        if not loopback:
            raise PermissionError(f"a test tried to reach {address!r}; tests stay on loopback")
    _connect(self, address)


@pytest.fixture(autouse=True)
def _own_home_no_network(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RAGASSAY_CONFIG", raising=False)
    if request.node.get_closest_marker("live") is None:
        monkeypatch.setattr(socket.socket, "connect", _loopback_only)


def need_tool(name: str, package: str) -> str:
    """Return the path of a system tool; without it the test skips, or fails where CI must have it."""
    path = shutil.which(name)
    if path is None:
        missing = f"{name} is not installed; run: apt-get install {package}"
        (pytest.fail if os.environ.get("RAGASSAY_REQUIRE_TOOLS") else pytest.skip)(missing)
    return path


def assert_golden(name: str, text: str) -> None:
    """Hold `text` against a file of tests/golden; UPDATE_GOLDEN=1 writes it anew: read then what changed."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data sets; the test skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data sets are not beside this checkout (../shared/data)")
    return SHARED_DATA
