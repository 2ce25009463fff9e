"""Questions that a model writes: what is kept, what is dropped and why, and that no call is made twice."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evals.testset import BuildResult, build, forecast
from evals.testset.build import work_path
from evals.testset.values import Drop
from rag import ingest
from rag.config import Config, parse_config
from rag.errors import RunError, UsageError
from rag.quotes import find_quote
from tests.evals.runs import MOCK_PRICE
from tests.evals.testset.author import NAMES, Author, write_firms
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer

Making = Callable[..., BuildResult]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a collection `firms` of ten documents."""
    folder = tmp_path_factory.mktemp("firms")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAGASSAY_HOME", str(folder / "home"))
        assert not ingest([str(write_firms(folder / "docs"))], "firms").failures
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[FakeServer]:
    monkeypatch.setenv("RAGASSAY_HOME", str(home / "home"))
    with FakeServer() as running:
        yield running


def config_for(server: FakeServer, **limits: Any) -> Config:
    lab = {"base_url": server.base_url, "models": ["mock"], "price": MOCK_PRICE}
    bounds = {"concurrency": 4, "max_attempts": 1, "timeout_s": 5, **limits}
    return parse_config({"providers": {"lab": lab}, "limits": bounds}, folder=Path())


@pytest.fixture
def make(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Making:
    """Return a function that builds with an `Author` that errs as told."""

    def making(count: int = 10, *, author: Author | None = None, **more: Any) -> BuildResult:
        monkeypatch.setattr("tests.fakes.exchange.answer", author or Author())
        limits = more.pop("limits", {})
        more.setdefault("path", tmp_path / "questions.jsonl")
        return build("firms", count=count, config=config_for(server, **limits), provider="lab:mock", **more)

    return making


def rows(result: BuildResult) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.path.read_text(encoding="utf-8").splitlines()]


def test_every_kind_is_there_and_every_quote_stands_where_it_says(make: Making, home: Path) -> None:
    result = make(10)
    assert (result.exit_code, result.stopped) == (0, None)
    assert result.kinds == {"comparison": 2, "unanswerable": 2, "fact": 6}
    for row in rows(result):
        texts = {name: (home / "docs" / name).read_text() for name in [*row["relevant"], row["cluster"]]}
        assert (row["language"], row["made_by"]) == ("en", "lab:mock")
        assert all(any(find_quote(quote, text) for text in texts.values()) for quote in row["support"])
        if row["kind"] == "unanswerable":
            assert (row["answers"], row["relevant"], row["support"]) == ([], [], [])
            assert row["missing"] == "the telephone number"
        else:
            assert row["answers"]
            assert len(row["support"]) == (2 if row["kind"] == "comparison" else 1)


@pytest.mark.parametrize(
    ("err", "reason"),
    [
        ("knows", Drop.CLOSED_BOOK),
        ("answered", Drop.ANSWERED),
        ("misquotes", Drop.NO_QUOTE),
        ("garbles", Drop.UNREADABLE),
    ],
)
def test_what_is_wrong_is_dropped_and_counted(make: Making, err: str, reason: Drop) -> None:
    result = make(10, author=Author(**{err: ("Arbor", "Brume", "Cinder", "Dorado", "Ember")}))
    assert result.dropped[reason.value] > 0
    kept = {"answered": "unanswerable"}.get(err, "fact")
    blamed = [row for row in rows(result) if row["kind"] == kept and "Arbor" in row["question"]]
    assert blamed == []


def test_the_same_command_asks_nothing_twice_and_writes_the_same(make: Making, server: FakeServer) -> None:
    first = make(8)
    sent = server.counters.requests
    content = first.path.read_bytes()
    second = make(8)
    assert (server.counters.requests, second.calls) == (sent, 0)
    assert second.path.read_bytes() == content
    assert second.cost_usd == first.cost_usd
    more = make(12)
    assert {row["id"] for row in rows(more)} >= {json.loads(line)["id"] for line in content.splitlines()}


def test_an_interrupted_build_goes_on(make: Making, server: FakeServer, tmp_path: Path) -> None:
    whole = make(8, path=tmp_path / "whole.jsonl")
    sent = server.counters.requests
    server.script(default=Behaviour(latency_s=0.05))
    steps: list[int] = []

    def interrupt(step: str, done: int, total: int, kept: int) -> None:
        steps.append(done)
        if len(steps) == 6:  # told on the loop's thread; Ctrl-C comes to the main one
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        make(8, tell=interrupt)
    assert not (tmp_path / "questions.jsonl").exists()
    result = make(8)
    assert rows(result) == rows(whole)
    assert server.counters.requests - sent <= sent + 4, "only what was in flight may be asked again"


def test_a_budget_stops_it_with_what_there_is(make: Making) -> None:
    stopped = make(60, limits={"budget_usd": "0.02", "concurrency": 1})
    assert stopped.exit_code == 4
    assert stopped.stopped is not None
    assert "--budget" in stopped.stopped
    assert stopped.cost_usd is not None
    assert stopped.cost_usd <= 0.02
    again = make(10, limits={"budget_usd": "1"})
    assert again.exit_code == 0


def test_a_provider_that_is_down_is_an_error_that_names_it(make: Making, server: FakeServer) -> None:
    server.script(default=Behaviour(fault="server_error"))
    result = make(30)
    assert result.exit_code == 1
    assert result.items == ()
    assert "lab:mock" in str(result.stopped)
    assert not result.path.exists()


def test_a_wrong_key_stops_at_once(make: Making, server: FakeServer) -> None:
    server.script(default=Behaviour(fault="auth"))
    result = make(10)
    assert (result.exit_code, result.items) == (4, ())
    assert server.counters.requests <= 4


def test_an_edited_file_is_not_overwritten(make: Making) -> None:
    result = make(6)
    result.path.write_bytes(result.path.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(UsageError, match="was changed since"):
        make(6)
    assert len(rows(make(6, overwrite=True))) == 6


def test_two_builds_of_one_file_are_refused(make: Making, tmp_path: Path) -> None:
    from evals.testset.store import Store

    with Store(work_path(tmp_path / "questions.jsonl")).opened(), pytest.raises(RunError, match="another"):
        make(6)


def test_more_than_the_documents_give(make: Making) -> None:
    result = make(90)
    assert result.exit_code == 1
    assert 10 <= len(result.items) < 90
    assert result.dropped[Drop.DUPLICATE.value] >= 0


def test_a_forecast_calls_nobody_and_bounds_the_cost(make: Making, server: FakeServer) -> None:
    expected = forecast("firms", count=10, config=config_for(server), provider="lab:mock")
    assert server.counters.requests == 0
    result = make(10)
    assert expected.cost_low_usd is not None
    assert expected.cost_high_usd is not None
    assert result.cost_usd is not None
    assert expected.cost_low_usd <= result.cost_usd <= expected.cost_high_usd
    assert result.calls <= expected.calls


def test_a_model_that_writes_nothing_of_use_is_asked_no_more_than_forecast(
    make: Making, server: FakeServer
) -> None:
    """What comparisons and others lack is asked as facts, but not on top of all tries."""
    expected = forecast("firms", count=4, config=config_for(server), provider="lab:mock")
    result = make(4, author=Author(garbles=NAMES))
    assert result.items == ()
    assert result.calls <= next(row.calls for row in expected.systems if row.name == "writing questions")
