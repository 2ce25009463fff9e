"""XML read without entities, DTDs or network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.errors import LoadError
from rag.loaders.parsed import one_line

if TYPE_CHECKING:
    from lxml.etree import _Element

__all__ = ["attribute", "local", "parse_xml"]


def parse_xml(data: bytes, part: str) -> _Element:
    """Return the root element of an XML part.

    Raises:
        LoadError: not well-formed, or it declares a DTD (the way in of XXE and of billion laughs).
    """
    from lxml import etree

    if b"<!DOCTYPE" in data[:4096] or "<!DOCTYPE".encode("utf-16-le") in data[:8192]:
        raise LoadError(f"its part {part!r} declares a DTD, which is refused; save the file again.")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        return etree.fromstring(data, parser=parser)
    except etree.XMLSyntaxError as exc:
        raise LoadError(
            f"its part {part!r} is not well-formed ({one_line(str(exc), 120)}); save the file again."
        ) from exc


def local(element: _Element) -> str:
    """Return an element's name without its namespace, which differs between the two forms of OOXML."""
    return str(element.tag).rpartition("}")[2]


def attribute(element: _Element | None, name: str) -> str | None:
    """Return an attribute by its name without namespace."""
    if element is None:
        return None
    for key, value in element.attrib.items():
        if str(key).rpartition("}")[2] == name:
            return str(value)
    return None
