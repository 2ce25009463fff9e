"""PDF by pdfium: page texts in the order that pdfium reads them, words joined again over line ends."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rag.core import Page, Section
from rag.errors import LoadError
from rag.loaders.parsed import MAX_TEXT_CHARS, Parsed, clean, one_line, sections_from

__all__ = ["join_hyphenated", "parse", "without_running_heads"]

_PASSWORD_ERROR = 4
_SECURITY_ERROR = 5
_PAGE_BREAK = "\n\n"
_HYPHEN = "\ufffe"  # pdfium puts it where a line ended with a hyphen, and drops the line end
_BROKEN_WORD = re.compile(rf"([^\W_]+){_HYPHEN}([^\W_]+)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\ufffe\uffff]")
_TRAILING = re.compile(r"[ \t\u00a0]+\n")
_CLITIC = re.compile(r"(?:r se|[áâéêíóôú] l[oa]s?|\w lhes?)$", re.IGNORECASE)
_PRIVATE_BULLETS = str.maketrans({"\uf0b7": "•", "\uf0a7": "▪", "\uf0d8": "➢", "\uf0fc": "✓", "\uf02d": "-"})
_POOR_TITLE = re.compile(r"(untitled|sem t[ií]tulo|document\d*|title|\W*)$", re.IGNORECASE)
_TOOL_TITLE = re.compile(r"^microsoft (?:word|powerpoint|excel) - ", re.IGNORECASE)
_FILE_TITLE = re.compile(r"\.(?:docx?|odt|indd|pptx?|xlsx?|tex|dvi|pdf|qxd|rtf|txt|html?)$", re.IGNORECASE)
_DATE = re.compile(r"D:(\d{4})(\d\d)?(\d\d)?")
_MAX_TITLE = 150
_EDGE_LINES = 2
_MIN_LINES = 8
_MIN_PAGES = 3
_HEAD_SHARE = 0.6


def parse(data: bytes, name: str) -> list[Parsed]:
    """Read a PDF; sections come from its outline, the title from its metadata or its first line.

    Raises:
        LoadError: encrypted, broken, or without any text.
    """
    del name
    import pypdfium2

    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as exc:
        raise _open_error(exc) from exc
    try:
        texts = without_running_heads(join_hyphenated(_page_texts(pdf)))
        text, pages = _join(texts)
        info = {key: one_line(str(value)) for key, value in pdf.get_metadata_dict(skip_empty=True).items()}
        sections = _sections(pdf, text, pages)
    finally:
        pdf.close()
    if not text.strip():
        raise LoadError(
            f"no text found on its {len(pages)} page(s): they are images or empty; "
            "run OCR first, e.g. 'ocrmypdf in.pdf out.pdf'."
        )
    metadata: dict[str, str | int | float | bool] = {"format": "pdf", "pages": len(pages)}
    if info.get("Author"):
        metadata["author"] = info["Author"]
    if created := _DATE.match(info.get("CreationDate", "")):
        metadata["created"] = "-".join(part for part in created.groups() if part)
    return [Parsed(text=text, title=_title(info, text), pages=pages, sections=sections, metadata=metadata)]


def _open_error(exc: Exception) -> LoadError:
    code = getattr(exc, "err_code", None)
    if code == _PASSWORD_ERROR:
        return LoadError("the PDF is password-protected; save it without a password, e.g. 'qpdf --decrypt'.")
    if code == _SECURITY_ERROR:
        return LoadError("the PDF uses an encryption that cannot be read; save it without encryption.")
    return LoadError("the PDF is broken and cannot be opened; export it again, or repair it with 'qpdf'.")


def _page_texts(pdf: Any) -> list[str]:
    import pypdfium2

    texts, total = [], 0
    for number in range(len(pdf)):
        try:
            page = pdf[number]
            textpage = page.get_textpage()
            raw = textpage.get_text_range()
        except pypdfium2.PdfiumError as exc:
            raise LoadError(
                f"page {number + 1} of the PDF is broken; export it again, or repair it with 'qpdf'."
            ) from exc
        textpage.close()
        page.close()
        text = clean(raw).translate(_PRIVATE_BULLETS)
        texts.append(text)
        total += len(text)
        if total > MAX_TEXT_CHARS:
            raise LoadError(f"its text is longer than {MAX_TEXT_CHARS:,} characters; split the PDF.")
    return texts


def join_hyphenated(texts: Sequence[str]) -> list[str]:
    """Repair words broken over a line end, which pdfium marks, in all pages of a document.

    The hyphen stays where the document elsewhere writes the word with one, before a capital or a digit,
    and before a Portuguese pronoun (`tornar-se`); else the halves become one word.
    """
    if not any(_HYPHEN in text for text in texts):
        return [_tidy(text) for text in texts]
    words = set(re.findall(r"[^\W_]+(?:-[^\W_]+)*", " ".join(texts).lower()))

    def mend(match: re.Match[str]) -> str:
        left, right = match[1], match[2]
        joined, hyphened = f"{left}{right}", f"{left}-{right}"
        if joined.lower() in words:
            return joined
        if hyphened.lower() in words or not (left[-1].isalpha() and right[0].islower()):
            return hyphened
        return hyphened if _CLITIC.search(f"{left} {right}") else joined

    return [_tidy(_BROKEN_WORD.sub(mend, text)) for text in texts]


def without_running_heads(texts: Sequence[str]) -> list[str]:
    """Drop the first and last lines that stand on most pages: they cut sentences in two.

    The page's own number in them may differ. Each stays on the first page that has it, and pages of a few
    lines stay whole, so that nothing is lost.
    """
    pages = [text.split("\n") for text in texts]
    edges = Counter(key for number, lines in enumerate(pages, start=1) for key in _edge_keys(lines, number))
    long_pages = sum(len(lines) >= _MIN_LINES for lines in pages)
    heads = {key for key, count in edges.items() if count >= max(_MIN_PAGES, _HEAD_SHARE * long_pages)}
    seen: set[str] = set()
    kept = []
    for number, lines in enumerate(pages, start=1):
        drop = {place for key, place in _edge_keys(lines, number).items() if key in heads & seen}
        seen |= set(_edge_keys(lines, number))
        kept.append("\n".join(line for place, line in enumerate(lines) if place not in drop).strip())
    return kept


def _edge_keys(lines: Sequence[str], number: int) -> dict[str, int]:
    """Return the first and last lines of a page of some length, its number written `#`, and their places."""
    if len(lines) < _MIN_LINES:
        return {}
    places = [*range(_EDGE_LINES), *range(len(lines) - _EDGE_LINES, len(lines))]
    own = re.compile(rf"(?<!\d){number}(?!\d)")
    return {own.sub("#", lines[place], count=1): place for place in places if lines[place]}


def _tidy(text: str) -> str:
    text = text.replace(_HYPHEN, "-")
    return _TRAILING.sub("\n", _CONTROL.sub("", text)).strip()


def _join(texts: Sequence[str]) -> tuple[str, tuple[Page, ...]]:
    pages, offset = [], 0
    for number, text in enumerate(texts, start=1):
        pages.append(Page(number=number, start=offset, end=offset + len(text)))
        offset += len(text) + len(_PAGE_BREAK)
    return _PAGE_BREAK.join(texts), tuple(pages)


def _sections(pdf: Any, text: str, pages: Sequence[Page]) -> tuple[Section, ...]:
    """Find each outline entry's title on the page it points to; an entry not found there starts the page."""
    marks: list[tuple[int, int, str]] = []
    position = 0
    for entry in pdf.get_toc(max_depth=6):
        title, target = one_line(entry.get_title() or ""), entry.get_dest()
        index = target.get_index() if target else None
        if not title or index is None or not 0 <= index < len(pages):
            continue
        page = pages[index]
        if position > page.end:
            continue
        words = [re.escape(word) for word in title.split()[:30]]
        found = re.compile(r"\s+".join(words), re.IGNORECASE).search(
            text, max(position, page.start), page.end
        )
        start = _heading_start(text, found.start(), page.start) if found else max(position, page.start)
        marks.append((max(start, position), entry.level + 1, title))
        position = found.end() if found else start
    return sections_from(marks, len(text))


def _heading_start(text: str, found: int, page_start: int) -> int:
    """Take in the number before a heading, which outlines leave out."""
    line = max(text.rfind("\n", page_start, found) + 1, page_start)
    return line if len(text[line:found].strip()) <= 8 else found


def _title(info: dict[str, str], text: str) -> str:
    title = _TOOL_TITLE.sub("", info.get("Title", ""))
    if title and not _POOR_TITLE.fullmatch(title) and not _FILE_TITLE.search(title):
        return title
    first = next((line.strip() for line in text[:4000].split("\n") if len(line.strip()) > 3), "")
    return one_line(first) if len(first) <= _MAX_TITLE else one_line(first[:_MAX_TITLE].rsplit(" ", 1)[0])
