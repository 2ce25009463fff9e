"""What the tests of judges share: a run whose judge is a model of the fake server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evals.codec import judge_reply_to_json
from evals.core import JudgeReply
from evals.folder import RunFolder
from rag.config import Config, parse_config
from tests.evals.runs import MOCK_PRICE, run_data, write_questions

JUDGE = "bench:judge"


def judged_config(
    folder: Path, systems_url: str, judge_url: str, *models: str, samples: int = 4, **more: Any
) -> Config:
    """Return a config whose judge has a base URL of its own, and write its questions."""
    write_questions(folder / "questions.jsonl", samples)
    data = run_data(systems_url, *models)
    data["providers"]["bench"] = {"base_url": judge_url, "models": ["judge", "other"], "price": MOCK_PRICE}
    data["benchmarks"][0]["metrics"] = ["token_f1", "judge_rating"]
    data["judge"] = {"provider": JUDGE}
    for name, value in more.items():
        data[name] = {**data.get(name, {}), **value} if isinstance(value, dict) else value
    return parse_config(data, folder=folder)


def metrics(*names: str, **more: Any) -> list[dict[str, Any]]:
    """Return the one benchmark of these runs with other metrics."""
    return [{"name": "docqa", "data": "questions.jsonl", "metrics": [*names], **more}]


def judge_replies(folder: Path) -> list[JudgeReply]:
    """Return every reply of a judge in the journal."""
    return [reply for _, reply in RunFolder.open(folder).judge_replies()]


def verdict_lines(folder: Path) -> list[str]:
    """Return the judges' replies without what differs from run to run."""
    lines = []
    for reply in judge_replies(folder):
        plain = judge_reply_to_json(reply)
        plain.pop("started")
        for name in ("timing", "request_id"):
            plain["completion"].pop(name)
        lines.append(json.dumps(plain, sort_keys=True, default=str))
    return sorted(lines)


def scores_of(folder: Path, metric: str) -> dict[tuple[str, str], Any]:
    """Return one metric's score of each (system, sample)."""
    return {
        (scored.key.system, scored.key.sample_id): score
        for scored in RunFolder.open(folder).scores()
        for score in scored.scores
        if score.metric == metric
    }


def said(rating: object, explanation: str = "why") -> str:
    """Return a judge's reply."""
    return json.dumps({"explanation": explanation, "rating": rating})
