"""Multiple choice: what a record chose in any mode, what became of it, and whether letters are favoured."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evals.core import Record, Sample, Score
from evals.metrics.choices import Choice, extract_choice, letters
from rag.core import Outcome

__all__ = [
    "LetterHistogram",
    "Rotations",
    "Verdict",
    "chosen_letter",
    "letter_histogram",
    "read_choice",
    "rotations",
    "verdict",
]

Verdict = Literal["correct", "wrong", "unparsed", "refused", "failed"]
_FEWEST_EXPECTED = 5.0  # Cochran's rule for a chi-square test
_OUTCOMES = frozenset(str(outcome) for outcome in Outcome)
_AROUND = " \t\n\r*_`\"'([{<$.:)]}>"


def read_choice(sample: Sample, record: Record) -> Choice:
    """Return the option that `record` chose, in the mode that `sample` was asked in.

    `logprob`: the letter with most probability among the alternatives of the first token. `letters`: the
    letter with the highest log likelihood. `cloze`: the option with the highest log likelihood divided by its
    number of characters (Brown et al. 2020, arXiv:2005.14165, section 2.4, normalises by length; by
    characters as lm-evaluation-harness's `acc_norm`). Otherwise what `extract_choice` reads.

    Raises:
        LookupError: the mode needs log probabilities, and a reply that is no refusal has none.
    """
    mode = sample.metadata.get("mode")
    refused = Choice(letter=None, rule="refused")
    if mode not in {"logprob", "letters", "cloze"}:
        choice = extract_choice(record.answer, sample.choices)
        return refused if choice.letter is None and record.completion.outcome is Outcome.REFUSAL else choice
    if not record.completion.logprobs:
        if record.completion.outcome is Outcome.REFUSAL:
            return refused
        raise LookupError("the reply has no log probabilities; this provider gives none: use mode generate")
    if mode == "logprob":
        return _likeliest_letter(sample, record)
    lengths = [len(option) for option in sample.choices] if mode == "cloze" else [1] * len(sample.choices)
    return _likeliest_option(record, lengths, rule=mode)


def verdict(score: Score) -> Verdict | None:
    """Return what became of a reply, from its `accuracy` score; None where nothing was learnt.

    `failed` are the system's own failures, scored 0; failures of infrastructure have no value.
    """
    if score.value is None:
        return None
    if score.value:
        return "correct"
    if score.reason == "unparsed":
        return "unparsed"
    if score.reason == "refused":
        return "refused"
    return "failed" if score.reason in _OUTCOMES else "wrong"


def chosen_letter(score: Score) -> str | None:
    """Return the letter that an `accuracy` score was given for; None where none was read."""
    letter, by, _ = (score.reason or "").partition(" by ")
    return letter if by and score.value is not None else None


@dataclass(frozen=True, kw_only=True, slots=True)
class LetterHistogram:
    """How often each letter was chosen, beside how often it was right among the same items.

    `p_value` is that of a chi-square test of the choices against the shares of the right letters: small where
    some letters are favoured. Each None where it cannot be tested: too few replies, or one letter only.
    Letters expected fewer than five times are taken together. A system that is mostly right follows the right
    letters whatever it favours, so that the test errs on the side of silence. The repeats of an item weigh as
    much as one reply: asked again, a model says the same again.
    """

    chosen: Mapping[str, int]
    right: Mapping[str, int]
    chi_square: float | None
    degrees: int | None
    p_value: float | None

    @property
    def n(self) -> int:
        """The replies in which a letter was read."""
        return sum(self.chosen.values())


def letter_histogram(scored: Iterable[tuple[Sample, Score]]) -> LetterHistogram:
    """Return the histogram of one system's `accuracy` scores, each with its sample.

    Replies without a letter are left out, and their right letters with them.
    """
    read = [(sample, letter) for sample, score in scored if (letter := chosen_letter(score)) is not None]
    repeats = Counter(sample.id for sample, _ in read)
    chosen = Counter((letter, repeats[sample.id]) for sample, letter in read)
    right = Counter((sample.targets[0], repeats[sample.id]) for sample, _ in read)
    known = sorted({letter for letter, _ in (*chosen, *right)})
    pairs = _pooled([(_weighed(chosen, letter), _weighed(right, letter)) for letter in known])
    tested: tuple[float, int, float] | None = None
    if len(pairs) > 1 and all(expected >= _FEWEST_EXPECTED for _, expected in pairs):
        from scipy.stats import chisquare

        found = chisquare([n for n, _ in pairs], [expected for _, expected in pairs])
        tested = (float(found.statistic), len(pairs) - 1, float(found.pvalue))
    statistic, degrees, p_value = tested or (None, None, None)
    return LetterHistogram(
        chosen={letter: _replies(chosen, letter) for letter in known},
        right={letter: _replies(right, letter) for letter in known},
        chi_square=statistic,
        degrees=degrees,
        p_value=p_value,
    )


def _replies(found: Counter[tuple[str, int]], letter: str) -> int:
    return sum(n for (one, _), n in found.items() if one == letter)


def _weighed(found: Counter[tuple[str, int]], letter: str) -> float:
    """Return the items behind the replies: each of `repeats` replies to one is that part of it."""
    return math.fsum(n / repeats for (one, repeats), n in found.items() if one == letter)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rotations:
    """Accuracy when the options are shown in other orders.

    `by_rotation` is the accuracy with the options turned by so many places, over the `items` that have a
    value in every order. `always` and `ever` are the shares of them that are right in every order, and in at
    least one: far apart where a system goes by the place of an option rather than by what it says.
    """

    items: int
    by_rotation: Mapping[int, float]
    always: float
    ever: float


def rotations(scored: Iterable[tuple[Sample, Score]]) -> Rotations | None:
    """Return how one system's `accuracy` depends on the order of options; None where it was not rotated.

    With repeats an item counts as right in an order in the share of its repeats.
    """
    values: defaultdict[str, defaultdict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for sample, score in scored:
        turn = sample.metadata.get("rotation")
        if turn is not None and score.value is not None:
            values[sample.metadata["item"]][int(turn)].append(score.value)
    turns = sorted({turn for orders in values.values() for turn in orders})
    whole = [
        [math.fsum(orders[turn]) / len(orders[turn]) for turn in turns]
        for orders in values.values()
        if len(orders) == len(turns)
    ]
    if not whole:
        return None
    n = len(whole)
    return Rotations(
        items=n,
        by_rotation={turn: math.fsum(row[i] for row in whole) / n for i, turn in enumerate(turns)},
        always=math.fsum(min(row) for row in whole) / n,
        ever=math.fsum(max(row) for row in whole) / n,
    )


def _pooled(pairs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return (observed, expected) with those expected too seldom taken together."""
    often = [pair for pair in pairs if pair[1] >= _FEWEST_EXPECTED]
    seldom = [pair for pair in pairs if pair[1] < _FEWEST_EXPECTED]
    if not any(observed or expected for observed, expected in seldom):
        return often
    rest = (math.fsum(observed for observed, _ in seldom), math.fsum(expected for _, expected in seldom))
    if rest[1] >= _FEWEST_EXPECTED or not often:
        return [*often, rest]
    least = min(range(len(often)), key=lambda i: often[i][1])
    merged = (often[least][0] + rest[0], often[least][1] + rest[1])
    return [*often[:least], merged, *often[least + 1 :]]


def _likeliest_letter(sample: Sample, record: Record) -> Choice:
    first = record.completion.logprobs[0]
    tokens = {first.token: first.logprob, **dict(first.alternatives)}
    known = letters(len(sample.choices))
    weights: defaultdict[str, float] = defaultdict(float)
    for token, logprob in tokens.items():
        letter = token.strip(_AROUND)
        if len(letter) == 1 and letter in known:
            weights[letter] += math.exp(logprob)
    if not weights:
        return Choice(letter=None, rule="unparsed")
    return Choice(letter=max(sorted(weights), key=weights.__getitem__), rule="logprob")


def _likeliest_option(record: Record, lengths: Sequence[int], *, rule: str) -> Choice:
    found = record.completion.logprobs
    if len(found) != len(lengths):
        raise LookupError(f"{len(found)} log likelihoods for {len(lengths)} options")
    scores = [likelihood.logprob / max(n, 1) for likelihood, n in zip(found, lengths, strict=True)]
    return Choice(letter=letters(len(scores))[scores.index(max(scores))], rule=rule)
