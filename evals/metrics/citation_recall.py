"""Citation recall: how many of an answer's sentences are backed by a citation that holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evals.core import Record, Sample, Score
from evals.metrics.faithfulness_lexical import supported
from evals.metrics.support import sentences_touched
from evals.metrics.text import is_refusal, statements
from rag.core import Chunk, Citation
from rag.quotes import MARKER
from rag.text import sentence_spans

__all__ = ["CitationRecall", "cited_sentences"]


class CitationRecall:
    """Share of the answer's sentences that carry a verified citation which supports them; None for refusals.

    After ALCE's citation recall (Gao et al. 2023, arXiv:2305.14627, section 4), with the lexical support of
    `faithfulness_lexical` in place of an NLI model: a sentence counts where the sentences of the passages
    that its verified quotes stand in support it. A quote that is not found supports nothing, nor does one
    that is found and says something else. A citation whose mark stands nowhere in the answer is taken for
    all of it.
    """

    names = ("citation_recall",)
    needs_answer = True
    needs_passages = True

    def score(self, sample: Sample, record: Record, passages: Sequence[Chunk]) -> Sequence[Score]:  # noqa: ARG002
        """Judge each sentence of the answer by the quotes that its marks stand for."""
        if is_refusal(record):
            return [Score(metric="citation_recall", value=None, reason="refused")]
        evidence = _evidence(record.citations, {passage.id: passage for passage in passages})
        marks = {int(n) for group in MARKER.findall(record.answer) for n in group.split(",")}
        everywhere = [text for marker, text in evidence if marker not in marks]
        verdicts = []
        for sentence, markers in cited_sentences(record.answer):
            texts = [text for marker, text in evidence if marker in markers] + everywhere
            verdicts.append(supported(sentence, [" ".join(dict.fromkeys(texts))]))
        judged = [verdict for verdict in verdicts if verdict is not None]
        if not judged:
            return [Score(metric="citation_recall", value=None, reason="no statement")]
        reason = f"{sum(judged)} of {len(judged)} sentences cited and supported"
        return [Score(metric="citation_recall", value=sum(judged) / len(judged), reason=reason)]


def cited_sentences(answer: str) -> list[tuple[str, frozenset[int]]]:
    """Return the sentences of an answer without marks, each with the numbers of the marks that it carries.

    Marks after a sentence's stop belong to it: `Keys expire. [1] They are renewed. [2]`.
    """
    found: list[tuple[str, frozenset[int]]] = []
    for start, end in sentence_spans(answer):
        position = start
        while found and (mark := MARKER.match(answer, position, end)):
            sentence, markers = found[-1]
            found[-1] = (sentence, markers | _numbers(mark[1]))
            position = mark.end()
            while position < end and answer[position].isspace():
                position += 1
        text = answer[position:end]
        markers = frozenset[int]().union(*(_numbers(mark[1]) for mark in MARKER.finditer(text)))
        parts = statements(text)
        if parts:
            found.append((" ".join(parts), markers))
        elif found and markers:
            found[-1] = (found[-1][0], found[-1][1] | markers)
    return found


def _numbers(marks: str) -> frozenset[int]:
    return frozenset(map(int, marks.split(",")))


def _evidence(citations: Sequence[Citation], passages: Mapping[str, Chunk]) -> list[tuple[int, str]]:
    """Return (marker, the sentences that the quote stands in) of each verified citation."""
    found = []
    for citation in citations:
        passage = passages.get(citation.chunk_id or "")
        if citation.verified and passage and citation.start is not None and citation.end is not None:
            first, last = citation.start - passage.start, citation.end - passage.start
            text = " ".join(sentences_touched(passage.text, first, last))
            found.append((citation.marker, text))
    return found
