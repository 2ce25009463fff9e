"""MMLU as it is really laid out: dev with a header and digits, val_v0 without and with letters."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from evals.benchmarks import load_benchmark
from evals.core import SampleSet
from rag.config import BenchmarkConfig, parse_config
from tests.evals.test_mmlu_reference import ITEMS_300, REFERENCE, shares_right


def load(folder: Path, **spec: object) -> SampleSet:
    benchmark = BenchmarkConfig.model_validate({"name": "mmlu", "data": "mmlu", **spec})
    return load_benchmark(benchmark).load(benchmark, parse_config({}, folder=folder))


def test_both_layouts_are_read_whole(shared_data: Path) -> None:
    dev, val = load(shared_data, split="dev", shots=0), load(shared_data, split="val_v0", shots=0)
    assert (len(dev.samples), len(val.samples)) == (285, 1542)
    for found in (dev, val):
        assert len({s.cluster for s in found.samples}) == 57
        assert {len(s.choices) for s in found.samples} == {4}
        assert {s.targets[0] for s in found.samples} == set("ABCD")
        subjects = {s.cluster: s.metadata["category"] for s in found.samples}
        assert Counter(subjects.values()) == {
            "STEM": 18,
            "humanities": 13,
            "social sciences": 12,
            "other": 14,
        }
        assert found.warnings == ()


def test_the_one_item_that_is_also_a_shot_is_found(shared_data: Path) -> None:
    found = load(shared_data, split="val_v0", shots=5)
    assert found.warnings == (
        "items that are also among the shots were left out of their own: college_physics/5",
        "fewer than 5 shots for some items of: college_physics",
    )
    assert Counter(len(s.shots) for s in found.samples) == {5: 1541, 4: 1}


def test_a_limit_draws_from_every_large_subject(shared_data: Path) -> None:
    found = load(shared_data, split="val_v0", limit=300)
    assert len(found.samples) == 300
    assert len({s.cluster for s in found.samples}) == 57


def test_the_300_items_of_the_test_suite_are_a_draw_from_all_subjects(shared_data: Path) -> None:
    rows = [json.loads(line) for line in ITEMS_300.read_text(encoding="utf-8").splitlines()]
    found = {s.id: s for s in load(shared_data, split="val_v0", limit=300, shots=0).samples}
    assert {row["id"] for row in rows} == found.keys()
    for row in rows:
        sample = found[row["id"]]
        assert (row["question"], tuple(row["choices"])) == (sample.question, sample.choices)
        assert (row["answer"], row["subject"]) == (sample.targets[0], sample.cluster)


@pytest.mark.nightly
@pytest.mark.timeout(14_400)
def test_smollm2_scores_as_an_independent_harness_has_it(shared_data: Path, tmp_path: Path) -> None:
    data = {"data": str(shared_data / "mmlu"), "split": "val_v0"}
    found = shares_right(data, tmp_path, "cloze", "letters")
    for name, (accuracy, error) in REFERENCE.items():
        assert abs(found[name] - accuracy) < 1.96 * error
