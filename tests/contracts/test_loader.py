"""What every loader promises, whatever the format; hypothesis builds the files."""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.core import Document
from rag.loaders.detect import MEDIA_TYPES
from rag.loaders.parse import PARSERS, document_id, parse_bytes
from tests.rag.loaders.files import pdf_bytes

Blocks = list[tuple[str, str]]


def _markdown(blocks: Blocks) -> bytes:
    return "\n\n".join(f"## {head}\n\n{body}" for head, body in blocks).encode()


def _html(blocks: Blocks) -> bytes:
    return (
        "<!doctype html><body>" + "".join(f"<h2>{head}</h2><p>{body}</p>" for head, body in blocks)
    ).encode()


def _plain(blocks: Blocks) -> bytes:
    return "\r\n\r\n".join(f"{head}\r\n{body}" for head, body in blocks).encode("utf-16")


def _csv(blocks: Blocks) -> bytes:
    return "\n".join(["head;body", *(f'"{head}";"{body}"' for head, body in blocks)]).encode()


def _json(blocks: Blocks) -> bytes:
    return json.dumps({"blocks": [{"head": head, "body": body} for head, body in blocks]}).encode()


def _jsonl(blocks: Blocks) -> bytes:
    return "\n".join(
        json.dumps({"id": i, "title": head, "text": body}) for i, (head, body) in enumerate(blocks)
    ).encode()


def _pdf(blocks: Blocks) -> bytes:
    return pdf_bytes([f"{head}\n{body}" for head, body in blocks], outline=[(blocks[0][0], 0)])


def _docx(blocks: Blocks) -> bytes:
    import docx

    document = docx.Document()
    for head, body in blocks:
        document.add_heading(head, 2)
        document.add_paragraph(body)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


WRITERS: dict[str, tuple[Callable[[Blocks], bytes], str]] = {
    "text/markdown": (_markdown, "a.md"),
    "text/html": (_html, "a.html"),
    "text/plain": (_plain, "a.txt"),
    "text/csv": (_csv, "a.csv"),
    "application/json": (_json, "a.json"),
    "application/x-ndjson": (_jsonl, "a.jsonl"),
    "application/pdf": (_pdf, "a.pdf"),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": (_docx, "a.docx"),
}
WORDS = st.lists(
    st.sampled_from(["prazo", "órgão", "café", "naïve", "Straße", "end", "12,5", "x1", "Über"]),
    min_size=2,
    max_size=8,
)
BLOCKS = st.lists(st.tuples(WORDS.map(" ".join), WORDS.map(" ".join)), min_size=1, max_size=5)


def test_every_media_type_has_a_loader_and_a_writer_here() -> None:
    assert set(MEDIA_TYPES) == set(PARSERS) == set(WRITERS)
    for media_type in MEDIA_TYPES:
        assert callable(PARSERS.load(media_type))


def check(document: Document) -> None:
    text = document.text
    assert text.strip()
    assert "\0" not in text
    assert "\r" not in text
    text.encode()
    assert document.title.strip()
    assert document.title == document.title.strip()
    assert "\n" not in document.title
    assert document.id == document_id(document.source)
    assert document.language is None or len(document.language) == 2
    end = 0
    for number, page in enumerate(document.pages, start=1):
        assert page.number == number
        assert end <= page.start <= page.end <= len(text)
        end = page.end
    end = 0
    for section in document.sections:
        assert section.title.strip()
        assert section.level >= 1
        assert end <= section.start < section.end <= len(text)
        assert section.title.split()[0] in text[section.start : section.start + 200]
        end = section.end
    for key, value in document.metadata.items():
        assert isinstance(key, str)
        assert isinstance(value, (str, int, float, bool))
    assert document.metadata["format"]


@pytest.mark.parametrize("media_type", WRITERS)
@given(blocks=BLOCKS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_loaders_keep_their_promises(media_type: str, blocks: Blocks) -> None:
    write, name = WRITERS[media_type]
    data = write(blocks)
    documents = parse_bytes(data, name)
    for document in documents:
        assert document.media_type == media_type
        check(document)
    together = unicodedata.normalize("NFC", " ".join(document.text for document in documents))
    for head, body in blocks:
        assert head in together
        assert body in together
    assert parse_bytes(data, name) == documents
