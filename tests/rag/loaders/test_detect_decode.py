from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import LoadError
from rag.loaders.decode import decode
from rag.loaders.detect import MEDIA_TYPES, detect
from rag.loaders.parse import parse_bytes
from tests.rag.loaders.files import zip_bytes

PT = "A Constituição assegura ao cidadão o direito à educação. São condições: não há prazo; é possível.\n"
DE = "Der Käufer trägt die Kosten für die Rücksendung; Größe und Maß sind anzugeben, die Straße auch.\n"
RU = "Съешь же ещё этих мягких французских булок, да выпей чаю. Привет, как дела сегодня?\n"
PL = "Zażółć gęślą jaźń. Proszę państwa, to jest test kodowania znaków w języku polskim.\n"
JA = "日本語の文章です。これはテストです。東京都は日本の首都である。\n"
EN = "naïve café — “quoted” résumé. The rest is plain English text, as most of it is.\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (PT, "cp1252"), (PT, "iso-8859-1"), (DE, "cp1252"), (EN, "cp1252"), (PT, "mac_roman"), (RU, "cp1251"),
        (RU, "koi8-r"), (PL, "cp1250"), (JA, "shift_jis"), (PT, "utf-8"), (PT, "utf-8-sig"), (PT, "utf-16"),
        (PT, "utf-16-le"), (PT, "utf-16-be"), (RU, "utf-8"), (PT, "utf-32"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("times", [3, 40])
def test_encodings_are_found_by_content(text: str, encoding: str, times: int) -> None:
    assert decode((text * times).encode(encoding)) == text * times


@pytest.mark.parametrize("declared", ["iso-8859-1", "us-ascii", "utf-16", "hex", "idna", "no-such"])
def test_a_page_in_windows_1252_is_read_as_browsers_read_it(declared: str) -> None:
    text = "<p>It\u2019s a \u201cprova\u201d \u2013 não custa 5 €, é grátis.</p>"
    page = f'<html><head><meta charset="{declared}"></head>{text}</html>'
    assert parse_bytes(page.encode("cp1252"), "a.html")[0].text == text[3:-4]


def test_utf8_with_a_broken_byte_stays_utf8() -> None:
    assert decode((PT * 20).encode() + b"\xff end") == PT * 20 + "\ufffd end"


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b"", "a.txt", "empty"),
        (b" \n\t ", "a.txt", "only white space"),
        (b"\xef\xbb\xbf", "a.txt", "only white space"),
        (bytes(range(256)) * 20, "a.txt", "binary"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "a.txt", "no loader for image/png: run OCR"),
        (b"\x1f\x8b\x08" + b"\0" * 50, "a.gz", "no loader for application/gzip"),
        (b"PK\x03\x04 cut", "a.docx", "broken zip"),
        (b"Access denied", "a.pdf", "named .pdf but is not a PDF"),
        (b"%PDF-1.7\n garbage", "a.pdf", "broken"),
        (b"{\\rtf1 hello}", "a.rtf", "application/rtf: convert it to PDF or DOCX"),
        (b"<?xml version='1.0'?><r/>", "a.xml", "application/xml"),
        (b"From: a@b.c\nTo: d@e.f\nSubject: x\n\nhi", "a.eml", "message/rfc822"),
        (b'{"a": ', "a.json", "not valid JSON"),
        (b"[" * 5000 + b"]" * 5000, "a.json", "nested too deeply"),
        (b"<html><body><img src=x></body></html>", "a.html", "no text found"),
    ],
)
def test_refusals_name_the_reason_and_the_cure(data: bytes, name: str, words: str) -> None:
    with pytest.raises(LoadError) as caught:
        parse_bytes(data, name)
    assert words in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("data", "name", "media_type"),
    [
        (b"# Formats\n\nA PDF starts with `%PDF-1.7`.\n", "formats.md", "text/markdown"),
        (b"The ftyp box is an MP4's first and names its brand.", "boxes.txt", "text/plain"),
        (b"a,b\n1,2\n", "who?.csv", "text/csv"),
        (b"# a", "https://example.org/README.md#usage", "text/markdown"),
        (b"<!-- x -->\n" * 40 + b"# A title\n", "a.md", "text/markdown"),
        (b"<!-- x -->\n" * 40 + b"<html><p>x", "a", "text/html"),
    ],
)
def test_what_a_text_speaks_of_is_not_what_it_is(data: bytes, name: str, media_type: str) -> None:
    assert detect(data, name) == media_type


@pytest.mark.parametrize(
    ("members", "media_type"),
    [
        ({"ppt/presentation.xml": b"x"}, "presentationml.presentation"),
        ({"xl/workbook.xml": b"x"}, "spreadsheetml.sheet"),
        ({"mimetype": b"application/epub+zip"}, "application/epub+zip"),
        ({"mimetype": b"application/vnd.oasis.opendocument.text"}, "opendocument.text"),
        ({"a.txt": b"x"}, "application/zip"),
    ],
)
def test_containers_are_told_by_their_members(members: dict[str, bytes], media_type: str) -> None:
    with pytest.raises(LoadError, match="no loader for") as caught:
        detect(zip_bytes(members), "a.docx")
    assert media_type in str(caught.value)


@given(
    data=st.binary(max_size=400),
    start=st.sampled_from(
        [b"", b"%PDF-1.4\n", b"PK\x03\x04", b"{", b"[", b"<html>", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"a,"]
    ),
    name=st.sampled_from(["a.txt", "a.md", "a.html", "a.csv", "a.json", "a.jsonl", "a.pdf", "a.docx", "a"]),
)  # fmt: skip
@settings(max_examples=400, deadline=None)
def test_any_bytes_load_or_are_refused(data: bytes, start: bytes, name: str) -> None:
    data = start + data
    try:
        assert detect(data, name) in MEDIA_TYPES
        documents = parse_bytes(data, name)
    except LoadError:
        return
    for document in documents:
        assert document.text.strip()
        assert document.title.strip()
        assert "\0" not in document.text
        document.text.encode()
