"""SQuAD's layout, BEIR's, noise and refusal, rows of one's own: loaded, asked, run over a small index."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import evals
from evals.benchmarks.beir import BEIR
from evals.benchmarks.noise import Noise
from evals.codec import ScoredRecord
from evals.core import Sample
from evals.folder import RunFolder
from evals.lines import read_entries
from rag import ingest, search
from rag.core import Chunk
from rag.errors import ConfigError, LoadError, UnknownNameError
from tests.evals.loading import asked, chunk, load, write_rows
from tests.evals.runs import records_of, run_config
from tests.fakes.server import FakeServer

PARAGRAPHS = (
    "The planet Mars is red because of the iron in its dust.",
    "Venus turns slowly: a day there is longer than its year.",
    "Jupiter is the largest planet and has ninety-five known moons.",
    "Saturn is known for its rings of ice and rock.",
)
ASKED = (
    ("What makes the dust of the planet Mars red?", "iron"),
    ("What is longer than a year of Venus, which turns slowly?", "a day"),
    ("How many known moons has Jupiter, the largest planet?", "ninety-five"),
    ("What are the rings of Saturn made of, ice and what?", "rock"),
)


def squad_file(path: Path) -> Path:
    def question(n: int) -> dict[str, Any]:
        text, answer = ASKED[n]
        start = PARAGRAPHS[n].index(answer)
        return {"id": f"q{n}", "question": text, "answers": [{"text": answer, "answer_start": start}] * 2}

    pairs = [
        {"title": "Inner", "paragraphs": [{"context": PARAGRAPHS[n], "qas": [question(n)]} for n in (0, 1)]},
        {"title": "Outer", "paragraphs": [{"context": PARAGRAPHS[n], "qas": [question(n)]} for n in (2, 3)]},
    ]
    path.write_text(json.dumps({"version": "1.1", "data": pairs}))
    return path


def scores_of(folder: Path, system: str) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = {}
    entries: list[ScoredRecord] = [*RunFolder.open(folder).scores()]
    for entry in entries:
        if entry.key.system == system:
            for score in entry.scores:
                found.setdefault(score.metric, []).append(score.value)
    return found


# ---------------------------------------------------------------- SQuAD


def test_a_squad_file_is_both_the_collection_and_the_questions(tmp_path: Path) -> None:
    path = squad_file(tmp_path / "planets.json")
    report = ingest([str(path)], "planets")
    assert report.added == 4
    systems = [
        {"name": "x", "provider": "extractive", "rag": {"collection": "planets", "k": 2, "mode": "lexical"}}
    ]
    benchmarks = [{"name": "planets", "benchmark": "squad", "data": "planets.json"}]
    evals.run(run_config(tmp_path, "", systems=systems, benchmarks=benchmarks), out=tmp_path / "run")
    scores = scores_of(tmp_path / "run", "x")
    assert scores["recall@5"] == [1.0] * 4
    assert scores["exact_match"] == [0.0] * 4  # extractive answers with the whole sentence
    assert all(value and 0 < value < 1 for value in scores["token_f1"])


def test_squad_questions_ask_for_the_shortest_words(tmp_path: Path) -> None:
    squad_file(tmp_path / "planets.json")
    spec = {"name": "squad", "data": "planets.json"}
    found = load(tmp_path, **spec)
    first = found.samples[0]
    assert (first.id, first.targets, first.relevant) == ("q0", ("iron",), ("planets.json#0/0",))
    assert [s.cluster for s in found.samples] == ["0: Inner", "0: Inner", "1: Outer", "1: Outer"]
    assert "[1] p.md (p.md)\nMars is red." in asked(found, 0, chunk("Mars is red.", "p.md"), **spec)
    assert asked(found, 0, **spec) == ASKED[0][0]


def test_rows_of_the_hub_and_wrong_offsets(tmp_path: Path) -> None:
    answers = {"text": ["iron", "iron"], "answer_start": [999, 3]}
    row = {"context": PARAGRAPHS[0], "question": "Why?", "answers": answers}
    rows = [{**row, "id": str(n)} for n in range(20)]
    rows += [{**row, "id": "x", "answers": {"text": ["gold"], "answer_start": [0]}}, {**row, "id": "3"}]
    write_rows(
        tmp_path / "h.jsonl", *rows, {**row, "id": "none", "answers": {"text": [], "answer_start": []}}
    )
    found = load(tmp_path, name="squad", data="h.jsonl")
    assert len(found.samples) == 22
    assert found.samples[0].targets == ("iron",)
    assert found.samples[-1].targets == ()
    assert "id '3' was used before" in found.warnings[0]
    assert found.warnings[1] == "answers that do not stand in their paragraph: x"
    ingest([str(tmp_path / "h.jsonl")], "hub")

    assert (
        search(ASKED[0][0], "hub", k=1, mode="lexical").hits[0].chunk.source == found.samples[0].relevant[0]
    )


@pytest.mark.parametrize("content", ["[1", '{"data": []}', '{"data": [{"paragraphs": [{"qas": []}]}]}'])
def test_what_is_not_squad_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(LoadError, match=r"x\.json"):
        load(tmp_path, name="squad", data="x.json")


# ---------------------------------------------------------------- BEIR


def write_beir(folder: Path) -> Path:
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": f"d{n}", "title": "", "text": text} for n, text in enumerate(PARAGRAPHS)]
    write_rows(folder / "corpus.jsonl", *documents)
    queries = [{"_id": f"q{n}", "text": text} for n, (text, _) in enumerate(ASKED)]
    write_rows(folder / "queries.jsonl", *queries, {"_id": "train", "text": "of another split"})
    lines = ["query-id\tcorpus-id\tscore", "q0\td0\t2", "q0\td1\t1", "q0\td2\t0", "q1\td1\t1", "q2\td0\t0"]
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n")
    return folder


def test_judgements_become_samples_with_their_grades(tmp_path: Path) -> None:
    write_beir(tmp_path / "b")
    found = load(tmp_path, name="beir", data="b")
    first, second = found.samples
    assert (first.relevant, first.gains) == (("corpus.jsonl#d0", "corpus.jsonl#d1"), (2, 1))
    assert (second.relevant, second.gains) == (("corpus.jsonl#d1",), ())
    assert found.warnings == (f"1 of 3 rows of {tmp_path / 'b'} are not asked: no relevant document",)
    with pytest.raises(UnknownNameError, match="did you mean 'test'"):
        load(tmp_path, name="beir", data="b", split="tset")
    with pytest.raises(ConfigError, match="no qrels"):
        load(tmp_path, name="beir", data=".")


def test_judged_queries_that_are_missing_are_named(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "b")
    many = "".join(f"q1\td{n}\t1\n" for n in range(30))
    (folder / "qrels" / "test.tsv").write_text(many + "q9\td1\t1\nbroken line\n")
    with pytest.raises(LoadError, match="not query, document, grade between tabs: 'broken line'"):
        load(tmp_path, name="beir", data="b")


def test_only_the_retrieval_is_measured_and_nobody_is_asked(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "b")
    ingest([str(folder / "corpus.jsonl")], "planets")
    rag = {"collection": "planets", "k": 4, "mode": "lexical"}
    with FakeServer() as server:
        systems = [
            {"name": "m", "provider": "lab:mock", "rag": rag},
            {"name": "closed", "provider": "lab:mock"},
        ]
        benchmarks = [{"name": "b", "benchmark": "beir", "data": "b"}]
        config = run_config(tmp_path, server.base_url, systems=systems, benchmarks=benchmarks)
        assert evals.plan(config).calls == 0
        result = evals.run(config, out=tmp_path / "run")
        assert server.counters.requests == 0
        assert evals.resume(tmp_path / "run").exit_code == result.exit_code == 0
    scores = scores_of(tmp_path / "run", "m")
    assert scores["recall@10"] == [0.5, 1.0]
    assert scores["mrr"] == [1.0, 1.0]
    assert scores["ndcg@10"] == [
        pytest.approx(2 / (2 + 1 / math.log2(3))),
        1.0,
    ]  # grades 2 and 1, the 2 found
    assert scores_of(tmp_path / "run", "closed")["mrr"] == [None, None]
    assert {r.completion.finish_reason for r in records_of(tmp_path / "run").values()} == {"not asked"}


def test_the_query_itself_is_passed_over_where_the_set_asks_for_it(tmp_path: Path) -> None:
    write_beir(tmp_path / "b")
    ranking = [chunk(f"part {n}", "corpus.jsonl#q0") for n in range(5)]
    ranking += [chunk("x", f"corpus.jsonl#d{n}") for n in range(3)]
    asked_for: list[int] = []

    def ranked(n: int) -> Sequence[Chunk]:
        asked_for.append(n)
        return ranking[:n]

    plain, ignoring = (
        load(tmp_path, name="beir", data="b", ignore_identical_ids=value).samples[0] for value in (None, True)
    )
    assert [c.source for c in BEIR().select(plain, ranked, 2)] == ["corpus.jsonl#q0"] * 2
    assert [c.source for c in BEIR().select(ignoring, ranked, 2)] == ["corpus.jsonl#d0", "corpus.jsonl#d1"]
    assert asked_for == [2, 3, 6, 12]
    assert len(BEIR().select(ignoring, ranked, 9)) == 3


# ---------------------------------------------------------------- noise


def write_docqa(path: Path) -> Path:
    rows = [
        {"id": f"q{n}", "question": text, "answer": answer, "relevant": [f"{n}.md"]}
        for n, (text, answer) in enumerate(ASKED)
    ]
    return write_rows(path, *rows, {"id": "no", "question": "Who lives there?", "answers": []})


POOL = [
    chunk(PARAGRAPHS[0], "0.md"),
    *(chunk(f"Filler {n} about planets.", f"f{n}.md") for n in range(8)),
    chunk("Elsewhere iron is found too.", "other.md"),
    chunk("Mars has two moons.", "0.md"),
]


def shown(sample: Sample, k: int) -> list[Chunk]:
    depths: Callable[[int], Sequence[Chunk]] = lambda n: POOL[:n]  # noqa: E731
    return [*Noise().select(sample, depths, k)]


def test_irrelevant_passages_are_mixed_in(tmp_path: Path) -> None:
    write_docqa(tmp_path / "q.jsonl")
    spec = {"name": "noise", "data": "q.jsonl"}
    assert len(load(tmp_path, **spec, noise=2).samples) == 4  # the unanswerable one is not asked
    for noise in (0, 2, 5):
        sample = load(tmp_path, **spec, noise=noise).samples[0]
        found = shown(sample, 6)
        assert [c.source for c in found].count("0.md") == 1  # the passage that holds the answer
        assert {c.source for c in found} - {"0.md"} == {f"f{n}.md" for n in range(noise)}
        assert found == shown(sample, 6)
    orders = {tuple(c.source for c in shown(s, 6)) for s in load(tmp_path, **spec, noise=5).samples[:1]}
    assert len(orders) == 1


def test_with_nothing_relevant_a_refusal_is_right(tmp_path: Path) -> None:
    write_docqa(tmp_path / "q.jsonl")
    found = load(tmp_path, name="noise", data="q.jsonl", mode="rejection")
    assert {s.targets for s in found.samples} == {()}
    assert {s.relevant for s in found.samples} == {()}
    sources = {c.source for c in shown(found.samples[0], 6)}
    assert sources == {f"f{n}.md" for n in range(6)}  # neither its document nor another that holds the answer


def test_columns_of_the_user_are_no_settings_of_noise(tmp_path: Path) -> None:
    row = {"id": "q", "question": ASKED[0][0], "answer": "zzz", "noise": "street", "sources": "f1.md"}
    write_rows(tmp_path / "q.jsonl", row)
    (sample,) = load(tmp_path, name="noise", data="q.jsonl", mode="rejection").samples
    assert len(shown(sample, 6)) == 6
    (sample,) = load(tmp_path, name="noise", data="q.jsonl", noise=4).samples
    assert "f1.md" in {c.source for c in shown(sample, 6)}  # irrelevant as all are


@pytest.mark.parametrize(
    ("spec", "message"),
    [({}, "needs 'noise:'"), ({"mode": "x"}, "robustness, rejection"), ({"shots": 1}, "shots")],
)
def test_noise_that_cannot_be_made_is_said(tmp_path: Path, spec: dict[str, object], message: str) -> None:
    write_docqa(tmp_path / "q.jsonl")
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, name="noise", data="q.jsonl", **spec)


def test_answers_change_as_irrelevant_passages_come_in(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for n, text in enumerate(PARAGRAPHS):
        (docs / f"{n}.md").write_text(f"{text}\n")
    ingest([str(docs)], "planets")
    write_docqa(tmp_path / "q.jsonl")
    systems = [
        {"name": "x", "provider": "extractive", "rag": {"collection": "planets", "k": 3, "mode": "lexical"}}
    ]
    entry = {"benchmark": "noise", "data": "q.jsonl"}
    benchmarks = [
        {**entry, "name": "some", "noise": 2},
        {**entry, "name": "nothing", "mode": "rejection", "metrics": ["refusal_accuracy"]},
    ]
    evals.run(run_config(tmp_path, "", systems=systems, benchmarks=benchmarks), out=tmp_path / "run")
    stored = [e for _, e in read_entries(tmp_path / "run" / "contexts.jsonl") if e["benchmark"] == "nothing"]
    for context in stored:
        assert context["passages"]
        assert f"{context['sample_id'][1:]}.md" not in {p["source"] for p in context["passages"]}
    entries = [*RunFolder.open(tmp_path / "run").scores()]
    right = [
        s.value
        for e in entries
        if e.key.benchmark == "some"
        for s in e.scores
        if s.metric == "refusal_accuracy"
    ]
    assert sum(value or 0 for value in right) >= 3


# ---------------------------------------------------------------- custom


def test_any_rows_with_a_template_of_ones_own(tmp_path: Path) -> None:
    write_rows(
        tmp_path / "t.jsonl",
        {"english": "dog", "target": "cão", "topic": "animals"},
        {"english": "it costs $5", "target": ["custa $5", "custa 5 dólares"], "topic": "money"},
    )
    spec = {"name": "custom", "data": "t.jsonl", "prompt": "Translate ($topic): $english = $$?"}
    found = load(tmp_path, **spec)
    assert asked(found, 1, **spec) == "Translate (money): it costs $5 = $?"
    first, second = found.samples
    assert (first.id, first.targets, first.metadata["topic"]) == ("1", ("cão",), "animals")
    assert second.targets == ("custa $5", "custa 5 dólares")


def test_passages_have_their_place_or_come_first(tmp_path: Path) -> None:
    write_rows(tmp_path / "t.jsonl", {"question": "Why $passages?", "answer": "iron"})
    (tmp_path / "p.txt").write_text("Use these:\n$passages\nQ: $question\n")
    spec = {"name": "custom", "data": "t.jsonl", "prompt": "p.txt"}
    found = load(tmp_path, **spec)
    passage = chunk("Rust.", "a.md")
    assert asked(found, 0, passage, **spec) == "Use these:\n[1] a.md (a.md)\nRust.\nQ: Why $passages?"
    plain = {**spec, "prompt": "Q: $question"}
    assert (
        asked(load(tmp_path, **plain), 0, passage, **plain) == "[1] a.md (a.md)\nRust.\n\nQ: Why $passages?"
    )


def test_columns_named_as_our_own_notes_stay_out_of_the_prompt(tmp_path: Path) -> None:
    write_rows(tmp_path / "t.jsonl", {"question": "Before?", "answer": "x", "after": "x", "before": "y"})
    spec = {"name": "custom", "data": "t.jsonl"}
    found = load(tmp_path, **spec)
    assert asked(found, 0, chunk("Rust.", "a.md"), **spec) == "[1] a.md (a.md)\nRust.\n\nBefore?"


@pytest.mark.parametrize(
    ("choices", "answer", "right"),
    [
        (["4", "0", "1", "2"], 2, "C"),  # a number is a place, as in cais/mmlu
        (["4", "0", "1", "2"], "2", "D"),  # a text is an option's
        ([4, 0, 1, 2], 2, "D"),  # among numbers a number is one of them
        (["7", "8", "9"], 8, "B"),  # no place
        (["-1", "0"], -1, "A"),
        (["True", "False"], True, "A"),
    ],
)
def test_the_answer_among_choices_that_are_numbers(
    tmp_path: Path, choices: list[object], answer: object, right: str
) -> None:
    write_rows(tmp_path / "t.jsonl", {"question": "2?", "choices": choices, "answer": answer})
    (sample,) = load(tmp_path, name="custom", data="t.jsonl", metrics=["accuracy"]).samples
    assert sample.targets == (right,)


def test_choices_of_ones_own(tmp_path: Path) -> None:
    rows = [
        {"question": "2 + 2?", "choices": ["3", "4", "5"], "answer": answer, "id": str(n)}
        for n, answer in enumerate(["B", "4", 1])
    ]
    write_rows(tmp_path / "t.jsonl", *rows)
    spec = {
        "name": "custom",
        "data": "t.jsonl",
        "prompt": "$question\n$options\nLetter:",
        "metrics": ["accuracy"],
    }
    found = load(tmp_path, **spec)
    assert [s.targets for s in found.samples] == [("B",), ("B",), ("B",)]
    assert asked(found, **spec) == "2 + 2?\nA. 3\nB. 4\nC. 5\nLetter:"


def test_questions_without_id_from_an_open_set(tmp_path: Path) -> None:
    write_rows(tmp_path / "nq.jsonl", {"question": "who?", "answer": ["Bobby Scott", "Bob Russell"]})
    (sample,) = load(tmp_path, name="nq", benchmark="custom", data="nq.jsonl").samples
    assert (sample.question, sample.targets) == ("who?", ("Bobby Scott", "Bob Russell"))


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ({"prompt": "$nowhere"}, LoadError, "names 'nowhere', a column that is not there"),
        ({"prompt": "costs $ 5"}, ConfigError, "write '\\$\\$'"),
        ({"prompt": "no.txt"}, ConfigError, "cannot read the prompt"),
        ({"shots": 2}, ConfigError, "does not use 'shots'"),
    ],
)
def test_a_template_that_cannot_be_used_is_said(
    tmp_path: Path, spec: dict[str, object], error: type[Exception], message: str
) -> None:
    write_rows(tmp_path / "t.jsonl", {"question": "?", "answer": "x"})
    with pytest.raises(error, match=message):
        load(tmp_path, name="custom", data="t.jsonl", **spec)
