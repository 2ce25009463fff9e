"""The baseline without a language model."""

from __future__ import annotations

import re

import pytest

from rag import aio
from rag.citations import read_answer
from rag.core import Chunk, Outcome, Request
from rag.providers.extractive import ExtractiveProvider


def chunk(text: str, source: str = "a.md") -> Chunk:
    return Chunk(
        id=source, document_id=source, source=source, title=source, text=text, start=0, end=len(text)
    )


PASSAGES = (
    chunk("Prices moved in 2024. A subscription is not the API.", "prices.md"),
    chunk("Groq, Inc. was founded in 2016. It sells inference on its own chip, the LPU.", "groq.md"),
)


def answer(question: str, choices: tuple[str, ...] = ()) -> str:
    completion = aio.run(
        ExtractiveProvider().complete(
            Request(messages=(), question=question, passages=PASSAGES, choices=choices)
        )
    )
    assert completion.outcome is Outcome.OK
    return completion.text


def test_it_quotes_the_sentence_that_answers_and_the_quote_verifies() -> None:
    parsed = read_answer(answer("When was Groq founded?"), PASSAGES)
    assert parsed.text == "Groq, Inc. was founded in 2016. [2]"
    assert [c.verified for c in parsed.citations] == [True]


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("Cerebras was founded in 2016 [7] by five people [3, 4].", None),
        ("[9] Cerebras was founded in 2016.", "Cerebras was founded in 2016."),
        ("Cerebras[12] was founded in 2016, see [the list](a.md) [8].", None),
        ('The firm "Cerebras" was founded as a "startup" in 2016.', None),
        ('"Cerebras was founded in 2016", it says.', None),
        ('It says: "Cerebras was founded in 2016."', None),
        ('It says: "Cerebras was founded in 2016".', None),
        ("The documents do not say when Cerebras was founded.", None),
    ],
)
def test_any_sentence_is_shown_with_one_citation_which_verifies(sentence: str, shown: str | None) -> None:
    passages = (PASSAGES[0], chunk(f"A start. {sentence} Another sentence."))
    request = Request(messages=(), question="When was Cerebras founded?", passages=passages)
    parsed = read_answer(aio.run(ExtractiveProvider().complete(request)).text, passages)
    (citation,) = parsed.citations
    assert (citation.marker, citation.verified, citation.source) == (2, True, "a.md")
    assert citation.quote == sentence
    without = re.sub(r"\s*\[[\d, ]+\]", "", sentence)
    assert parsed.text == f"{shown or without} [2]"


def test_it_refuses_in_the_language_of_the_question() -> None:
    assert answer("Who won the world cup of football?") == "The documents do not answer this question."
    assert answer("Quem ganhou a copa do mundo de futebol?") == "Os documentos não respondem a esta pergunta."


def test_it_refuses_without_passages() -> None:
    text = aio.run(
        ExtractiveProvider().complete(Request(messages=(), question="When was Groq founded?"))
    ).text
    assert read_answer(text, ()).refused


def test_it_chooses_the_option_that_the_passages_support() -> None:
    assert answer("On which chip does Groq run inference?", ("GPU", "TPU", "LPU", "CPU")) == "Answer: C"
