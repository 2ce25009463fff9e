"""Choosing on runs whose right answer is known."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from evals.codec import Key
from evals.core import Score
from evals.reporting.choice_views import choice_to_json, render_choice
from evals.reporting.choosing import choose_system
from evals.reporting.data import RunData
from evals.reporting.verdicts import Limits
from rag.errors import UnknownNameError, UsageError
from tests.evals.reporting.known import Known, known_run
from tests.evals.reporting.runs import make_run

N = 100


def _scores(right: int, n: int = N, *, missing: int = 0, first: int = 0) -> list[float | None]:
    """`right` of `n` right, the right ones from `first` on; the last `missing` never came."""
    found: list[float | None] = [float((i - first) % n < right) for i in range(n)]
    return [*found[: n - missing], *[None] * missing]


def test_the_better_beyond_chance_is_taken_whatever_it_costs() -> None:
    choice = choose_system(
        known_run({"good": Known(scores=_scores(90), usd="0.01"), "cheap": Known(scores=_scores(40))})
    )
    assert (choice.chosen, choice.best) == ("good", "good")
    assert choice.why == "good has the highest qa/exact_match: 0.900, beyond chance ahead of cheap."
    assert [c.name for c in choice.ranking] == ["good", "cheap"]
    assert choice.ranking[1].from_best is not None
    assert choice.ranking[1].from_best.p_value < 0.001


def test_of_those_that_chance_explains_the_cheaper_is_taken() -> None:
    choice = choose_system(
        known_run({"dear": Known(scores=_scores(82), usd="0.01"), "cheap": Known(scores=_scores(80))})
    )
    assert (choice.chosen, choice.best) == ("cheap", "dear")
    assert choice.why.startswith(
        "dear has the highest qa/exact_match, 0.820, but its lead over cheap (0.800) is +0.020"
    )
    assert (
        "which chance explains (p = 0.500); on these samples a difference below 0.04 would often be missed"
        in choice.why
    )
    assert choice.why.endswith("cheap is the cheaper: $1.00 per 1,000 samples against $10.00.")


def test_of_equal_prices_the_faster_is_taken() -> None:
    choice = choose_system(
        known_run({"slow": Known(scores=_scores(81), ms=900), "fast": Known(scores=_scores(80), ms=300)})
    )
    assert choice.chosen == "fast"
    assert "They cost the same, $1.00 per 1,000 samples; fast is faster" in choice.why


def test_an_unknown_price_is_no_bargain() -> None:
    run = known_run({"house": Known(scores=_scores(81), usd=None), "priced": Known(scores=_scores(80))})
    choice = choose_system(run)
    assert choice.chosen == "priced"
    assert "while the price of house is unknown" in choice.why
    limited = choose_system(run, limits=Limits(max_usd_per_1k=Decimal(100)))
    assert limited.ranking[-1].reasons == ("its price is unknown",)


def test_nobody_is_chosen_for_failing_at_what_is_hard() -> None:
    flaky = Known(scores=_scores(90, missing=60))  # right wherever it answered
    choice = choose_system(known_run({"flaky": flaky, "steady": Known(scores=_scores(75), usd="0.01")}))
    assert choice.chosen == "steady"
    assert [c.quality for c in choice.ranking] == [0.75, 0.4]
    assert [c.mean for c in choice.ranking] == [0.75, 1.0]
    limited = choose_system(known_run({"flaky": flaky}), limits=Limits(min_quality=0.5))
    assert limited.chosen is None
    assert limited.why == (
        "No system qualifies. flaky: quality 1.000, but 0.400 if the 60 missing scores were wrong, below 0.5."
    )


def test_every_limit_names_its_breach() -> None:
    run = known_run({"x": Known(scores=_scores(50), usd="0.002", ms=2000)})
    limits = Limits(min_quality=0.6, max_usd_per_1k=Decimal(1), max_p95_ms=1000)
    (only,) = choose_system(run, limits=limits).ranking
    assert only.reasons == (
        "quality 0.500, below 0.6",
        "$2.00 per 1,000 samples, above $1.00",
        "p95 of a whole answer 2.20 s, above 1 s",
    )
    kept = Limits(min_quality=0.5, max_usd_per_1k=Decimal(2), max_p95_ms=2200.001)
    assert choose_system(run, limits=kept).chosen == "x"


def test_thin_runs() -> None:
    one = choose_system(known_run({"x": Known(scores=_scores(50))}))
    assert one.why == "x is the only system: 0.500 in qa/exact_match."
    failed = choose_system(known_run({"x": Known(scores=[None] * 5), "y": Known(scores=[None] * 5)}))
    assert failed.chosen is None
    why = "nothing of it was scored in qa/exact_match (timeout 5)"
    assert failed.why == f"No system qualifies. x: {why}; y: {why}."
    wrong = choose_system(known_run({"x": Known(scores=[0.0] * 5)}))
    assert (wrong.chosen, wrong.ranking[0].reasons) == (None, ("none of its answers was right",))
    with pytest.raises(UsageError, match="'ragassay eval rescore'"):
        choose_system(replace(known_run({"x": Known(scores=[1.0])}), scores={}))
    with pytest.raises(UsageError, match="the run has no samples"):
        choose_system(known_run({}))
    few = choose_system(known_run({"x": Known(scores=[1.0, 1.0], usd="0.01"), "y": Known(scores=[0.0, 1.0])}))
    assert "with so few samples no difference would be found reliably" in few.why


def test_a_metric_by_name() -> None:
    run = make_run(questions=30, choices=30)
    choice = choose_system(run, metric="mcq/accuracy")
    cells = {system.name: system for system in choice.ranking}
    assert choice.metrics == ("mcq/accuracy",)
    assert cells["gpt-4o-mini"].timed == 30, "time and money of that benchmark alone"
    with pytest.raises(UnknownNameError, match="did you mean 'docqa/token_f1'"):
        choose_system(run, metric="token_f1")
    with pytest.raises(UsageError, match="of mcq/unparsed_rate less is better"):
        choose_system(run, metric="mcq/unparsed_rate")


def test_benchmarks_count_alike_whatever_their_size() -> None:
    choice = choose_system(make_run(questions=200, choices=20))
    report_quality = {c.name: c.quality for c in choice.ranking}
    by_metric = [
        {c.name: c.quality for c in choose_system(make_run(questions=200, choices=20), metric=m).ranking}
        for m in choice.metrics
    ]
    for name, quality in report_quality.items():
        assert quality == pytest.approx(sum(one[name] or 0 for one in by_metric) / 2, abs=1e-9)


def test_the_shape_and_the_width() -> None:
    choice = choose_system(make_run(), limits=Limits(min_quality=0.3, max_p95_ms=3000.0))
    found = choice_to_json(choice)
    assert {"chosen", "why", "ranking"} <= found.keys()
    assert {"name", "qualifies", "reasons"} <= found["ranking"][0].keys()
    assert found["ranking"][0]["name"] == found["chosen"]
    assert found["ranking"][0]["per_1k_samples_usd"] is None or isinstance(
        found["ranking"][0]["per_1k_samples_usd"], str
    )
    assert max(map(len, render_choice(choice, width=80).splitlines())) <= 80


def _with_a_second(run: RunData, other: RunData) -> RunData:
    """`run` with the benchmark of `other` as its second one, `qb`."""
    return replace(
        run,
        benchmarks=[*run.benchmarks, replace(other.benchmarks[0], name="qb")],
        samples=[*run.samples, *(replace(sample, benchmark="qb") for sample in other.samples)],
        records=[*run.records, *(replace(record, benchmark="qb") for record in other.records)],
        scores={
            **run.scores,
            **{
                Key(benchmark="qb", sample_id=k.sample_id, system=k.system, repeat=k.repeat): found
                for k, found in other.scores.items()
            },
        },
    )


def test_a_benchmark_of_one_sample_leaves_the_spread_unknown() -> None:
    many = known_run({"a": Known(scores=_scores(90)), "b": Known(scores=_scores(60), usd="0.01")})
    one = known_run({"a": Known(scores=[1.0]), "b": Known(scores=[0.0])})
    choice = choose_system(_with_a_second(many, one))
    best, other = choice.ranking
    assert (best.mean, best.low, best.high) == (0.95, None, None)
    assert other.from_best is not None
    assert other.from_best.difference == pytest.approx(0.65)
    assert (other.from_best.low, other.from_best.minimum_detectable) == (None, None)


def test_a_system_that_one_benchmark_scored_nothing_of_is_told_so() -> None:
    first = known_run({"a": Known(scores=_scores(90)), "b": Known(scores=_scores(95))})
    second = known_run({"a": Known(scores=_scores(50)), "b": Known(scores=[None] * N)})
    choice = choose_system(_with_a_second(first, second))
    assert choice.chosen == "a"
    assert choice.ranking[1].reasons == (f"nothing of it was scored in qb/exact_match (timeout {N})",)


def test_systems_without_a_common_sample_are_not_said_to_be_apart() -> None:
    run = known_run({"a": Known(scores=_scores(50)), "b": Known(scores=_scores(50, first=50))})
    not_asked = (Score(metric="exact_match", value=None, reason="no answer is known"),)
    scores = {key: found if found[0].value else not_asked for key, found in run.scores.items()}
    choice = choose_system(replace(run, scores=scores))
    assert choice.ranking[1].from_best is None
    assert choice.why == (
        "a has the highest qa/exact_match: 1.000. It was not measured on the same samples as b."
    )


def test_an_unknown_price_is_not_said_to_be_higher() -> None:
    run = known_run({"priced": Known(scores=_scores(81)), "house": Known(scores=_scores(80), usd=None)})
    assert choose_system(run).why.endswith(
        "but it is the cheapest whose price is known, $1.00 per 1,000 samples."
    )
