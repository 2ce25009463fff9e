"""Citations: verified only when the words stand in the cited passage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.citations import CitationFilter, read_answer
from rag.core import Chunk, chunk_id
from rag.quotes import find_quote


def passage(text: str, *, start: int = 100, source: str = "a.md") -> Chunk:
    return Chunk(
        id=chunk_id(source, start, start + len(text), text),
        document_id="d",
        source=source,
        title="A",
        text=text,
        start=start,
        end=start + len(text),
        page=2,
    )


GROQ = passage("Groq was founded in 2016. Llama 3 70B cost USD 0.90 per million tokens; at Groq USD 0.60.")
GROK = passage("Grok is a chatbot by xAI.", source="b.md")


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("founded in 2016", GROQ.text),
        ("an office", "an of\ufb01ce"),
        ("an of\ufb01ce", "an office"),
        ('the "open" models', "the \u201copen\u201d models"),
        ("white space is folded", "white\n  space\u00a0is\tfolded"),
        ("international treaty", "an inter-\nnational treaty"),
        ("a well-known fact", "a well-\nknown fact"),
        ("soft hyphen", "so\u00adft hyphen"),
        ("a soft hyphen", "a so\u00ad\nft hyphen at a line's end"),
        ("lives in __init__.", "It lives in __init__ and nowhere else"),
        ("_in italics_", "words in italics"),
        ("opções de preço", "opc\u0327o\u0303es de prec\u0327o"),
        ("5-10 users", "for 5\u201310 users"),
        ("ends with a stop.", "it ends with a stop, and goes on"),
        ("USD 0.90", GROQ.text),
    ],
)
def test_words_are_found_whatever_their_typography(quote: str, text: str) -> None:
    span = find_quote(quote, text)
    assert span is not None
    assert 0 <= span[0] < span[1] <= len(text)


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("USD 0.60", "USD 0.90 per million tokens"),
        ("USD 0.9", "USD 0.90"),
        ("USD 1", "USD 1.50"),
        ("0.6", "10.6"),
        ("5 %", "-5"),
        ("Groq", "Groqs"),
        ("groq", "Groq"),
        ("102 users", "10\u00b2 users"),
        ("first words last words", "first words, some more, last words"),
        ("90", "90%"),
        ("_", "an _ in it"),
        ("init", "__init__"),
        ("", "anything"),
        ("...", "anything ..."),
    ],
)
def test_other_words_are_not_found(quote: str, text: str) -> None:
    assert find_quote(quote, text) is None


@given(st.text(max_size=200), st.data())
def test_any_whole_words_of_a_text_are_found_where_they_stand(text: str, data: st.DataObject) -> None:
    text = "alpha " + text + " omega"
    span = find_quote("omega", text)
    assert span is not None
    assert text[span[0] : span[1]] == "omega"
    tokens = text.split(" ")
    first = data.draw(st.integers(0, len(tokens) - 1))
    last = data.draw(st.integers(first, len(tokens) - 1))
    quote = " ".join(tokens[first : last + 1])
    found = find_quote(quote, text)
    if any(ch.isalnum() for ch in quote) and quote.isascii():
        assert found is not None


def test_a_verified_citation_carries_its_place_in_the_document() -> None:
    answer = read_answer('In 2016 [1].\n\n[1] "Groq was founded in 2016"', [GROQ, GROK])
    assert answer.text == "In 2016 [1]."
    (citation,) = answer.citations
    assert citation.verified
    assert (citation.match, citation.source, citation.page) == ("exact", "a.md", 2)
    assert (citation.start, citation.end) == (100, 124)


def test_a_changed_figure_is_near_and_unverified() -> None:
    (citation,) = read_answer(
        'USD 0.60 [1].\n[1] "Llama 3 70B cost USD 0.60 per million tokens"', [GROQ]
    ).citations
    assert not citation.verified
    assert citation.match == "near"


def test_right_words_under_the_wrong_number_are_unverified() -> None:
    (citation,) = read_answer('2016 [2].\n[2] "Groq was founded in 2016"', [GROQ, GROK]).citations
    assert not citation.verified


def test_a_marker_without_a_quote_is_aligned_and_unverified() -> None:
    (citation,) = read_answer("Groq was founded in 2016 [1].", [GROQ]).citations
    assert (citation.match, citation.verified) == ("aligned", False)
    assert citation.quote == "Groq was founded in 2016."


def test_a_marker_of_no_passage_cites_nothing() -> None:
    (citation,) = read_answer("It is fast [9].", [GROQ]).citations
    assert (citation.chunk_id, citation.match, citation.verified) == (None, "none", False)


def test_links_are_not_markers() -> None:
    assert read_answer("See [1](https://example.org).", [GROQ]).citations == ()


def test_two_quotes_on_a_line_are_two_citations() -> None:
    answer = read_answer(
        'Both [1][2].\n[1] "Groq was founded in 2016"; [2] "Grok is a chatbot".', [GROQ, GROK]
    )
    assert answer.text == "Both [1][2]."
    assert [(c.marker, c.quote, c.verified) for c in answer.citations] == [
        (1, "Groq was founded in 2016", True),
        (2, "Grok is a chatbot", True),
    ]


def test_citation_lines_alone_become_the_answer() -> None:
    answer = read_answer('[1] "Groq was founded in 2016"', [GROQ])
    assert answer.text == "Groq was founded in 2016 [1]"
    assert answer.citations[0].verified


@pytest.mark.parametrize(
    "text",
    [
        "The documents do not answer this question.",
        "Os documentos não respondem a esta pergunta.",
        "I'm sorry, but the provided passages do not mention the price.",
        "The context does not contain this information.",
        "Os documentos não mencionam o preço.",
        "The passages don't contain this.",
        "The document doesn\u2019t say when.",
        "I\u2019m sorry, but the documents do not mention it.",
        "Sorry, the context doesn't provide this.",
        "The documents provided do not contain information about that.",
        "The passages do not specify the price of Groq.",
        "None of the provided passages mention the price.",
        "There is no information about this in the provided passages.",
        "Unfortunately, the answer is not given in the documents.",
        "Based on the provided passages, I cannot answer this question.",
        "O contexto não traz essa informação.",
        "Os trechos apresentados não especificam o preço.",
        "A passagem não diz isso.",
        "Desculpe, mas os documentos fornecidos não contêm essa informação.",
        "Não há informações sobre o preço nos documentos.",
        "Não encontrei essa informação nos documentos fornecidos.",
        "Não é possível responder com base nos documentos.",
        "The documents do not answer this question [1], [2].",
        'The documents do not answer this question.\n\n[1] "Groq was founded in 2016"',
    ],
)
def test_refusals_are_known(text: str) -> None:
    answer = read_answer(text, [GROQ])
    assert answer.refused
    assert answer.citations == ()


@pytest.mark.parametrize(
    "text",
    [
        "Groq does not contain GPUs [1].",
        "The documents do not answer this question directly, but Groq was founded in 2016 [1].",
        "The documents do not mention a chip. They say that Groq was founded in 2016 [1].",
        'The passages do not mention a day, only the year.\n[1] "Groq was founded in 2016"',
        "Groq was founded in 2016 [1]. The documents do not answer this question for its chip.",
        "Não há limite de documentos: a Groq foi fundada em 2016 [1].",
        "There is no information that the context window leaves out in 2016 [1].",
    ],
)
def test_an_answer_about_documents_is_no_refusal(text: str) -> None:
    answer = read_answer(text, [GROQ])
    assert not answer.refused
    assert answer.citations


REPLY = 'Fast [1].\n\nA list [2]:\n- [x] one\n[1] "Groq was"\n[2] "Grok is a chatbot"\n'


@given(st.lists(st.integers(1, 7), max_size=60))
def test_streaming_shows_what_the_parsed_answer_shows(sizes: list[int]) -> None:
    shown: list[str] = []
    held = CitationFilter(shown.append)
    rest = REPLY
    for size in sizes:
        held(rest[:size])
        rest = rest[size:]
    if rest:
        held(rest)
    held.finish()
    assert "".join(shown).strip() == read_answer(REPLY, [GROQ, GROK]).text


PARTS = [
    "Fast [1].",
    "[1]",
    ' "Groq was"',
    ' "a" [2] "b"',
    '[2] "Grok"',
    "\n",
    "\r\n",
    "\r",
    "\u2028",
    " ",
    "- ",
    "[x]",
]


@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join), st.lists(st.integers(1, 9), max_size=20))
def test_any_reply_is_streamed_as_it_is_read(reply: str, sizes: list[int]) -> None:
    shown: list[str] = []
    held = CitationFilter(shown.append)
    rest = reply
    for size in sizes:
        held(rest[:size])
        rest = rest[size:]
    held(rest)
    held.finish()
    assert "".join(shown).strip() == read_answer(reply, [GROQ, GROK]).text


def test_a_reply_of_citation_lines_alone_is_streamed_at_its_end() -> None:
    shown: list[str] = []
    held = CitationFilter(shown.append)
    held('[1] "Groq was founded in 2016"\n[2] "Grok is a chatbot"')
    assert shown == []
    held.finish()
    assert "".join(shown) == "Groq was founded in 2016 [1] Grok is a chatbot [2]"


def test_streaming_does_not_hold_back_plain_text() -> None:
    shown: list[str] = []
    held = CitationFilter(shown.append)
    held("Groq is")
    assert shown == ["Groq is"]
    held(" fast")
    assert "".join(shown) == "Groq is fast"
