"""chrF: character n-grams an answer shares with the target. Kind to inflection and spelling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evals.core import Record, Sample, Score
from evals.metrics.text import best_of_targets
from rag.core import Chunk

__all__ = ["ChrF", "chrf"]

_ORDERS = 6
_WEIGHT = 4  # beta squared: recall weighs twice as much as precision


def chrf(answer: str, target: str) -> float:
    """Return the sentence chrF2 over 100, between 0 and 1 (Popović 2015, W15-3049).

    The value is sacrebleu's of signature `nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no`, tests hold it
    against that package: n-grams of up to six characters without white space, case kept, over the orders
    that both texts are long enough for. Written out, because its tables of n-grams take three times as long.
    """
    left, right = "".join(answer.split()), "".join(target.split())
    orders = min(_ORDERS, len(left), len(right))
    if not orders:
        return 0.0
    shared = [*_shared(left, right, orders)]
    precision = sum(found / (len(left) - n) for n, found in enumerate(shared)) / orders
    recall = sum(found / (len(right) - n) for n, found in enumerate(shared)) / orders
    if not shared[0]:
        return 0.0
    return (1 + _WEIGHT) * precision * recall / (_WEIGHT * precision + recall)


def _shared(left: str, right: str, orders: int) -> Iterator[int]:
    """Yield how many n-grams of 1, 2, ... `orders` characters both texts have, repeated ones as often."""
    import numpy as np

    codes = np.frombuffer((left + right).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    alphabet, letters = np.unique(codes, return_inverse=True)
    names = np.empty(len(codes) * len(alphabet), dtype=np.int64)
    grams = letters
    for order in range(1, orders + 1):
        if order > 1:
            # An n-gram is the one that is shorter by its last letter, and that letter; its name is the place
            # of one like it, whichever wrote its place last.
            grams = grams[:-1] * len(alphabet) + letters[order - 1 :]
            names[grams] = np.arange(len(grams))
            grams = names[grams]
        # Those that begin in the left text and end in the right one belong to neither.
        ours = np.bincount(grams[: len(left) - order + 1], minlength=len(codes))
        theirs = np.bincount(grams[len(left) :], minlength=len(codes))
        yield int(np.minimum(ours, theirs).sum())


class ChrF:
    """chrF with the best of the accepted answers; the unanswerable ones are right when refused."""

    names = ("chrf",)
    needs_answer = True
    needs_passages = False

    def score(self, sample: Sample, record: Record, passages: Sequence[Chunk]) -> Sequence[Score]:  # noqa: ARG002
        """Return the best value over all targets; citation marks are no part of an answer."""
        return [best_of_targets("chrf", sample, record, chrf)]
