"""The lexical index: BM25 by Tantivy, one text field per language, each with its own stemmer.

It holds row numbers and postings, no text. A query is analysed once for each language that the collection
holds, and its terms are combined here: users' words never reach a query parser.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import unicodedata
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rag.core import Chunk
from rag.errors import CollectionError, RagassayError, StorageError
from rag.index.storage import refused
from rag.index.values import Where, facet_value, facets_of

if TYPE_CHECKING:
    import tantivy

__all__ = ["LexicalIndex", "LexicalWriter", "destroy"]

STORE_FOLDER = "tantivy"
STEMMERS = {"en": "english", "pt": "portuguese"}
OTHER = "other"
# A question of 100,000 characters is a document; what it is about shows in its first few hundred words.
MAX_TERMS = 256
MAX_QUERY_CHARS = 20_000
MAX_TERM_BYTES = 100
WRITER_HEAP = 64_000_000
_SOFT_HYPHEN = re.compile("\u00ad(?:[ \t]*\n[ \t]*)?")


class LexicalIndex:
    """An open Tantivy index for reading: many processes may, also while one writes."""

    def __init__(self, folder: Path) -> None:
        import tantivy

        self._folder = folder
        path = folder / STORE_FOLDER
        with _tantivy_errors(folder):
            if not path.is_dir() or not tantivy.Index.exists(str(path)):
                raise _broken(folder)
        try:
            with _tantivy_errors(folder):
                self._index = _open(path)
        except StorageError:
            # Tantivy takes a lock file even to read: on a read-only disk it reads a copy.
            copy = Path(tempfile.mkdtemp(prefix="ragassay-"))
            weakref.finalize(self, shutil.rmtree, copy, ignore_errors=True)
            shutil.copytree(path, copy, dirs_exist_ok=True)
            self._index = _open(copy)

    def refresh(self) -> None:
        """See what was committed since."""
        with _tantivy_errors(self._folder):
            self._index.reload()

    def count(self) -> int:
        """Return the number of passages held."""
        return int(self._index.searcher().num_docs)

    def rows(self) -> set[int]:
        """Return every row number held."""
        import tantivy

        searcher = self._index.searcher()
        found = searcher.search(tantivy.Query.all_query(), limit=max(1, searcher.num_docs), count=False)
        return {int(row) for row in _rows(searcher, found)}

    def search(
        self, query: str, k: int, *, languages: Iterable[str | None], where: Where | None
    ) -> list[tuple[int, float]]:
        """Return up to `k` (row, BM25 score), best first; `languages` are those the collection holds.

        BM25 with k1 1.2 and b 0.75 (Robertson and Zaragoza 2009, section 3.2), over the fields' sum.
        """
        import tantivy

        fields = sorted({_field(language) for language in languages})
        words = [_term(f"text_{field}", term) for field in fields for term in _terms(query, field)]
        if not words or k < 1:
            return []
        asked = tantivy.Query.boolean_query([(tantivy.Occur.Should, word) for word in words])
        if where:
            facets = [_term("facet", _facet_term(key, facet_value(value))) for key, value in where.items()]
            filters = [tantivy.Query.const_score_query(facet, 0.0) for facet in facets]
            asked = tantivy.Query.boolean_query([(tantivy.Occur.Must, part) for part in (asked, *filters)])
        with _tantivy_errors(self._folder):
            searcher = self._index.searcher()
            # Tantivy reserves memory for as many as are asked for, and ends the process where there is less.
            found = searcher.search(asked, limit=min(k, max(1, searcher.num_docs)), count=False)
            scores = [float(score) for score, _ in found.hits]
            return list(zip(_rows(searcher, found), scores, strict=True))


class LexicalWriter:
    """The one writer of a Tantivy index; changes show after `commit`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        path = folder / STORE_FOLDER
        with _tantivy_errors(folder):
            path.mkdir(exist_ok=True)
            self._index = _open(path)
            self._writer = self._index.writer(WRITER_HEAP, 1)

    def count(self) -> int:
        """Return the number of passages committed."""
        with _tantivy_errors(self._folder):
            self._index.reload()
            return int(self._index.searcher().num_docs)

    def add(self, rows: Sequence[int], chunks: Sequence[Chunk]) -> None:
        """Add passages under their row numbers."""
        import tantivy

        with _tantivy_errors(self._folder):
            for row, chunk in zip(rows, chunks, strict=True):
                document = tantivy.Document()
                document.add_unsigned("row", row)
                document.add_text(f"text_{_field(chunk.language)}", _indexed_text(chunk))
                for key, value in facets_of(chunk).items():
                    document.add_text("facet", _facet_term(key, value))
                self._writer.add_document(document)

    def delete(self, rows: Iterable[int]) -> None:
        """Remove passages by row number; numbers that are not held are ignored."""
        import tantivy

        # By query: `delete_documents_by_term` makes a signed term, which no unsigned field holds (0.27).
        for row in rows:
            with _tantivy_errors(self._folder):
                self._writer.delete_documents_by_query(tantivy.Query.term_query(_schema(), "row", row))

    def commit(self) -> None:
        """Make the changes durable and visible; takes about 100 ms however few they are."""
        with _tantivy_errors(self._folder):
            self._writer.commit()

    def clear(self) -> None:
        """Remove everything; readers see the old content until `commit`."""
        with _tantivy_errors(self._folder):
            self._writer.delete_all_documents()

    def close(self) -> None:
        """Wait for merges and give the writer's files back; uncommitted changes are dropped."""
        with _tantivy_errors(self._folder):
            self._writer.wait_merging_threads()


def destroy(folder: Path) -> None:
    """Delete the index's files."""
    shutil.rmtree(folder / STORE_FOLDER, ignore_errors=True)


def _indexed_text(chunk: Chunk) -> str:
    # A passage from the middle of a document rarely repeats what the document is about.
    heads = [head for head in (chunk.title, chunk.section) if head and not chunk.text.startswith(head)]
    return _composed("\n".join([*heads, chunk.text]))


def _composed(text: str) -> str:
    """Return `text` so that its words are found: letters with their accents, no soft hyphens inside."""
    return unicodedata.normalize("NFC", _SOFT_HYPHEN.sub("", text))


def _field(language: str | None) -> str:
    return language if language in STEMMERS else OTHER


def _terms(query: str, field: str) -> list[str]:
    text = _composed(query[:MAX_QUERY_CHARS]).encode("utf-8", "replace").decode()
    terms = _analyzer(field).analyze(text)
    return list(dict.fromkeys(terms))[:MAX_TERMS]


def _term(field: str, term: str) -> tantivy.Query:
    import tantivy

    return tantivy.Query.term_query(_schema(), field, term, "basic" if field == "facet" else "freq")


def _facet_term(key: str, value: str) -> str:
    return hashlib.sha256(f"{key}\0{value}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


@cache
def _analyzer(field: str) -> tantivy.TextAnalyzer:
    import tantivy

    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    builder = builder.filter(tantivy.Filter.remove_long(MAX_TERM_BYTES)).filter(tantivy.Filter.lowercase())
    builder = builder.filter(tantivy.Filter.ascii_fold())
    if field in STEMMERS:
        builder = builder.filter(tantivy.Filter.stemmer(STEMMERS[field]))
    return builder.build()


@cache
def _schema() -> tantivy.Schema:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("row", indexed=True, fast=True)
    builder.add_text_field("facet", tokenizer_name="raw", index_option="basic")
    for field in (*STEMMERS, OTHER):
        builder.add_text_field(f"text_{field}", tokenizer_name=f"ragassay_{field}", index_option="freq")
    return builder.build()


def _open(path: Path) -> tantivy.Index:
    import tantivy

    index = tantivy.Index(_schema(), path=str(path))
    for field in (*STEMMERS, OTHER):
        index.register_tokenizer(f"ragassay_{field}", _analyzer(field))
    return index


def _rows(searcher: tantivy.Searcher, found: tantivy.SearchResult) -> list[int]:
    values = searcher.fast_field_values("row", [address for _, address in found.hits])
    return [int(value) for value in values]


def _broken(folder: Path) -> CollectionError:
    return CollectionError(
        f"the lexical index of the collection {folder.name!r} is missing or damaged; "
        f"rebuild it with 'ragassay collections repair {folder.name}'."
    )


@contextmanager
def _tantivy_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except RagassayError:
        raise
    except (ValueError, OSError, RuntimeError) as exc:
        raise refused(exc, folder) or _broken(folder) from exc
