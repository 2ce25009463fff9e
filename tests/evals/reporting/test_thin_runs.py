"""Runs of which there is little to say: what is said of them is true, and says what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evals.codec import Key
from evals.core import Score
from evals.reporting import render
from evals.reporting.choosing import choose_system
from evals.reporting.data import RunData
from evals.reporting.diff_views import render_diff
from evals.reporting.model import Price
from evals.reporting.numbers import build_report
from evals.reporting.rundiff import compare_runs
from rag.errors import UsageError
from tests.evals.reporting.known import Known, known_run
from tests.evals.reporting.runs import PROFILES, make_run

FAILED = Known(scores=[None] * 6)
ZERO = Known(scores=[0.0] * 6)
HALF = Known(scores=[1.0, 0.0] * 3)


def _lines(run: RunData) -> tuple[str, ...]:
    report = build_report(run)
    for form in ("table", "md", "html", "json"):
        assert render(report, form)
    return (*report.summary, *report.warnings)


def test_one_system_is_not_the_highest_of_one() -> None:
    first, *_ = _lines(known_run({"a": HALF}))
    assert first == "On qa, exact_match of a is 0.500 (95 % interval 0.188–0.812)."
    assert "* not beaten" not in render(build_report(known_run({"a": HALF})), "table")


def test_where_nothing_was_right_nobody_leads() -> None:
    first, *_ = _lines(known_run({"a": ZERO, "b": ZERO}))
    assert first == "On qa no scored answer of any system was right: exact_match is 0 throughout."
    alone, *_ = _lines(known_run({"a": ZERO}))
    assert alone.startswith("On qa no scored answer of a was right: exact_match is 0 throughout")


def test_a_known_price_is_not_called_unknown() -> None:
    run = known_run({"a": FAILED, "b": HALF})
    systems = [replace(system, price=Price(kind="per_token")) for system in run.systems]
    lines = _lines(replace(run, systems=systems))
    assert "a: what it cost is unknown: calls that fail do not tell their usage." in lines
    assert "b: $1.00 per 1,000 samples; cost unknown: a." in lines
    assert not any("price is unknown" in line for line in lines)
    assert "What the systems cost is unknown." in _lines(
        replace(known_run({"a": FAILED}), systems=systems[:1])
    )
    assert "a: its price is unknown, and so is what it cost." in _lines(run)
    unpriced = known_run({"a": replace(HALF, usd=None)})
    silent = replace(unpriced, systems=[replace(unpriced.systems[0], price=Price(kind="per_token"))])
    assert "a: what it cost is unknown: replies came without usage." in _lines(silent)


def test_a_choice_says_what_has_no_score_and_why() -> None:
    run = known_run({"a": FAILED, "b": HALF})
    choice = choose_system(run)
    assert choice.ranking[1].reasons == ("nothing of it was scored in qa/exact_match (timeout 6)",)
    broken = {
        key: (Score(metric="exact_match", value=None, error="ZeroDivisionError: x"),) for key in run.scores
    }
    reasons = [candidate.reasons for candidate in choose_system(replace(run, scores=broken)).ranking]
    assert reasons == [("nothing of it was scored in qa/exact_match (ZeroDivisionError: x 6)",)] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": [], "records": [], "scores": {}}, "the run has no samples"),
        ({"records": [], "scores": {}}, "no reply was received: go on with 'ragassay eval resume'"),
        ({"scores": {}}, "no reply is scored: 'ragassay eval rescore' does it"),
    ],
)
def test_what_cannot_be_chosen_from(change: dict[str, object], message: str) -> None:
    run = replace(known_run({"a": HALF, "b": ZERO}), **change)  # type: ignore[arg-type]
    assert "Nothing was scored." in _lines(run)
    with pytest.raises(UsageError, match=message):
        choose_system(run)


def test_runs_without_a_score_in_common_are_not_called_alike() -> None:
    none = compare_runs(known_run({"a": FAILED}), known_run({"a": HALF}, name="after"))
    assert "Nothing to compare: no sample was scored in both runs." in render_diff(none)
    assert none.notes == ("no sample of a was scored in both runs.",)
    some = compare_runs(known_run({"a": FAILED, "b": HALF}), known_run({"a": HALF, "b": HALF}, name="after"))
    assert some.notes == ("no sample of a was scored in both runs.",)
    assert "No change is beyond chance." in render_diff(some)


def test_what_a_metric_or_judge_failed_at_is_shown_with_the_answer() -> None:
    run = known_run({"a": HALF})
    scores = dict(run.scores)
    first, second, *_ = scores
    assert isinstance(first, Key)
    scores[first] = (Score(metric="exact_match", value=None, error="ZeroDivisionError: x"),)
    scores[second] = (Score(metric="exact_match", value=None, reason="judge: unreadable"),)
    page = render(build_report(replace(run, scores=scores)), "html")
    assert "exact_match failed: ZeroDivisionError: x" in page
    assert "exact_match –, judge: unreadable" in page


def test_the_median_lies_within_its_interval() -> None:
    run = make_run(PROFILES[:1], questions=3, choices=3)
    records = [
        replace(r, completion=replace(r.completion, timing=replace(r.completion.timing, last=float(n))))
        for n, r in enumerate(run.records, start=1)
    ]
    latency = build_report(replace(run, records=records)).systems[0].overall.latency
    assert latency.total_p50 == 3500
    assert latency.total_p50_interval is not None
    assert latency.total_p50_interval[0] <= 3500 <= latency.total_p50_interval[1]
