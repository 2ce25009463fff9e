"""`rag_chain()` is `rag.ask` as a LangChain Runnable, over a real index."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda

from rag import ask, rag_chain
from rag.answering import answer_request
from rag.chain import AnswerParser, RagassayChatModel, RagassayRetriever, answer_prompt
from rag.chain.retriever import chunk_of
from rag.collection import Collection
from rag.config import Config, load_config
from rag.errors import ProviderFailedError, UsageError
from rag.shapes import citation_shape
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer
from tests.rag.chain import DOCUMENTS, QUESTIONS

CITED = 'Grok is made by xAI [1].\n[1] "Grok is made by xAI, founded in 2023."'


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_same_contexts_prompt_and_answer_as_ask(question: str, lab: Config, server: FakeServer) -> None:
    answer = ask(question, "tiny", config=lab)
    output = rag_chain("tiny", config=lab).invoke(question)
    # The server names each request by the SHA-256 of its body: one name, asked twice.
    assert list(server.counters.calls.values()) == [2]
    assert [document.id for document in output["contexts"]] == [hit.chunk.id for hit in answer.hits]
    assert output["answer"] == answer.text
    assert output["refused"] == answer.refused
    assert output["citations"] == [citation_shape(citation) for citation in answer.citations]
    assert any(citation["verified"] for citation in output["citations"])
    assert output["message"].response_metadata["cost_usd"] == str(answer.completion.cost)


@pytest.mark.parametrize("question", [*QUESTIONS, "Which colour is the moon?"])
def test_the_same_as_ask_without_a_model(question: str) -> None:
    answer = ask(question, "tiny", provider="extractive")
    output = rag_chain("tiny", "extractive").invoke({"question": question})
    assert (output["answer"], output["refused"]) == (answer.text, answer.refused)
    assert output["citations"] == [citation_shape(citation) for citation in answer.citations]
    assert answer.refused == (question not in QUESTIONS)


def test_a_stream_shows_the_answer_as_it_comes(lab: Config, server: FakeServer) -> None:
    server.script(default=Behaviour(text=CITED, tokens_per_s=100))
    chain = rag_chain("tiny", config=lab)
    chunks = list(chain.stream(QUESTIONS[0]))
    assert set(chunks[0]) == {"question"}
    assert set(chunks[1]) == {"contexts"}
    assert sum(bool(chunk.get("answer")) for chunk in chunks) > 3
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    direct = chain.invoke(QUESTIONS[0])
    assert whole["answer"] == direct["answer"] == "Grok is made by xAI [1]."
    for key in ("question", "contexts", "citations", "refused"):
        assert whole[key] == direct[key]
    assert whole["message"].content == direct["message"].content == CITED
    assert whole["citations"][0]["verified"]


async def test_asynchronous(lab: Config) -> None:
    chain = rag_chain("tiny", config=lab)
    output = await chain.ainvoke(QUESTIONS[0])
    pieces = [chunk async for chunk in chain.astream(QUESTIONS[0])]
    assert "".join(piece.get("answer", "") for piece in pieces) == output["answer"]
    outputs = await chain.abatch(list(QUESTIONS))
    assert [o["question"] for o in outputs] == list(QUESTIONS)


def test_in_batches() -> None:
    outputs = rag_chain("tiny", "extractive", k=1).batch(list(QUESTIONS))
    assert [output["contexts"][0].metadata["source"] for output in outputs] == list(DOCUMENTS)


def test_inside_a_pipe_with_other_keys_passing_through() -> None:
    chain = RunnableLambda(str.strip) | rag_chain("tiny", "extractive") | (lambda output: output["answer"])
    assert "xAI" in chain.invoke(f"  {QUESTIONS[0]}  ")
    assert rag_chain("tiny", "extractive").invoke({"question": QUESTIONS[0], "id": 7})["id"] == 7


def test_parts_can_be_replaced() -> None:
    class Fixed(BaseRetriever):
        def _get_relevant_documents(self, query, *, run_manager):
            return [Document("The moon is made of grey basalt.", metadata={"source": "moon.txt"})]

    quote = "The moon is made of grey basalt."
    model = FakeListChatModel(responses=[f'Basalt [1].\n[1] "{quote}"'])
    output = rag_chain(Fixed(), model).invoke("What is the moon made of?")
    assert output["answer"] == "Basalt [1]."
    assert [(c["source"], c["quote"], c["verified"]) for c in output["citations"]] == [
        ("moon.txt", quote, True)
    ]
    chunks = list(rag_chain(Fixed(), model).stream("What is the moon made of?"))
    assert "".join(chunk.get("answer", "") for chunk in chunks) == "Basalt [1]."


def test_an_open_collection_and_a_mode() -> None:
    with Collection.open("tiny", load_config()) as opened:
        output = rag_chain(opened, "extractive", k=1, mode="dense").invoke(QUESTIONS[0])
    assert [d.metadata["lexical_rank"] for d in output["contexts"]] == [None]


@pytest.mark.parametrize("given", [7, {"query": "x"}, "  ", "x" * 20_001])
def test_what_is_no_question_is_refused(given: object) -> None:
    with pytest.raises(UsageError, match="question"):
        rag_chain("tiny", "extractive").invoke(given)


def test_a_failure_reaches_the_caller(lab: Config, server: FakeServer) -> None:
    server.script(default=Behaviour(fault="server_error"))
    chain = rag_chain("tiny", config=lab)
    with pytest.raises(ProviderFailedError, match="server_error"):
        chain.invoke(QUESTIONS[0])
    with pytest.raises(ProviderFailedError, match="server_error"):
        list(chain.stream(QUESTIONS[0]))
    fallback: Runnable = chain.with_fallbacks([rag_chain("tiny", "extractive")])
    assert "xAI" in fallback.invoke(QUESTIONS[0])["answer"]


def test_the_prompt_is_the_one_of_ask_and_survives_serialising() -> None:
    documents = RagassayRetriever.from_collection("tiny").invoke(QUESTIONS[2])
    value = answer_prompt().invoke({"question": QUESTIONS[2], "contexts": documents})
    request = answer_request(QUESTIONS[2], [chunk_of(document) for document in documents])
    assert [str(m.text) for m in value.to_messages()] == [m.content for m in request.messages]
    again = loads(dumps(value.to_messages()), allowed_objects="core")
    assert "24 horas" in RagassayChatModel(model="extractive").invoke(again).content


def test_white_space_at_the_ends_is_not_shown() -> None:
    pieces = ["\n ", "One", " two", " \n", "\nthree  ", "\n", '[1] "x"', "\n\n"]
    chunks = list(AnswerParser().transform({"message": AIMessageChunk(piece)} for piece in pieces))
    assert "".join(chunk.get("answer", "") for chunk in chunks) == "One two \n\nthree"
    whole = AnswerParser().invoke({"message": AIMessage("".join(pieces))})
    assert whole["answer"] == "One two \n\nthree"


def test_an_answer_of_citations_alone_is_shown() -> None:
    chunks = list(AnswerParser().transform(iter([{"message": AIMessageChunk('[1] "a b c"')}])))
    assert "".join(chunk.get("answer", "") for chunk in chunks) == "a b c [1]"
