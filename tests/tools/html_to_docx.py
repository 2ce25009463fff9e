"""Make a DOCX of the handbook from its HTML source: headings, paragraphs, lists and tables.

    python -m tests.tools.html_to_docx corpora/handbook/sources/pt/NAME.html corpora/handbook/docs/pt

The language is taken from the `lang` attribute of the source.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import docx
import lxml.html
from docx.document import Document
from docx.oxml import OxmlElement
from docx.oxml.ns import qn

_FIXED_TIME = datetime(2026, 11, 1, tzinfo=UTC)  # so that a rebuild changes nothing but the text
_LIST_STYLES = {"ul": "List Bullet", "ol": "List Number"}


def convert(source: Path, folder: Path) -> Path:
    """Write `folder/NAME.docx` from `source` and return its path."""
    root = lxml.html.parse(source, lxml.html.HTMLParser(encoding="utf-8")).getroot()
    document = docx.Document()
    _set_properties(document, root.findtext(".//title"), root.get("lang", "en"))
    for element in root.find("body"):
        if element.tag in {"h1", "h2", "h3"}:
            document.add_heading(_text(element), int(element.tag[1]))
        elif element.tag == "p":
            document.add_paragraph(_text(element))
        elif element.tag in _LIST_STYLES:
            for item in element:
                document.add_paragraph(_text(item), style=_LIST_STYLES[element.tag])
        elif element.tag == "table":
            _add_table(document, element)
        else:
            raise SystemExit(f"{source}: <{element.tag}> is not handled")
    target = folder / f"{source.stem}.docx"
    document.save(str(target))
    return target


def _set_properties(document: Document, title: str, language: str) -> None:
    properties = document.core_properties
    properties.title, properties.language = title, language
    properties.author = properties.comments = properties.last_modified_by = ""
    properties.created = properties.modified = _FIXED_TIME
    for element in document.styles.element.iter(qn("w:lang")):
        element.set(qn("w:val"), language)


def _add_table(document: Document, element: lxml.html.HtmlElement) -> None:
    rows = element.findall(".//tr")
    table = document.add_table(len(rows), len(rows[0]), style="Table Grid")
    for cells, row in zip(rows, table.rows, strict=True):
        for cell, target in zip(cells, row.cells, strict=True):
            run = target.paragraphs[0].add_run(_text(cell))
            run.bold = cell.tag == "th"
    header = OxmlElement("w:tblHeader")
    header.set(qn("w:val"), "true")
    table.rows[0]._tr.get_or_add_trPr().append(header)
    document.add_paragraph()


def _text(element: lxml.html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


if __name__ == "__main__":
    print(convert(Path(sys.argv[1]), Path(sys.argv[2])))
