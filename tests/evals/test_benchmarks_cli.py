"""Every kind of benchmark in one config, from files to the figures of the report, as a user runs it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import evals.cli  # adds its commands
from evals.folder import RunFolder
from rag.cli.app import app
from tests.evals.loading import write_rows
from tests.evals.runs import MOCK_PRICE
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer

assert evals.cli.COMMAND_MODULES

FACTS = (
    ("The planet Mars is red because of the iron in its dust.", "What makes the dust of Mars red?", "iron"),
    ("Venus turns slowly: a day there outlasts its year.", "What outlasts a year of Venus?", "a day"),
    ("Jupiter, the largest planet, has ninety-five moons.", "How many moons has Jupiter?", "ninety-five"),
    (
        "Saturn is known for its rings of ice and rock.",
        "What are the rings of Saturn made of?",
        "ice and rock",
    ),
)
REPLY = "Answer: C"


def ragassay(*args: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(arg) for arg in args])
    assert done.exit_code == code, done.output
    return done.stdout


def write_passage_data(folder: Path) -> None:
    """Write the facts as SQuAD's file, BEIR's folder, questions of one's own and rows for a template."""
    paragraphs = [
        {"context": text, "qas": [{"id": f"q{n}", "question": asked, "answers": [{"text": answer}]}]}
        for n, (text, asked, answer) in enumerate(FACTS)
    ]
    (folder / "facts.json").write_text(json.dumps({"data": [{"title": "Planets", "paragraphs": paragraphs}]}))
    (folder / "b" / "qrels").mkdir(parents=True)
    write_rows(folder / "b" / "corpus.jsonl", *({"_id": f"d{n}", "text": f[0]} for n, f in enumerate(FACTS)))
    write_rows(folder / "b" / "queries.jsonl", *({"_id": f"q{n}", "text": f[1]} for n, f in enumerate(FACTS)))
    judged = "".join(f"q{n}\td{n}\t1\n" for n in range(3)) + "q3\td0\t1\n"  # the last one is found nowhere
    (folder / "b" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    rows = [
        {"id": f"q{n}", "question": asked, "answer": answer, "relevant": [f"facts.json#0/{n}"]}
        for n, (_, asked, answer) in enumerate(FACTS)
    ]
    write_rows(folder / "docqa.jsonl", *rows, {"id": "none", "question": "Who lives there?", "answers": []})
    letters = [{"word": "cat", "target": REPLY}, {"word": "dog", "target": "cão"}]
    write_rows(folder / "custom.jsonl", *letters)


def write_choice_data(folder: Path) -> None:
    """Write two items a data set; C is right in the first and, of four options, A in the second."""
    write_rows(
        folder / "enem.jsonl",
        *(
            {"id": f"ENEM_2022_{n}", "question": "Qual?", "options": [*"vwxyz"], "label": r}
            for n, r in ((1, "c"), (136, "e"))
        ),
        {"id": "ENEM_2022_9", "question": "Qual?", "options": [*"vwxyz"], "label": "a", "figures": ["x.png"]},
    )
    write_rows(
        folder / "oab.jsonl",
        *(
            {"id": r, "question": "Qual?", "choices": [*"wxyz"], "answer": r, "areas": ["TAXES"]}
            for r in "CA"
        ),
    )
    options = [str(n) for n in range(10)]
    write_rows(
        folder / "pro.jsonl",
        *(
            {"question_id": n, "question": "?", "options": options, "answer": r, "category": "law"}
            for n, r in enumerate("CJ")
        ),
    )
    for split, rows in (("test", "One?,w,x,y,z,C\nTwo?,w,x,y,z,A\n"), ("dev", "Solved?,w,x,y,z,B\n")):
        (folder / "mmlu" / split).mkdir(parents=True)
        (folder / "mmlu" / split / f"law_{split}.csv").write_text(rows)


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    write_passage_data(tmp_path)
    write_choice_data(tmp_path)
    rag = {"collection": "facts", "k": 2, "mode": "lexical"}
    with FakeServer(Behaviour(text=REPLY)) as server:
        lab = {"base_url": server.base_url, "models": ["mock"], "price": MOCK_PRICE}
        data: dict[str, Any] = {
            "providers": {"lab": lab},
            "collections": {
                "facts": {"sources": ["facts.json"]},
                "corpus": {"sources": ["b/corpus.jsonl"], "chunk_tokens": "whole"},
            },
            "systems": [
                {"name": "quotes", "provider": "extractive", "rag": rag},
                {"name": "corpus", "provider": "extractive", "rag": {**rag, "collection": "corpus"}},
                {"name": "letter", "provider": "lab:mock"},
            ],
            "seed": 7,
            "benchmarks": [
                {"name": "squad", "data": "facts.json"},
                {"name": "beir", "data": "b"},
                {"name": "docqa", "data": "docqa.jsonl"},
                {"name": "noise", "data": "docqa.jsonl", "noise": 1},
                {"name": "nothing", "benchmark": "noise", "data": "docqa.jsonl", "mode": "rejection"},
                {"name": "custom", "data": "custom.jsonl", "prompt": "Translate $word."},
                {"name": "enem", "data": "enem.jsonl"},
                {"name": "oab", "data": "oab.jsonl"},
                {"name": "mmlu_pro", "data": "pro.jsonl"},
                {"name": "mmlu", "data": "mmlu", "rotations": 4},
            ],
        }
        (tmp_path / "c.yaml").write_text(json.dumps(data))
        yield tmp_path / "c.yaml"


def test_every_benchmark_from_its_file_to_its_figures(config: Path, tmp_path: Path) -> None:
    for name in ("facts", "corpus"):
        ragassay("ingest", "-c", name, "--config", config)
    ragassay("eval", "run", config, "--out", tmp_path / "run")
    report = json.loads(ragassay("eval", "report", tmp_path / "run", "--format", "json"))
    found = {
        f"{system['name']} {metric}": value["mean"]
        for system in report["systems"]
        for metric, value in system["metrics"].items()
    }
    overlaps = [2 / (10 + 1), 2 / (8 + 1), 2 / (6 + 1), 6 / (10 + 3)]  # of the words of sentence and answer
    wanted = {
        "quotes squad/exact_match": 0,  # the whole sentence is quoted
        "quotes squad/token_f1": sum(overlaps) / 4,
        "quotes squad/recall@5": 1,
        "corpus beir/ndcg@10": (3 + 1 / math.log2(3)) / 4,
        "corpus beir/mrr": (3 + 1 / 2) / 4,
        "letter beir/mrr": None,  # it has no collection
        "quotes docqa/token_f1": (sum(overlaps) + 1) / 5,  # a refusal is right once
        "letter docqa/refusal_accuracy": 4 / 5,
        "quotes noise/recall@10": 1,
        "quotes nothing/refusal_accuracy": 1,
        "letter nothing/refusal_accuracy": 0,
        "letter custom/exact_match": 1 / 2,
        "letter enem/accuracy": 1 / 2,
        "letter oab/accuracy": 1 / 2,
        "letter mmlu_pro/accuracy": 1 / 2,
        "letter mmlu/accuracy": 1 / 4,  # C in all four orders of the options
        "letter mmlu/unparsed_rate": 0,
    }
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)
    assert report["benchmarks"]["mmlu"]["samples"] == 8
    assert "enem: 1 of 3 rows" in report["warnings"][0]
    assert "needs an image" in report["warnings"][0]

    asked = [r for r in RunFolder.open(tmp_path / "run").records() if r.benchmark != "beir"]
    assert {record.seed for record in asked} == {7}
    assert {(record.benchmark == "mmlu", record.shots) for record in asked} == {(True, 1), (False, 0)}
    assert (
        len({(r.system, r.prompt_sha256) for r in asked if r.benchmark == "mmlu" and r.prompt_sha256}) == 24
    )
    assert all(record.prompt_sha256 for record in asked)
