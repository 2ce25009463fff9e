"""Multiple choice: the share of right options, and of replies in which none was found."""

from __future__ import annotations

from collections.abc import Sequence

from evals.core import Record, Sample, Score
from evals.metrics.letters import read_choice
from rag.core import Chunk

__all__ = ["Accuracy", "UnparsedRate"]


class _OfChoices:
    """What holds of every metric of multiple choice."""

    needs_answer = True
    needs_passages = False

    def inapplicable(self, sample: Sample) -> str | None:
        """Return that a sample has no options."""
        return None if sample.choices else "not multiple choice"


class Accuracy(_OfChoices):
    """1 where the option read from the reply is the right one; an unparsed reply is wrong.

    `reason` tells the letter and the rule that read it (`"B by phrase"`; see `evals.metrics.choices`), or
    `"unparsed"`, or `"refused"`. `evals.metrics.letters` reads it again for reports.
    """

    names = ("accuracy",)

    def score(self, sample: Sample, record: Record, passages: Sequence[Chunk]) -> Sequence[Score]:  # noqa: ARG002
        """Compare the letter chosen with the target's."""
        choice = read_choice(sample, record)
        right = choice.letter is not None and choice.letter in sample.targets
        reason = choice.rule if choice.letter is None else f"{choice.letter} by {choice.rule}"
        return [Score(metric="accuracy", value=float(right), reason=reason)]


class UnparsedRate(_OfChoices):
    """1 where no option could be read from the reply: tells a wrong answer from a wrong form or a refusal."""

    names = ("unparsed_rate",)

    def score(self, sample: Sample, record: Record, passages: Sequence[Chunk]) -> Sequence[Score]:  # noqa: ARG002
        """Say whether a letter was found."""
        choice = read_choice(sample, record)
        return [Score(metric="unparsed_rate", value=float(choice.letter is None), reason=choice.rule)]
