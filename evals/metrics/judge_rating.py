"""Judge's rating: 1 to 10 by a rubric, the explanation first."""

from __future__ import annotations

from collections.abc import Sequence

from evals.core import Case, Judgement, Sample, Score
from evals.metrics import mt_bench
from evals.metrics.judging import UnreadableError, bordered, object_schema, read_object
from evals.prompts import render
from rag.core import Completion, Message, Request, Settings

__all__ = ["JudgeRating", "JudgeRatingTurn1", "JudgeRatingTurn2", "conversation", "reference_of", "task"]

_SCHEMA = object_schema(explanation={"type": "string"}, rating={"type": "integer", "enum": [*range(1, 11)]})
_SHOWN = 160


class JudgeRating:
    """A tenth of a judge's rating of 1 to 10, by `rubric:` of the benchmark or a general one.

    The judge sees the question, the conversation before it, the accepted answers where there are any, and the
    answer. Samples of MT-bench are judged with its published prompts instead, and `rubric:` is not used.

    Source:
        Zheng et al. 2023, Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena, arXiv:2306.05685, 3.1.
    """

    names: tuple[str, ...] = ("judge_rating",)
    needs_answer = True
    needs_passages = False

    def judge(self, case: Case) -> Judgement:
        """Ask once, read the rating."""
        if mt_bench.is_turn(case.sample):
            rating, why = mt_bench.read_rating((yield mt_bench.rating_request(case)))
        else:
            rating, why = read_rating((yield _request(case)))
        return [
            Score(metric=name, value=rating / 10, reason=f"{rating:g} of 10: {why}") for name in self.names
        ]


class _OfTurn(JudgeRating):
    """The rating of one turn of a conversation; it shares the judge's replies with `judge_rating`."""

    turn = ""

    def inapplicable(self, sample: Sample) -> str | None:
        """Return that a sample is of another turn."""
        return None if sample.metadata.get("turn") == self.turn else "another turn"


class JudgeRatingTurn1(_OfTurn):
    """`judge_rating` of first turns."""

    names = ("judge_rating_turn_1",)
    turn = "1"


class JudgeRatingTurn2(_OfTurn):
    """`judge_rating` of second turns."""

    names = ("judge_rating_turn_2",)
    turn = "2"


def read_rating(reply: Completion) -> tuple[int, str]:
    """Return rating and explanation of a reply in our schema.

    Raises:
        UnreadableError: there is no whole number of 1 to 10.
    """
    found = read_object(reply, "rating")
    rating = found["rating"]
    if isinstance(rating, bool) or not isinstance(rating, int) or not 1 <= rating <= 10:
        raise UnreadableError(f"no rating of 1 to 10: {rating!r:.40}")
    return rating, " ".join(str(found.get("explanation", "")).split())[:_SHOWN]


def task(case: Case) -> str:
    """Return the question with what belongs to it, each text between marks: for prompts of judges."""
    parts = [*conversation(case), bordered("question", _question(case.sample))]
    reference = reference_of(case.sample)
    if reference:
        parts.append(bordered("reference", reference))
    return "\n\n".join(parts)


def conversation(case: Case) -> Sequence[str]:
    """Return the turns before the question, between marks."""
    return [bordered(f"earlier-{turn.role}", turn.content) for turn in case.record.history]


def reference_of(sample: Sample) -> str:
    """Return the accepted answers, one a line, or that a refusal is right; nothing for an open question."""
    if sample.choices:
        right = [f"{letter}. {option}" for letter, option in _options(sample) if letter in sample.targets]
        return "\n".join(right or sample.targets)
    return render("judge.refusal") if sample.unanswerable else "\n".join(sample.targets)


def _question(sample: Sample) -> str:
    options = [f"{letter}. {option}" for letter, option in _options(sample)]
    return "\n".join([sample.question, *options])


def _options(sample: Sample) -> list[tuple[str, str]]:
    return [(chr(ord("A") + place), option) for place, option in enumerate(sample.choices)]


def _request(case: Case) -> Request:
    rubric = case.rubric.strip() or render("judge_rating.rubric")
    system = render("judge_rating.system", data=render("judge.data"))
    answer = bordered("answer", case.record.answer)
    user = render("judge_rating.user", rubric=rubric, task=task(case), answer=answer)
    return Request(
        messages=(Message(role="system", content=system), Message(role="user", content=user)),
        settings=Settings(response_schema=_SCHEMA),
    )
