"""`compare`, `choose` and `history` as functions, and the page that shows metrics over runs."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

import evals
import evals.cli
from evals import choose, compare, history
from evals.core import Sample
from evals.reporting.history import history_of, render_history
from evals.reporting.history_page import render_history_page
from evals.reporting.rundiff import compare_runs
from rag.cli.app import app
from rag.errors import RunError, UnknownNameError, UsageError
from tests.evals.reporting.known import Known, known_run, write_run

assert evals.cli.COMMAND_MODULES


def _scores(right: int, missing: int = 0) -> list[float | None]:
    return [float(n < right) for n in range(50 - missing)] + [None] * missing


OLD = known_run(
    {"a": Known(scores=_scores(40)), "b": Known(scores=_scores(20))}, name="old", created="2026-11-20"
)
NEW = known_run(
    {"a": Known(scores=_scores(20, 5)), "b": Known(scores=_scores(20))}, name="new", created="2026-11-21"
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return write_run(OLD, folder / "old").path, write_run(NEW, folder / "new").path


def test_the_functions_say_what_the_commands_print(runs: tuple[Path, Path]) -> None:
    old, new = runs
    (pair,) = compare(old)
    assert (pair.a, pair.b, pair.difference, pair.significant) == ("a", "b", 0.4, True)
    change = compare(old, new).changes[0]
    assert (change.system, change.before, change.after, change.comparison.n) == ("a", 40 / 45, 20 / 45, 45)
    chosen = choose(old, metric="qa/exact_match", max_usd_per_1k=1.5)
    assert (chosen.chosen, chosen.limits.max_usd_per_1k) == ("a", Decimal("1.5"))
    assert choose(old, min_quality=0.9).chosen is None
    found = history(new, old)
    assert [name for name, _ in found.runs] == ["old", "new"]
    assert [result.n for result in found.series[0].results if result] == [50, 45]


def test_mistakes_are_named(runs: tuple[Path, Path], tmp_path: Path) -> None:
    for call in (compare, choose, history):
        with pytest.raises(RunError, match="is not a run folder"):
            call(tmp_path)
    with pytest.raises(UsageError, match="name the run folders"):
        history()
    with pytest.raises(UnknownNameError, match="did you mean 'qa/exact_match'"):
        choose(runs[0], metric="qa/exact_matc")


def test_the_page_of_a_history(runs: tuple[Path, Path], tmp_path: Path) -> None:
    words = ["eval", "history", *map(str, runs), "-o", str(tmp_path / "new" / "history.html")]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, done.stdout.strip()) == (0, words[-1])
    page = Path(words[-1]).read_text(encoding="utf-8")
    assert page == render_history_page(history(*runs))
    assert page.count("<svg") == 2  # wide and narrow
    assert (
        page.count('role="img" aria-label="qa/exact_match over 2 runs: a 0.444 at last; b 0.400 at last"')
        == 2
    )
    assert "45/50 ≥ 0.400" in page
    assert page.index('<span class="cell">new') < page.index('<span class="cell">old'), "the latest first"
    both = CliRunner().invoke(app, [*words, "--json"])
    assert len(json.loads(both.stdout)["series"]) == 2


def test_nothing_on_the_page_is_believed() -> None:
    nasty = "</svg><script>alert(1)</script><img src=http://evil.example/x>"
    page = render_history_page(history_of([replace(OLD, run=nasty), known_run({nasty: Known(scores=[1.0])})]))
    assert "<script" not in page
    assert "<img" not in page
    assert "default-src 'none'" in page
    assert "No run has a score." in render_history_page(history_of([known_run({})]))


def test_it_is_said_where_runs_do_not_compare() -> None:
    fewer = replace(NEW, samples=[*NEW.samples[:40], Sample(id="other", benchmark="qa", question="Else?")])
    said = "old -> new: qa has other questions: 10 samples went, 1 came"
    assert said in " ".join(render_history(history_of([OLD, fewer])).split())
    judges = [
        replace(run, judges=[{"name": "j", "provider": "lab", "model": m}])
        for run, m in ((OLD, "x"), (NEW, "y"))
    ]
    said = "judged by lab:x before, by lab:y after: judged scores do not compare."
    assert history_of(judges).notes == (f"old -> new: {said}",)
    assert compare_runs(*judges).notes == (said,)
    assert history_of([OLD, NEW]).notes == ()
    between = known_run({"a": Known(scores=[1.0])}, name="mid", created="2026-11-20T12")
    other = replace(between, samples=[], benchmarks=[replace(between.benchmarks[0], name="else")])
    (first, second) = history_of([judges[0], other, replace(judges[1], samples=fewer.samples)]).notes
    assert first.startswith("old -> new: qa has other questions: 10 samples went, 1 came")
    assert second == f"old -> new: {said}"
    shuffled = [replace(s, choices=("x", "y")) for s in NEW.samples]
    assert "50 samples went" in history_of([OLD, replace(NEW, samples=shuffled)]).notes[0]
