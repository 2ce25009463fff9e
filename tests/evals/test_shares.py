"""Scores made in several processes: the same lines in the same order, whatever becomes of a process."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import evals
from evals.folder import RunFolder
from evals.runner import shares
from evals.runner.spec import stored_spec
from rag import ingest
from rag.config import parse_config
from tests.evals.runs import run_data, write_questions
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer

QUESTIONS = 90


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with passages, repeats, failures and a lost context, scored in this process."""
    folder = tmp_path_factory.mktemp("shares")
    write_questions(folder / "questions.jsonl", QUESTIONS)
    (folder / "texts").mkdir()
    for n in range(QUESTIONS):
        (folder / "texts" / f"{n}.txt").write_text(f"Entry {n} of the list says {n}. It is known to all.")
    metrics = ["token_f1", "k_precision", "faithfulness_lexical", "refusal_accuracy"]
    with FakeServer(Behaviour(text="It is known to all. Entry 3 says 3.")) as server:
        data = run_data(server.base_url, "mock", repeats=2, home=str(folder / "home"))
        rag = {"collection": "list", "k": 2, "mode": "lexical"}
        data["systems"] = [
            {"name": "quotes", "provider": "extractive", "rag": rag},
            {"name": "mock", "provider": "lab:mock", "rag": rag},
            {"name": "closed", "provider": "lab:mock"},
        ]
        data["benchmarks"][0]["metrics"] = metrics
        server.script(shares=[(0.1, Behaviour(fault="server_error"))])
        config = parse_config(data, folder=folder)
        ingest([str(folder / "texts")], "list", config=config)
        evals.run(config, out=folder / "run")
    contexts = folder / "run" / "contexts.jsonl"
    contexts.write_bytes(b"".join(contexts.read_bytes().splitlines(keepends=True)[1:]))
    evals.rescore(folder / "run")
    return folder / "run"


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Two processors and no run too small for them; holds the commands of the processes started."""
    started: list[list[str]] = []
    popen = subprocess.Popen

    def noted(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        started.append(command)
        return popen(command, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(shares, "_WORTHWHILE", 1)
    monkeypatch.setattr(shares, "usable_cores", lambda: 2)
    monkeypatch.setattr(shares.subprocess, "Popen", noted)
    return started


def test_two_processes_score_as_one(run: Path, two: list[list[str]]) -> None:
    before = (run / "scores.jsonl").read_bytes()
    assert before.count(b"\n") == 2 * 3 * QUESTIONS
    assert b"the passages that it rests on are lost" in before
    assert b"server_error" in before
    (run / "scores.jsonl").unlink()
    result = evals.rescore(run)
    assert len(two) == 2
    assert (run / "scores.jsonl").read_bytes() == before
    assert any("passages" in message for message in result.messages)


def test_what_a_dead_process_leaves_is_scored_here(
    run: Path, two: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (run / "scores.jsonl").read_bytes()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    evals.rescore(run)
    assert two
    assert (run / "scores.jsonl").read_bytes() == before


@pytest.mark.usefixtures("two")
def test_where_a_metric_uses_all_processors_by_itself_there_is_one_process(run: Path) -> None:
    folder = RunFolder.open(run)
    spec = stored_spec(folder, folder.read())
    assert shares.processes_for(spec) == 2
    (benchmark,) = spec.benchmarks
    embedding = replace(benchmark, metrics=(*benchmark.metrics, "semantic_similarity"))
    assert shares.processes_for(replace(spec, benchmarks=(embedding,))) == 1
