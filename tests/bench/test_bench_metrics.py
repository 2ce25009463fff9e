"""How many replies each metric scores in a second, without embeddings and with them."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest

from evals.core import ScoreItem
from evals.metrics import load_metrics, score_records
from rag.config import Config
from rag.core import Chunk, Citation
from rag.embedders import load_embedder
from rag.text import STOP_WORDS
from tests.evals.metrics.values import citation, passage, record, sample

PLAIN = (
    "exact_match",
    "token_f1",
    "rouge_l",
    "chrf",
    "k_precision",
    "faithfulness_lexical",
    "citation_precision",
    "citation_recall",
    "refusal_accuracy",
)
SYSTEMS, QUESTIONS = 4, 500


@pytest.mark.bench
def test_scoring_without_embeddings() -> None:
    items = _items(QUESTIONS)
    for metrics in ([name] for name in PLAIN):
        print(f"\n{metrics[0]}: {_rate(items, metrics):,.0f} samples/s", end="")
    print(f"\nall {len(PLAIN)} together: {_rate(items, PLAIN):,.0f} samples per CPU second (wanted: 2,000)")


@pytest.mark.bench
def test_scoring_with_embeddings() -> None:
    load_embedder("all-MiniLM-L6-v2").embed_query("warm")
    for name in ("faithfulness_hybrid", "semantic_similarity"):
        items = _items(60)
        metrics = load_metrics([name], Config())
        start = time.perf_counter()
        scored = sum(1 for _ in score_records(items, metrics))
        rate = scored / (time.perf_counter() - start)
        print(f"\n{name}: {rate:,.0f} answers/s, nothing cached before (wanted: 20)")


def _rate(items: Sequence[ScoreItem], names: Sequence[str]) -> float:
    fresh = [(s, replace(r, answer=f"{r.answer} "), p) for s, r, p in items]
    metrics = load_metrics(names)
    list(score_records(fresh[:1], metrics))  # imports
    start = time.process_time()
    scored = sum(1 for _ in score_records(fresh, metrics))
    return scored / (time.process_time() - start)


def _items(questions: int) -> list[ScoreItem]:
    """Replies of four systems over six passages of about 200 words a question; no passage comes twice.

    Nearly half of the words are function words, as in English; the others are of the question's own topic. An
    answer is a sentence copied and cited, one put together from two and cited, and one of its own.
    """
    items: list[ScoreItem] = []
    for question in range(questions):
        draw = random.Random(question)
        topic = draw.sample(_WORDS, 300)
        sentences = [
            " ".join(draw.choice(_SMALL if draw.random() < 0.45 else topic) for _ in range(16)).capitalize()
            for _ in range(72)
        ]
        passages = [
            passage(". ".join(sentences[n : n + 12]) + ".", f"{question}-{n}.md") for n in range(0, 72, 12)
        ]
        asked = sample(sentences[3], id=str(question))
        for system in range(SYSTEMS):
            kept = sentences[3 + system]
            mixed = " ".join(kept.split()[:8] + sentences[40].split()[:8])
            answer = f"{kept} [1]. {mixed} [2]. About {system} of {question}."
            citations = tuple(_cited(n, passages[n - 1], system + 3) for n in (1, 2))
            reply = record(answer, sample_id=str(question), citations=citations)
            items.append((asked, reply, passages))
    return items


def _cited(marker: int, chunk: Chunk, sentence: int) -> Citation:
    quote = chunk.text.split(". ")[sentence]
    start = chunk.text.index(quote)
    return replace(
        citation(verified=True),
        marker=marker,
        chunk_id=chunk.id,
        source=chunk.source,
        start=start,
        end=start + len(quote),
        quote=quote,
    )


_SYLLABLES = ("ba", "ne", "ti", "lor", "mu", "san", "ver", "dol", "qui", "pes", "ran", "fex")
_WORDS = ["".join(parts) for parts in product(_SYLLABLES, repeat=3)]
_SMALL = sorted(filter(str.isascii, STOP_WORDS))
