"""MMLU with a real model: as many items right as an independent harness finds on the same weights."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

import evals
from evals.folder import RunFolder
from rag.config import parse_config
from tests.conftest import REPO

# 300 of val_v0's 1,542 items, from all 57 subjects in proportion.
ITEMS_300 = REPO / "tests" / "data" / "mmlu" / "val_v0_300.jsonl"

# An independent harness on the same weights (dequantised, bfloat16), zero-shot, all 1,542 items: accuracy and
# standard error by the options' texts, by these a character of length, and by letters.
REFERENCE = {"cloze": (0.294, 0.012), "cloze a character": (0.283, 0.012), "letters": (0.252, 0.011)}


def shares_right(data: Mapping[str, str], folder: Path, *modes: str) -> dict[str, float]:
    """Return the shares of items that SmolLM2 has right, by mode; cloze also by a character of length."""
    benchmark = {"benchmark": "mmlu", "shots": 0, "metrics": ["accuracy"], **data}
    config = {
        "systems": [{"name": "smollm2", "provider": "local:smollm2-135m"}],
        "benchmarks": [{**benchmark, "name": mode, "mode": mode} for mode in modes],
        "limits": {"timeout_s": 300},
    }
    result = evals.run(parse_config(config, folder=folder), out=folder / "run")
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
    assert {len(values) * len(modes) for values in right.values()} == {len(samples)}
    found = {name: sum(values) / len(values) for name, values in right.items()}
    for mode, measured in {"letters": "letters", "cloze": "cloze a character"}.items():
        scored = [e.scores[0].value or 0.0 for e in run.scores() if e.key.benchmark == mode]
        assert mode not in modes or sum(scored) / len(scored) == pytest.approx(found[measured])
    return found


@pytest.mark.timeout(900)
def test_of_300_items_from_all_subjects_as_many_are_right(tmp_path: Path) -> None:
    found = shares_right({"data": str(ITEMS_300)}, tmp_path, "letters")
    accuracy, error = REFERENCE["letters"]
    own_error = math.sqrt(accuracy * (1 - accuracy) / 300)
    assert abs(found["letters"] - accuracy) < 1.96 * math.hypot(error, own_error)
