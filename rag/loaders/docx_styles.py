"""What a DOCX paragraph is by its style: a heading of some level, a list item with its number, or text."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rag.loaders.xml import attribute, local

if TYPE_CHECKING:
    from lxml.etree import _Element

__all__ = ["Look", "Styles", "child"]

_HEADING = re.compile(r"heading ([1-9])$", re.IGNORECASE)
_PLACE = re.compile(r"%([1-9])")
_ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"))
_ROMAN_LOW = ((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))
_MAX_BASED_ON = 20


def child(parent: _Element | None, name: str) -> _Element | None:
    """Return the first child of that local name."""
    if parent is None:
        return None
    return next((element for element in parent if local(element) == name), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How a paragraph reads: `heading` is its level or 0, `label` its bullet or number or empty."""

    heading: int = 0
    is_title: bool = False
    label: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Style:
    name: str
    based_on: str | None
    outline: int | None
    number: tuple[str | None, int | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Level:
    form: str
    text: str
    start: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _List:
    """A list's levels, and the name of its count: lists that share one count on from each other."""

    count: str
    levels: Mapping[int, _Level]


class Styles:
    """The styles and numberings of a document; counts list items as paragraphs are asked for in order."""

    def __init__(self, styles: _Element | None, numbering: _Element | None) -> None:
        self._styles = dict(_read_styles(styles))
        self._lists = _read_numbering(numbering)
        self._counts: dict[str, dict[int, int]] = defaultdict(dict)

    def paragraph(self, element: _Element) -> Look:
        """Return how a paragraph reads; call once for each, in document order."""
        properties = child(element, "pPr")
        chain = self._chain(attribute(child(properties, "pStyle"), "val"))
        own = _integer(attribute(child(properties, "outlineLvl"), "val"))
        is_title = any(style.name.lower() == "title" for style in chain[:1])
        heading = 1 if is_title else self._heading(own, chain)
        number, level = self._number(properties, chain)
        return Look(heading=heading, is_title=is_title, label=self._label(number, level, heading))

    def _chain(self, style_id: str | None) -> list[_Style]:
        chain: list[_Style] = []
        while style_id in self._styles and len(chain) < _MAX_BASED_ON:
            style = self._styles[style_id]
            chain.append(style)
            style_id = style.based_on
        return chain

    @staticmethod
    def _heading(own: int | None, chain: list[_Style]) -> int:
        if own is not None:
            return own + 1 if own < 9 else 0
        for style in chain:
            named = _HEADING.match(style.name)
            if named:
                return int(named[1])
            if style.outline is not None:
                return style.outline + 1 if style.outline < 9 else 0
        return 0

    @staticmethod
    def _number(properties: _Element | None, chain: list[_Style]) -> tuple[str | None, int]:
        own = _number_of(properties)
        numbers = [own, *(style.number for style in chain)]
        number = next((found for found, _ in numbers if found is not None), None)
        level = next((found for _, found in numbers if found is not None), 0)
        return (None if number == "0" else number), level

    def _label(self, number: str | None, level: int, heading: int) -> str:
        if number is None:
            return ""
        numbered = self._lists.get(number, _NO_LIST)
        levels = numbered.levels
        shape = levels.get(level)
        if shape is None or shape.form in {"bullet", "none"}:
            return "" if heading or (shape is not None and shape.form == "none") else "-"
        counts = self._counts[numbered.count]
        counts[level] = counts.get(level, shape.start - 1) + 1
        for deeper in [key for key in counts if key > level]:
            del counts[deeper]

        def place(match: re.Match[str]) -> str:
            at = int(match[1]) - 1
            form = levels[at].form if at in levels else "decimal"
            return _written(counts.get(at, levels[at].start if at in levels else 1), form)

        return _PLACE.sub(place, shape.text).strip()


_NO_LIST = _List(count="", levels={})


def _read_styles(root: _Element | None) -> list[tuple[str, _Style]]:
    found = []
    for element in root if root is not None else ():
        style_id = attribute(element, "styleId")
        if local(element) == "style" and style_id:
            properties = child(element, "pPr")
            style = _Style(
                name=attribute(child(element, "name"), "val") or "",
                based_on=attribute(child(element, "basedOn"), "val"),
                outline=_integer(attribute(child(properties, "outlineLvl"), "val")),
                number=_number_of(properties),
            )
            found.append((style_id, style))
    return found


def _read_numbering(root: _Element | None) -> dict[str, _List]:
    abstract: dict[str | None, dict[int, _Level]] = {}
    lists: dict[str, _List] = {}
    for element in root if root is not None else ():
        if local(element) == "abstractNum":
            abstract[attribute(element, "abstractNumId")] = dict(_read_levels(element))
    for element in root if root is not None else ():
        number = attribute(element, "numId")
        if local(element) == "num" and number:
            shape = attribute(child(element, "abstractNumId"), "val")
            levels, count = dict(abstract.get(shape, {})), f"abstract {shape}"
            for change in element:
                levels |= _read_levels(change)
                index = _integer(attribute(change, "ilvl"))
                start = _integer(attribute(child(change, "startOverride"), "val"))
                if index in levels and start is not None:
                    levels[index] = replace(levels[index], start=start)
                    count = number
            lists[number] = _List(count=count, levels=levels)
    return lists


def _read_levels(parent: _Element) -> Iterator[tuple[int, _Level]]:
    for item in parent:
        index = _integer(attribute(item, "ilvl"))
        if local(item) == "lvl" and index is not None:
            start = _integer(attribute(child(item, "start"), "val"))
            yield (
                index,
                _Level(
                    form=attribute(child(item, "numFmt"), "val") or "decimal",
                    text=attribute(child(item, "lvlText"), "val") or "",
                    start=1 if start is None else start,
                ),
            )


def _number_of(properties: _Element | None) -> tuple[str | None, int | None]:
    number = child(properties, "numPr")
    return attribute(child(number, "numId"), "val"), _integer(attribute(child(number, "ilvl"), "val"))


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 9 else None


def _written(value: int, form: str) -> str:
    if form in {"lowerLetter", "upperLetter"} and value > 0:
        letters = chr(ord("a") + (value - 1) % 26) * min(1 + (value - 1) // 26, 10)
        return letters.upper() if form == "upperLetter" else letters
    if form in {"lowerRoman", "upperRoman"} and 0 < value < 4000:
        written = ""
        for worth, sign in (*_ROMAN, *_ROMAN_LOW):
            written += sign * (value // worth)
            value %= worth
        return written.upper() if form == "upperRoman" else written
    return str(value)
