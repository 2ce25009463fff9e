"""Every reply with its scores as a row: CSV, Parquet, or a folder that `datasets` loads."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.codec import Key
from evals.core import Record, Sample, Score
from evals.reporting.calibrated import calibration_lines, calibrations
from evals.reporting.data import RunData, SystemFacts
from rag.errors import StorageError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["answer_rows", "render_csv", "write_dataset", "write_parquet"]

_TEXT = (
    "run", "benchmark", "sample_id", "cluster", "language", "question", "system", "provider", "model",
    "outcome", "answer", "error", "started", "prompt_sha256",
)  # fmt: skip
_LISTS = ("choices", "targets", "relevant")
_WHOLE = (
    "repeat",
    "citations",
    "citations_verified",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "reasoning_tokens",
)
_REAL = ("cost_usd", "ttft_ms", "total_ms")
_YES_NO = ("refused", "cached")
_END = "\r\n"
_COLUMNS = (*_TEXT, *_LISTS, *_WHOLE, *_REAL, *_YES_NO)
_CARD = """---
pretty_name: {title}
configs:
- config_name: answers
  default: true
  data_files:
  - split: test
    path: answers.parquet
- config_name: samples
  data_files:
  - split: test
    path: samples.parquet
---
# Evaluation {names}

Made by `ragassay eval report --format dataset`; load it with `datasets.load_dataset(FOLDER, "answers")`.

- `answers`: a row for each reply, with its outcome, cost, times and a column for each metric, and for
  each of several judges as METRIC[JUDGE]; an empty value was not measured or does not apply.
- `samples`: the questions.

{sources}
{known}"""


def answer_rows(run: RunData) -> Iterator[dict[str, Any]]:
    """Yield a row for each reply in the order received: what was asked, answered, measured, paid."""
    samples = {(sample.benchmark, sample.id): sample for sample in run.samples}
    systems = {system.name: system for system in run.systems}
    for record in run.records:
        sample = samples.get((record.benchmark, record.sample_id))
        row = _row(run, record, sample, systems.get(record.system))
        for score in run.scores.get(Key.of(record), ()):
            row[score.metric] = score.value
            row.update(_by_judge(score))
        yield row


def render_csv(runs: Sequence[RunData]) -> str:
    """Return the rows of all runs as CSV (RFC 4180, line feeds); lists are JSON, unknown is empty."""
    lines = _Lines()
    # Python quotes a lone carriage return only where it is part of the end of a line.
    writer = csv.DictWriter(lines, [*_COLUMNS, *_metrics(runs)], restval="", lineterminator=_END)
    writer.writeheader()
    for run in runs:
        for row in answer_rows(run):
            for name in _LISTS:
                row[name] = json.dumps(row[name], ensure_ascii=False)
            writer.writerow({name: "" if value is None else value for name, value in row.items()})
    return "".join(lines)


class _Lines(list[str]):
    """Lines as a CSV writer gives them, each to end in a line feed."""

    def write(self, line: str) -> None:
        """Take a line."""
        self.append(f"{line.removesuffix(_END)}\n")


def write_parquet(runs: Sequence[RunData], path: Path) -> None:
    """Write the rows of all runs as one Parquet file.

    Raises:
        StorageError: it cannot be written.
    """
    _write(_table((row for run in runs for row in answer_rows(run)), _metrics(runs)), path)


def write_dataset(runs: Sequence[RunData], folder: Path) -> None:
    """Write a folder that `datasets.load_dataset(folder)` reads: answers, samples and a card.

    Raises:
        StorageError: it cannot be written.
    """
    write_parquet(runs, folder / "answers.parquet")
    _write(_samples(runs), folder / "samples.parquet")
    names = ", ".join(run.run for run in runs)
    facts = {one.name: one for run in runs for one in run.benchmarks}
    known = {name: [part for part in (f.data, f.licence, f.citation) if part] for name, f in facts.items()}
    sources = "\n".join(f"- {name}: {'; '.join(parts) or 'no source given'}" for name, parts in known.items())
    title = json.dumps(f"ragassay: {_utf8(names)}")  # a JSON string is a YAML string
    lines = dict.fromkeys(line for run in runs for line in _known(run))
    calibrated = "".join(f"\n- {line}" for line in lines) + ("\n" if lines else "")
    card = _CARD.format(title=title, names=_utf8(names), sources=_utf8(sources), known=_utf8(calibrated))
    try:
        (folder / "README.md").write_text(card, encoding="utf-8")
    except OSError as exc:
        raise StorageError(f"cannot write {folder}: {exc.strerror or exc}.") from exc


def _known(run: RunData) -> tuple[str, ...]:
    metrics = _metrics([run])
    return calibration_lines(calibrations(run.calibration, metrics), metrics)


def _row(run: RunData, record: Record, sample: Sample | None, system: SystemFacts | None) -> dict[str, Any]:
    completion, usage = record.completion, record.completion.usage
    cost = completion.cost
    row: dict[str, Any] = {
        "run": run.run,
        "benchmark": record.benchmark,
        "sample_id": record.sample_id,
        "cluster": sample.cluster if sample else None,
        "language": sample.language if sample else None,
        "question": sample.question if sample else None,
        "system": record.system,
        "provider": completion.provider or (system.provider if system else None),
        "model": completion.model or (system.model if system else None),
        "outcome": str(completion.outcome),
        "answer": record.answer,
        "error": completion.error,
        "started": record.started,
        "prompt_sha256": record.prompt_sha256,
        "repeat": record.repeat,
        "citations": len(record.citations),
        "citations_verified": sum(citation.verified for citation in record.citations),
        "input_tokens": usage.input_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cost_usd": None if cost is None else float(cost),
        "ttft_ms": _ms(completion.timing.ttft_s),
        "total_ms": _ms(completion.timing.total_s),
        "refused": record.refused,
        "cached": completion.cached,
    }
    row.update({name: _utf8(row[name]) for name in _TEXT if row[name] is not None})
    row.update({name: [_utf8(text) for text in getattr(sample, name, ())] for name in _LISTS})
    return row


def _by_judge(score: Score) -> dict[str, float | None]:
    """Return what each of several judges gave, by its column."""
    if score.by_judge is None or len(score.by_judge) < 2:
        return {}
    return {
        f"{score.metric}[{_utf8(judge)}]": None if isinstance(said, str) else said
        for judge, said in score.by_judge.items()
    }


def _metrics(runs: Sequence[RunData]) -> list[str]:
    scores = (score for run in runs for of_reply in run.scores.values() for score in of_reply)
    return [*dict.fromkeys(name for score in scores for name in (score.metric, *_by_judge(score)))]


def _table(rows: Iterator[dict[str, Any]], metrics: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    schema = pa.schema([
        *((name, pa.string()) for name in _TEXT),
        *((name, pa.list_(pa.string())) for name in _LISTS),
        *((name, pa.int64()) for name in _WHOLE),
        *((name, pa.float64()) for name in _REAL),
        *((name, pa.bool_()) for name in _YES_NO),
        *((name, pa.float64()) for name in metrics),
    ])  # fmt: skip
    columns: dict[str, list[Any]] = {name: [] for name in schema.names}
    for row in rows:
        for name, column in columns.items():
            column.append(row.get(name))
    return pa.table(columns, schema=schema)


def _samples(runs: Sequence[RunData]) -> pa.Table:
    import pyarrow as pa

    samples: Mapping[tuple[str, str], Sample] = {(s.benchmark, s.id): s for run in runs for s in run.samples}
    names = ("benchmark", "id", "question", "cluster", "language")
    texts = {name: [_utf8(getattr(s, name)) for s in samples.values()] for name in names}
    lists = {name: [[_utf8(t) for t in getattr(s, name)] for s in samples.values()] for name in _LISTS}
    return pa.table(
        {**texts, **lists},
        schema=pa.schema([
            *((name, pa.string()) for name in names),
            *((name, pa.list_(pa.string())) for name in _LISTS),
        ]),
    )  # fmt: skip


def _write(table: pa.Table, path: Path) -> None:
    import pyarrow.parquet as pq

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd")
    except OSError as exc:
        raise StorageError(f"cannot write {path}: {exc.strerror or exc}.") from exc


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _utf8(text: Any) -> Any:
    """Return text with `?` for whatever UTF-8 cannot say, such as lone surrogates."""
    if not isinstance(text, str) or text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()
