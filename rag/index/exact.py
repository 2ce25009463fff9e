"""Exact cosine search over the vectors of the manifest.

A product of 20,000 x 384 float32 takes 2 ms and reading them 50 ms, so a cold process answers sooner than
`import chromadb` takes, always with recall 1, and no second process can disturb it. `np.vecdot` stays in one
thread: on a busy machine a BLAS product waited ten times as long for its other threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from rag.index.manifest import BLOCK, Manifest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rag.core import Vectors

__all__ = ["ExactSearch", "Scored", "best", "scan"]

Scored: TypeAlias = list[tuple[int, float]]


class ExactSearch:
    """All vectors of a small collection in memory, brought up to date by reading what is new."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._rows = np.empty(0, dtype=np.int64)
        self._matrix: Vectors = np.empty((0, manifest.settings.dimension), dtype=np.float32)

    def refresh(self) -> None:
        """Take over what was committed since the last refresh: rows never change, they only come and go."""
        last = int(self._rows[-1]) if len(self._rows) else 0
        if last:
            held = np.isin(
                self._rows, np.array(self._manifest.all_rows(), dtype=np.int64), assume_unique=True
            )
            if not held.all():
                self._rows, self._matrix = self._rows[held], self._matrix[held]
        new_rows, blob = self._manifest.vectors_after(last)
        if not new_rows:
            return
        new = np.frombuffer(blob, dtype=np.float32).reshape(len(new_rows), -1)
        self._rows = np.concatenate([self._rows, np.array(new_rows, dtype=np.int64)])
        self._matrix = np.concatenate([self._matrix, new]) if len(self._matrix) else new

    def search(self, vector: Vectors, k: int, rows: Sequence[int] | None) -> Scored:
        """Return up to `k` (row, cosine similarity), best first; among `rows` where given.

        `rows` may be older or newer than the last refresh: what only one of them holds is not found.
        """
        if rows is None:
            return best(self._rows, np.vecdot(self._matrix, vector), k)
        asked = np.array(rows, dtype=np.int64)
        places = np.flatnonzero(np.isin(self._rows, asked, assume_unique=True))
        return best(self._rows[places], np.vecdot(self._matrix[places], vector), k)


def scan(manifest: Manifest, vector: Vectors, k: int, rows: Sequence[int]) -> Scored:
    """Return up to `k` (row, cosine similarity) among `rows`, read block by block: memory stays small."""
    kept: Scored = []
    for start in range(0, len(rows), BLOCK):
        held, found = manifest.vectors(rows[start : start + BLOCK])
        kept += best(np.array(held, dtype=np.int64), np.vecdot(found, vector), k)
    return sorted(kept, key=lambda pair: (-pair[1], pair[0]))[:k]


def best(rows: NDArray[np.int64], scores: Vectors, k: int) -> Scored:
    """Return the `k` best of `scores` with their rows; equal scores keep the order of rows."""
    if len(scores) > k:
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        places = np.flatnonzero(scores >= threshold)
    else:
        places = np.arange(len(scores))
    places = places[np.argsort(-scores[places], kind="stable")][:k]
    return [(int(rows[place]), float(scores[place])) for place in places]
