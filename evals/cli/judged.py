"""Labelled answers as a run, so that a judge's replies are journalled, priced and never asked for twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evals.calibration.data import Labelled, LabelledSet
    from evals.core import Score
    from evals.runner.progress import Progress
    from evals.runner.result import RunResult
    from rag.config import Config

__all__ = ["JudgedAnswers", "judge_labelled"]

_BENCHMARK, _SYSTEM = "labelled", "labelled-answers"
_NO_QUESTION = "What do the passages say?"


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedAnswers:
    """The scores in the order of the answers, and the run that they come from."""

    scores: list[Score]
    result: RunResult


def judge_labelled(
    metric: str,
    data: LabelledSet,
    config: Config,
    *,
    budget: float | None = None,
    progress: Progress | None = None,
) -> JudgedAnswers:
    """Return the scores of a metric that needs a judge: those of a run over the answers, kept in the home.

    The same metric, judge and data go on with the same run: no reply that it holds is asked for again.

    Args:
        metric: its name.
        data: the answers; a claim without a question is asked as one about what the passages say.
        config: names the judge, its provider and the limits.
        budget: a cap in USD.
        progress: told how far it is.

    Raises:
        UsageError, RunError, StorageError, KeyboardInterrupt: as `evals.run`.
    """
    import evals

    judges = [judge.model_dump(mode="json") for judge in config.judge]
    told = [metric, judges, data.sha256, *(["open"] if any(map(_is_open, data.items)) else [])]
    key = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]
    folder = config.home_dir() / "calibrations" / "runs" / f"{metric}-{key}"
    if (folder / "run.json").is_file():
        result = evals.resume(folder, budget=budget, progress=progress)
    else:
        files = folder.with_name(f"{folder.name}-answers")
        asked = _config(metric, data, config, files)
        result = evals.run(asked, out=folder, budget=budget, progress=progress)
    return JudgedAnswers(scores=_scores(metric, len(data.items), folder), result=result)


def _config(metric: str, data: LabelledSet, config: Config, files: Path) -> Config:
    """Write questions and answers into `files`, and return a config that scores them."""
    from rag.config import BenchmarkConfig, SystemConfig

    files.mkdir(parents=True, exist_ok=True)
    answers = files / "answers.jsonl"
    _write(answers, (_answer(place, item) for place, item in enumerate(data.items)))
    benchmarks = []
    # Rows of one's own without any answer are open: of labelled answers it is often not known what is right.
    for name, kind in ((_BENCHMARK, "docqa"), (f"{_BENCHMARK}-open", "custom")):
        rows = [_question(n, one) for n, one in enumerate(data.items) if _is_open(one) == (kind == "custom")]
        if rows:
            path = files / f"{name}.jsonl"
            _write(path, rows)
            benchmarks.append(
                BenchmarkConfig(name=name, benchmark=kind, data=str(path.resolve()), metrics=(metric,))
            )
    changes: dict[str, Any] = {
        "systems": (SystemConfig(name=_SYSTEM, recorded=answers.resolve()),),
        "benchmarks": tuple(benchmarks),
        "gates": {},
        "repeats": 1,
    }
    return config.model_copy(update=changes)


def _question(place: int, item: Labelled) -> dict[str, Any]:
    sample = item.item[0]
    question = sample.question.strip() or _NO_QUESTION
    row = {"id": str(place), "question": question, "cluster": item.cluster}
    return row if _is_open(item) else {**row, "answers": list(sample.targets)}


def _is_open(item: Labelled) -> bool:
    """Return whether nothing is known of what is right."""
    sample = item.item[0]
    return not (sample.targets or sample.unanswerable)


def _answer(place: int, item: Labelled) -> dict[str, Any]:
    _, record, passages = item.item
    row: dict[str, Any] = {"id": str(place), "answer": record.completion.text}
    if passages:
        row["contexts"] = [passage.text for passage in passages]
    return row


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    from evals.codec import dumps

    path.write_bytes(b"".join(dumps(row) + b"\n" for row in rows))


def _scores(metric: str, count: int, folder: Path) -> list[Score]:
    from evals.core import Score
    from evals.folder import RunFolder

    found = {
        scored.key.sample_id: score
        for scored in RunFolder.open(folder).scores()
        for score in scored.scores
        if score.metric == metric
    }
    missing = Score(metric=metric, value=None, reason="no verdict")
    return [found.get(str(place), missing) for place in range(count)]
