"""Choices read in every mode, what became of them, letters that are favoured, options in other orders."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import count

import pytest
from scipy.stats import chisquare

from evals.core import Record, Sample, Score
from evals.metrics.letters import chosen_letter, letter_histogram, read_choice, rotations, verdict
from rag.core import Outcome, TokenLogprob
from tests.evals.metrics.values import record, sample, score

CITIES = ("Paris", "London", "Rome", "New York")
NUMBERS = count()


def with_logprobs(*logprobs: TokenLogprob) -> Record:
    reply = record("B")
    return replace(reply, completion=replace(reply.completion, logprobs=logprobs))


def scored(chosen: str, right: str) -> tuple[Sample, Score]:
    """A reply to an item of its own."""
    item = sample(right, id=f"item {next(NUMBERS)}", choices=CITIES)
    return item, score("accuracy", item, record(chosen))


# ---------------------------------------------------------------- modes


def test_the_letter_with_most_probability_is_chosen_over_all_its_spellings() -> None:
    item = sample("C", choices=CITIES, metadata={"mode": "logprob"})
    others = ((" B", -1.0), ("C", -1.5), (" C", -1.2), ("(C", -4.0), ("The", -0.9), ("E", -0.1))
    found = read_choice(item, with_logprobs(TokenLogprob(token=" B", logprob=-1.0, alternatives=others)))
    assert (found.letter, found.rule) == ("C", "logprob")


def test_no_letter_among_the_likely_tokens_is_unparsed() -> None:
    item = sample("C", choices=CITIES, metadata={"mode": "logprob"})
    reply = with_logprobs(TokenLogprob(token="The", logprob=-0.1, alternatives=(("It", -2.0),)))
    assert read_choice(item, reply).rule == "unparsed"


@pytest.mark.parametrize("mode", ["logprob", "cloze"])
def test_a_reply_without_log_probabilities_is_no_wrong_answer(mode: str) -> None:
    item = sample("B", choices=CITIES, metadata={"mode": mode})
    found = score("accuracy", item, record("B"))
    assert found.value is None
    assert found.error is not None
    assert "use mode generate" in found.error


@pytest.mark.parametrize("mode", ["generate", "logprob", "cloze"])
def test_a_refusal_is_scored_as_it_stands_in_every_mode(mode: str) -> None:
    item = sample("B", choices=CITIES, metadata={"mode": mode})
    found = score("accuracy", item, record("", Outcome.REFUSAL))
    assert (found.value, found.reason, found.error) == (0.0, "refused", None)


def test_cloze_takes_the_option_likeliest_for_its_length() -> None:
    item = sample("D", choices=CITIES, metadata={"mode": "cloze"})
    likelihoods = (-6.0, -6.0, -5.0, -7.0)  # a character: -1.2, -1.0, -1.25, -0.875
    reply = with_logprobs(*(TokenLogprob(token="", logprob=value) for value in likelihoods))
    assert read_choice(item, reply).letter == "D"
    assert score("accuracy", item, reply).reason == "D by cloze"


# ---------------------------------------------------------------- what became of a reply


@pytest.mark.parametrize(
    ("reply", "word", "letter"),
    [
        (record("Answer: B"), "correct", "B"),
        (record("Answer: C"), "wrong", "C"),
        (record("hm"), "unparsed", None),
        (record("I cannot help with that."), "refused", None),
        (record("", Outcome.REFUSAL), "refused", None),
        (record("", Outcome.CONTENT_FILTER), "failed", None),
        (record("", Outcome.TIMEOUT), None, None),
    ],
)
def test_a_score_tells_what_became_of_the_reply(reply: Record, word: str | None, letter: str | None) -> None:
    found = score("accuracy", sample("B", choices=CITIES), reply)
    assert verdict(found) == word
    assert chosen_letter(found) == letter


# ---------------------------------------------------------------- letters


def test_choices_are_tested_against_the_right_letters() -> None:
    pairs = [scored("A", right) for right in "ABCD" * 10] + [scored("hm", "A")]
    found = letter_histogram(pairs)
    assert found.chosen == {"A": 40, "B": 0, "C": 0, "D": 0}
    assert found.right == {"A": 10, "B": 10, "C": 10, "D": 10}
    assert found.n == 40
    expected = chisquare([40, 0, 0, 0], [10, 10, 10, 10])
    assert found.chi_square == pytest.approx(expected.statistic, abs=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-12)
    assert found.degrees == 3


def test_letters_that_are_hardly_ever_right_are_taken_together() -> None:
    key = "A" * 10 + "B" * 10 + "C" * 3 + "D" * 2
    found = letter_histogram([scored("ABCD"[i % 4], right) for i, right in enumerate(key)])
    assert found.degrees == 2  # C and D are one
    expected = chisquare([7, 6, 12], [10, 10, 5])
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-12)


def test_few_replies_are_not_tested() -> None:
    found = letter_histogram([scored("A", "A"), scored("B", "A")])
    assert found.chosen == {"A": 1, "B": 1}
    assert (found.chi_square, found.degrees, found.p_value) == (None, None, None)
    assert letter_histogram([]).n == 0


def test_repeats_of_an_item_are_no_new_evidence() -> None:
    pairs = [scored("AAABBCCD"[i % 8], "ABCD"[i % 4]) for i in range(40)]
    once, often = letter_histogram(pairs), letter_histogram(pairs * 5)
    assert (often.chosen, often.n) == ({"A": 75, "B": 50, "C": 50, "D": 25}, 200)
    assert (often.chi_square, often.p_value) == (once.chi_square, once.p_value)
    assert once.p_value is not None


def test_random_choices_are_seldom_called_favoured() -> None:
    rng = random.Random(3)
    below = 0
    for _ in range(300):
        pairs = [scored(rng.choice("ABCD"), "ABCD"[i % 4]) for i in range(80)]
        p_value = letter_histogram(pairs).p_value
        assert p_value is not None
        below += p_value < 0.05
    assert 4 <= below <= 28  # 15 expected


# ---------------------------------------------------------------- order of options


def turned(item: str, turn: int, value: float) -> tuple[Sample, Score]:
    metadata = {"item": item, "rotation": str(turn)}
    return sample("A", choices=CITIES, metadata=metadata), Score(metric="accuracy", value=value)


def test_rotations_tell_content_from_place() -> None:
    pairs = [turned("a", turn, 1.0) for turn in range(3)]
    pairs += [turned("b", turn, float(turn == 1)) for turn in range(3)]
    pairs += [turned("c", 0, 1.0)]  # the other two failed: not compared
    found = rotations(pairs)
    assert found is not None
    assert found.items == 2
    assert found.by_rotation == {0: 0.5, 1: 1.0, 2: 0.5}
    assert (found.always, found.ever) == (0.5, 1.0)
    assert rotations([(sample("A", choices=CITIES), Score(metric="accuracy", value=1.0))]) is None
