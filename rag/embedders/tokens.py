"""Texts to token ids and exact character spans, with the `tokenizers` library alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rag.errors import ModelFileError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["TextTokenizer", "encodable"]

_CHARS_PER_TOKEN = 64  # far more than any language needs


class TextTokenizer:
    """A model's tokenizer, without the padding and truncation stored in its file.

    Args:
        definition: the text of a `tokenizer.json`.
        limit: tokens that the encoder reads, special tokens included.

    Raises:
        ModelFileError: `definition` is not a tokenizer.
    """

    def __init__(self, definition: str, limit: int) -> None:
        self._definition = definition
        self._cut = _tokenizer(definition)
        self.content_limit = limit - self._cut.num_special_tokens_to_add(False)
        self._cut.enable_truncation(limit)

    @classmethod
    def from_file(cls, path: Path, limit: int) -> TextTokenizer:
        """Read a `tokenizer.json`.

        Raises:
            ModelFileError: the file cannot be read or is not a tokenizer.
        """
        try:
            return cls(path.read_text(encoding="utf-8"), limit)
        except (OSError, UnicodeDecodeError) as exc:
            raise ModelFileError(f"cannot read {path}: {exc}; fetch the model again.") from exc

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return each text's token ids, special tokens included, cut to the limit."""
        heads = [self.beginning(text) for text in texts]
        return [encoding.ids for encoding in self._cut.encode_batch_fast(heads)]

    def beginning(self, text: str) -> str:
        """Return as much of a text, lone surrogates replaced, as its tokens up to the limit need.

        To cut them off, the library would tokenise the whole of it first: gigabytes for a book.
        """
        size = _CHARS_PER_TOKEN * self.content_limit
        while size < len(text):
            space = text.rfind(" ", size // 2, size)
            head = encodable(text[: space if space > 0 else size])
            if len(self._cut.encode(head, add_special_tokens=False).ids) >= self.content_limit:
                return head
            size *= 4
        return encodable(text)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return the character span of every token of the whole text, special tokens left out.

        Spans are ordered. A character that the vocabulary splits gives its span to each of its tokens.
        """
        return list(self._whole.encode(encodable(text), add_special_tokens=False).offsets)

    @cached_property
    def _whole(self) -> Tokenizer:
        """A second one that never cuts; not loaded where only queries are embedded."""
        return _tokenizer(self._definition)


def _tokenizer(definition: str) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(definition)
    except Exception as exc:  # the library raises bare Exception
        raise ModelFileError(f"tokenizer.json is not readable ({exc}); fetch the model again.") from exc
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def encodable(text: str) -> str:
    """Replace lone surrogates, which JSON escapes smuggle in, one for one, so that offsets stay."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    return text
