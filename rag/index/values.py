"""What an index is described by: its settings, the files it was read from, its documents, filters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from rag.core import Chunk

__all__ = ["DocumentRow", "FileState", "IndexSettings", "Where", "facet_value", "facets_of"]

Where: TypeAlias = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexSettings:
    """What every part of a collection has in common; fixed when it is created.

    `fingerprint` is the embedder's, `chunk_tokens` None where documents are kept whole.
    """

    name: str
    embedder: str
    fingerprint: str
    dimension: int
    chunk_tokens: int | None
    overlap_tokens: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class FileState:
    """The state of a file when it was read; it is read again when any of this changes.

    `origin` names the file: a document's own source, or that of the file whose rows are documents. `recipe`
    names the loader and chunker that read it, with their versions.
    """

    origin: str
    sha256: str
    size: int
    mtime_ns: int
    recipe: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentRow:
    """A document of a collection, without its text; `pages` is None where the format has none."""

    source: str
    id: str
    title: str
    media_type: str
    language: str | None
    pages: int | None
    chunks: int
    file: FileState


def facet_value(value: str | float | bool) -> str:
    """Return the text by which metadata values are compared.

    `3`, `3.0` and `"3"` are equal, and so are `True` and `"true"`: what is typed in a terminal has no type.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def facets_of(chunk: Chunk) -> dict[str, str]:
    """Return what a passage can be filtered by, as key -> text form of its value."""
    own = {
        "source": chunk.source,
        "title": chunk.title,
        "page": chunk.page,
        "section": chunk.section,
        "language": chunk.language,
    }
    merged = {**chunk.metadata, **own}
    return {key: facet_value(value) for key, value in merged.items() if value is not None}
