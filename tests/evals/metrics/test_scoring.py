"""The rule for failed calls, in its one place, and the table of metrics."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from evals.core import Metric, Record, Sample, Score
from evals.metrics import METRICS, expand_metrics, load_metrics, metric_info, score_record, score_records
from evals.metrics.scoring import is_missing
from rag.config import Config, JudgeConfig, ScoringConfig
from rag.core import Chunk, Outcome
from rag.errors import UnknownNameError
from tests.evals.metrics.values import passage, record, sample, score

ALL = [*METRICS]
ITEM = sample("B", choices=("x", "y"), relevant=("a.md",))


@pytest.mark.parametrize("outcome", [*Outcome])
@pytest.mark.parametrize(
    "metric", ["token_f1", "accuracy", "unparsed_rate", "refusal_accuracy", "k_precision"]
)
def test_each_outcome_follows_the_rule(metric: str, outcome: Outcome) -> None:
    found = score(metric, ITEM, record("B", outcome), passage("B"))
    if outcome.answered:
        assert found.value is not None or metric == "k_precision"
    elif outcome.own_failure:
        assert (found.value, found.reason) == (metric_info(metric).worst, str(outcome))
    else:
        assert (found.value, found.reason, is_missing(found)) == (None, str(outcome), True)


@pytest.mark.parametrize("outcome", [Outcome.TIMEOUT, Outcome.CONTENT_FILTER, Outcome.OK])
def test_retrieval_is_scored_whatever_the_answer_was(outcome: Outcome) -> None:
    assert score("recall@5", ITEM, record("", outcome), passage("t")).value == 1.0


def test_a_reply_without_passages_does_not_apply_but_a_failed_call_is_missing() -> None:
    for metric in ("k_precision", "recall@5"):
        found = score(metric, ITEM, record("B", rag=False))
        assert (found.reason, is_missing(found)) == ("no passages known", False)
        for outcome in (Outcome.TIMEOUT, Outcome.CONTENT_FILTER):
            found = score(metric, ITEM, record("", outcome, rag=False))
            assert (found.value, found.reason, is_missing(found)) == (None, str(outcome), True)


@pytest.mark.parametrize("outcome", [Outcome.TIMEOUT, Outcome.CONTENT_FILTER, Outcome.OK])
@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("accuracy", "not multiple choice"),
        ("unparsed_rate", "not multiple choice"),
        ("recall@5", "no relevant passage named"),
    ],
)
def test_a_failed_call_misses_no_value_that_its_sample_has_none_of(
    metric: str, reason: str, outcome: Outcome
) -> None:
    found = score(metric, sample("B"), record("B", outcome, rag=False))
    assert (found.value, found.reason, is_missing(found)) == (None, reason, False)


@pytest.mark.parametrize("metric", ["token_f1", "exact_match", "rouge_l", "chrf", "refusal_accuracy"])
def test_of_an_open_question_nothing_is_right_or_wrong(metric: str) -> None:
    for refused in (True, False):
        found = score(metric, sample(metadata={"open": "true"}), record("x", refused=refused))
        assert (found.value, found.reason, is_missing(found)) == (None, "no accepted answer known", False)
        assert score(metric, sample(), record("x", refused=refused)).value == float(refused)


class _Broken:
    names = ("broken", "also_broken")
    needs_answer = True
    needs_passages = False

    def score(self, sample: Sample, record: Record, passages: Sequence[Chunk]) -> Sequence[Score]:
        raise ValueError("no such thing")


class _NotANumber(_Broken):
    names = ("nan",)

    def score(self, sample: Sample, record: Record, passages: Sequence[Chunk]) -> Sequence[Score]:
        return [Score(metric="nan", value=float("nan"))]


def test_a_metric_that_raises_is_data() -> None:
    found = score_record(ITEM, record("B"), (), [_Broken(), *load_metrics(["accuracy"])])
    assert [s.metric for s in found] == ["broken", "also_broken", "accuracy"]
    assert found[0].error == "ValueError: no such thing"
    assert is_missing(found[0])
    assert found[2].value == 1.0


def test_never_nan() -> None:
    (found,) = score_record(ITEM, record("B"), (), [_NotANumber()])
    assert (found.value, found.error) == (None, "the metric returned nan")


def test_score_records_keeps_the_order() -> None:
    items = [(ITEM, record(text), ()) for text in ("A", "B")]
    values = [scores[0].value for _, scores in score_records(items, load_metrics(["accuracy"]))]
    assert values == [0.0, 1.0]


def test_every_metric_loads_and_is_a_metric() -> None:
    config = Config(judge=(JudgeConfig(provider="lab:judge"),), scoring=ScoringConfig(nli_model="nli"))
    loaded = load_metrics([name for name in ALL if not metric_info(name).judged], config)
    assert all(isinstance(metric, Metric) for metric in loaded)
    loaded_names = {name for metric in loaded for name in metric.names}
    assert loaded_names == {name for name in ALL if not metric_info(name).judged}
    for metric in loaded:
        assert {metric_info(name).needs_passages for name in metric.names} == {metric.needs_passages}


def test_retrieval_is_short_for_four() -> None:
    assert expand_metrics(["token_f1", "retrieval", "mrr", "recall@20"]) == (
        "token_f1",
        "recall@5",
        "recall@10",
        "mrr",
        "ndcg@10",
        "recall@20",
    )
    assert [m.names for m in load_metrics(["retrieval"])] == [("recall@5", "recall@10", "mrr", "ndcg@10")]


@pytest.mark.parametrize(
    ("name", "near"), [("tokenf1", "token_f1"), ("retreival", "retrieval"), ("ndcg@0", "ndcg@10")]
)
def test_an_unknown_metric_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=f"did you mean '{near}'"):
        load_metrics([name])
