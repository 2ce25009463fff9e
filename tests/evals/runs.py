"""What the tests of runs share: questions, a config against the fake server, and what a run left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evals.codec import record_to_json
from evals.core import Record
from evals.folder import RunFolder
from rag.config import Config, parse_config

MOCK_PRICE = {"input_per_mtok": "0.50", "output_per_mtok": "1.50"}


def write_questions(path: Path, number: int) -> Path:
    """Write `number` questions whose prompts all differ."""
    rows = (
        {"id": f"q{n:04}", "question": f"What is entry {n} of the list?", "answer": str(n)}
        for n in range(number)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run_data(base_url: str, *models: str, **more: Any) -> dict[str, Any]:
    """Return a config over `questions.jsonl`: a system for each model of the fake server."""
    models = models or ("mock",)
    return {
        "providers": {"lab": {"base_url": base_url, "models": [*models], "price": MOCK_PRICE}},
        "systems": [{"name": m, "provider": f"lab:{m}", "settings": {"max_tokens": 16}} for m in models],
        "benchmarks": [{"name": "docqa", "data": "questions.jsonl", "metrics": ["token_f1", "exact_match"]}],
        "limits": {"concurrency": 8, "max_attempts": 1, "timeout_s": 5},
        **more,
    }


def run_config(folder: Path, base_url: str, *models: str, **more: Any) -> Config:
    """Return `run_data` as a Config whose paths start from `folder`."""
    return parse_config(run_data(base_url, *models, **more), folder=folder)


def records_of(folder: Path) -> dict[tuple[str, str, int], Record]:
    """Return the valid reply of each system, sample and repeat."""
    return {(r.system, r.sample_id, r.repeat): r for r in RunFolder.open(folder).records()}


def timeless(folder: Path) -> list[dict[str, Any]]:
    """Return the replies of a run without what differs from one run to the next: times and request ids."""
    plain = []
    for record in RunFolder.open(folder).records():
        entry = record_to_json(record)
        entry.pop("started")
        for name in ("timing", "request_id"):
            entry["completion"].pop(name)
        plain.append(entry)
    return sorted(plain, key=lambda e: (e["benchmark"], e["sample_id"], e["system"], e["repeat"]))
