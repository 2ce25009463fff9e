"""A data set is the same from the hub as from a file; the revision is the one that was pinned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.benchmarks import data
from tests.evals.loading import load, write_rows

datasets = pytest.importorskip("datasets")

CHAT = {"prompt": ["Describe a lake.", "In one line."], "category": "writing", "reference": []}
LETTERED = {"choices": {"text": [*"wxyz"], "label": [*"ABCD"]}, "answerKey": "C"}
ANSWERS = {"text": ["iron"], "answer_start": [4]}
ROWS: dict[str, tuple[str, str, dict[str, Any]]] = {
    # benchmark: hub id, split, a row in the hub's columns
    "mmlu": ("cais/mmlu", "test", {"question": "?", "subject": "law", "choices": [*"wxyz"], "answer": 2}),
    "mmlu_pro": (
        "TIGER-Lab/MMLU-Pro",
        "test",
        {"question_id": 7, "question": "?", "options": [*"abcdefghij"], "answer": "J", "category": "law"},
    ),
    "enem": (
        "maritaca-ai/enem",
        "train",
        {"id": "questao_91", "exam": "2022", "question": "?", "alternatives": [*"abcde"], "label": "E"},
    ),
    "oab": (
        "eduagarcia/oab_exams",
        "train",
        {"id": "2010_1", "question": "?", "question_type": "ETHICS", **LETTERED},
    ),
    "squad": (
        "google/xquad",
        "validation",
        {"id": "q1", "context": "Red iron.", "question": "What?", "answers": ANSWERS},
    ),
    "mt_bench": ("HuggingFaceH4/mt_bench_prompts", "train", {"prompt_id": 81, **CHAT}),
    "humaneval": (
        "openai/openai_humaneval",
        "test",
        {
            "task_id": "H/0",
            "prompt": "def f():\n",
            "entry_point": "f",
            "test": "def check(f):\n    assert f() == 1\n",
        },
    ),
    "custom": ("mine/own", "train", {"id": "a", "question": "?", "answers": ["x", "y"], "topic": "t"}),
}
UNPINNED = {"enem", "oab", "custom"}


@pytest.mark.parametrize("name", ROWS)
def test_the_hub_and_a_file_give_the_same_samples(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_id, split, row = ROWS[name]
    asked = []

    def fetched(hub_id: str, subset: str | None, revision: str | None) -> dict[str, Any]:
        asked.append((hub_id, subset, revision))
        return {split: datasets.Dataset.from_list([row])}

    monkeypatch.setattr(data, "_load_from_hub", fetched)
    metrics = ["exact_match"]  # HumanEval's own would need a sandbox
    found = load(tmp_path, name=name, data=hub_id, metrics=metrics)
    ((_, _, revision),) = asked
    assert (revision is None) == (name in UNPINNED)
    assert any("pin what is asked" in warning for warning in found.warnings) == (name in UNPINNED)
    assert f"{hub_id}@{revision or 'main'}" in found.data
    write_rows(tmp_path / "rows.jsonl", row)
    local = load(tmp_path, name=name, data="rows.jsonl", metrics=metrics)
    assert found.samples == tuple(
        replace(sample, relevant=()) if name == "squad" else sample for sample in local.samples
    )
    load(tmp_path, name=name, data=hub_id, revision="abc", subset="part", metrics=metrics)
    assert asked[1] == (hub_id, "part", "abc")
