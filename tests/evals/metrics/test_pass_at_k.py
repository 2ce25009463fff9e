"""pass@k: the estimator against counted subsets, programs of replies scored by running them, reports of it."""
# ruff: noqa: E501  # reasons read best in a line

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from evals.codec import Key
from evals.core import Sample
from evals.metrics import expand_metrics, load_metrics, score_record, score_records
from evals.metrics.pass_at_k import pass_at_k
from evals.reporting.data import BenchmarkFacts, RunData, SystemFacts
from evals.reporting.numbers import build_report
from evals.sandbox import Exam, Sandbox, Verdict
from rag.core import Outcome
from rag.errors import UnknownNameError
from tests.conftest import need_tool
from tests.evals.metrics.values import record, score

TASK = Sample(
    id="T/0",
    benchmark="humaneval",
    question='def add(a, b):\n    """ Add. """\n',
    metadata={"entry_point": "add", "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n"},
)
GOOD = "```python\ndef add(a, b):\n    return a + b\n```"
WRONG = "```python\ndef add(a, b):\n    return a - b\n```"


@pytest.fixture(autouse=True)
def _bubblewrap() -> None:
    need_tool("bwrap", "bubblewrap")


@pytest.mark.parametrize(
    ("n", "c", "k", "value"),
    # By hand: 1 - C(n-c, k) / C(n, k).
    [
        (5, 2, 1, Fraction(2, 5)),
        (5, 2, 2, 1 - Fraction(3, 10)),
        (10, 3, 5, 1 - Fraction(21, 252)),
        (4, 1, 3, Fraction(3, 4)),
        (4, 2, 3, Fraction(1)),
        (200, 1, 100, Fraction(1, 2)),
        (3, 0, 3, Fraction(0)),
    ],
)
def test_the_estimate_by_hand(n: int, c: int, k: int, value: Fraction) -> None:
    assert pass_at_k(n, c, k) == pytest.approx(float(value), abs=1e-12)


def test_the_estimate_is_the_share_of_subsets_with_a_pass() -> None:
    for n, c in itertools.product(range(1, 8), range(8)):
        for k in range(1, n + 1) if c <= n else ():
            subsets = [*itertools.combinations([True] * c + [False] * (n - c), k)]
            assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-12)


def test_too_few_tries_have_no_estimate() -> None:
    with pytest.raises(ValueError, match="pass@3 of 1 passed in 2 tries"):
        pass_at_k(2, 1, 3)


def test_the_programs_of_many_replies_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    replies = [GOOD, WRONG, "I cannot.", GOOD, "```python\ndef add(a, b)\n```"]
    items = [(replace(TASK, id=f"T/{n}"), record(text), ()) for n, text in enumerate(replies)]
    items += [
        (TASK, record(GOOD), ()),
        (TASK, record(GOOD, Outcome.TIMEOUT), ()),
        (Sample(id="q", benchmark="b", question=""), record(GOOD), ()),
    ]
    alone = [score_record(*item, load_metrics(["pass@1"])) for item in items]
    batches: list[int] = []
    together = Sandbox.examine_all

    def counted(self: Sandbox, exams: Iterable[Exam]) -> Iterator[Verdict]:
        given = [*exams]
        batches.append(len(given))
        return together(self, given)

    monkeypatch.setattr(Sandbox, "examine_all", counted)
    monkeypatch.setattr(Sandbox, "examine", only_in_threads(Sandbox.examine))
    assert [scores for _, scores in score_records(items, load_metrics(["pass@1"]))] == alone
    assert batches == [4]  # of those with a program; the same one for the same task is run once


def only_in_threads(examine: Callable[[Sandbox, Exam], Verdict]) -> Callable[[Sandbox, Exam], Verdict]:
    """Let only the threads of `examine_all` examine."""

    def checked(self: Sandbox, exam: Exam) -> Verdict:
        assert threading.current_thread() is not threading.main_thread()
        return examine(self, exam)

    return checked


@pytest.mark.parametrize(
    ("reply", "value", "reason"),
    [
        (GOOD, 1.0, "passed [fenced function]"),
        ("    return a + b", 1.0, "passed [completion]"),
        (WRONG, 0.0, "assertion: the test: AssertionError [fenced function]"),
        ("```python\ndef add(a, b)\n```", 0.0, "syntax: SyntaxError: expected ':' (<program>, line 1) [fenced function]"),
        ("I cannot.", 0.0, "syntax: no code in the reply"),
    ],
)  # fmt: skip
def test_programs_are_run(reply: str, value: float, reason: str) -> None:
    found = score("pass@1", TASK, record(reply))
    assert (found.value, found.reason, found.error) == (value, reason, None)


def test_failed_calls_follow_the_one_rule() -> None:
    assert score("pass@1", TASK, record("", Outcome.CONTENT_FILTER)).value == 0.0
    assert score("pass@1", TASK, record("", Outcome.TIMEOUT)).value is None


def test_one_run_of_a_program_tells_every_k() -> None:
    (metric,) = load_metrics(["pass@1", "pass@3", "pass@10"])
    assert tuple(metric.names) == ("pass@1", "pass@3", "pass@10")
    assert [s.value for s in score_record(TASK, record(GOOD), (), [metric])] == [1.0, 1.0, 1.0]


def test_names() -> None:
    assert expand_metrics(["pass@1", "pass@5"]) == ("pass@1", "pass@5")
    with pytest.raises(UnknownNameError, match="did you mean 'pass@1'"):
        expand_metrics(["pass@0"])


def test_a_sample_without_a_program_has_no_score() -> None:
    plain = replace(TASK, metadata={})
    assert score("pass@1", plain, record("x")).value is None


def run_of(replies: dict[str, list[Any]]) -> RunData:
    """A run of one system: for each sample its repeats, a text or a failed outcome."""
    samples = [replace(TASK, id=name) for name in replies]
    metrics = load_metrics(["pass@1", "pass@2"])
    records = [
        record(
            *(("", text) if isinstance(text, Outcome) else (text,)),
            rag=False,
            benchmark="humaneval",
            sample_id=name,
            repeat=repeat,
        )
        for name, texts in replies.items()
        for repeat, text in enumerate(texts)
    ]
    return RunData(
        run="run",
        created="2026-11-21T00:00:00Z",
        repeats=3,
        systems=[SystemFacts(name="x", provider="lab", model="mock")],
        benchmarks=[BenchmarkFacts(name="humaneval", metrics=("pass@1", "pass@2"))],
        samples=samples,
        records=records,
        scores={Key.of(r): score_record(TASK, r, (), metrics) for r in records},
    )


def test_a_report_estimates_over_the_repeats_of_each_sample() -> None:
    report = build_report(
        run_of({"a": [GOOD, WRONG, WRONG], "b": [WRONG, WRONG, "no"], "c": [GOOD, GOOD, Outcome.TIMEOUT]})
    )
    found = {name: result.estimate for name, result in report.systems[0].metrics.items()}
    means = [found[f"humaneval/pass@{k}"] for k in (1, 2)]
    assert all(m is not None for m in means)
    # a: 1 of 3, so 1/3 and 1 - C(2,2)/C(3,2) = 2/3; b: 0; c: 2 of 2 measured.
    np.testing.assert_allclose([m.mean for m in means if m], [(1 / 3 + 0 + 1) / 3, (2 / 3 + 0 + 1) / 3])
    bounds = [report.systems[0].metrics[f"humaneval/pass@{k}"].mean_if_missing_wrong for k in (1, 2)]
    # c at worst: 2 of 3, so 2/3 and 1.
    np.testing.assert_allclose(bounds, [(1 / 3 + 2 / 3) / 3, (2 / 3 + 1) / 3])


def test_a_report_counts_the_kinds_of_failure() -> None:
    report = build_report(run_of({"a": [GOOD, WRONG, WRONG], "b": [WRONG, "no", Outcome.CONTENT_FILTER]}))
    line = "humaneval, x: of 6 programs 1 passed; failed: 3 assertion, 1 syntax, 1 no reply."
    assert line in report.warnings
