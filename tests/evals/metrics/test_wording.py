"""ROUGE-L, chrF and semantic similarity against the published packages, their examples, and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from evals.metrics import load_metrics, prepare_metrics
from evals.metrics.chrf import chrf
from evals.metrics.rouge_l import rouge_l
from rag.embedders import load_embedder
from tests.evals.metrics.values import record, sample, score, value

NEW = ["rouge_l", "chrf", "semantic_similarity"]
_reference = RougeScorer(["rougeL"])


def _rouge_score(answer: str, target: str) -> float:
    return float(_reference.score(target, answer)["rougeL"].fmeasure)


@pytest.mark.parametrize(
    ("target", "answer", "expected"),
    [
        # Lin 2004, section 2.1: S2 and S3 against S1, LCS of 3 and 2 of 4 words.
        ("police killed the gunman", "police kill the gunman", 3 / 4),
        ("police killed the gunman", "the gunman kill police", 2 / 4),
        # rouge-score's own example: LCS "the quick brown jumps the": 2 * 5 / (9 + 8).
        ("The quick brown fox jumps over the lazy dog", "The quick brown dog jumps on the log.", 10 / 17),
        ("a b", "", 0.0),
        # Accents are part of a word: rouge-score would find "inform" and "o" in both.
        ("informação", "informão", 0.0),
    ],
)
def test_rouge_l_by_hand(target: str, answer: str, expected: float) -> None:
    assert rouge_l(answer, target) == pytest.approx(expected, abs=1e-12)


_ascii = st.text(alphabet="abc AB9.,-'_\n", max_size=60)


@given(_ascii, _ascii)
def test_rouge_l_is_the_packages(answer: str, target: str) -> None:
    assert rouge_l(answer, target) == pytest.approx(_rouge_score(answer, target), abs=1e-12)


def test_chrf_of_the_packages_tests() -> None:
    # sacrebleu's test suite, sentences of test_chrf.py: identical, disjoint, and one letter of two.
    assert chrf("abcdefg", "hijklmnop") == 0.0
    assert chrf("a", "b") == 0.0
    assert chrf("aa", "b ") == 0.0
    assert chrf("ab", "ab") == 1.0
    # By hand: 1-grams a, b / a, c: precision and recall 1/2; 2-grams ab / ac: none; the mean of both orders
    # is 1/4, and so is F2.
    assert chrf("ab", "ac") == pytest.approx(0.25, abs=1e-12)
    # Recall weighs more: 1-grams 2 of 4 and 2 of 2, 2-grams 1 of 3 and 1 of 1; P 5/12, R 1: F2 = 5PR/(4P+R).
    assert chrf("abcd", "ab") == pytest.approx(5 * (5 / 12) / (4 * 5 / 12 + 1), abs=1e-12)


def test_semantic_similarity_is_the_cosine_of_the_embedder() -> None:
    texts = ["Keys expire after 90 days", "A key is valid for three months", "Dragons guard the server"]
    near, far = (
        value("semantic_similarity", sample("Keys expire after 90 days"), record(f"{text} [1]"))
        for text in texts[1:]
    )
    rows = load_embedder("all-MiniLM-L6-v2").embed_documents(texts).astype(np.float64)
    assert near == pytest.approx(float(rows[0] @ rows[1]), abs=2e-3)
    assert far == pytest.approx(max(0.0, float(rows[0] @ rows[2])), abs=2e-3)
    assert near is not None
    assert far is not None
    assert near > far + 0.2


def test_vectors_are_made_together_and_kept(tmp_path: Path) -> None:
    (metric,) = load_metrics(["semantic_similarity"])
    items = [(sample("the same words"), record(text), ()) for text in ("the same words", "", "other")]
    prepare_metrics([metric], items)
    values = [metric.score(*item)[0].value for item in items]
    assert values[0] == pytest.approx(1.0, abs=1e-3)
    assert values[1] == 0.0
    assert (tmp_path / "home" / "embeddings.sqlite3").is_file()


@pytest.mark.parametrize("metric", NEW)
def test_refusals_and_several_targets(metric: str) -> None:
    assert value(metric, sample(), record("no", refused=True)) == 1.0
    assert value(metric, sample(), record("yes")) == 0.0
    assert value(metric, sample("yes"), record("no", refused=True)) == 0.0
    found = score(metric, sample("nothing alike", "the very same"), record("the very same [2]"))
    assert found.value == pytest.approx(1.0, abs=1e-3)
