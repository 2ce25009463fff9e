"""The baseline without a language model."""

from __future__ import annotations

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
