"""Sentences of a text."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from rag.text import ABBREVIATION, SENTENCE_END, SENTENCE_START, WIDE_STOP, sentence_spans, trim

_PLAIN = re.compile(
    rf"{SENTENCE_END}\s+{SENTENCE_START}|{WIDE_STOP}"
    r"|\n\s*\n"
    r"|\n(?=\s*(?:[-*•#>|]|\d+[.)])\s*)"
    r"|(?<=\|)\n"
)
_PIECES = st.one_of(
    st.sampled_from(list('Ab  \n\n\t..!…?"”)。！|#É*«é3\u00a0\u0301')),
    st.sampled_from(["- ", "1.", "2)", "Dr.", "e.g.", "No.", "# ", "## A\n"]),
)


def test_sentences_end_where_the_docstring_says() -> None:
    text = "Keys cost USD 0.60, says Dr. Silva. They expire! (Soon.) Ask\n\n- first\n- second\n\n你好。世界"
    assert [text[start:end] for start, end in sentence_spans(text)] == [
        "Keys cost USD 0.60, says Dr. Silva.",
        "They expire!",
        "(Soon.)",
        "Ask",
        "- first",
        "- second",
        "你好。",
        "世界",
    ]


def test_a_heading_ends_with_its_line() -> None:
    text = "## Rent\nThe rent is EUR 4,250.\n#1 is not\na heading\n### Deposit\n"
    assert [text[start:end] for start, end in sentence_spans(text)] == [
        "## Rent",
        "The rent is EUR 4,250.",
        "#1 is not\na heading",
        "### Deposit",
    ]


@given(st.lists(_PIECES, max_size=30).map("".join))
def test_the_quick_search_finds_the_breaks_of_the_plain_pattern(text: str) -> None:
    spans, start = [], 0
    for match in _PLAIN.finditer(text):
        if not ABBREVIATION.search(text, max(start, match.start() - 8), match.start()):
            spans.append(trim(text, start, match.start()))
            start = match.end()
    spans.append(trim(text, start, len(text)))
    parts = []
    for begin, end in (span for span in spans if span):
        line_end = text.find("\n", begin, end)
        if line_end >= 0 and re.match("#{1,6} ", text[begin:end]):
            parts += [trim(text, begin, line_end), trim(text, line_end, end)]
        else:
            parts.append((begin, end))
    assert sentence_spans(text) == parts
