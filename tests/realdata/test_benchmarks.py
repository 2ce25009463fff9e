"""The benchmarks over the real data sets: every row is read, and what is left out is counted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

import evals
import evals.cli  # adds its commands
from rag import ingest
from rag.cli.app import app
from rag.config import parse_config
from tests.evals.loading import load

assert evals.cli.COMMAND_MODULES

# References, whole abstracts and all-MiniLM-L6-v2: see test_scifact (0.645 is published on BEIR for dense).
NDCG_OF_SCIFACT = {"dense": 0.649, "lexical": 0.684, "hybrid": 0.717}


def test_enem_without_the_items_that_need_an_image(shared_data: Path) -> None:
    found = load(shared_data, name="enem", data="enem/2022.json")
    assert len(found.samples) == 150
    assert Counter(s.cluster for s in found.samples) == {
        "linguagens": 30,
        "ciências humanas": 36,
        "ciências da natureza": 43,
        "matemática": 41,
    }
    assert [warning.partition(" rows")[0] for warning in found.warnings] == ["26 of 179", "3 of 179"]
    assert all("image" in warning for warning in found.warnings)


def test_the_bar_examination_without_nullified_items(shared_data: Path) -> None:
    found = load(shared_data, name="oab", data="oab_exams/oab_2010_2015.jsonl")
    assert len(found.samples) == 1492
    assert Counter(s.targets[0] for s in found.samples) == {"A": 335, "B": 403, "C": 386, "D": 368}
    (warning,) = found.warnings
    assert warning.startswith("8 of 1500 rows")


@pytest.mark.parametrize(
    ("data", "questions", "articles", "language"),
    [("xquad/xquad.en.json", 1190, 48, "en"), ("faquad/train.json", 837, 26, "pt")],
)
def test_questions_over_paragraphs(
    shared_data: Path, data: str, questions: int, articles: int, language: str
) -> None:
    found = load(shared_data, name="squad", data=data)
    assert len(found.samples) == questions
    assert len({s.cluster for s in found.samples}) == articles
    assert {s.language for s in found.samples} == {language}
    assert all(s.targets and s.relevant for s in found.samples)
    assert found.warnings == ()


def test_judgements_of_scifact(shared_data: Path) -> None:
    found = load(shared_data, name="beir", data="scifact")
    assert len(found.samples) == 300
    assert sum(len(s.relevant) for s in found.samples) == 339
    assert found.warnings == ()


def test_open_questions_as_rows_of_ones_own(shared_data: Path) -> None:
    found = load(shared_data, name="nq_open", benchmark="custom", data="nq_open/NQ-open.dev.jsonl")
    assert len(found.samples) == 3610
    assert all(s.targets for s in found.samples)


@pytest.mark.parametrize(
    "provider",
    [
        "extractive",
        pytest.param("local:smollm2-135m", marks=[pytest.mark.nightly, pytest.mark.timeout(7200)]),
    ],
)
def test_xquad_over_an_index_of_its_paragraphs(shared_data: Path, tmp_path: Path, provider: str) -> None:
    path = shared_data / "xquad" / "xquad.en.json"
    assert ingest([str(path)], "xquad").added == 240
    rag = {"collection": "xquad", "k": 5}
    settings = {"temperature": 0, "max_tokens": 24}
    benchmark = {
        "name": "xquad",
        "benchmark": "squad",
        "data": str(path),
        "limit": 200,
        "metrics": ["exact_match", "token_f1", "recall@5"],
    }
    config = {
        "systems": [{"name": "x", "provider": provider, "rag": rag, "settings": settings}],
        "benchmarks": [benchmark],
        "limits": {"timeout_s": 300},
        "seed": 7,
    }
    result = evals.run(parse_config(config, folder=tmp_path), out=tmp_path / "run")
    assert result.exit_code == 0
    report = json.loads(evals.report(tmp_path / "run", format="json"))
    metrics = report["systems"][0]["metrics"]
    print(provider, {name: (m["mean"], m["ci_low"], m["ci_high"]) for name, m in metrics.items()})
    assert {m["n"] for m in metrics.values()} == {200}
    assert metrics["xquad/recall@5"]["mean"] > 0.9  # by chance 0.02
    for metric in metrics.values():
        assert metric["ci_low"] - 1e-9 <= metric["mean"] <= metric["ci_high"] + 1e-9


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_scifact_as_a_benchmark_of_three_ways_to_search(shared_data: Path, tmp_path: Path) -> None:
    rag = {"collection": "scifact", "k": 10, "context_tokens": 100_000}
    folder = shared_data / "scifact"
    config = {
        "collections": {"scifact": {"sources": [str(folder / "corpus.jsonl")], "chunk_tokens": "whole"}},
        "systems": [
            {"name": mode, "provider": "extractive", "rag": {**rag, "mode": mode}} for mode in NDCG_OF_SCIFACT
        ],
        "benchmarks": [{"name": "scifact", "benchmark": "beir", "data": str(folder)}],
        "seed": 7,
    }
    (tmp_path / "c.yaml").write_text(json.dumps(config))
    for command in (["ingest", "-c", "scifact", "--config"], ["eval", "run", "--out", str(tmp_path / "run")]):
        done = CliRunner().invoke(app, [*command, str(tmp_path / "c.yaml")])
        assert done.exit_code == 0, done.output
    report = json.loads(evals.report(tmp_path / "run", format="json"))
    for system in report["systems"]:
        found = system["metrics"]["scifact/ndcg@10"]
        print(system["name"], found)
        assert found["n"] == 300
        assert found["mean"] == pytest.approx(NDCG_OF_SCIFACT[system["name"]], abs=0.01)
        assert found["ci_low"] < NDCG_OF_SCIFACT[system["name"]] < found["ci_high"]
