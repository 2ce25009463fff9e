"""Bytes to Documents in this process: detection, the format's parser, and what all formats share."""

from __future__ import annotations

import hashlib

from rag.core import Document
from rag.errors import LoadError
from rag.language import document_languages
from rag.loaders import detect
from rag.loaders.parsed import MAX_TEXT_CHARS, Parsed, stem
from rag.registry import Registry

__all__ = ["PARSERS", "document_id", "parse_bytes"]

PARSERS = Registry(
    "loader",
    {
        detect.PDF: "rag.loaders.pdf:parse",
        detect.DOCX: "rag.loaders.docx:parse",
        detect.HTML: "rag.loaders.html:parse",
        detect.MARKDOWN: "rag.loaders.markdown:parse",
        detect.PLAIN: "rag.loaders.text:parse",
        detect.CSV: "rag.loaders.csv:parse",
        detect.JSON: "rag.loaders.json:parse",
        detect.JSONL: "rag.loaders.json:parse_lines",
    },
)
"""Media type to the function `(data, name) -> list[Parsed]` that reads it."""


def document_id(source: str) -> str:
    """Return the stable id of the document at `source`: 24 hexadecimal digits of SHA-256."""
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def parse_bytes(data: bytes, name: str) -> list[Document]:
    """Read the documents of a file, unguarded: for hostile files use `rag.loaders.load`.

    Args:
        data: the file's bytes.
        name: its source name; the suffix decides where the content does not.

    Raises:
        LoadError: why it cannot be read, and what helps.
    """
    media_type = detect.detect(data, name)
    parsed = [item for item in PARSERS.load(media_type)(data, name) if item.text.strip()]
    if not parsed:
        raise LoadError("no text found in it; check that it holds more than pictures or markup.")
    if sum(len(item.text) for item in parsed) > MAX_TEXT_CHARS:
        raise LoadError(
            f"its text is longer than {MAX_TEXT_CHARS:,} characters; split it into smaller files."
        )
    languages = document_languages([item.text for item in parsed])
    return [
        _document(item, media_type, name, language) for item, language in zip(parsed, languages, strict=True)
    ]


def _document(item: Parsed, media_type: str, name: str, language: str | None) -> Document:
    source = name if item.key is None else f"{name}#{item.key}"
    return Document(
        id=document_id(source),
        source=source,
        title=item.title or stem(name),
        media_type=media_type,
        text=item.text,
        pages=item.pages,
        sections=item.sections,
        language=language,
        metadata=item.metadata,
    )
