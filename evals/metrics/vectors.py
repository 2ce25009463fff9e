"""Vectors of texts for metrics: our embedder, many texts at a time, each embedded once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rag.config import Config
from rag.errors import ModelFileError

if TYPE_CHECKING:
    from rag.core import Embedder, Vectors

__all__ = ["TextVectors"]

_KEPT = 20_000


class TextVectors:
    """Looks vectors up by text; what is new is embedded in one batch and kept in the home's embedding cache.

    The model named by `scoring: {embedder: ...}` is loaded at the first text.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._known: dict[str, Vectors] = {}
        self._failed: ModelFileError | None = None

    def learn(self, texts: Iterable[str]) -> None:
        """Embed the texts that are not known yet, together.

        Raises:
            ModelFileError: the embedder cannot be used; it is not tried again.
        """
        wanted = dict.fromkeys(texts)
        missing = [text for text in wanted if text not in self._known]
        if not missing:
            return
        if self._failed is not None:
            raise self._failed
        if len(self._known) + len(missing) > _KEPT:
            self._known = {text: found for text, found in self._known.items() if text in wanted}
        try:
            embedder = self._embedder()
        except ModelFileError as exc:
            self._failed = exc
            raise
        self._known.update(zip(missing, embedder.embed_documents(missing), strict=True))

    def _embedder(self) -> Embedder:
        from rag.embedders import load_embedder

        cache = self._config.home_dir() / "embeddings.sqlite3"
        return load_embedder(self._config.scoring.embedder, cache=cache)

    def of(self, texts: Sequence[str]) -> Vectors:
        """Return float32 unit rows of shape (len(texts), dimension); at least one text."""
        import numpy as np

        self.learn(texts)
        return np.stack([self._known[text] for text in texts])
