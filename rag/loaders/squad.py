"""Question answering data in SQuAD's layout: each paragraph is a document, its questions are not.

Read as plain JSON the questions and answers would be indexed too, and a search would find them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag.loaders.parsed import Parsed, clean, one_line

__all__ = ["Paragraph", "documents", "is_squad", "is_squad_row", "paragraph_key", "paragraphs"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Paragraph:
    """A paragraph with its questions as the file has them.

    `key` names it within the file: the numbers of article and paragraph, from 0, as `"3/12"`; `title` is the
    article's, empty where it has none.
    """

    key: str
    title: str
    context: str
    questions: tuple[Mapping[str, Any], ...]


def is_squad(value: object) -> bool:
    """Return whether `value` is SQuAD's nested layout: `{"data": [{"paragraphs": [{"context", "qas"}]}]}`."""
    articles = value.get("data") if isinstance(value, Mapping) else None
    return (
        isinstance(articles, list)
        and bool(articles)
        and all(isinstance(article, Mapping) and _are_paragraphs(article) for article in articles)
    )


def is_squad_row(row: object) -> bool:
    """Return whether `row` is one question of the flat layout, as data sets on the hub have it."""
    return (
        isinstance(row, Mapping)
        and all(isinstance(row.get(key), str) for key in ("context", "question"))
        and isinstance(row.get("answers"), Mapping)
    )


def paragraphs(value: Mapping[str, Any]) -> Iterator[Paragraph]:
    """Yield the paragraphs of a file for which `is_squad` is true, in order."""
    for a, article in enumerate(value["data"]):
        title = one_line(str(article.get("title") or "").replace("_", " "))
        for p, paragraph in enumerate(article["paragraphs"]):
            yield Paragraph(
                key=f"{a}/{p}",
                title=title,
                context=clean(paragraph["context"]).strip(),
                questions=tuple(qa for qa in paragraph.get("qas") or () if isinstance(qa, Mapping)),
            )


def paragraph_key(context: str) -> str:
    """Return the name of a paragraph in the flat layout, which has none: the beginning of its SHA-256."""
    return hashlib.sha256(clean(context).strip().encode("utf-8", "surrogatepass")).hexdigest()[:12]


def documents(found: Sequence[tuple[str, str, str]]) -> list[Parsed]:
    """Return a document for each distinct key of (key, title, context); the first title stands."""
    firsts: dict[str, tuple[str, str]] = {}
    for key, title, context in found:
        firsts.setdefault(key, (title, context))
    return [
        Parsed(text=context, title=title or key, metadata={"format": "squad"}, key=key)
        for key, (title, context) in firsts.items()
        if context
    ]


def _are_paragraphs(article: Mapping[str, Any]) -> bool:
    found = article.get("paragraphs")
    return isinstance(found, list) and all(
        isinstance(paragraph, Mapping) and isinstance(paragraph.get("context"), str) for paragraph in found
    )
