"""Embedding speed beside sentence-transformers as it comes: the same texts, taking turns in one run."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rag.embedders import load_embedder
from rag.models import model_path
from tests.conftest import REPO

pytestmark = pytest.mark.bench

ROUNDS = 3
CHUNKS = 128


def chunks(data: Path) -> list[str]:
    """SciFact's abstracts in pieces of 95 words, about 125 tokens."""
    pieces: list[str] = []
    with (data / "scifact" / "corpus.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            words = json.loads(line)["text"].split()
            pieces += [" ".join(words[i : i + 95]) for i in range(0, len(words) - 94, 95)]
            if len(pieces) >= CHUNKS:
                return pieces[:CHUNKS]
    return pieces


def test_documents_against_sentence_transformers(shared_data: Path) -> None:
    from sentence_transformers import SentenceTransformer

    texts = chunks(shared_data)
    ours = load_embedder("all-MiniLM-L6-v2")
    theirs = SentenceTransformer(str(model_path("all-MiniLM-L6-v2")), device="cpu")
    ours.embed_documents(texts[:32])
    theirs.encode(texts[:32])
    speeds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(ROUNDS):
        started = time.perf_counter()
        rows = ours.embed_documents(texts)
        middle = time.perf_counter()
        reference = theirs.encode(texts)
        speeds["ours"].append(len(texts) / (middle - started))
        speeds["theirs"].append(len(texts) / (time.perf_counter() - middle))
    ratios = [a / b for a, b in zip(speeds["ours"], speeds["theirs"], strict=True)]
    cosine = float(np.sum(rows * reference, axis=1).min())
    print(
        f"\nembedding, chunks/s: ours {statistics.median(speeds['ours']):.0f}, "
        f"sentence-transformers float32 {statistics.median(speeds['theirs']):.0f}, "
        f"ratio {statistics.median(ratios):.1f}, least cosine {cosine:.5f}"
    )
    assert cosine >= 0.9999


def test_a_cold_process_to_its_first_query() -> None:
    load_embedder("all-MiniLM-L6-v2")
    script = (
        "import time\nstarted = time.perf_counter()\n"
        "from rag.embedders import load_embedder\n"
        "load_embedder('all-MiniLM-L6-v2').embed_query('What does a batch request cost?')\n"
        "print(time.perf_counter() - started)\n"
    )
    seconds = [
        float(
            subprocess.run([sys.executable, "-c", script], cwd=REPO, capture_output=True, check=True).stdout
        )
        for _ in range(5)
    ]
    print(f"\ncold process to its first query vector: {min(seconds):.2f}-{max(seconds):.2f} s")
