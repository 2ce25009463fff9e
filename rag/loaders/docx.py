"""DOCX, transitional and strict: paragraphs, lists, tables and text boxes in document order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rag.errors import LoadError
from rag.loaders.archive import Archive
from rag.loaders.docx_styles import Styles, child
from rag.loaders.parsed import Parsed, TextBuilder, one_line
from rag.loaders.xml import attribute, local, parse_xml

if TYPE_CHECKING:
    from lxml.etree import _Element

__all__ = ["parse"]

_MAIN = "word/document.xml"
_SKIPPED = frozenset({
    "del", "moveFrom", "instrText", "delText", "delInstrText", "Fallback", "pPr", "rPr", "sectPr",
    "tblPr", "trPr", "tcPr", "sdtPr", "sdtEndPr", "annotationRef", "rubyPr", "rt",
})  # fmt: skip
_TEXT = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}
_MAX_DEPTH = 200
_SPACE = re.compile(r"\s+")


def parse(data: bytes, name: str) -> list[Parsed]:
    """Read a DOCX; headings become sections, table rows lines `a | b | c`, notes stand at the end.

    Raises:
        LoadError: broken, encrypted, a zip bomb, or with a DTD inside.
    """
    del name
    archive = Archive(data)
    part = _main_part(archive)
    root = parse_xml(archive.read(part), part)
    folder = part.rpartition("/")[0]
    styles = Styles(
        _optional(archive, f"{folder}/styles.xml"),
        _optional(archive, f"{folder}/numbering.xml"),
    )
    reader = _Reader(styles)
    body = child(root, "body")
    if body is None:
        raise LoadError("the DOCX has no body; save it again with a word processor.")
    reader.blocks(body)
    for notes in ("footnotes", "endnotes"):
        reader.notes(_optional(archive, f"{folder}/{notes}.xml"))
    text, sections = reader.builder.build()
    info = _core(archive)
    title = info.pop("title", "") or reader.title or next((s.title for s in sections), "")
    return [Parsed(text=text, title=title, sections=sections, metadata={"format": "docx", **info})]


def _main_part(archive: Archive) -> str:
    if _MAIN in archive.names:
        return _MAIN
    rels = _optional(archive, "_rels/.rels")
    for relation in rels if rels is not None else ():
        if str(relation.get("Type", "")).endswith("/officeDocument"):
            return str(relation.get("Target", "")).lstrip("/")
    raise LoadError("the DOCX has no main part; save it again with a word processor.")


def _optional(archive: Archive, name: str) -> _Element | None:
    return parse_xml(archive.read(name), name) if name in archive.names else None


def _core(archive: Archive) -> dict[str, str]:
    root = _optional(archive, "docProps/core.xml")
    found: dict[str, str] = {}
    for element in root if root is not None else ():
        key = {"title": "title", "creator": "author", "created": "created"}.get(local(element))
        value = one_line(element.text or "")
        if key and value:
            found[key] = value[:10] if key == "created" else value
    return found


class _Reader:
    """Walks the body and writes its blocks."""

    def __init__(self, styles: Styles) -> None:
        self.builder = TextBuilder()
        self.title = ""
        self._styles = styles
        self._after_list = False

    def blocks(self, parent: _Element, depth: int = 0) -> None:
        """Write the block-level content of an element, in order."""
        if depth > _MAX_DEPTH:
            raise LoadError(f"the DOCX nests more than {_MAX_DEPTH} levels deep; simplify it.")
        for element in parent:
            kind = local(element)
            if kind == "p":
                self._paragraph(element, depth)
            elif kind == "tbl":
                self._table(element, depth)
            elif kind not in _SKIPPED:
                self.blocks(element, depth + 1)

    def notes(self, root: _Element | None) -> None:
        """Write footnotes or endnotes, each with its number."""
        for note in root if root is not None else ():
            if attribute(note, "type") is None:
                text = _SPACE.sub(" ", " ".join(_runs(note))).strip()
                if text:
                    self.builder.add(f"[{attribute(note, 'id')}] {text}")

    def _paragraph(self, element: _Element, depth: int) -> None:
        text = "".join(_runs(element)).strip()
        look = self._styles.paragraph(element)
        if text:
            if look.heading:
                self.builder.heading(f"{look.label} {text}" if look.label else text, look.heading)
            elif look.label:
                self.builder.add(f"{look.label} {text}", tight=self._after_list)
            else:
                self.builder.add(text)
            if look.is_title and not self.title:
                self.title = one_line(text)
            self._after_list = bool(look.label) and not look.heading
        for box in _boxes(element):
            self.blocks(box, depth + 1)

    def _table(self, table: _Element, depth: int) -> None:
        rows = [[_cell(cell) for cell in _find(row, "tc")] for row in _find(table, "tr")]
        if rows and all(len(row) <= 1 for row in rows):  # a frame around text, not a table
            for row in _find(table, "tr"):
                for cell in _find(row, "tc"):
                    self.blocks(cell, depth + 1)
            return
        tight = False
        for cells in rows:
            if any(cells):
                self.builder.add(" | ".join(cells), tight=tight)
                tight = True
        self._after_list = False


def _find(parent: _Element, kind: str) -> Iterator[_Element]:
    """Yield children of a kind, through content controls and tracked insertions around them."""
    for element in parent:
        name = local(element)
        if name == kind:
            yield element
        elif name in {"sdt", "sdtContent", "customXml", "ins", "moveTo"}:
            yield from _find(element, kind)


def _cell(cell: _Element) -> str:
    merged = child(child(cell, "tcPr"), "vMerge")
    if merged is not None and attribute(merged, "val") in {None, "continue"}:
        return ""
    return _SPACE.sub(" ", "".join(_runs(cell, boxes=True))).strip()


def _runs(paragraph: _Element, *, boxes: bool = False) -> Iterator[str]:
    """Yield the visible text of a paragraph or cell; its text boxes only where `boxes`."""
    todo = list(reversed(paragraph))
    while todo:
        element = todo.pop()
        kind = local(element)
        if kind == "p":
            yield " "
        if kind == "t":
            yield element.text or ""
        elif kind in _TEXT:
            yield _TEXT[kind]
        elif kind in {"footnoteReference", "endnoteReference"}:
            yield f"[{attribute(element, 'id')}]"
        elif kind not in _SKIPPED and (boxes or kind != "txbxContent"):
            todo.extend(reversed(element))


def _boxes(paragraph: _Element) -> Iterator[_Element]:
    todo = list(reversed(paragraph))
    while todo:
        element = todo.pop()
        kind = local(element)
        if kind == "txbxContent":
            yield element
        elif kind not in _SKIPPED:
            todo.extend(reversed(element))
