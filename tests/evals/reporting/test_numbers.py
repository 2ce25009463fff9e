"""The numbers of a report: coverage, bounds, costs, latency, comparisons, caveats."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from evals.benchmarks.variants import rotated
from evals.codec import Key
from evals.core import NOT_ASKED, Record, Sample
from evals.metrics import load_metrics, score_record
from evals.reporting import render
from evals.reporting.data import BenchmarkFacts, RunData, SystemFacts
from evals.reporting.layout import cost_table, ranked
from evals.reporting.methods import difference_methods, interval_methods
from evals.reporting.model import Report
from evals.reporting.numbers import build_report
from rag.core import Completion, Outcome, Timing, Usage
from tests.evals.metrics.values import passage, record, sample
from tests.evals.reporting.runs import PROFILES, make_run


def _run(
    outcomes: dict[str, list[tuple[Outcome, str]]], *, cost: str | None = "0.001", repeats: int = 1
) -> RunData:
    """A run on four-option items: for each system, what became of each item and the reply."""
    count = max(len(replies) for replies in outcomes.values()) // repeats
    samples = [sample("A", id=f"m{i}", benchmark="mcq", choices=("w", "x", "y", "z")) for i in range(count)]
    metrics = load_metrics(["accuracy", "unparsed_rate"])
    records, scores = [], {}
    for system, replies in outcomes.items():
        for number, (outcome, text) in enumerate(replies):
            record = Record(
                benchmark="mcq",
                sample_id=f"m{number // repeats}",
                system=system,
                repeat=number % repeats,
                answer=text,
                completion=Completion(
                    text=text,
                    outcome=outcome,
                    provider="lab",
                    model="mock",
                    usage=Usage(output_tokens=11),
                    cost=Decimal(cost) if cost and not outcome.infrastructure else None,
                    timing=Timing(sent=0.0, first_content=0.1 * (number + 1), last=0.1 * (number + 1) + 1.0),
                ),
            )
            records.append(record)
            scores[Key.of(record)] = score_record(samples[number // repeats], record, (), metrics)
    return RunData(
        run="r",
        created="",
        systems=[SystemFacts(name=name) for name in outcomes],
        benchmarks=[BenchmarkFacts(name="mcq", kind="mmlu")],
        samples=samples,
        records=records,
        scores=scores,
        repeats=repeats,
    )


RIGHT, WRONG = (Outcome.OK, "A"), (Outcome.OK, "B")
FILTERED, TIMEOUT = (Outcome.CONTENT_FILTER, ""), (Outcome.TIMEOUT, "")
CUT = (Outcome.LENGTH, "A")


def test_coverage_and_the_bound_if_all_missing_were_wrong() -> None:
    report = build_report(_run({"x": [RIGHT, RIGHT, CUT, WRONG, FILTERED, TIMEOUT, TIMEOUT, RIGHT]}))
    found = report.systems[0].metrics["mcq/accuracy"]
    assert found.estimate is not None
    assert (found.n, found.total) == (6, 8)
    assert found.estimate.mean == pytest.approx(4 / 6)
    assert found.mean_if_missing_wrong == pytest.approx(4 / 8)
    unparsed = report.systems[0].metrics["mcq/unparsed_rate"]
    assert unparsed.estimate is not None
    assert unparsed.estimate.mean == pytest.approx(1 / 6)  # the filtered reply
    assert unparsed.mean_if_missing_wrong == pytest.approx(3 / 8)
    assert report.systems[0].overall.outcomes == {"ok": 4, "timeout": 2, "content_filter": 1, "length": 1}
    assert report.systems[0].overall.scored == 6


def test_replies_that_never_came_are_missing_too() -> None:
    report = build_report(_run({"x": [RIGHT] * 4, "y": [RIGHT]}))
    found = report.systems[1].metrics["mcq/accuracy"]
    assert (found.n, found.total, found.mean_if_missing_wrong) == (1, 4, 0.25)
    assert "3 of 8 replies are missing" in report.warnings[0]


def test_repeats_are_averaged_first() -> None:
    report = build_report(_run({"x": [RIGHT, WRONG, RIGHT, RIGHT, TIMEOUT, RIGHT]}, repeats=2))
    found = report.systems[0].metrics["mcq/accuracy"]
    assert found.estimate is not None
    assert (found.n, found.estimate.mean) == (3, pytest.approx((0.5 + 1 + 1) / 3))
    assert found.mean_if_missing_wrong == pytest.approx((0.5 + 1 + 0.5) / 3)


def test_costs() -> None:
    system = build_report(_run({"x": [RIGHT, WRONG, RIGHT, WRONG]})).systems[0]
    cost = system.overall.cost
    assert (cost.total, cost.per_1k_samples) == (Decimal("0.004"), Decimal(1))
    assert cost.per_correct is not None
    assert cost.per_correct.mean == pytest.approx(0.002)


@pytest.mark.parametrize(
    ("replies", "cost", "expected"),
    [
        ([WRONG] * 4, "0.001", "none correct"),
        ([RIGHT] + [WRONG] * 5, "0.001", "$0.006\n≥ $0.002"),
        ([RIGHT] * 4, "0.001", "$0.001"),
        ([RIGHT] * 4, None, "unknown"),
        ([WRONG] * 4, None, "unknown"),
        ([TIMEOUT] * 4, "0.001", "unknown"),
    ],
)
def test_cost_of_a_correct_answer_in_words(
    replies: list[tuple[Outcome, str]], cost: str | None, expected: str
) -> None:
    (row,) = cost_table(build_report(_run({"x": replies}, cost=cost))).rows
    assert row[2] == expected


def test_an_unknown_price_is_never_zero() -> None:
    cost = build_report(_run({"x": [RIGHT] * 3}, cost=None)).systems[0].overall.cost
    assert (cost.total, cost.per_1k_samples, cost.per_correct) == (None, None, None)


def test_failed_calls_without_usage_do_not_hide_the_cost() -> None:
    report = build_report(_run({"x": [RIGHT, TIMEOUT, RIGHT]}))
    assert report.systems[0].overall.cost.total == Decimal("0.002")
    assert "x: its cost leaves out 1 failed call whose usage is unknown." in report.warnings


def _stored(given: Record) -> Record:
    completion = given.completion
    return replace(
        given, completion=replace(completion, cached=True, cost=Decimal(0), original_cost=completion.cost)
    )


def test_stored_replies_cost_the_run_nothing_and_a_sample_what_it_costs() -> None:
    run = _run({"x": [RIGHT] * 4})
    fresh = build_report(run).systems[0].overall
    report = build_report(replace(run, records=[run.records[0], *map(_stored, run.records[1:])]))
    found = report.systems[0].overall
    assert (found.cached, fresh.cached) == (3, 0)
    assert (found.cost.total, fresh.cost.total) == (Decimal("0.001"), Decimal("0.004"))
    assert found.cost.per_1k_samples == fresh.cost.per_1k_samples == Decimal(1)
    assert found.cost.per_correct == fresh.cost.per_correct
    assert found.latency.n == 1
    assert any("x: 3 of 4 replies came from the reply cache" in warning for warning in report.warnings)


def test_a_stored_reply_of_unknown_price_leaves_the_price_unknown() -> None:
    run = _run({"x": [RIGHT] * 2}, cost=None)
    cost = build_report(replace(run, records=[*map(_stored, run.records)])).systems[0].overall.cost
    assert (cost.total, cost.per_1k_samples, cost.per_correct) == (None, None, None)


def test_retrieval_that_asks_nobody_makes_no_call_cheaper_nor_changes_the_load() -> None:
    run = _run({"x": [RIGHT] * 4})
    nothing = Completion(
        text="",
        outcome=Outcome.OK,
        provider="lab",
        model="mock",
        timing=Timing(sent=0.0, concurrency=9),
        finish_reason=NOT_ASKED,
        cost=Decimal(0),
    )
    unasked = [replace(r, benchmark="beir", completion=nothing) for r in run.records]
    both = replace(
        run,
        benchmarks=[*run.benchmarks, BenchmarkFacts(name="beir")],
        samples=[*run.samples, *(replace(s, benchmark="beir") for s in run.samples)],
        records=[*run.records, *unasked],
    )
    ours, alone = build_report(both).systems[0], build_report(run).systems[0]
    assert ours.overall.cost.per_1k_samples == alone.overall.cost.per_1k_samples == Decimal(1)
    assert ours.overall.cost.per_1k_interval is None
    assert ours.overall.latency.concurrency == alone.overall.latency.concurrency == (1, 1)
    assert ours.benchmarks["beir"].cost.per_1k_samples == 0


def test_latency_leaves_out_failures_and_cached_replies() -> None:
    run = _run({"x": [RIGHT, RIGHT, RIGHT, TIMEOUT]})
    cached = replace(run.records[2], completion=replace(run.records[2].completion, cached=True))
    found = build_report(replace(run, records=[*run.records[:2], cached, run.records[3]])).systems[0].overall
    assert found.latency.n == 2
    assert found.latency.ttft_p50 == pytest.approx(150)
    assert found.latency.total_p50 == pytest.approx(1150)
    assert found.latency.total_p95 == pytest.approx(1195)
    assert found.latency.output_tokens_per_s_p50 == pytest.approx(10)
    assert found.latency.concurrency == (1, 1)


def test_comparisons_pair_the_samples_both_were_measured_on() -> None:
    a = [RIGHT] * 8 + [WRONG] * 2 + [TIMEOUT]
    b = [WRONG] * 8 + [WRONG] * 2 + [RIGHT]
    (found, unparsed) = build_report(_run({"a": a, "b": b})).comparisons
    assert (found.a, found.b, found.metric, found.n, found.test) == ("a", "b", "mcq/accuracy", 10, "mcnemar")
    assert found.difference == pytest.approx(0.8)
    assert found.p_value == pytest.approx(2 / 2**8)
    assert found.significant
    assert (unparsed.difference, unparsed.p_value) == (0.0, 1.0)


def test_differences_that_are_all_alike_have_no_interval() -> None:
    report = build_report(_run({"a": [RIGHT] * 3, "b": [WRONG] * 3}))
    found = report.comparisons[0]
    assert (found.difference, found.low, found.high) == (1.0, None, None)
    assert (
        "+1.000 (no interval: every difference is alike), not beyond chance (p = 0.250)" in report.summary[0]
    )
    assert "+1.000 (no interval)" in render(report, "table")
    assert json.loads(render(report, "json"))["comparisons"][0]["ci_low"] is None


def test_a_corrected_p_says_so() -> None:
    replies = {"a": [RIGHT] * 9 + [WRONG], "b": [RIGHT] * 4 + [WRONG] * 6, "c": [RIGHT] * 4 + [WRONG] * 6}
    (line, *_) = build_report(_run(replies)).summary
    assert "not beyond chance (p = 0.188 after correction for 3 comparisons)" in line


def test_whoever_fails_at_most_calls_does_not_lead() -> None:
    steady = [RIGHT] * 8 + [WRONG] * 2
    report = build_report(_run({"flaky": [RIGHT] * 2 + [TIMEOUT] * 8, "steady": steady}))
    assert [system.name for system in ranked(report)] == ["steady", "flaky"]
    assert report.summary[0].startswith("On mcq, steady comes first in accuracy: 0.800 (95 % interval 0.4")
    alone = build_report(_run({"flaky": [RIGHT] * 2 + [TIMEOUT] * 8})).summary[0]
    assert "; 2 of 10 samples measured, 0.200 if the rest were wrong)." in alone


def test_the_metric_chooses_the_test_not_its_values() -> None:
    run = make_run(PROFILES[:2], choices=0)
    scores = {k: tuple(replace(s, value=s.value and 1.0) for s in v) for k, v in run.scores.items()}
    tests = {c.metric: c.test for c in build_report(replace(run, scores=scores)).comparisons}
    assert tests["docqa/token_f1"] == tests["docqa/k_precision"] == "sign_flip"
    assert tests["docqa/exact_match"] == tests["docqa/refusal_accuracy"] == "mcnemar"


@pytest.fixture(scope="module")
def report() -> Report:
    return build_report(make_run())


def test_closed_books_do_not_count_as_missing(report: Report) -> None:
    closed = next(s for s in report.systems if s.name == "smollm2-closed-book")
    found = closed.metrics["docqa/recall@5"]
    assert (found.estimate, found.total, found.not_applicable) == (None, 0, 24)
    assert found.reasons == {"closed book": 24}


def _with_passages(kind: str, *told: bool | None) -> RunData:
    """An app on four samples: whether each reply told its passages; None: the call failed."""
    samples = [sample("yes", id=f"q{i}", relevant=("a.md",)) for i in range(len(told))]
    metrics = load_metrics(["recall@5", "k_precision"])
    records, scores = [], {}
    for item, tells in zip(samples, told, strict=True):
        outcome = Outcome.TIMEOUT if tells is None else Outcome.OK
        reply = record("yes", outcome, rag=bool(tells), sample_id=item.id)
        records.append(reply)
        scores[Key.of(reply)] = score_record(item, reply, [passage("yes")] if tells else [], metrics)
    return RunData(
        run="r",
        created="",
        systems=[SystemFacts(name="x", kind=kind)],
        benchmarks=[BenchmarkFacts(name="docqa")],
        samples=samples,
        records=records,
        scores=scores,
    )


def test_a_failed_call_of_an_app_that_retrieves_by_itself_is_missing() -> None:
    found = build_report(_with_passages("runnable", True, True, True, None)).systems[0].metrics
    for metric in ("docqa/recall@5", "docqa/k_precision"):
        assert (found[metric].n, found[metric].total, found[metric].mean_if_missing_wrong) == (3, 4, 0.75)
        assert found[metric].reasons == {"timeout": 1}


def test_an_app_that_tells_no_passages_is_no_closed_book() -> None:
    run = _with_passages("runnable", False, False, None)
    found = build_report(run).systems[0].metrics["docqa/k_precision"]
    assert (found.total, found.not_applicable) == (0, 3)
    assert found.reasons == {"no passages known": 2, "timeout": 1}
    page = render(build_report(run), "html")
    assert "closed book" not in page


def test_a_closed_book_without_replies_is_one_still() -> None:
    run = _with_passages("provider", None, None, None)
    for thin in (run, replace(run, records=run.records[:1])):
        found = build_report(thin).systems[0].metrics["docqa/k_precision"]
        assert (found.estimate, found.total, found.mean_if_missing_wrong) == (None, 0, None)
        assert found.reasons == {"closed book": 3}


def test_caveats_say_what_a_reader_must_know(report: Report) -> None:
    text = "\n".join(report.warnings)
    for expected in (
        "docqa has only 24 samples",
        "docqa has only 9 clusters of dependent samples, too few to allow for",
        "mcq uses the split val_v0",
        "extractive: answers quote the passages, so citation_precision, faithfulness_lexical, k_precision",
        "smollm2-rag, smollm2-closed-book: cost assumes $0.08 per busy hour",
        "groq-llama-70b: 6 calls failed and are not scored (timeout 4, rate_limited 2)",
        "house-model: its price is unknown",
        "different numbers of calls in flight: extractive 1",
    ):
        assert expected in text


def test_what_holds_of_several_systems_is_said_once() -> None:
    warnings = build_report(make_run(PROFILES[:2], questions=4, choices=0)).warnings
    names = ", ".join(profile.name for profile in PROFILES[:2])
    assert [w for w in warnings if "slowest" in w] == [
        f"{names}: p95 over 4 replies is little more than the slowest one."
    ]


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (3, "recall@5 and recall@10 are recall@3; ndcg@10 sees no more."),
        (6, "recall@10 is recall@6; ndcg@10 sees no more."),
        (10, None),
    ],
)
def test_cut_offs_deeper_than_what_was_retrieved(k: int, expected: str | None) -> None:
    run = make_run(PROFILES[:1], choices=0)
    warnings = build_report(replace(run, systems=[replace(run.systems[0], k=k)])).warnings
    wanted = [f"extractive: only {k} passages retrieved: {expected}"] if expected else []
    assert [w for w in warnings if "passages retrieved" in w] == wanted


def test_the_methods_named_are_those_used() -> None:
    plain = build_report(_run({"x": [RIGHT] * 5 + [WRONG] * 3, "y": [RIGHT] * 4 + [WRONG] * 4}))
    intervals, differences = interval_methods(plain), difference_methods(plain)
    assert intervals.startswith("95 %. Wilson's: mcq/accuracy and mcq/unparsed_rate.")
    assert "BCa" not in intervals
    assert "cluster" not in intervals
    assert "McNemar's exact test: mcq/accuracy and mcq/unparsed_rate." in differences
    assert "Sign flips" not in differences
    run = make_run(PROFILES[:2], questions=80, choices=0)
    many = [replace(s, cluster=f"c{i // 2}") for i, s in enumerate(run.samples)]
    clustered = build_report(replace(run, samples=many, repeats=2))
    assert "A bootstrap draws whole clusters of samples, 2,000 times, seed 7." in interval_methods(clustered)
    assert "2 repeats of a sample were averaged first." in interval_methods(clustered)
    assert "Sign flips of whole clusters of samples: docqa/token_f1, " in difference_methods(clustered)
    assert "McNemar" not in difference_methods(clustered)
    few = build_report(make_run(PROFILES[:2], choices=0))
    assert "Student's t, clustered error: docqa/token_f1" in interval_methods(few)
    assert "A bootstrap draws" not in interval_methods(few)
    assert ", intervals by Student's t, clustered error." in difference_methods(few)
    assert difference_methods(build_report(make_run(PROFILES[:1]))) == ""


def test_extractive_is_faithful_by_construction(report: Report) -> None:
    extractive = next(s for s in report.systems if s.name == "extractive")
    for metric in ("faithfulness_lexical", "k_precision", "citation_precision"):
        estimate = extractive.metrics[f"docqa/{metric}"].estimate
        assert estimate is not None
        assert estimate.mean == 1.0


def test_it_is_deterministic(report: Report) -> None:
    assert build_report(make_run()) == report


def test_disagreements_come_first(report: Report) -> None:
    assert len(report.samples) == 40
    docqa = [view.spread for view in report.samples if view.benchmark == "docqa"]
    assert docqa == sorted(docqa, reverse=True)
    assert [answer.system for answer in report.samples[0].answers] == [p.name for p in PROFILES]


@pytest.mark.parametrize(
    "run",
    [
        make_run(PROFILES[:1]),
        make_run(()),
        make_run(PROFILES[:2], questions=0, choices=0),
        make_run(PROFILES[:2], questions=1, choices=1),
        replace(make_run(PROFILES[:2]), scores={}),
        replace(make_run(PROFILES[:2]), records=[], scores={}),
        _run({"x": [TIMEOUT] * 4, "y": [TIMEOUT] * 4}),
        _run({"x": [WRONG] * 4}),
    ],
    ids=[
        "one system",
        "none",
        "no samples",
        "one sample",
        "unscored",
        "no replies",
        "all failed",
        "all wrong",
    ],
)
def test_every_format_stands_thin_runs(run: RunData) -> None:
    from evals.reporting import FORMATS, render

    built = build_report(run)
    for name in FORMATS:
        text = render(built, name)
        assert "nan" not in text.lower().replace("tenant", "")


def test_items_asked_in_several_orders_are_grouped_by_subject() -> None:
    """Too few subjects make each item a cluster; a table of items would tell nobody anything."""
    options = ("w", "x", "y", "z")
    items = [
        sample("A", id=f"{subject}/{n}", benchmark="mcq", choices=options, cluster=subject)
        for subject in ("law", "physics")
        for n in range(20)
    ]
    run = _run({"x": [RIGHT] * 80 + [WRONG] * 80})
    found = build_report(_renamed(run, rotated(items, 4)))
    assert found.benchmarks[0].clusters == 40
    (table,) = found.by_group
    assert (table.groups, table.sizes, table.means["x"]) == (("law", "physics"), (80, 80), (1.0, 0.0))


def test_orders_of_a_few_items_are_no_independent_samples() -> None:
    """Five items in four orders are five: the exact p-value of five signs, not McNemar's of twenty."""
    items = [sample("A", id=f"{n}", benchmark="mcq", choices=("w", "x", "y", "z")) for n in range(5)]
    run = _run({"x": [RIGHT] * 20, "y": [WRONG] * 20})
    report = build_report(_renamed(run, rotated(items, 4)))
    (accuracy,) = [c for c in report.comparisons if c.metric == "mcq/accuracy"]
    assert (accuracy.test, accuracy.n, accuracy.p_value) == ("sign_flip", 20, 2 / 2**5)
    estimate = report.systems[0].metrics["mcq/accuracy"].estimate
    assert estimate is not None
    assert (estimate.n, estimate.clusters, estimate.low) == (20, 5, pytest.approx(0.5655, abs=1e-4))
    assert not [warning for warning in report.warnings if "count as independent" in warning]


def _renamed(run: RunData, samples: Sequence[Sample]) -> RunData:
    """The run as if it had asked these samples in place of its own."""
    names = dict(zip((s.id for s in run.samples), samples, strict=True))
    return replace(
        run,
        samples=samples,
        records=[replace(r, sample_id=names[r.sample_id].id) for r in run.records],
        scores={
            Key(benchmark=k.benchmark, sample_id=names[k.sample_id].id, system=k.system, repeat=k.repeat): v
            for k, v in run.scores.items()
        },
    )
