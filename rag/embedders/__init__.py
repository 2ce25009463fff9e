"""Embedding models by name, loaded on first use and once in a process."""

from __future__ import annotations

import threading
from pathlib import Path

from rag.core import Embedder
from rag.models import ProgressSink
from rag.registry import Registry

__all__ = ["EMBEDDERS", "load_embedder"]

EMBEDDERS = Registry(
    "embedder",
    {"all-MiniLM-L6-v2": "rag.embedders.openvino:OpenVinoEmbedder"},
    "'st:NAME' takes any sentence-transformers model by hub name or local folder.",
)
"""Name to the class that loads it, `Class(name, progress=...)`."""

_ANY = "st:"
_ANY_CLASS = "rag.embedders.sentence_transformers:SentenceTransformersEmbedder"

_loaded: dict[str, Embedder] = {}
_lock = threading.Lock()


def load_embedder(name: str, *, cache: Path | None = None, progress: ProgressSink | None = None) -> Embedder:
    """Return the embedder called `name`; a process loads each model once.

    Args:
        name: a key of `EMBEDDERS`, or `st:` and a sentence-transformers model by hub name or local folder.
        cache: an SQLite file where document vectors are kept between runs; None keeps none.
        progress: told of the model's download, where one is needed.

    Raises:
        UnknownNameError: no such embedder; the message suggests the nearest.
        ModelFileError: the model's files cannot be fetched, verified or used.
    """
    with _lock:
        if name not in _loaded:
            _loaded[name] = _load(name, progress)
    if cache is None:
        return _loaded[name]
    from rag.embedders.cache import CachedEmbedder

    return CachedEmbedder(_loaded[name], cache)


def _load(name: str, progress: ProgressSink | None) -> Embedder:
    from rag.registry import load_attribute

    if name.startswith(_ANY):
        embedder: Embedder = load_attribute(_ANY_CLASS)(name.removeprefix(_ANY), progress=progress)
    else:
        embedder = EMBEDDERS.load(name)(name, progress=progress)
    return embedder
