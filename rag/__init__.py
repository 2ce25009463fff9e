"""The RAG toolkit: documents in, cited answers out.

Example:
    >>> from rag import Index, ask, ingest, load_config, search
    >>> ingest(["corpora/handbook/docs/en/groq-vs-grok.md"], "handbook").failures
    ()
    >>> search("Who designs the LPU?", "handbook", k=1).hits[0].chunk.source
    'groq-vs-grok.md'
    >>> answer = ask("When was Groq founded?", "handbook", provider="extractive")
    >>> [(citation.source, citation.verified) for citation in answer.citations]
    [('groq-vs-grok.md', True)]
    >>> index = Index.open(load_config().home_dir() / "collections" / "handbook")
    >>> index.stats().documents > 0
    True
    >>> index.close()

Every name below is imported when it is first used, so that `import rag` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.chain import RagassayChatModel, RagassayRetriever, rag_chain
    from rag.collection import Collection
    from rag.config import Config, load_config
    from rag.core import (
        Answer,
        Chunk,
        Citation,
        Completion,
        Document,
        Hit,
        Outcome,
        SearchResult,
        Settings,
        Usage,
    )
    from rag.errors import RagassayError
    from rag.index import Index
    from rag.ingestion import IngestReport
    from rag.pipeline import ask, ingest, search

__all__ = [
    "Answer",
    "Chunk",
    "Citation",
    "Collection",
    "Completion",
    "Config",
    "Document",
    "Hit",
    "Index",
    "IngestReport",
    "Outcome",
    "RagassayChatModel",
    "RagassayError",
    "RagassayRetriever",
    "SearchResult",
    "Settings",
    "Usage",
    "ask",
    "ingest",
    "load_config",
    "rag_chain",
    "search",
]

_HOMES = {
    "rag.chain": ("RagassayChatModel", "RagassayRetriever", "rag_chain"),
    "rag.collection": ("Collection",),
    "rag.config": ("Config", "load_config"),
    "rag.core": (
        "Answer",
        "Chunk",
        "Citation",
        "Completion",
        "Document",
        "Hit",
        "Outcome",
        "SearchResult",
        "Settings",
        "Usage",
    ),
    "rag.errors": ("RagassayError",),
    "rag.index": ("Index",),
    "rag.ingestion": ("IngestReport",),
    "rag.pipeline": ("ask", "ingest", "search"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'rag' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
