"""What a file is: by its first bytes and its members, then by its suffix."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from rag.errors import LoadError
from rag.loaders.archive import Archive
from rag.loaders.decode import decode
from rag.loaders.parsed import path_part

__all__ = ["MEDIA_TYPES", "detect"]

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML = "text/html"
MARKDOWN = "text/markdown"
PLAIN = "text/plain"
CSV = "text/csv"
JSON = "application/json"
JSONL = "application/x-ndjson"
MEDIA_TYPES = (PDF, DOCX, HTML, MARKDOWN, PLAIN, CSV, JSON, JSONL)
"""The media types that have a loader."""

_SUFFIXES = {
    ".html": HTML, ".htm": HTML, ".xhtml": HTML, ".md": MARKDOWN, ".markdown": MARKDOWN, ".mdown": MARKDOWN,
    ".mdx": MARKDOWN, ".csv": CSV, ".tsv": CSV, ".json": JSON, ".jsonl": JSONL, ".ndjson": JSONL,
}  # fmt: skip
_BINARY_SUFFIXES = {".pdf": "PDF", ".docx": "DOCX"}
_PLAIN_SUFFIXES = frozenset({"", ".txt", ".text"})
_OFFICE = "application/vnd.openxmlformats-officedocument."
_MAGIC = (
    (b"\x89PNG\r\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"),
    (b"II*\0", "image/tiff"), (b"MM\0*", "image/tiff"), (b"BM", "image/bmp"),
    (b"\x1f\x8b", "application/gzip"),
    (b"7z\xbc\xaf", "application/x-7z-compressed"), (b"Rar!", "application/vnd.rar"),
    (b"\x7fELF", "application/x-executable"), (b"MZ\x90", "application/x-executable"),
    (b"SQLite format 3", "application/vnd.sqlite3"), (b"PAR1", "application/vnd.apache.parquet"),
    (b"OggS", "audio/ogg"), (b"ID3", "audio/mpeg"), (b"RIFF", "audio or video (RIFF)"),
    (b"BZh", "application/x-bzip2"), (b"\xfd7zXZ", "application/x-xz"), (b"{\\rtf", "application/rtf"),
    (b"%!PS", "application/postscript"),
)  # fmt: skip
_PICTURES = "run OCR on it first, e.g. 'ocrmypdf --image-dpi 300 in.png out.pdf'"
_CONVERT = "convert it to PDF or DOCX"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_STREAMS = (
    ("WordDocument", "application/msword"), ("Workbook", "application/vnd.ms-excel"),
    ("PowerPoint Document", "application/vnd.ms-powerpoint"), ("__substg1.0_", "application/vnd.ms-outlook"),
    ("Book", "application/vnd.ms-excel"),
)  # fmt: skip
_HTML_START = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--(?>.{0,4000}?-->)\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_XML_START = re.compile(r"\s*<\?xml\b|\s*<!DOCTYPE\b", re.IGNORECASE)
_TAGS = re.compile(r"</?(?:p|div|table|h[1-6]|ul|ol|li|span|a|br|section|article)\b[^>]*>", re.IGNORECASE)
_MAIL_HEADER = re.compile(
    r"(?:From|To|Subject|Date|Received|Return-Path|Message-ID|MIME-Version|Delivered-To): ", re.IGNORECASE
)
_MD_HEADING = re.compile(r"^#{1,6} \S", re.MULTILINE)
_HEAD_CHARS = 8_000


def detect(data: bytes, name: str) -> str:
    """Return the media type of a file, one of `MEDIA_TYPES`.

    Raises:
        LoadError: empty, binary, or of a kind that has no loader; the message says what it is.
    """
    if not data:
        raise LoadError("the file is empty (0 bytes); write something into it or leave it out.")
    suffix = PurePosixPath(path_part(name).lower()).suffix
    if data.startswith(b"PK\x03\x04"):
        return _zip_type(data)
    if data.startswith(_OLE):
        raise _ole_error(data)
    if _is_pdf(data, suffix):
        return PDF
    for magic, media_type in _MAGIC:
        if data.startswith(magic) and _is_binary(data, magic):
            raise _no_loader(media_type, _PICTURES if media_type.startswith("image/") else _CONVERT)
    if data[4:8] == b"ftyp" and data[:1] == b"\0":  # its length, else a text about such boxes
        raise _no_loader("video/mp4", "transcribe it to text")
    found = PLAIN if suffix in _BINARY_SUFFIXES and _is_binary(data, b"") else _text_type(data, suffix)
    if found == PLAIN and suffix in _BINARY_SUFFIXES:  # text of no format cannot overrule such a name
        kind = _BINARY_SUFFIXES[suffix]
        raise LoadError(
            f"it is named {suffix} but is not a {kind}, or a broken one; export it again as {kind}."
        )
    return found


def _is_pdf(data: bytes, suffix: str) -> bool:
    """Readers allow for some bytes before a PDF's first mark; a text may speak of that mark too."""
    place = data[:1024].find(b"%PDF-")
    return place == 0 or (place > 0 and (suffix == ".pdf" or b"startxref" in data))


def _no_loader(media_type: str, cure: str) -> LoadError:
    return LoadError(f"no loader for {media_type}: {cure}.")


def _is_binary(data: bytes, magic: bytes) -> bool:
    """Tell a two-letter magic such as `BM` from a text that begins so."""
    if magic in {b"{\\rtf", b"%!PS"}:
        return True
    head = data[:4096]
    return b"\0" in head or any(byte >= 0x80 for byte in head[: max(len(magic), 1)])


def _zip_type(data: bytes) -> str:
    archive = Archive(data)
    names = archive.names
    if "mimetype" in names:
        kind = archive.read("mimetype")[:100].decode("ascii", "replace").strip()
        raise _no_loader(kind or "application/zip", _CONVERT)
    for folder, kind in (("ppt/", "presentationml.presentation"), ("xl/", "spreadsheetml.sheet")):
        if any(entry.startswith(folder) for entry in names):
            raise _no_loader(_OFFICE + kind, _CONVERT)
    if any(entry.startswith("word/") for entry in names) or "_rels/.rels" in names:
        return DOCX
    raise _no_loader("application/zip", "unpack it and give the folder")


def _ole_error(data: bytes) -> LoadError:
    if "EncryptedPackage".encode("utf-16-le") in data:
        return LoadError("the file is password-protected; save it without a password.")
    for stream, media_type in _OLE_STREAMS:
        if stream.encode("utf-16-le") in data:
            return _no_loader(media_type, _CONVERT)
    return _no_loader("application/x-ole-storage", _CONVERT)


def _text_type(data: bytes, suffix: str) -> str:
    head = decode(data[: _HEAD_CHARS * 4])[:_HEAD_CHARS]
    if not head.strip() and not data.strip(b" \t\r\n\0\xef\xbb\xbf"):
        raise LoadError("the file holds only white space; write something into it or leave it out.")
    return _markup_type(head, suffix) or _json_type(data, head, suffix) or _lenient_type(head, suffix)


def _markup_type(head: str, suffix: str) -> str | None:
    """Return HTML where the text starts like it; refuse other markup that has no loader."""
    claimed = _SUFFIXES.get(suffix)
    if _HTML_START.match(head):
        return HTML
    if _XML_START.match(head) and claimed is not HTML:
        raise _no_loader("application/xml", "convert it to HTML or plain text")
    if _is_mail(head, suffix):
        raise _no_loader("message/rfc822", "save it as PDF or plain text")
    return None


def _lenient_type(head: str, suffix: str) -> str:
    claimed = _SUFFIXES.get(suffix)
    if claimed is HTML and not _TAGS.search(head):
        return PLAIN
    if claimed:
        return claimed
    if suffix in _PLAIN_SUFFIXES and head.lstrip().startswith("# ") and len(_MD_HEADING.findall(head)) > 1:
        return MARKDOWN
    if suffix in _PLAIN_SUFFIXES and head.lstrip().startswith("<") and len(_TAGS.findall(head)) >= 4:
        return HTML
    return PLAIN


def _is_mail(head: str, suffix: str) -> bool:
    lines = head.partition("\n\n")[0].split("\n")
    headers = {line.split(":")[0].lower() for line in lines if _MAIL_HEADER.match(line)}
    return (suffix == ".eml" and bool(headers)) or ("mime-version" in headers and len(headers) >= 3)


def _json_type(data: bytes, head: str, suffix: str) -> str | None:
    """Tell JSON from JSONL by whether the first line is a whole value and others follow."""
    from rag.loaders.json import loads

    claimed = _SUFFIXES.get(suffix)
    start = head.lstrip()
    if claimed not in {JSON, JSONL} and (suffix not in _PLAIN_SUFFIXES and claimed is None):
        return None
    if claimed not in {JSON, JSONL} and not start.startswith(("{", "[")):
        return None
    lines = [line for line in start.split("\n") if line.strip()]
    first_is_whole = _parses(loads, lines[0]) if lines else False
    if claimed is JSONL:
        return JSONL if first_is_whole or not _parses(loads, decode(data)) else JSON
    if first_is_whole and len(lines) > 1 and start.startswith("{"):
        return JSONL
    if claimed is JSON:
        return JSONL if len(lines) == 1 and len(head) >= _HEAD_CHARS and _long_lines(data) else JSON
    return JSON if _parses(loads, decode(data)) else None


def _long_lines(data: bytes) -> bool:
    """True where a first line longer than the head is an object and another one follows."""
    first, _, rest = data.lstrip().partition(b"\n")
    return first.rstrip().endswith(b"}") and rest.lstrip().startswith(b"{")


def _parses(loads: object, text: str) -> bool:
    try:
        loads(text)  # type: ignore[operator]
    except LoadError:
        return False
    return True
