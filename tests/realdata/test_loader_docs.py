"""Every real document either loads with its words or is refused with its reason."""

from __future__ import annotations

import difflib
from contextlib import closing
from pathlib import Path

import pytest

from rag.core import Document
from rag.errors import LoadError
from rag.loaders import discover, load_many
from tests.conftest import SHARED_DATA
from tests.contracts.test_loader import check

ROOT = SHARED_DATA / "loader_docs"
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason="the real data sets are not beside this checkout")

OCR = "run OCR first"
OFFICE = "convert it to PDF or DOCX"
REFUSED = {
    "email/eml_with_attachment.eml": "message/rfc822",
    "email/msg_simple.msg": "vnd.ms-outlook",
    "epub/epub_purvis_poetry.epub": "application/epub+zip",
    "haystack/msg_sample.msg": "vnd.ms-outlook",
    "haystack/pdf_non_text_searchable.pdf": OCR,
    "haystack/pptx_sample_pptx.pptx": OFFICE,
    "haystack/pptx_sample_pptx_with_link.pptx": OFFICE,
    "haystack/xlsx_basic_tables_two_sheets.xlsx": OFFICE,
    "haystack/xlsx_table_empty_rows_and_columns.xlsx": OFFICE,
    "legacy/legacy_sample.doc": "application/msword",
    "legacy/legacy_sample.ppt": "application/vnd.ms-powerpoint",
    "legacy/legacy_sample.xls": "application/vnd.ms-excel",
    "odf/text_document_01.odt": "opendocument.text",
    "pdf/corrupted.pdf": "is not a PDF",
    "pdf/empty_page.pdf": OCR,
    "pdf/scanned_ocr_test.pdf": OCR,
    "pdf/scanned_ocr_test_rotated_90.pdf": OCR,
    "pdf_pypdf/grayscale-image.pdf": OCR,
    "pdf_pypdf/libreoffice-writer-password.pdf": "password-protected",
    "pptx/powerpoint_bad_text.pptx": OFFICE,
    "pptx/powerpoint_malformed_pictures.pptx": OFFICE,
    "pptx/powerpoint_with_image.pptx": OFFICE,
    "xlsx/xlsx_01.xlsx": OFFICE,
    "xlsx/xlsx_02_sample_sales_data.xlsm": OFFICE,
    "xlsx/xlsx_06_edge_cases_.xlsx": OFFICE,
}
PHRASES = {
    "csv/csv-semicolon.csv": "Company: Dominguez;Mcmillan and Donovan\nCity: Bensonview",
    "csv/csv-too-many-columns.csv": "column 5: e",
    "docx/word_sample.docx": "Food | Calories per portion\nLeaves | Ash, Elm, Maple | 50",
    "docx/textbox.docx": "Suggested Reportable Symptoms",
    "docx/unit_test_headers_numbered.docx": "1.2.1. Section 1.2.3",
    "docx/Strict.docx": "",
    "docx_pt/oab_simulado_2012-14.docx": "Somente o cartão resposta deverá ser entregue ao professor/fiscal",
    "haystack/html_what_is_haystack.html": "Haystack",
    "haystack/markdown_sample.md": "-   **Latest models**: Utilize all latest transformer based models",
    "html/html_rich_table_cells.html": "Mallard | Ponds, lakes, rivers | Quack",
    "html/wiki_duck.html": "Duck is the common name for numerous species of waterfowl in the family Anatidae",
    "pdf/code_and_formula.pdf": "sed diam nonumy eirmod tempor invidunt",
    "pdf_pt/oab_2014-14.pdf": "Matheus é estagiário vinculado ao escritório Renato",
    "pdf_pypdf/crazyones-pdfa.pdf": "The round pegs in the square holes.",
    "pdf_pypdf/google-doc-document.pdf": "Beautiful is better than ugly.",
    "pdf_pypdf/multicolumn.pdf": "consectetuer adipiscing elit",
    "pdf_pypdf/pdflatex-outline.pdf": "Hello, here is some text without a meaning.",
}


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[Document] | LoadError]:
    sources, failures = discover([str(ROOT)])
    assert failures == []
    with closing(load_many(sources, workers=2)) as results:  # type: ignore[type-var]
        return {source.name: result for source, result in results}


def text(loaded: dict[str, list[Document] | LoadError], name: str) -> str:
    result = loaded[name]
    assert isinstance(result, list), result
    return result[0].text


def test_exactly_what_has_no_loader_or_no_text_is_refused(
    loaded: dict[str, list[Document] | LoadError],
) -> None:
    refused = {name: str(result) for name, result in loaded.items() if isinstance(result, LoadError)}
    assert set(refused) == set(REFUSED)
    for name, reason in REFUSED.items():
        assert reason in refused[name], name


def test_what_loads_keeps_the_promises_of_all_loaders(loaded: dict[str, list[Document] | LoadError]) -> None:
    documents = [result for result in loaded.values() if isinstance(result, list)]
    assert len(documents) == sum(path.is_file() for path in ROOT.rglob("*")) - len(REFUSED)
    for (document,) in documents:
        if "mistitled" not in document.source:  # its outline names what its pages do not
            check(document)


@pytest.mark.parametrize("name", PHRASES)
def test_known_words_are_there(loaded: dict[str, list[Document] | LoadError], name: str) -> None:
    found = " ".join(text(loaded, name).split())
    assert " ".join(PHRASES[name].split()) in found


def test_an_exam_reads_as_its_hand_made_reference(loaded: dict[str, list[Document] | LoadError]) -> None:
    """Word by word, over the questions: the reference leaves out the cover and the running heads."""
    reference = (ROOT / "pdf_pt/oab_2014-14.reference.txt").read_text("utf-8").split()
    found = text(loaded, "pdf_pt/oab_2014-14.pdf").split()
    matcher = difflib.SequenceMatcher(a=reference, b=found, autojunk=False)
    shared = sum(block.size for block in matcher.get_matching_blocks())
    assert shared / len(reference) >= 0.95


def test_languages_pages_and_sections(loaded: dict[str, list[Document] | LoadError]) -> None:
    exam = loaded["pdf_pt/oab_2014-14.pdf"]
    outline = loaded["pdf_pypdf/pdflatex-outline.pdf"]
    assert isinstance(exam, list)
    assert isinstance(outline, list)
    assert (exam[0].language, len(exam[0].pages)) == ("pt", 20)
    assert [s.title for s in outline[0].sections][:3] == ["Foo", "Bar", "Baz"]
    assert outline[0].text[outline[0].sections[0].start :].startswith("1 Foo\nHello")


def test_a_folder_elsewhere_gives_the_same_names(
    loaded: dict[str, list[Document] | LoadError], tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(ROOT)
    assert [source.name for source in discover([str(tmp_path / "link")])[0]] == sorted(loaded)
