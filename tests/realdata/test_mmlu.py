"""MMLU as it is really laid out: dev with a header and digits, val_v0 without and with letters."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from evals.benchmarks import load_benchmark
from evals.core import SampleSet
from rag.config import BenchmarkConfig, parse_config


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
