"""Bytes to text: the encoding is found by content, and what is not text is refused."""

from __future__ import annotations

import codecs
import contextlib
import re

from rag.errors import LoadError
from rag.loaders.parsed import clean

__all__ = ["decode"]

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS = bytes([*range(0x09), *range(0x0E, 0x1B), *range(0x1C, 0x20), 0x7F])
_MEANS_WESTERN = frozenset({"ascii", "iso8859-1"})
"""What a page says of itself where it is Windows-1252 (WHATWG's Encoding Standard, section 4.2)."""
_MAX_CONTROL_SHARE = 0.01
_SAMPLE_BYTES = 64_000
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HIGH = re.compile(rb"[\x80-\xff]")
_LETTER = re.compile(r"[^\W\d_]")
_HIGH_LETTER = re.compile(r"[^\W\d_\x00-\x7f]")
_UNLIKELY_WESTERN = re.compile(r"[ðþýÐÞÝ]|[^\W\d_][‚ƒ„†‡ˆ‰‹›•˜™¡¢£¤¥¦§¨©«¬®¯°±²³´µ¶¸¹»¼½¾¿×÷][^\W\d_]")


def decode(data: bytes, *, declared: str | None = None) -> str:
    """Return the text of `data`, cleaned (see `rag.loaders.parsed.clean`).

    A byte order mark wins, then valid UTF-8, then the `declared` encoding (of an HTML page), then UTF-16
    without a mark, then Western European where the result reads like it, then what charset-normalizer finds.

    Raises:
        LoadError: the bytes are not text.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return clean(data.decode(encoding, "replace"))
    wide = _utf16_without_mark(data)
    if wide is not None:
        return clean(data.decode(wide, "replace"))
    _refuse_binary(data)
    try:
        return clean(data.decode("utf-8"))
    except UnicodeDecodeError:
        return clean(_decode_legacy(data, declared))


def _refuse_binary(data: bytes) -> None:
    controls = len(data) - len(data.translate(None, _CONTROLS))
    if controls > max(1, len(data) * _MAX_CONTROL_SHARE):
        raise LoadError(
            f"it is binary, not text ({controls:,} control characters in {len(data):,} bytes); "
            "convert it to PDF, DOCX or plain text, or leave it out."
        )


def _utf16_without_mark(data: bytes) -> str | None:
    sample = data[: _SAMPLE_BYTES // 2 * 2]
    if len(sample) < 8:
        return None
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    for encoding, many, few in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if many > half * 0.5 and few < half * 0.05:
            text = sample.decode(encoding, "replace")
            strange = sum(1 for c in text if c == "\ufffd" or (ord(c) < 32 and c not in "\t\n\r\f"))
            if strange <= len(text) * _MAX_CONTROL_SHARE:
                return encoding
    return None


def _decode_legacy(data: bytes, declared: str | None) -> str:
    high = len(_HIGH.findall(data[:_SAMPLE_BYTES]))
    in_utf8 = sum(len(m) for m in _MULTIBYTE.findall(data[:_SAMPLE_BYTES]))
    if high and in_utf8 >= high * 0.9:  # UTF-8 with a few broken bytes
        return data.decode("utf-8", "replace")
    if declared:
        with contextlib.suppress(LookupError, UnicodeError):  # declarations are often wrong
            named = codecs.lookup(declared).name
            if named in _MEANS_WESTERN:
                return data.decode("cp1252", "replace")
            if not named.startswith(("utf-16", "utf-32")):  # else the declaration could not be read
                return data.decode(named)
    sample = _sample(data)
    if _reads_western(sample):
        return data.decode("cp1252", "replace")
    encoding = _guess(sample)
    if encoding is None:
        raise LoadError("its character encoding is not recognised; save it as UTF-8.")
    return data.decode(encoding, "replace")


def _sample(data: bytes) -> bytes:
    first = _HIGH.search(data)
    start = max(0, (first.start() if first else 0) - 1_000)
    return data[start : start + _SAMPLE_BYTES]


def _reads_western(sample: bytes) -> bool:
    """Tell by few high letters and no sign inside a word; charset-normalizer takes Portuguese for cp1250."""
    try:
        text = sample.decode("cp1252")
    except UnicodeDecodeError:
        return False
    letters, high = len(_LETTER.findall(text)), len(_HIGH_LETTER.findall(text))
    return high <= letters * 0.25 and _UNLIKELY_WESTERN.search(text) is None


def _guess(sample: bytes) -> str | None:
    import charset_normalizer

    best = charset_normalizer.from_bytes(sample).best()
    return None if best is None else best.encoding
