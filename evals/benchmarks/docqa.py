"""Questions over the user's own documents: a JSONL file of questions with their accepted answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evals.benchmarks.rows import (
    BadRows,
    data_path,
    files_sha256,
    kept_columns,
    read_rows,
    refuse_keys,
    stratified,
)
from evals.core import Sample, SampleSet
from evals.prompts import prompt_hash, render
from rag.answering import answer_prompt_hash, answer_request
from rag.config import BenchmarkConfig, Config
from rag.core import Chunk, Message, Request, Settings
from rag.language import language_among
from rag.refusals import REFUSALS, refusal

__all__ = ["DocQA", "load_questions"]


class DocQA:
    """Questions over a collection, or closed book; no accepted answer means that a refusal is right.

    A row is `{"id", "question", "answer" | "answers", "relevant": ["source#page" ...], "cluster",
    "language"}`; the last three are optional, other keys are kept as metadata. In CSV a cell of `answers` or
    `relevant` is a JSON list or one text, and `[]` an empty list. With `limit` the share of each
    language and of unanswerable questions is kept.
    """

    licence = "that of your own questions"
    citation = "answers compared as in SQuAD 2.0, Rajpurkar et al. 2018, arXiv:1806.03822"
    default_metrics: tuple[str, ...] = (
        "token_f1",
        "exact_match",
        "refusal_accuracy",
        "k_precision",
        "faithfulness_lexical",
        "citation_precision",
        "retrieval",
    )

    def load(self, spec: BenchmarkConfig, config: Config) -> SampleSet:
        """Read the questions of `spec.data`.

        Raises:
            ConfigError: no such file, or a key that this benchmark does not use.
            LoadError: no usable row, or more bad ones than `limits.max_error_rate`.
        """
        refuse_keys(spec, ())
        return load_questions(spec, config)

    def request(self, sample: Sample, passages: Sequence[Chunk] | None, settings: Settings) -> Request:
        """Ask as `ragassay ask` does; without passages, from what the model knows."""
        if passages is not None:
            return answer_request(sample.question, passages, settings, language=sample.language)
        language = sample.language or language_among(sample.question, REFUSALS)
        system = render("closed_book.system", refusal=refusal(language))
        return Request(
            messages=(
                Message(role="system", content=system),
                Message(role="user", content=sample.question.strip()),
            ),
            settings=settings,
            question=sample.question,
        )

    def prompt_hashes(self) -> Mapping[str, str]:
        """Return the hash of the templates for each way of asking."""
        return {"rag": answer_prompt_hash(), "closed_book": prompt_hash("closed_book.system")}


def load_questions(
    spec: BenchmarkConfig, config: Config, keep: Callable[[Sample], Sample | None] = lambda sample: sample
) -> SampleSet:
    """Read the questions of `spec.data`; `keep` may change a sample, or leave it out before `limit` counts.

    Raises:
        ConfigError: no such file.
        LoadError: no usable row, or more bad ones than `limits.max_error_rate`.
    """
    path = data_path(spec, config)
    bad = BadRows(str(path), config.limits.max_error_rate)
    samples: dict[str, Sample] = {}
    for place, row in read_rows(path, bad):
        try:
            sample = _sample(row, spec.name)
        except ValueError as exc:
            bad.add(place, str(exc))
            continue
        if sample.id in samples:
            bad.add(place, f"id {sample.id!r} was used before")
        else:
            samples[sample.id] = sample
    warnings = bad.settle(len(samples))
    kept = [changed for sample in samples.values() if (changed := keep(sample)) is not None]
    chosen = stratified(
        kept,
        spec.limit,
        seed=config.seed,
        stratum=lambda sample: (sample.language or "", bool(sample.targets)),
    )
    return SampleSet(samples=chosen, data=str(path), sha256=files_sha256([path]), warnings=warnings)


def _sample(row: Any, benchmark: str) -> Sample:
    """Return the question in `row`; ValueError says what is wrong with it."""
    if not isinstance(row, Mapping):
        raise ValueError("no header row with 'question'")  # noqa: TRY004  # a bad row, not a bad argument
    question = row.get("question")
    if not isinstance(question, str) or not question.strip():
        raise ValueError("no 'question'")
    known = {"id", "question", "answer", "answers", "relevant", "cluster", "language"}
    return Sample(
        id=_text(row, "id") or _missing("id"),
        benchmark=benchmark,
        question=question,
        targets=_answers(row),
        relevant=_texts(row, "relevant"),
        cluster=_text(row, "cluster"),
        language=_text(row, "language"),
        metadata={key: str(value) for key, value in kept_columns(row, known).items()},
    )


def _answers(row: Mapping[str, Any]) -> tuple[str, ...]:
    if row.get("answers") is not None:
        return _texts(row, "answers")
    answer = _text(row, "answer")
    return (answer,) if answer else _missing("answer' or 'answers")


def _texts(row: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = row.get(key)
    if values is None:
        values = []
    if not isinstance(values, list) or not all(isinstance(value, str) and value.strip() for value in values):
        raise ValueError(f"{key!r} should be a list of texts, not {str(values)[:60]!r}")
    return tuple(values)


def _text(row: Mapping[str, Any], key: str) -> str | None:
    value = row.get(key)
    if value is not None and (not isinstance(value, str | int | float) or isinstance(value, bool)):
        raise ValueError(f"{key!r} should be a text, not {str(value)[:60]!r}")
    return str(value) if value not in (None, "") else None


def _missing(key: str) -> Any:
    raise ValueError(f"no '{key}'")
