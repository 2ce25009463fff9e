"""MMLU as it is really laid out: dev with a header and digits, val_v0 without and with letters."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from pathlib import Path

import pytest

import evals
from evals.benchmarks import load_benchmark
from evals.core import SampleSet
from evals.folder import RunFolder
from rag.config import BenchmarkConfig, parse_config

# An independent harness on the same weights (dequantised, bfloat16), zero-shot, all 1,542 items: accuracy and
# standard error by the options' texts, by these a character of length, and by letters.
REFERENCE = {"cloze": (0.294, 0.012), "cloze a character": (0.283, 0.012), "letters": (0.252, 0.011)}


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


def shares_right(shared_data: Path, folder: Path, *modes: str, limit: int | None = None) -> dict[str, float]:
    """Return the shares of items that SmolLM2 has right, by mode; cloze also by a character of length."""
    data = {"benchmark": "mmlu", "data": str(shared_data / "mmlu"), "split": "val_v0", "shots": 0}
    config = {
        "systems": [{"name": "smollm2", "provider": "local:smollm2-135m"}],
        "benchmarks": [{**data, "name": mode, "mode": mode, "metrics": ["accuracy"]} for mode in modes],
        "limits": {"timeout_s": 300},
    }
    result = evals.run(parse_config(config, folder=folder), out=folder / "run", limit=limit)
    assert result.exit_code == 0, result.messages
    run = RunFolder.open(folder / "run")
    samples = {(sample.benchmark, sample.id): sample for sample in run.samples()}
    right: dict[str, list[bool]] = defaultdict(list)
    for record in run.records():
        sample = samples[record.benchmark, record.sample_id]
        scores = [item.logprob for item in record.completion.logprobs]
        target = "ABCD".index(sample.targets[0])
        right[record.benchmark].append(scores.index(max(scores)) == target)
        if record.benchmark == "cloze":
            scores = [score / len(choice) for score, choice in zip(scores, sample.choices, strict=True)]
            right["cloze a character"].append(scores.index(max(scores)) == target)
    assert {len(values) for values in right.values()} == {limit or 1542}
    found = {name: sum(values) / len(values) for name, values in right.items()}
    for mode, measured in {"letters": "letters", "cloze": "cloze a character"}.items():
        scored = [e.scores[0].value or 0.0 for e in run.scores() if e.key.benchmark == mode]
        assert mode not in modes or sum(scored) / len(scored) == pytest.approx(found[measured])
    print(found)
    return found


@pytest.mark.nightly
@pytest.mark.timeout(14_400)
def test_smollm2_scores_as_an_independent_harness_has_it(shared_data: Path, tmp_path: Path) -> None:
    found = shares_right(shared_data, tmp_path, "cloze", "letters")
    for name, (accuracy, error) in REFERENCE.items():
        assert abs(found[name] - accuracy) < 1.96 * error


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_of_300_items_from_all_subjects_as_many_are_right(shared_data: Path, tmp_path: Path) -> None:
    found = shares_right(shared_data, tmp_path, "letters", limit=300)
    accuracy, error = REFERENCE["letters"]
    own_error = math.sqrt(accuracy * (1 - accuracy) / 300)
    assert abs(found["letters"] - accuracy) < 1.96 * math.hypot(error, own_error)
