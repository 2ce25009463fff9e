from __future__ import annotations

import json

import pytest

from rag.core import Document
from rag.errors import LoadError
from rag.loaders.parse import document_id, parse_bytes
from tests.rag.loaders.files import docx_bytes, pdf_bytes, zip_bytes


def one(data: bytes | str, name: str) -> Document:
    (document,) = parse_bytes(data.encode() if isinstance(data, str) else data, name)
    return document


def sections(document: Document) -> list[tuple[int, str]]:
    return [(section.level, section.title) for section in document.sections]


# ---------------------------------------------------------------- Markdown and text


def test_markdown_is_kept_verbatim_and_headings_become_sections() -> None:
    text = (
        "---\ntitle: From front\nauthor: Ana\n---\nintro\n\n# Big *plan*\n\n```sh\n# no heading\n```\n\n"
        "A\n---\n\nbody\n\n## [B](x) ##\nend"
    )
    document = one(text, "a.md")
    assert document.text == text
    assert document.title == "Big plan"
    assert sections(document) == [(1, "Big plan"), (2, "A"), (2, "B")]
    assert document.text[document.sections[1].start :].startswith("A\n---")
    assert document.metadata == {"format": "markdown", "author": "Ana"}


def test_markdown_title_falls_back_to_front_matter_then_heading_then_name() -> None:
    assert one("---\ntitle: 'F'\n---\n## h\n", "a.md").title == "F"
    assert one("## h\n\ntext", "a.md").title == "h"
    assert one("just text", "notes/plan.md").title == "plan"
    assert one("just text", "Issue #12: why?.md").title == "Issue #12: why?"


def test_a_heading_ends_in_signs_of_its_own_only_after_a_blank() -> None:
    assert sections(one("# C#\n\n## F# ##\n\n### x #\t\n\n## ##\n", "a.md")) == [
        (1, "C#"),
        (2, "F#"),
        (3, "x"),
    ]


def test_unclosed_fence_and_table_rule_make_no_headings() -> None:
    assert one("~~~\n# a\n```\n# b\n", "a.md").sections == ()
    assert one("| a | b |\n|---|---|\n| 1 | 2 |\n---\n", "a.md").sections == ()


def test_text_keeps_everything_but_line_ends_nuls_and_marks() -> None:
    assert one(b"\xef\xbb\xbfone\r\ntwo\rthree\n", "a.txt").text == "one\ntwo\nthree\n"
    assert one("A plan\n\nbody.", "a.txt").title == "A plan"
    assert one("Sentence one.\nbody", "x/a.txt").title == "a"


def test_text_named_by_wrong_suffix_still_loads_by_content() -> None:
    assert one(pdf_bytes(["hello there"]), "a.txt").media_type == "application/pdf"
    assert one(docx_bytes(), "a.pdf").title == "Returns policy"
    assert one("<!DOCTYPE html><title>T</title><p>x</p>", "a.md").media_type == "text/html"
    assert one("# a\n\ntext\n\n## b\n", "README").media_type == "text/markdown"
    assert one('{"a": 1}', "a.txt").media_type == "application/json"
    assert one("no markup here", "a.html").media_type == "text/plain"
    assert one("#!/bin/sh\n# a\n# b\n", "run.sh").media_type == "text/plain"


# ---------------------------------------------------------------- HTML

PAGE = """<html><head><title> Shop
 terms </title><meta name=author content="Ana"><style>p{}</style></head><body>
<nav><a href=/>Home</a></nav><header role=banner>Logo</header>
<h1>Terms</h1><p>First&nbsp;<b>bold</b>, then<br>a break.</p><script>bad()</script>
<div hidden>secret</div><p style="display: none">also secret</p><span aria-hidden=true>icon</span>
<h2>Prices</h2><table><tr><th>Plan</th><th>EUR</th></tr><tr><td>Basic</td><td><p>5</p></td></tr></table>
<ul><li>one</li><li>two<ol><li>deep</li></ol></li></ul><pre>x  =  1
y</pre><footer>imprint</footer></body></html>"""


def test_html_gives_main_text_sections_rows_and_lists() -> None:
    document = one(PAGE, "a.html")
    assert document.title == "Shop terms"
    assert sections(document) == [(1, "Terms"), (2, "Prices")]
    for hidden in ("Home", "Logo", "secret", "icon", "bad()", "imprint", "p{}"):
        assert hidden not in document.text
    assert "First bold, then\na break." in document.text
    assert "Plan | EUR\nBasic | 5" in document.text
    assert "- one\n- two\n1. deep" in document.text
    assert "x  =  1\ny" in document.text
    assert document.metadata["author"] == "Ana"


def test_html_lists_count_as_they_say_and_headings_lose_the_link_to_themselves() -> None:
    items = "<ol start=5><li>five<li>six<li value=9>nine<li>ten</ol>"
    page = (
        f'<h2>Install<a class="headerlink" href="#install">¶</a></h2>{items}<h2>In C#<a href="#c">#</a></h2>'
    )
    document = one(f"<html><body>{page}<p>See <a href='#x'>below</a>.</body></html>", "a.html")
    assert sections(document) == [(2, "Install"), (2, "In C#")]
    assert document.text == "Install\n\n5. five\n6. six\n9. nine\n10. ten\n\nIn C#\n\nSee below."


def test_html_prefers_main_and_layout_tables_are_not_rows() -> None:
    body = "word " * 60
    document = one(f"<body><p>side</p><main><p>{body}</p></main></body>", "a.html")
    assert "side" not in document.text
    layout = "<table><tr><td>left<table><tr><td>a</td><td>b</td></tr></table></td><td>right</td></tr></table>"
    assert one(f"<html>{layout}", "a.html").text == "left\n\na | b\n\nright"


def test_html_follows_the_declared_charset_and_resolves_no_entities() -> None:
    page = "<html><meta charset=koi8-r><p>Привет, мир</p>".encode("koi8-r")
    assert one(page, "a.html").text == "Привет, мир"
    canary = '<!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/hostname">]><html><p>a&x;b</p></html>'
    assert "&x;" in one(canary, "a.html").text.replace("]>", "")


# ---------------------------------------------------------------- PDF


def test_pdf_pages_outline_and_metadata() -> None:
    data = pdf_bytes(
        ["1 Start\nSome words on page one.", "Middle text\n2 End\nThe last words."],
        outline=[("Start", 0), ("End", 1), ("Nowhere", 1)],
        title="Handbook",
    )
    document = one(data, "a.pdf")
    assert document.title == "Handbook"
    assert [document.text[p.start : p.end] for p in document.pages] == [
        "1 Start\nSome words on page one.",
        "Middle text\n2 End\nThe last words.",
    ]
    assert [page.number for page in document.pages] == [1, 2]
    assert sections(document)[:2] == [(1, "Start"), (1, "End")]
    assert document.text[document.sections[1].start :].startswith("2 End")
    assert document.metadata == {"format": "pdf", "pages": 2, "author": "A. Writer", "created": "2024-01-31"}


def test_pdf_titles_of_tools_are_not_titles() -> None:
    assert (
        one(pdf_bytes(["The real title\nbody"], title="Microsoft Word - x.doc"), "a.pdf").title
        == "The real title"
    )
    assert one(pdf_bytes(["The real title\nbody"], title="untitled"), "a.pdf").title == "The real title"


def test_hyphens_at_line_ends_are_mended() -> None:
    from rag.loaders.pdf import join_hyphenated

    mark = "\ufffe"
    pages = [
        f"an exam{mark}ple of a well{mark}known rule",
        f"well-known, pages 10{mark}12, Anglo{mark}Saxon tornar{mark}se",
    ]
    assert join_hyphenated(pages) == [
        "an example of a well-known rule",
        "well-known, pages 10-12, Anglo-Saxon tornar-se",
    ]


def test_running_heads_and_page_numbers_stay_once() -> None:
    body = "\n".join(f"line {number}" for number in range(10))
    pages = [f"Price list\nPage {n} of 4\nPage {n} goes\n{body}\nTotal {n * 7}.50" for n in (1, 2, 3, 4)]
    document = one(pdf_bytes(pages), "a.pdf")
    assert document.text.count("Price list") == document.text.count("of 4") == 1
    assert [document.text[page.start : page.start + 11] for page in document.pages[1:]] == [
        "Page 2 goes",
        "Page 3 goes",
        "Page 4 goes",
    ]
    assert all(f"Total {n * 7}.50" in document.text for n in (1, 2, 3, 4))
    short = pdf_bytes([f"Same\nPage {n}" for n in (1, 2, 3, 4)])
    assert one(short, "a.pdf").text.count("Same") == 4


# ---------------------------------------------------------------- DOCX


def test_docx_keeps_order_lists_tables_and_headings() -> None:
    document = one(docx_bytes(), "a.docx")
    assert sections(document) == [(1, "Returns policy"), (1, "Deadlines"), (2, "Fees")]
    assert "- unused\n- in the original box" in document.text
    assert (
        "Item | Fee | Waived\nLaptop | 25 EUR | no\nCable | 2 EUR | yes\n\nAfter the table." in document.text
    )
    assert document.metadata["author"] == "A. Writer"


def test_docx_leaves_out_deleted_text_and_field_codes_and_takes_text_boxes_once() -> None:
    w = 'xmlns:w="http://purl.oclc.org/ooxml/wordprocessingml/main" xmlns:mc="m"'  # the strict namespace
    body = (
        "<w:p><w:r><w:t>kept</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t> added</w:t></w:r></w:ins><w:r><w:instrText>PAGE</w:instrText></w:r>"
        "<w:r><mc:AlternateContent><mc:Choice><w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent>"
        "</mc:Choice><mc:Fallback><w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent></mc:Fallback>"
        "</mc:AlternateContent></w:r></w:p>"
    )
    data = zip_bytes({"word/document.xml": f"<w:document {w}><w:body>{body}</w:body></w:document>".encode()})
    assert one(data, "a.docx").text == "kept added\n\nboxed"


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:mc="m"'


def docx_of(body: str, numbering: str = "") -> bytes:
    return zip_bytes(
        {
            "word/document.xml": f"<w:document {W}><w:body>{body}</w:body></w:document>".encode(),
            "word/numbering.xml": f"<w:numbering {W}>{numbering}</w:numbering>".encode(),
        }
    )


def test_docx_takes_a_text_box_in_a_table_once() -> None:
    box = "<w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent>"
    ways = f"<mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback>"
    cell = f"<w:p><w:r><w:t>cell</w:t><mc:AlternateContent>{ways}</mc:AlternateContent></w:r></w:p>"
    row = f"<w:tr><w:tc>{cell}</w:tc><w:tc><w:p/></w:tc></w:tr>"
    assert one(docx_of(f"<w:tbl>{row}</w:tbl>"), "a.docx").text == "cell boxed |"


def test_docx_counts_lists_as_word_shows_them() -> None:
    numbering = (
        '<w:abstractNum w:abstractNumId="9"><w:lvl w:ilvl="0"><w:start w:val="0"/><w:numFmt w:val="decimal"/>'
        '<w:lvlText w:val="%1."/></w:lvl></w:abstractNum>'
        '<w:num w:numId="1"><w:abstractNumId w:val="9"/></w:num>'
        '<w:num w:numId="2"><w:abstractNumId w:val="9"/></w:num>'
        '<w:num w:numId="3"><w:abstractNumId w:val="9"/><w:lvlOverride w:ilvl="0">'
        '<w:startOverride w:val="7"/></w:lvlOverride></w:num>'
    )
    body = "".join(
        f'<w:p><w:pPr><w:numPr><w:ilvl w:val="0"/><w:numId w:val="{number}"/></w:numPr></w:pPr>'
        f"<w:r><w:t>{word}</w:t></w:r></w:p>"
        for number, word in ((1, "none"), (1, "one"), (2, "two"), (3, "seven"), (3, "eight"))
    )
    assert one(docx_of(body, numbering), "a.docx").text == "0. none\n1. one\n2. two\n7. seven\n8. eight"


# ---------------------------------------------------------------- CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_rows_carry_their_headers(delimiter: str) -> None:
    rows = [["name", "note"], ["Ana", '"a, b; c\t| d"'], ["Bo", "x", "extra"], ["Cy"]]
    document = one("\n".join(delimiter.join(row) for row in rows), "people.csv")
    assert document.text == "name: Ana\nnote: a, b; c | d\n\nname: Bo\nnote: x\ncolumn 3: extra\n\nname: Cy"
    assert document.metadata == {"format": "csv", "rows": 3}
    assert document.title == "people"


def test_csv_that_names_its_delimiter_as_excel_writes_it() -> None:
    assert one("sep=;\nname;price\nA;1,5\n", "a.csv").text == "name: A\nprice: 1,5"


def test_csv_without_delimiter_is_text_and_a_header_alone_is_a_row() -> None:
    assert one("only words here", "a.csv").text == "only words here"
    assert one("a,b,c\n", "a.csv").text == "a | b | c"


# ---------------------------------------------------------------- JSON


def test_jsonl_rows_are_documents_with_their_own_source() -> None:
    rows = [
        {"_id": "d1", "title": "T", "text": "Body.", "year": 2020, "metadata": {"lang": "en"}},
        {"id": 7, "text": "No title", "tags": ["x"], "score": 0.5, "ok": True},
    ]
    first, second = parse_bytes("\n".join(json.dumps(row) for row in rows).encode(), "c.jsonl")
    assert (first.source, first.title, first.text) == ("c.jsonl#d1", "T", "T\n\nBody.")
    assert first.metadata == {"format": "jsonl", "lang": "en", "year": 2020}
    assert (second.source, second.title) == ("c.jsonl#7", "7")
    assert second.metadata == {"format": "jsonl", "score": 0.5, "ok": True}
    assert first.id == document_id("c.jsonl#d1") != second.id


SQUAD = {
    "version": "1.1",
    "data": [
        {
            "title": "Super_Bowl",
            "paragraphs": [
                {"context": " Denver won.\n", "qas": [{"id": "1", "question": "Who won?", "answers": []}]},
                {"context": "It was in 2016.", "qas": []},
            ],
        },
        {"paragraphs": [{"context": "Marte é vermelho.", "qas": []}]},
    ],
}


def test_paragraphs_of_squad_are_documents_and_its_questions_are_not() -> None:
    first, second, third = parse_bytes(json.dumps(SQUAD).encode(), "squad.json")
    assert [d.source for d in (first, second, third)] == [
        f"squad.json#{key}" for key in ("0/0", "0/1", "1/0")
    ]
    assert (first.title, first.text) == ("Super Bowl", "Denver won.")
    assert (third.title, third.text) == ("1/0", "Marte é vermelho.")
    assert not any("Who won" in d.text for d in (first, second, third))


def test_rows_of_squad_give_each_paragraph_once() -> None:
    answers = {"text": ["Denver"], "answer_start": [0]}
    rows = [
        {"id": str(n), "title": title, "context": context, "question": f"Q{n}?", "answers": answers}
        for n, (title, context) in enumerate(
            (("A_B", "Denver won."), ("Another", "Denver won."), ("A_B", "It rained."))
        )
    ]
    found = parse_bytes("\n".join(json.dumps(row) for row in rows).encode(), "xquad.jsonl")
    assert [(d.title, d.text) for d in found] == [("A B", "Denver won."), ("A B", "It rained.")]
    assert len({d.source for d in found}) == 2


def test_other_json_becomes_readable_lines() -> None:
    value = {
        "title": "Menu",
        "dish": {"name": "Soup", "tags": ["hot", 1]},
        "steps": [{"do": "boil"}],
        "x": None,
    }
    document = one(json.dumps(value, indent=1), "a.json")
    assert document.title == "Menu"
    assert document.text == "title: Menu\ndish.name: Soup\ndish.tags: hot, 1\nsteps[0].do: boil\nx: null"
    assert one('[{"a": 1}, {"a": 2}]', "a.json").text == "a: 1\n\na: 2"
    assert one('{"a": 1}\n{"a": 2}\n', "log.jsonl").text == "a: 1\n\na: 2"


def test_jsonl_names_the_broken_line_and_repeated_ids() -> None:
    with pytest.raises(LoadError, match="line 2"):
        parse_bytes(b'{"id": 1, "text": "a"}\n{"id": 2, "te', "a.jsonl")
    with pytest.raises(LoadError, match="same id '1'"):
        parse_bytes(b'{"id": 1, "text": "a"}\n{"id": 1, "text": "b"}', "a.jsonl")


def test_json_with_lone_surrogates_and_nul_is_storable() -> None:
    text = one(r'{"a": "x\ud800y\u0000z"}', "a.json").text
    assert text == "a: x\ufffdyz"
    text.encode()


# ---------------------------------------------------------------- language


def test_language_is_told_only_where_there_is_enough_text() -> None:
    english = (
        "The customer may return the goods within thirty days of delivery, and the price will be paid back "
        "in full by the shop."
    )
    portuguese = (
        "O cliente pode devolver os produtos em até trinta dias após a entrega, e o valor será reembolsado "
        "integralmente pela nossa loja."
    )
    assert one(english, "a.txt").language == "en"
    assert one(portuguese, "a.txt").language == "pt"
    assert one("short", "a.txt").language is None


def test_many_rows_share_the_language_of_most() -> None:
    row = (
        "The customer may return the goods within thirty days of delivery and the price will be "
        + "paid back " * 3
    )
    data = "\n".join(json.dumps({"id": i, "text": f"{row} {i}"}) for i in range(600)).encode()
    assert {document.language for document in parse_bytes(data, "a.jsonl")} == {"en"}
