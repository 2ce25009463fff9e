"""Retrieval measures by ir-measures over pytrec_eval, TREC's own arithmetic."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from evals.core import Record, Sample, Score
from rag.core import Chunk

__all__ = ["Retrieval", "ranked_units"]

_PAGE = re.compile(r"#\d+$")


def ranked_units(passages: Sequence[Chunk], relevant: Sequence[str]) -> tuple[str, ...]:
    """Return the documents or pages behind the passages, best first, each once at its best rank.

    Judgements name documents (`source`) or pages (`source#page`), passages are parts of them. Without
    folding, two passages of one relevant page would count as two finds, and recall and nDCG could pass 1.
    So a unit stands at the rank of its best passage, as usual for passage retrieval judged by document. A
    passage is the page it starts on where that page is judged, the document where the document is judged,
    and otherwise whichever of the two this sample's judgements speak of.
    """
    judged = frozenset(relevant)
    by_page = any(_PAGE.search(name) for name in relevant)
    units: dict[str, None] = {}
    for passage in passages:
        page = passage.source if passage.page is None else f"{passage.source}#{passage.page}"
        whole = passage.source in judged and page not in judged
        units.setdefault(passage.source if whole or not by_page else page)
    return tuple(units)


@lru_cache(maxsize=65536)
def _measures(names: tuple[str, ...], found: tuple[int, ...], missed: tuple[int, ...]) -> tuple[float, ...]:
    """Return the measures of one ranking, of which only the grades at each place matter.

    An ir-measures call costs 0.25 ms; rankings with the same pattern share one, which makes a thousand
    samples a few dozen calls.

    Args:
        names: the measures.
        found: the grade at each rank, 0 for what is not relevant.
        missed: the grades of the relevant units that were not found, in order.
    """
    import ir_measures

    ranking = [f"r{rank}" for rank in range(len(found))]
    grades = [*zip(ranking, found, strict=True), *((f"missed{i}", grade) for i, grade in enumerate(missed))]
    qrels = [ir_measures.Qrel("q", name, grade) for name, grade in grades if grade > 0]
    run = [ir_measures.ScoredDoc("q", name, float(len(ranking) - i)) for i, name in enumerate(ranking)]
    wanted = [_measure(name) for name in names]
    if not run or not qrels:
        return (0.0,) * len(names)
    values = ir_measures.pytrec_eval.calc_aggregate(wanted, qrels, run)
    return tuple(float(values[measure]) for measure in wanted)


def _measure(name: str) -> object:
    import ir_measures

    kind, _, cut = name.partition("@")
    if kind == "mrr":
        return ir_measures.RR
    return (ir_measures.R if kind == "recall" else ir_measures.nDCG) @ int(cut)


class Retrieval:
    """recall@k, MRR and nDCG@k of the passages a system was shown, whatever it answered.

    nDCG goes by the sample's grades where these differ; the gain is the grade, as in trec_eval's `ndcg_cut`.

    Args:
        names: measures out of `recall@k`, `mrr`, `ndcg@k`.
    """

    needs_answer = False
    needs_passages = True

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def inapplicable(self, sample: Sample) -> str | None:
        """Return that a sample names nothing to be found."""
        return None if sample.relevant else "no relevant passage named"

    def score(self, sample: Sample, record: Record, passages: Sequence[Chunk]) -> Sequence[Score]:  # noqa: ARG002
        """Return one score a measure."""
        grades = dict(zip(sample.relevant, sample.gains or (1,) * len(sample.relevant), strict=True))
        units = ranked_units(passages, sample.relevant)
        missed = sorted(grade for unit, grade in grades.items() if unit not in units)
        values = _measures(self.names, tuple(grades.get(unit, 0) for unit in units), tuple(missed))
        return [Score(metric=name, value=value) for name, value in zip(self.names, values, strict=True)]
