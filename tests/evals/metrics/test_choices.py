"""Reading a choice: the right rule fires, the last match counts, nothing takes forever."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.metrics.choices import extract_choice
from rag.core import Outcome
from tests.evals.metrics.values import record, sample, score, value

CITIES = ("Paris", "London", "Rome", "New York")


@pytest.mark.parametrize(
    ("reply", "letter", "rule"),
    [
        ("B", "B", "direct"),
        (" (b) ", "B", "direct"),
        ("**B.**", "B", "direct"),
        ("A\n\nBecause B is wrong.", "A", "direct"),
        ("Answer: (B)", "B", "phrase"),
        ("Answer: b", "B", "phrase"),
        ("**Answer:** B", "B", "phrase"),
        ("The answer is C, not B.", "C", "phrase"),
        ("Answer: A. Wait, no. Final answer: D", "D", "phrase"),
        ("The best choice would be option (D).", "D", "phrase"),
        ("Answer: A because it is the capital", "A", "phrase"),
        ("A resposta correta é a letra C.", "C", "phrase"),
        ("alternativa correta: (b)", "B", "phrase"),
        ("Gabarito: D", "D", "phrase"),
        ("I would take **B) London** here", "B", "marked"),
        (r"so $\boxed{\text{D}}$", "D", "marked"),
        ("B. London\n\nExplanation: it is", "B", "line"),
        ("C) Rome", "C", "line"),
        ("London", "B", "option"),
        ("Answer: London", "B", "option"),
        ("Both A and C fail, so D", "D", "letter"),
        ("Letra D", "D", "letter"),
        ("I think it must be Rome", "C", "mention"),
        ("It is New York, not Paris.", None, "unparsed"),
        ("The answer is a matter of taste", None, "unparsed"),
        ("Resposta: A água ferve", None, "unparsed"),
        ("A dog is an animal", None, "unparsed"),
        ("A. Paris\nB. London\nC. Rome\nD. New York", None, "unparsed"),
        ("A. Paris\nB. London\nC. Rome\nD. New York\nAnswer: C", "C", "phrase"),
        ("E", None, "unparsed"),
        ("", None, "unparsed"),
    ],
)
def test_cascade(reply: str, letter: str | None, rule: str) -> None:
    found = extract_choice(reply, CITIES)
    assert (found.letter, found.rule) == (letter, rule)


def test_the_longer_of_two_nested_options_is_meant() -> None:
    assert extract_choice("It is sodium chloride, I think", ("sodium", "sodium chloride")).letter == "B"


def test_ten_options_know_the_pronoun_from_the_letter() -> None:
    options = tuple(f"option {n}" for n in range(10))
    assert extract_choice("I think the answer is J", options).letter == "J"
    assert extract_choice("I think so", options).letter is None


@pytest.mark.parametrize(
    "junk", ["answer ", "Answer: ", "answer is is ", "option choice ", " * _ ( ", "A ", "\n", "**A) ", "- "]
)
def test_no_reply_takes_long(junk: str) -> None:
    start = time.perf_counter()
    extract_choice(junk * (30_000 // len(junk)), CITIES)
    assert time.perf_counter() - start < 5  # 0.3 s on a quiet machine


@given(st.text(max_size=200))
def test_a_letter_is_one_of_the_options(reply: str) -> None:
    found = extract_choice(reply, CITIES)
    assert found.letter is None or found.letter in "ABCD"
    assert (found.letter is None) == (found.rule == "unparsed")


@given(st.sampled_from("ABCD"), st.sampled_from(["Answer: {}", "({})", "**{}**", "The answer is {}.", "{}"]))
def test_every_form_gives_its_letter(letter: str, form: str) -> None:
    assert extract_choice(form.format(letter), CITIES).letter == letter


def test_accuracy_and_unparsed_rate() -> None:
    item = sample("B", choices=CITIES)
    assert value("accuracy", item, record("Answer: B")) == 1.0
    assert score("accuracy", item, record("Answer: B")).reason == "B by phrase"
    assert value("accuracy", item, record("no idea")) == 0.0
    assert value("unparsed_rate", item, record("no idea")) == 1.0
    assert value("unparsed_rate", item, record("C")) == 0.0
    assert value("unparsed_rate", item, record("", Outcome.CONTENT_FILTER)) == 1.0
    assert score("accuracy", sample("Paris"), record("Paris")).reason == "not multiple choice"
