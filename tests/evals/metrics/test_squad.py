"""Exact match and token F1 against SQuAD's official evaluation, worked by hand."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.metrics.exact_match import exact_match
from evals.metrics.text import normalise
from evals.metrics.token_f1 import token_f1
from rag.core import Outcome
from tests.evals.metrics.values import record, sample, value

TEXTS = st.text(alphabet=st.sampled_from("ab the. AN,é1 \n"), max_size=40)


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("The Denver  Broncos!", None, "denver broncos"),
        ("an Apple, a day", "en", "apple day"),
        ("U.S.A.", "en", "usa"),
        ("theatre", "en", "theatre"),
        ("O céu é azul.", "en", "o céu é azul"),
        ("O céu é azul.", "pt", "céu é azul"),
        ("«Um» guia das APIs – uma visão", "pt", "guia das apis visão"),
        ("“quoted”", "en", "“quoted”"),
        ("“quoted”", "pt", "quoted"),
    ],
)
def test_normalise(text: str, language: str | None, expected: str) -> None:
    assert normalise(text, language) == expected


@given(st.text(alphabet="aAntTh the.,'-—\n\t\u00a0ÉΣ1_") | st.text())
def test_normalise_is_the_official_script(text: str) -> None:
    # evaluate-v1.1.py: white_space_fix(remove_articles(remove_punc(lower(s))))
    plain = "".join(char for char in text.lower() if char not in set(string.punctuation))
    assert normalise(text) == " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


@pytest.mark.parametrize(
    ("answer", "target", "f1"),
    [
        ("Denver Broncos", "the Denver Broncos", 1.0),
        ("The Broncos won", "Denver Broncos", 0.5),  # 1 of 2 and 1 of 2 words
        ("Santa Clara, California stadium", "Santa Clara", 2 * 0.5 * 1 / 1.5),
        ("no words in common", "Denver Broncos", 0.0),
        ("to to to be", "to be to be", 0.75),  # bags: to twice, be once
        ("the", "a", 1.0),  # nothing is left on either side
        ("the", "cat", 0.0),
    ],
)
def test_token_f1(answer: str, target: str, f1: float) -> None:
    assert token_f1(answer, target) == pytest.approx(f1, abs=1e-12)


@given(TEXTS, TEXTS)
def test_f1_is_symmetric_and_bounded(left: str, right: str) -> None:
    found = token_f1(left, right)
    assert 0.0 <= found <= 1.0
    assert found == token_f1(right, left)
    assert found >= exact_match(left, right)


@given(TEXTS)
def test_a_text_matches_itself_whatever_its_case_and_spaces(text: str) -> None:
    assert exact_match(f"  {text.upper()} ", text.lower().replace(" ", "  ")) == 1.0


def test_the_best_target_counts() -> None:
    item = sample("Denver", "Denver Broncos", "Broncos")
    assert value("token_f1", item, record("the Denver Broncos")) == 1.0
    assert value("exact_match", item, record("broncos.")) == 1.0
    assert value("exact_match", item, record("Carolina Panthers")) == 0.0


@pytest.mark.parametrize("metric", ["exact_match", "token_f1"])
@pytest.mark.parametrize("answer", ["Denver Broncos [1]", "Denver [1, 3] Broncos [2]."])
def test_citation_marks_are_no_words(metric: str, answer: str) -> None:
    assert value(metric, sample("the Denver Broncos"), record(answer)) == 1.0


@pytest.mark.parametrize("metric", ["exact_match", "token_f1"])
def test_unanswerable_is_right_only_when_refused(metric: str) -> None:
    assert value(metric, sample(), record("I do not know", refused=True)) == 1.0
    assert value(metric, sample(), record("", Outcome.REFUSAL)) == 1.0
    assert value(metric, sample(), record("42")) == 0.0
    assert value(metric, sample("42"), record("42", refused=True)) == 0.0


def test_portuguese_articles_go_in_portuguese_only() -> None:
    assert value("exact_match", sample("o lote", language="pt"), record("Um lote")) == 1.0
    assert value("exact_match", sample("o lote"), record("Um lote")) == 0.0
