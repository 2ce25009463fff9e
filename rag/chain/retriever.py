"""A collection as a LangChain retriever, and its passages as LangChain Documents."""

from __future__ import annotations

from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import run_in_executor
from typing_extensions import override

from rag.collection import Collection, open_collection
from rag.config import Config, load_config
from rag.core import Chunk, Hit, Mode, chunk_id
from rag.shapes import passage_metadata

__all__ = ["RagassayRetriever", "chunk_of", "document_of"]


class RagassayRetriever(BaseRetriever):
    """The `k` best passages of a collection as Documents, best first.

    A Document's `id` is the passage's. Its metadata holds `source`, `title`, `page`, `section`, `start` and
    `end` (characters of the document's extracted text), `language`, `chunk_id`, `document_id`, `rank`,
    `score`, `dense_rank`, `lexical_rank`, and what the source document itself brought. None is unknown.

    Args:
        collection: an open collection; see `from_collection` for a name.
        k: how many passages, from 1; `retriever.invoke(query, k=3)` says it for one call.
        mode: `"hybrid"`, `"dense"` or `"lexical"`.
        where: metadata that a passage must have, such as `{"language": "pt"}`.
        context_tokens: keep only what fits this many tokens of the embedding model; None keeps all `k`.
    """

    collection: Collection
    k: int = 8
    mode: Mode = "hybrid"
    where: dict[str, str | int | float | bool] | None = None
    context_tokens: int | None = None

    @classmethod
    def from_collection(cls, name: str, *, config: Config | None = None, **options: Any) -> Self:
        """Open the collection `name`; `options` are the fields above.

        Raises:
            UnknownNameError: there is none of that name; suggests the nearest.
            CollectionError: it cannot be opened; names the cure.
        """
        return cls(collection=open_collection(name, config or load_config()), **options)

    @override
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        return self._documents(query, k)

    @override
    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        return await run_in_executor(None, self._documents, query, k)

    def _documents(self, query: str, k: int | None) -> list[Document]:
        k = self.k if k is None else k
        hits = self.collection.search(query, k=k, mode=self.mode, where=self.where).hits
        if self.context_tokens is not None:
            hits = self.collection.within_budget(hits, self.context_tokens)
        return [document_of(hit, rank) for rank, hit in enumerate(hits, start=1)]


def document_of(hit: Hit, rank: int) -> Document:
    """Return a retrieved passage as a Document; `rank` counts from 1."""
    return Document(page_content=hit.chunk.text, id=hit.chunk.id, metadata=passage_metadata(rank, hit))


def chunk_of(document: Document) -> Chunk:
    """Return a Document as a passage, whichever retriever it comes from.

    Where its metadata does not tell, `source` is its id or empty, `title` the source, `start` 0.
    """
    metadata, text = document.metadata, document.page_content
    source = str(metadata.get("source") or document.id or "")
    page, start, section = metadata.get("page"), metadata.get("start"), metadata.get("section")
    language = metadata.get("language")
    begin = start if isinstance(start, int) else 0
    end = begin + len(text)
    return Chunk(
        id=str(metadata.get("chunk_id") or document.id or chunk_id(source, begin, end, text)),
        document_id=str(metadata.get("document_id") or source),
        source=source,
        title=str(metadata.get("title") or source),
        text=text,
        start=begin,
        end=end,
        page=page if isinstance(page, int) else None,
        section=section if isinstance(section, str) else None,
        language=language if isinstance(language, str) else None,
    )
