"""Systems that are no provider: Runnables and recorded answers; and passages, the same for every system."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage

import evals
from evals.codec import context_from_json
from evals.folder import RunFolder
from evals.lines import read_entries
from evals.runner.contexts import ContextStore
from evals.runner.runnable import passage_of, read_output
from rag import ingest
from rag.core import Outcome
from rag.errors import LoadError, RunError
from tests.evals.runs import MOCK_PRICE, records_of, run_config, write_questions
from tests.fakes.server import FakeServer

_APP = """
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda

DETAILS = {"cache_read": 40}
USAGE = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110, "input_token_details": DETAILS}

def answer(question):
    if "entry 3" in question:
        raise ValueError("no such entry")
    if "entry 4" in question:
        return 42
    documents = [Document(page_content="Entry 2 is 2.", metadata={"source": "list.md", "page": 7})]
    message = AIMessage(content='It is 2 [1].\\n[1] "Entry 2 is 2."', usage_metadata=USAGE)
    return {"answer": message, "context": documents}

chain = RunnableLambda(answer)
"""


def test_a_runnable_is_a_system(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 5)
    (tmp_path / "my_test_app.py").write_text(_APP)
    systems = [{"name": "app", "runnable": "my_test_app:chain", "price": MOCK_PRICE}]
    result = evals.run(run_config(tmp_path, "", systems=systems), out=tmp_path / "run")
    assert result.exit_code == 1  # two of five
    records = {sample: record for (_, sample, _), record in records_of(tmp_path / "run").items()}
    assert records["q0003"].completion.outcome is Outcome.SERVER_ERROR
    assert records["q0003"].completion.error == "ValueError: no such entry"
    assert records["q0004"].completion.outcome is Outcome.MALFORMED
    good = records["q0002"]
    assert good.answer == "It is 2 [1]."
    assert [citation.verified for citation in good.citations] == [True]
    assert good.completion.usage.cached_input_tokens == 40
    assert good.completion.cost == (100 * Decimal("0.50") + 10 * Decimal("1.50")) / 1_000_000
    assert good.completion.timing.ttft_s is None
    assert good.context_key is not None
    stored = ContextStore(RunFolder.open(tmp_path / "run"))
    assert stored.passages("docqa", "q0002", good.context_key)[0].page == 7


_ODD = """
import asyncio
from langchain_core.runnables import RunnableLambda

async def answer(question):
    if "entry 0" in question:
        return {"answer": "x", "documents": [1]}
    if "entry 1" in question:
        raise asyncio.CancelledError
    if "entry 2" in question:
        raise SystemExit(3)
    await asyncio.sleep(0.01)
    return "fine"

chain = RunnableLambda(answer)
"""


def test_whatever_a_chain_does_is_its_own_failure(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 8)
    (tmp_path / "my_odd_app.py").write_text(_ODD)
    systems = [{"name": "app", "runnable": "my_odd_app:chain", "price": {"usd_per_hour": 2}}]
    limits = {"concurrency": 2, "budget_usd": 1}
    config = run_config(tmp_path, "", systems=systems, limits=limits)
    result = evals.run(config, out=tmp_path / "run")
    outcomes = {sample: r.completion.outcome for (_, sample, _), r in records_of(tmp_path / "run").items()}
    expected = [Outcome.MALFORMED, Outcome.SERVER_ERROR, Outcome.SERVER_ERROR, *[Outcome.OK] * 5]
    assert [outcomes[f"q{n:04}"] for n in range(8)] == expected
    assert result.exit_code == 1
    state = RunFolder.open(tmp_path / "run").read()
    assert state["systems"][0]["price"]["assumption"] is True
    assert "the budget cannot cover app" in state["warnings"][0]
    assert "the budget cannot cover app" in evals.plan(config).notes[-1]
    concurrency = {r.completion.timing.concurrency for r in records_of(tmp_path / "run").values()}
    assert max(concurrency) == 2


def test_what_one_system_gets_wrong_does_not_end_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_questions(tmp_path / "questions.jsonl", 5)
    (tmp_path / "my_fine_app.py").write_text(_ODD)

    async def broken(self: object, request: object, sample: object) -> None:
        raise KeyError("a fault of the adapter")

    monkeypatch.setattr("evals.runner.runnable.RunnableCaller.call", broken)
    with FakeServer() as server:
        systems = [{"name": "app", "runnable": "my_fine_app:chain"}, {"name": "good", "provider": "lab:mock"}]
        result = evals.run(run_config(tmp_path, server.base_url, systems=systems), out=tmp_path / "run")
    assert result.exit_code == 1
    assert result.messages[0] == "app was stopped: KeyError: 'a fault of the adapter'"
    assert result.systems["good"].missing == 0


def test_outputs_of_many_shapes_are_read() -> None:
    def text(output: object) -> str | None:
        read = read_output(output)
        return None if read is None else read.text

    assert text("plain") == "plain"
    assert text(AIMessage(content="said")) == "said"
    assert (
        text(AIMessage(content=[{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}]))
        == "in parts"
    )
    assert text({"result": "r"}) == "r"
    assert text({"output": AIMessage(content="o")}) == "o"
    assert [text(output) for output in (None, 3, {}, {"answer": None}, ["x"])] == [None] * 5
    with_context = read_output(
        {"answer": "a", "source_documents": [Document(page_content="p"), "q", {"text": "r"}]}
    )
    assert with_context is not None
    assert [passage.text for passage in with_context.passages or ()] == ["p", "q", "r"]
    assert passage_of("same").id == passage_of({"text": "same"}).id


def test_recorded_answers_are_scored_without_a_call(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 4)
    rows = [
        {"id": "q0000", "answer": "0", "cost_usd": "0.002", "timing": {"ttft_ms": 120, "total_ms": 900}},
        {
            "id": "q0001",
            "answer": "one",
            "usage": {"input_tokens": 9, "output_tokens": 2},
            "contexts": ["List."],
        },
        {"id": "q0002", "answer": "2", "contexts": "One passage."},
        {"id": "q0003", "answer": "3"},
        {"id": "other", "answer": "x"},
    ]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    systems = [{"name": "prod", "recorded": "answers.jsonl"}]
    result = evals.run(run_config(tmp_path, "", systems=systems), out=tmp_path / "run")
    assert result.exit_code == 0
    records = records_of(tmp_path / "run")
    first = records["prod", "q0000", 0].completion
    assert (first.cost, first.timing.ttft_s, first.timing.total_s) == (Decimal("0.002"), 0.12, 0.9)
    second = records["prod", "q0001", 0]
    assert (second.completion.cost, second.completion.timing.total_s) == (None, None)
    assert second.context_key == "own:prod:0"
    stored = ContextStore(RunFolder.open(tmp_path / "run"))
    assert [p.text for p in stored.passages("docqa", "q0002", "own:prod:0")] == ["One passage."]
    exact = {
        scored.key.sample_id: next(s.value for s in scored.scores if s.metric == "exact_match")
        for scored in RunFolder.open(tmp_path / "run").scores()
    }
    assert exact == {"q0000": 1.0, "q0001": 0.0, "q0002": 1.0, "q0003": 1.0}
    assert "1 rows" in RunFolder.open(tmp_path / "run").read()["warnings"][0]
    assert evals.plan(run_config(tmp_path, "", systems=systems)).calls == 0


@pytest.mark.parametrize(
    "given",
    [
        {"cost_usd": "NaN"},
        {"cost_usd": -1},
        {"usage": {"output_tokens": -5}},
        {"timing": {"total_ms": "inf"}},
    ],
)
def test_a_recorded_row_with_a_number_that_is_none_is_named(tmp_path: Path, given: dict[str, object]) -> None:
    write_questions(tmp_path / "questions.jsonl", 1)
    (tmp_path / "answers.jsonl").write_text(json.dumps({"id": "q0000", "answer": "0", **given}))
    systems = [{"name": "prod", "recorded": "answers.jsonl"}]
    with pytest.raises(LoadError, match=r"line 1: '\w+' should be a number from 0"):
        evals.run(run_config(tmp_path, "", systems=systems), out=tmp_path / "run")


def test_an_answer_that_was_recorded_twice_is_named(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 20)
    rows = [{"id": f"q{n:04}", "answer": str(n)} for n in range(20)] + [{"id": "q0000", "answer": "other"}]
    rows[1]["contexts"] = {"text": "One.", "source": "a.md"}  # type: ignore[assignment]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    systems = [{"name": "prod", "recorded": "answers.jsonl"}]
    evals.run(run_config(tmp_path, "", systems=systems), out=tmp_path / "run")
    assert records_of(tmp_path / "run")["prod", "q0000", 0].answer == "0"
    folder = RunFolder.open(tmp_path / "run")
    assert "line 21: id 'q0000' was used before" in folder.read()["warnings"][0]
    assert [p.text for p in ContextStore(folder).passages("docqa", "q0001", "own:prod:0")] == ["One."]


def test_a_sample_without_a_recorded_answer_is_missing_and_not_wrong(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 4)
    (tmp_path / "answers.jsonl").write_text('{"id": "q0000", "answer": "0"}\n')
    systems = [{"name": "prod", "recorded": "answers.jsonl"}]
    result = evals.run(run_config(tmp_path, "", systems=systems), out=tmp_path / "run")
    assert result.exit_code == 1
    assert "3 without any reply" in result.messages[0]
    (tmp_path / "answers.jsonl").write_text("not json\n")
    with pytest.raises(LoadError, match=r"answers\.jsonl line 1: not JSON"):
        evals.resume(tmp_path / "run")


def test_every_system_sees_the_same_passages(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for n, planet in enumerate(("Mars", "Venus", "Saturn", "Jupiter")):
        (docs / f"{planet}.md").write_text(f"# {planet}\n\nEntry {n} of the list is {planet}.\n")
    ingest([str(docs)], "planets")
    write_questions(tmp_path / "questions.jsonl", 4)
    rag = {"collection": "planets", "k": 2}
    with FakeServer() as server:
        systems = [
            {"name": "a", "provider": "lab:mock", "rag": rag},
            {"name": "x", "provider": "extractive", "rag": rag},
            {"name": "one", "provider": "extractive", "rag": {**rag, "k": 1, "mode": "lexical"}},
            {"name": "closed", "provider": "lab:mock"},
        ]
        config = run_config(tmp_path, server.base_url, systems=systems)
        assert evals.plan(config).calls == 16
        assert server.counters.requests == 0
        result = evals.run(config, out=tmp_path / "run")
    assert result.exit_code == 0, result.messages
    folder = RunFolder.open(tmp_path / "run")
    contexts = [context_from_json(entry) for _, entry in read_entries(tmp_path / "run" / "contexts.jsonl")]
    assert len(contexts) == 8
    assert {len(context.passages) for context in contexts} == {1, 2}
    records = records_of(tmp_path / "run")
    assert records["a", "q0001", 0].context_key == records["x", "q0001", 0].context_key
    assert records["one", "q0001", 0].context_key != records["x", "q0001", 0].context_key
    assert records["closed", "q0001", 0].context_key is None
    assert "Venus" in records["x", "q0001", 0].answer
    assert records["x", "q0001", 0].citations[0].verified
    assert folder.read()["collections"].keys() == {"planets"}

    # A lost context costs its scores until resume retrieves it again.
    stored = tmp_path / "run" / "contexts.jsonl"
    whole = stored.read_bytes()
    scores = (tmp_path / "run" / "scores.jsonl").read_bytes()
    stored.write_bytes(whole.replace(b"Mars", b"Mors", 1))
    damaged = evals.rescore(tmp_path / "run")
    assert damaged.exit_code == 1
    assert "contexts.jsonl line" in damaged.messages[-1]
    assert "passages of" in damaged.messages[0]
    repaired = evals.resume(tmp_path / "run")
    assert repaired.exit_code == 0
    assert (tmp_path / "run" / "scores.jsonl").read_bytes() == scores

    # A missing context is retrieved again only from the collection that the run began with.
    (tmp_path / "run" / "contexts.jsonl").write_bytes(b"")
    (tmp_path / "run" / "journal.jsonl").write_bytes(b"")
    (docs / "Pluto.md").write_text("# Pluto\n\nNot a planet.\n")
    ingest([str(docs)], "planets")
    with pytest.raises(RunError, match="'planets' changed since the run began"):
        evals.resume(tmp_path / "run")
