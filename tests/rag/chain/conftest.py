"""A small collection made by a real ingest, and a provider behind real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.config import Config, parse_config
from tests.fakes.server import FakeServer
from tests.rag.chain import make_home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the collection `tiny`, made by a real ingest."""
    return make_home(tmp_path_factory.mktemp("chain"))


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGASSAY_HOME", str(home))


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer() as running:
        yield running


@pytest.fixture
def lab(server: FakeServer) -> Config:
    """A config whose provider `lab` is the fake server, freshly reset."""
    server.script()
    server.reset()
    price = {"input_per_mtok": "0.50", "output_per_mtok": "1.50"}
    provider = {"base_url": server.base_url, "models": ["mock", "other"], "price": price}
    data = {"providers": {"lab": provider}, "default_provider": "lab:mock", "limits": {"max_attempts": 1}}
    return parse_config(data, folder=Path.cwd())
