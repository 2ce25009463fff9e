from __future__ import annotations

import re
import time
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.chunking import chunk_document
from rag.citations import read_answer
from rag.core import Chunk, Document, Page, chunk_id
from rag.errors import ConfigError
from rag.loaders.parse import parse_bytes
from rag.loaders.parsed import sections_from

_WORD = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in _WORD.finditer(text)]


def pieces(text: str) -> list[tuple[int, int]]:
    """Like WordPiece: words in pieces of up to four letters, cut from the word's start."""
    return [
        (start, min(start + 4, match.end()))
        for match in _WORD.finditer(text)
        for start in range(match.start(), match.end(), 4)
    ]


def make(text: str, **fields: object) -> Document:
    return Document(id="d", source="s.md", title="T", media_type="text/plain", text=text, **fields)  # type: ignore[arg-type]


def pages_at(starts: Sequence[int], end: int) -> tuple[Page, ...]:
    return tuple(
        Page(number=number, start=start, end=stop)
        for number, (start, stop) in enumerate(zip(starts, [*starts[1:], end], strict=False), start=1)
    )


def cut(document: Document | str, tokens: int = 20, overlap: int = 0) -> list[Chunk]:
    if isinstance(document, str):
        document = make(document)
    return chunk_document(document, token_spans=words, chunk_tokens=tokens, overlap_tokens=overlap)


def texts(chunks: Sequence[Chunk]) -> list[str]:
    return [chunk.text for chunk in chunks]


def check(document: Document, chunks: Sequence[Chunk]) -> None:
    covered = bytearray(len(document.text))
    for chunk in chunks:
        assert document.text[chunk.start : chunk.end] == chunk.text == chunk.text.strip() != ""
        assert chunk.id == chunk_id(chunk.source, chunk.start, chunk.end, chunk.text)
        covered[chunk.start : chunk.end] = b"\1" * (chunk.end - chunk.start)
    missed = {document.text[i] for i, seen in enumerate(covered) if not seen}
    assert all(character.isspace() for character in missed)
    assert [c.start for c in chunks] == sorted({c.start for c in chunks})
    assert [c.end for c in chunks] == sorted({c.end for c in chunks})


TEXT = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(["\n\n", "\n", ". ", " | ", "# Head\n", "- item\n", "word " * 9, "x" * 90]),
    ),
    max_size=40,
).map("".join)  # fmt: skip


@given(
    text=TEXT,
    tokens=st.integers(1, 30),
    overlap=st.integers(0, 29),
    marks=st.lists(st.integers(0, 200), max_size=5),
    turns=st.lists(st.integers(1, 200), max_size=5),
)
@settings(max_examples=400, deadline=None)
def test_passages_are_exact_cover_the_text_and_keep_the_limit(
    text: str, tokens: int, overlap: int, marks: list[int], turns: list[int]
) -> None:
    places = sorted({mark for mark in marks if mark < len(text)})
    sections = sections_from([(place, 1 + place % 3, f"h{place}") for place in places], len(text))
    starts = [0, *sorted({turn for turn in turns if turn < len(text)})]
    pages = pages_at(starts if turns else [], len(text))
    document = make(text, sections=sections, pages=pages)
    for spans in (words, pieces):
        chunks = chunk_document(
            document, token_spans=spans, chunk_tokens=tokens, overlap_tokens=min(overlap, tokens - 1)
        )
        check(document, chunks)
        for chunk in chunks:
            assert len(spans(chunk.text)) <= tokens
            assert not any(chunk.start < page.start < chunk.end for page in pages)


@given(text=TEXT)
@settings(max_examples=50, deadline=None)
def test_whole_is_one_passage(text: str) -> None:
    chunks = chunk_document(make(text), token_spans=words, chunk_tokens="whole", overlap_tokens=0)
    assert texts(chunks) == ([text.strip()] if text.strip() else [])


def test_paragraphs_are_packed_and_sentences_kept_whole() -> None:
    text = "One two three. Four five six.\n\nSeven eight nine ten. Eleven twelve.\n\nThirteen."
    assert texts(cut(text, 8)) == [
        "One two three. Four five six.",
        "Seven eight nine ten. Eleven twelve.",
        "Thirteen.",
    ]
    assert texts(cut(text, 5)) == [
        "One two three.",
        "Four five six.",
        "Seven eight nine ten.",
        "Eleven twelve.\n\nThirteen.",
    ]


def test_abbreviations_do_not_end_sentences() -> None:
    text = "We asked Dr. Silva about it today. He met Prof. Lima of St. Mary in art. 5 of the law. Done."
    assert texts(cut(text, 10))[0] == "We asked Dr. Silva about it today."


def test_overlap_repeats_whole_sentences() -> None:
    text = "A b c. D e f. G h i. J k l. M n o."
    assert texts(cut(text, 8, 4)) == ["A b c. D e f.", "D e f. G h i.", "G h i. J k l.", "J k l. M n o."]


def test_overlap_falls_back_to_words_and_never_exceeds_its_size() -> None:
    text = " ".join(f"w{i}" for i in range(40))
    first, second, *_ = cut(text, 10, 3)
    assert (first.text.split()[-3:], second.text.split()[:3]) == (["w7", "w8", "w9"], ["w7", "w8", "w9"])


def test_table_rows_stay_whole() -> None:
    rows = [f"Row {i} | Dr. Who. A note. | {i} EUR" for i in range(12)]
    for chunk in cut("\n".join(rows), 30, 6):
        assert set(chunk.text.split("\n")) <= set(rows)


def test_sections_are_not_crossed_and_named_by_path() -> None:
    body = "Some words that fill the section well enough to stand alone here. " * 3
    document = parse_bytes(f"# Top\n\n## A\n\n{body}\n\n### A1\n\n{body}\n\n# B\n\n{body}".encode(), "a.md")[
        0
    ]
    chunks = cut(document, 45)
    assert [chunk.section for chunk in chunks] == ["Top / A", "Top / A / A1", "B"]
    assert chunks[0].text.startswith("# Top\n\n## A")  # a heading without text goes with what follows
    assert chunks[2].text.startswith("# B")


def test_tiny_sections_are_joined() -> None:
    document = parse_bytes(b"# Terms\n\n## A\n\none two\n\n## B\n\nthree four\n\n## C\n\nfive six", "a.md")[0]
    assert len(cut(document, 100)) == 1


def test_no_passage_crosses_from_a_page_into_another() -> None:
    text = "First page words here.\n\nSecond page words,\n\nwhich go on. Third."
    pages = pages_at([0, 24, 44], len(text))
    sections = sections_from([(0, 1, "All")], len(text))
    for document in (make(text, pages=pages), make(text, pages=pages, sections=sections)):
        chunks = cut(document, 100, 20)
        assert [(chunk.page, chunk.text) for chunk in chunks] == [
            (1, "First page words here."),
            (2, "Second page words,"),
            (3, "which go on. Third."),
        ]


def test_a_quote_is_cited_with_its_page() -> None:
    text = "Groq makes the LPU.\n\nIt was founded in 2016."
    chunks = cut(make(text, pages=pages_at([0, 21], len(text))), 100)
    (citation,) = read_answer('In 2016 [2].\n[2] "founded in 2016"', chunks).citations
    assert (citation.verified, citation.page) == (True, 2)


def test_fields_are_copied() -> None:
    (chunk,) = cut(make("text", language="en", metadata={"format": "text"}))
    assert (chunk.document_id, chunk.source, chunk.title, chunk.language) == ("d", "s.md", "T", "en")
    assert chunk.metadata == {"format": "text"}
    assert (chunk.page, chunk.section) == (None, None)


@pytest.mark.parametrize("text", ["", " \n\t\u00a0 "])
def test_no_text_gives_no_passage(text: str) -> None:
    assert cut(text) == []


@pytest.mark.parametrize(("tokens", "overlap"), [(0, 0), (-1, 0), (10, 10), (10, -1)])
def test_impossible_sizes_are_refused(tokens: int, overlap: int) -> None:
    with pytest.raises(ConfigError, match="tokens must be"):
        cut("text", tokens, overlap)


@pytest.mark.parametrize("space", ["\n\u00a0", "\n\r", " \n\u3000", " " * 30, "\n" * 5_000])
def test_no_passage_only_repeats_the_end_of_the_last(space: str) -> None:
    chunks = cut("word " * 9 + space + "0: more words", 2, 1)
    assert [c.end for c in chunks] == sorted({c.end for c in chunks})


def test_text_without_any_token_is_still_cut() -> None:
    document = make("\u200b" * 5_000)
    chunks = chunk_document(document, token_spans=lambda _: [], chunk_tokens=10, overlap_tokens=2)
    check(document, chunks)
    assert max(len(chunk.text) for chunk in chunks) <= 160


def test_a_word_of_a_million_letters_is_split() -> None:
    def unknown(text: str) -> list[tuple[int, int]]:
        return [match.span() for match in re.finditer(r"\S+", text)]

    document = make("a" * 1_000_000)
    for spans in (unknown, pieces):
        chunks = chunk_document(document, token_spans=spans, chunk_tokens=200, overlap_tokens=40)
        check(document, chunks)
        assert max(len(chunk.text) for chunk in chunks) <= 3200


def test_time_is_linear_and_the_tokeniser_never_sees_it_all() -> None:
    longest = 0

    def spans(text: str) -> list[tuple[int, int]]:
        nonlocal longest
        longest = max(longest, len(text))
        return words(text)

    unit = "A sentence of some words, and more. Another one follows here!\nA line\n\n"
    seconds = []
    for times in (500, 4_000):
        document = make(unit * times)
        began = time.process_time()
        chunk_document(document, token_spans=spans, chunk_tokens=200, overlap_tokens=40)
        seconds.append(time.process_time() - began)
    assert longest <= 50_000
    assert seconds[1] < seconds[0] * 8 * 2.5


def test_a_long_section_is_not_copied_for_each_of_its_passages() -> None:
    copied = 0

    class Counted(str):
        __slots__ = ()

        def __getitem__(self, key: object) -> str:
            nonlocal copied
            part = super().__getitem__(key)  # type: ignore[index]
            copied += len(part)
            return part

    body = "A sentence of some words. " * 1_000
    text = Counted(f"# One\n\n{body}\n\n# Two\n\nThe end.")
    sections = sections_from([(0, 1, "One"), (text.index("# Two"), 1, "Two")], len(text))
    chunks = cut(make(text, sections=sections), 20, 0)
    assert [chunk.section for chunk in (chunks[0], chunks[-1])] == ["One", "Two"]
    assert copied < 20 * len(text)


def test_memory_stays_a_small_multiple_of_the_text() -> None:
    document = make("A sentence of some words, and more. Another one follows here!\n\n" * 3_000)
    tracemalloc.start()
    cut(document, 200, 40)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * len(document.text)
