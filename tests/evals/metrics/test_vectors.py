"""Vectors by text: what is kept, and that what is asked for is there."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from evals.metrics import vectors
from evals.metrics.vectors import TextVectors
from rag.config import Config


def test_room_is_made_without_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three texts are kept; the fourth comes together with one that is known."""

    def embedded(texts: Sequence[str]) -> np.ndarray:
        return np.array([[float(len(text))] for text in texts])

    monkeypatch.setattr(vectors, "_KEPT", 3)
    found = TextVectors(Config())
    monkeypatch.setattr(found, "_embedder", lambda: SimpleNamespace(embed_documents=embedded))
    found.learn(["a", "bb", "ccc"])
    assert found.of(["a", "dddd"]).tolist() == [[1.0], [4.0]]
