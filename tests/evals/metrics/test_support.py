"""K-precision, lexical faithfulness, citations, refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.metrics.faithfulness_lexical import supported
from evals.metrics.k_precision import k_precision
from evals.metrics.text import statements
from tests.evals.metrics.values import citation, passage, record, sample, score, value

TEXT = (
    "Batch requests cost half the price. The limit is 50,000 requests in one file. "
    "Results come back within 24 hours. Failed rows are not charged. Keys expire after 90 days."
)


def test_k_precision_by_hand() -> None:
    # cost, half, as, much: two of four words occur.
    assert k_precision("Cost half as much", [TEXT]) == 0.5
    assert k_precision("half half", [TEXT]) == 0.5  # the bag holds it once
    assert k_precision("half half", [TEXT, "half"]) == 1.0
    assert k_precision("the", [TEXT]) is None


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Batch requests cost half the price", True),
        ("batch REQUESTS  cost half the price", True),
        ("A batch request costs half; requests in a batch cost half the price", True),
        ("The limit is 50000 requests", True),
        ("The limit is 60,000 requests", False),  # a number that is not there
        ("Keys expire after 9", False),  # part of a number
        ("Streaming needs a websocket connection", False),
        ("Batch requests cost half after 90", False),  # words of sentences far apart
        ("It is so", None),
    ],
)
def test_supported(sentence: str, expected: bool | None) -> None:
    assert supported(sentence, [TEXT]) is expected


@given(st.integers(0, 4), st.integers(1, 5))
def test_copied_sentences_are_supported(first: int, count: int) -> None:
    sentences = TEXT.replace(". ", ".|").split("|")
    quote = " ".join(sentences[first : first + count])
    reply = record(f"{quote} [1]")
    assert value("faithfulness_lexical", sample("x"), reply, passage(TEXT)) == 1.0
    assert value("k_precision", sample("x"), reply, passage(TEXT)) == 1.0


def test_share_of_sentences() -> None:
    reply = record("Batch requests cost half the price [1]. Dragons guard the server room.")
    found = score("faithfulness_lexical", sample("x"), reply, passage(TEXT))
    assert (found.value, found.reason) == (0.5, "1 of 2 sentences supported")


@pytest.mark.parametrize("metric", ["faithfulness_lexical", "k_precision", "citation_precision"])
def test_no_value_where_there_is_nothing_to_judge(metric: str) -> None:
    assert score(metric, sample("x"), record("no", refused=True), passage(TEXT)).reason == "refused"
    assert score(metric, sample("x"), record("yes", rag=False)).reason == "no passages known"
    assert score(metric, sample("x"), record(""), passage(TEXT)).value is None


def test_citation_precision() -> None:
    cited = (citation(verified=True), citation(verified=False), citation(verified=True))
    assert value("citation_precision", sample("x"), record("y", citations=cited)) == pytest.approx(2 / 3)
    assert score("citation_precision", sample("x"), record("y")).reason == "no citations"


def test_refusal_accuracy() -> None:
    refusal, reply = record("no", refused=True), record("yes")
    assert [
        value("refusal_accuracy", item, given)
        for item in (sample(), sample("x"))
        for given in (refusal, reply)
    ] == [1.0, 0.0, 0.0, 1.0]


def test_statements_lose_marks_and_bullets() -> None:
    text = "- First point [1].\n- Second costs USD 0.60 [1, 2].\n\nThird, e.g. this."
    assert statements(text) == ["First point", "Second costs USD 0.60", "Third, e.g. this"]
