"""Texts to token ids and exact character spans, with the `tokenizers` library alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rag.errors import ModelFileError

__all__ = ["TextTokenizer"]


class TextTokenizer:
    """A model's tokenizer, without the padding and truncation stored in its file.

    Args:
        definition: the text of a `tokenizer.json`.
        limit: tokens that the encoder reads, special tokens included.

    Raises:
        ModelFileError: `definition` is not a tokenizer.
    """

    def __init__(self, definition: str, limit: int) -> None:
        from tokenizers import Tokenizer

        try:
            self._whole = Tokenizer.from_str(definition)
            self._cut = Tokenizer.from_str(definition)
        except Exception as exc:  # noqa: BLE001 - the library raises bare Exception
            raise ModelFileError(f"tokenizer.json is not readable ({exc}); fetch the model again.") from exc
        for tokenizer in (self._whole, self._cut):
            tokenizer.no_padding()
            tokenizer.no_truncation()
        self._cut.enable_truncation(limit)
        self.content_limit = limit - self._whole.num_special_tokens_to_add(False)  # noqa: FBT003 - positional there

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
        return [
            encoding.ids for encoding in self._cut.encode_batch_fast([_encodable(text) for text in texts])
        ]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return the character span of every token of the whole text, special tokens left out.

        Spans are ordered by start. A character that the vocabulary splits gives its span to each of its tokens.
        """
        return list(self._whole.encode(_encodable(text), add_special_tokens=False).offsets)


def _encodable(text: str) -> str:
    """Replace lone surrogates, which JSON escapes can smuggle in, one for one: offsets stay."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    return text
