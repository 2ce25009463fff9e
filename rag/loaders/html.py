"""HTML: the main text without navigation, scripts and what a reader does not see."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from rag.errors import LoadError
from rag.loaders.decode import decode
from rag.loaders.parsed import Parsed, TextBuilder, one_line

if TYPE_CHECKING:
    from lxml.etree import _Element

__all__ = ["parse"]

_SKIPPED = frozenset({
    "script", "style", "noscript", "template", "svg", "canvas", "iframe", "object", "embed", "video",
    "audio", "map", "head", "nav", "footer", "button", "select", "input", "textarea", "datalist",
    "dialog",
})  # fmt: skip
_SKIPPED_ROLES = frozenset(
    ["navigation", "contentinfo", "banner", "search", "dialog", "alertdialog", "menu", "menubar", "toolbar"]
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div",
    "dl", "dt", "fieldset", "figcaption", "figure", "form", "header", "hr", "html", "legend", "li",
    "main", "ol", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr",
    "ul",
})  # fmt: skip
_HIDDEN_STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])", re.IGNORECASE
)
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_XML_CHARSET = re.compile(rb"^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{1,40})", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\n\r\f\v\u00a0]+")
_SELF_LINKS = frozenset("#¶§🔗")
_MIN_MAIN_CHARS = 200


def parse(data: bytes, name: str) -> list[Parsed]:
    """Read a page; headings become sections, table rows lines `a | b | c`, the title is `<title>` or `<h1>`.

    Nothing is fetched and no entity is resolved.

    Raises:
        LoadError: the bytes are not text, or not markup at all.
    """
    del name
    from lxml import etree, html

    markup = decode(data, declared=_declared(data)).encode()
    parser = html.HTMLParser(
        encoding="utf-8", no_network=True, huge_tree=True, remove_comments=True, remove_pis=True
    )
    try:
        root = html.document_fromstring(markup, parser=parser, ensure_head_body=False)
    except (etree.ParserError, etree.XMLSyntaxError, AssertionError) as exc:
        raise LoadError(
            f"it cannot be read as HTML ({one_line(str(exc), 120)}); save the page again."
        ) from exc
    reader = _Reader()
    reader.read(_main(root))
    text, sections = reader.builder.build()
    title = one_line(root.findtext(".//title") or "")
    if not title:
        tops = [s.title for s in sections if s.level == 1]
        title = (tops or [s.title for s in sections] or [""])[0]
    return [Parsed(text=text, title=title, sections=sections, metadata=_metadata(root))]


def _declared(data: bytes) -> str | None:
    match = _META_CHARSET.search(data, 0, 4096) or _XML_CHARSET.search(data, 0, 512)
    return match[1].decode("ascii", "replace") if match else None


def _metadata(root: _Element) -> dict[str, str | int | float | bool]:
    found: dict[str, str | int | float | bool] = {"format": "html"}
    for meta in root.iter("meta"):
        key = (meta.get("name") or meta.get("property") or "").lower()
        value = one_line(meta.get("content") or "")
        if not value:
            continue
        if key in {"author", "article:author"}:
            found.setdefault("author", value)
        elif key in {"date", "dcterms.created", "article:published_time"}:
            found.setdefault("created", value)
    return found


def _main(root: _Element) -> _Element:
    """Return the element that a page marks as its content, else the whole page."""
    mains = [el for el in root.iter("main", "div") if el.tag == "main" or el.get("role") == "main"]
    candidates = mains if len(mains) == 1 else []
    articles = [
        el for el in root.iter("article") if not any(up.tag == "article" for up in el.iterancestors())
    ]
    if not candidates and len(articles) == 1:
        candidates = articles
    for element in candidates:
        length = 0
        for part in element.itertext():
            length += len(part.strip())
            if length >= _MIN_MAIN_CHARS:
                return element
    return root


def _events(root: _Element) -> Iterator[tuple[Literal["open", "close", "skip"], _Element]]:
    """Walk without recursion: pages nest deeper than Python's stack."""
    todo: list[tuple[bool, _Element]] = [(True, root)]
    while todo:
        opening, element = todo.pop()
        if not opening:
            yield "close", element
        elif not isinstance(element.tag, str) or _unseen(element):
            yield "skip", element
        else:
            yield "open", element
            todo.append((False, element))
            todo.extend((True, child) for child in reversed(element))


def _unseen(element: _Element) -> bool:
    if element.tag in _SKIPPED:
        return True
    attributes = element.attrib
    if not attributes:
        return False
    return (
        "hidden" in attributes
        or (element.tag == "a" and _is_switch(element))
        or attributes.get("aria-hidden") == "true"
        or attributes.get("role") in _SKIPPED_ROLES
        or _HIDDEN_STYLE.search(str(attributes.get("style", ""))) is not None
    )


def _is_switch(link: _Element) -> bool:
    """Tell a link to the page in another language, and the sign beside a heading that links to itself."""
    if "hreflang" in link.attrib:
        return True
    words = "".join(map(str, link.itertext())).strip()
    return words in _SELF_LINKS and str(link.get("href", "")).startswith("#")


def _number(written: str | None, default: int) -> int:
    return int(written) if written and re.fullmatch(r"-?[0-9]{1,9}", written.strip()) else default


class _Reader:
    """Gathers inline text into blocks as elements open and close."""

    def __init__(self) -> None:
        self.builder = TextBuilder()
        self._inline: list[str] = []
        self._row: list[str] | None = None
        self._table: _Element | None = None
        self._verbatim = 0
        self._prefix = ""
        self._tight = False
        self._counters: list[int | None] = []

    def read(self, root: _Element) -> None:
        for event, element in _events(root):
            if event == "open":
                self._open(element)
                self._text(element.text)
                continue
            if event == "close":
                self._close(element)
            if element is not root:
                self._text(element.tail)
        self._flush()

    def _text(self, text: str | None) -> None:
        if text:
            self._inline.append(text if self._verbatim else _SPACE.sub(" ", text))

    def _open(self, element: _Element) -> None:
        tag = str(element.tag)
        if tag == "br":
            self._inline.append(" " if self._row is not None else "\n")
        elif self._table is not None:
            self._open_in_table(tag)
        elif tag in _BLOCKS or tag in _HEADINGS:
            self._flush()
            if tag == "table" and element.find(".//table") is None:
                self._table, self._tight = element, False
            elif tag == "pre":
                self._verbatim += 1
            elif tag in {"ol", "ul"}:
                self._counters.append(_number(element.get("start"), 1) - 1 if tag == "ol" else None)
                self._tight = len(self._counters) > 1
            elif tag == "li":
                self._prefix = self._marker(element)

    def _open_in_table(self, tag: str) -> None:
        if tag == "tr":
            self._flush_row()
            self._row, self._inline = [], []
        elif tag in {"td", "th"} or tag in _BLOCKS:
            self._inline.append(" ")

    def _close(self, element: _Element) -> None:
        tag = str(element.tag)
        if element is self._table:
            self._flush_row()
            self._table, self._tight = None, False
        elif self._table is not None:
            self._close_in_table(tag)
        elif tag in _HEADINGS:
            title = "".join(self._inline)
            self._inline, self._prefix, self._tight = [], "", False
            self.builder.heading(title, _HEADINGS[tag])
        elif tag in _BLOCKS:
            self._flush()
            if tag == "pre":
                self._verbatim -= 1
            elif tag in {"ol", "ul"} and self._counters:
                self._counters.pop()
                self._tight = bool(self._counters)

    def _close_in_table(self, tag: str) -> None:
        if tag in {"td", "th"} and self._row is not None:
            self._row.append(_SPACE.sub(" ", "".join(self._inline)).strip())
            self._inline = []
        elif tag == "tr":
            self._flush_row()
        elif tag == "caption":
            self._flush()
        elif tag in _BLOCKS:
            self._inline.append(" ")

    def _flush_row(self) -> None:
        row, self._row = self._row, None
        if row and any(row):
            self.builder.add(" | ".join(row), tight=self._tight)
            self._tight = True
        elif self._inline and row is None:
            self._flush()
        self._inline = []

    def _marker(self, item: _Element) -> str:
        if not self._counters or self._counters[-1] is None:
            return "- "
        self._counters[-1] = _number(item.get("value"), self._counters[-1] + 1)
        return f"{self._counters[-1]}. "

    def _flush(self) -> None:
        text = "".join(self._inline)
        self._inline = []
        if not self._verbatim:
            text = "\n".join(line.strip() for line in re.sub(" {2,}", " ", text).split("\n"))
        if text.strip():
            in_list = bool(self._counters) and bool(self._prefix)
            self.builder.add(self._prefix + text.strip("\n"), tight=self._tight and in_list)
            self._prefix = ""
            self._tight = bool(self._counters)
