"""MT-bench: 80 conversations of two turns in eight categories, rated by a judge."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from evals.benchmarks.data import HUB_KEYS, open_data
from evals.benchmarks.rows import BadRows, files_sha256, read_rows, refuse_keys, stratified
from evals.core import OPEN, Sample, SampleSet
from evals.prompts import prompt_hash, prompt_text, render
from rag.config import BenchmarkConfig, Config
from rag.core import Chunk, Message, Request, Settings

__all__ = ["TEMPERATURES", "MTBench"]

TEMPERATURES: Mapping[str, float] = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
"""The temperature at which each category is answered, as FastChat has it."""

_REFERENCED = frozenset({"math", "reasoning", "coding"})
_QUESTIONS = "question.jsonl"
_REFERENCES = ("reference_answer_gpt-4.jsonl", "reference_answer/gpt-4.jsonl")


class MTBench:
    """Two turns a question, the second asked with the answer to the first; each rated 1 to 10 by a judge.

    The judge is asked with the published prompts, for mathematics, coding and reasoning with the reference
    answer; `judge_rating` over all turns is MT-bench's score, a tenth of it. `data:` is FastChat's folder of
    `question.jsonl` and `reference_answer_gpt-4.jsonl` (or `reference_answer/gpt-4.jsonl`), or a file or hub
    id (`HuggingFaceH4/mt_bench_prompts`) with the columns `prompt_id`, `category`, `prompt` and `reference`.
    Each category is answered at its published temperature, whatever the system's own. `limit` counts
    conversations.
    """

    licence = "Apache-2.0"
    citation = "Zheng et al. 2023, Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena, arXiv:2306.05685"
    default_metrics = ("judge_rating", "judge_rating_turn_1", "judge_rating_turn_2")
    revisions: ClassVar[Mapping[str, str]] = {
        "HuggingFaceH4/mt_bench_prompts": "e3a795c5e9a82ee40611c416b8a7786c73198991"
    }

    def load(self, spec: BenchmarkConfig, config: Config) -> SampleSet:
        """Read the conversations; the second turn of question 81 is the sample `81-2`, after `81-1`.

        Raises:
            ConfigError: no such data, or a key that this benchmark does not use.
            LoadError: no usable row, or more bad ones than `limits.max_error_rate`.
        """
        refuse_keys(spec, (*HUB_KEYS, "subjects"))
        found = _rows(spec, config)
        usable = 0
        first: dict[str, Sample] = {}
        second: dict[str, Sample] = {}
        for place, row in found.rows:
            try:
                opening, following = _conversation(row, spec.name)
            except ValueError as exc:
                found.bad.add(place, str(exc))
                continue
            usable += 1
            if spec.subjects and opening.metadata["category"] not in spec.subjects:
                continue
            if opening.id in first:
                usable -= 1
                found.bad.add(place, f"question {opening.cluster!r} was there before")
                continue
            first[opening.id] = opening
            second[opening.id] = following
        warnings = found.bad.settle(usable if first else 0)
        chosen = stratified(
            [*first.values()], spec.limit, seed=config.seed, stratum=lambda s: s.metadata["category"]
        )
        samples = tuple(turn for opening in chosen for turn in (opening, second[opening.id]))
        note = "each category is answered at its published temperature, not at the systems' own"
        return SampleSet(samples=samples, data=found.name, sha256=found.sha256, warnings=(*warnings, note))

    def request(self, sample: Sample, passages: Sequence[Chunk] | None, settings: Settings) -> Request:
        """Ask the turn as it is; passages, if there are any, come first."""
        shown = ""
        if passages:
            numbered = "\n\n".join(f"[{n}] {chunk.text}" for n, chunk in enumerate(passages, start=1))
            shown = render("mt_bench.passages", passages=numbered) + "\n\n"
        temperature = TEMPERATURES.get(sample.metadata["category"], settings.temperature)
        return Request(
            messages=(Message(role="user", content=shown + sample.question),),
            settings=replace(settings, temperature=temperature),
            question=sample.question,
            passages=tuple(passages or ()),
        )

    def prompt_hashes(self) -> Mapping[str, str]:
        """Return the hash of the templates for asking and for judging."""
        judge = hashlib.sha256(prompt_text("mt_bench.judge.jsonl").encode()).hexdigest()[:16]
        return {"rag": prompt_hash("mt_bench.passages"), "judge": judge}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rows:
    """Rows with their places, where they come from, and who counts the bad ones."""

    rows: Iterable[tuple[str, Any]]
    name: str
    sha256: str
    bad: BadRows


def _rows(spec: BenchmarkConfig, config: Config) -> _Rows:
    folder = config.path(spec.data) if spec.data else None
    if folder is None or not (folder / _QUESTIONS).is_file():
        data = open_data(spec, config, MTBench.revisions)
        bad = BadRows(data.name, config.limits.max_error_rate)
        split = data.read(spec.split or data.default_split, bad)
        rows = ((place, row) for _, place, row in split.rows)
        return _Rows(rows=rows, name=data.name, sha256=split.sha256, bad=bad)
    bad = BadRows(str(folder), config.limits.max_error_rate)
    answers = next((folder / name for name in _REFERENCES if (folder / name).is_file()), None)
    references = {} if answers is None else _references(answers, bad)
    files = [folder / _QUESTIONS, *([] if answers is None else [answers])]
    questions = read_rows(folder / _QUESTIONS, bad)
    rows = ((place, _joined(row, references)) for place, row in questions)
    return _Rows(rows=rows, name=str(folder), sha256=files_sha256(files), bad=bad)


def _references(path: Path, bad: BadRows) -> dict[object, Any]:
    """Return the reference answers of FastChat's file, by question."""
    found: dict[object, Any] = {}
    for place, row in read_rows(path, bad):
        try:
            found[row["question_id"]] = row["choices"][0]["turns"]
        except (KeyError, IndexError, TypeError):
            bad.add(place, "no 'question_id' with 'choices'")
    return found


def _joined(row: Any, references: Mapping[object, Any]) -> Any:
    known = isinstance(row, Mapping) and row.get("question_id") in references
    return {**row, "reference": references[row["question_id"]]} if known else row


def _conversation(row: Any, benchmark: str) -> tuple[Sample, Sample]:
    """Return the two turns in `row`; ValueError says what is wrong with it."""
    if not isinstance(row, Mapping):
        raise ValueError("no columns with names")  # noqa: TRY004  # a bad row, not a bad argument
    identity = row.get("question_id", row.get("prompt_id"))
    turns = row.get("turns", row.get("prompt"))
    category = row.get("category")
    if identity in (None, ""):
        raise ValueError("no 'question_id'")
    if category not in TEMPERATURES:
        raise ValueError(f"'category' is none of MT-bench: {str(category)[:40]!r}")
    if not isinstance(turns, list) or len(turns) != 2 or not all(_is_text(turn) for turn in turns):
        raise ValueError(f"'turns' should be two texts, not {str(turns)[:60]!r}")
    given = row.get("reference") if category in _REFERENCED else None
    facts = {"category": str(category), OPEN: "true"}
    if isinstance(given, list) and given and all(_is_text(text) for text in given):
        facts |= {f"reference_{number}": text for number, text in enumerate(given, start=1)}
    opening, following = (
        Sample(
            id=f"{identity}-{number}",
            benchmark=benchmark,
            question=turn,
            cluster=str(identity),
            metadata={**facts, "turn": str(number)},
            follows=f"{identity}-1" if number == 2 else None,
        )
        for number, turn in enumerate(turns, start=1)
    )
    return opening, following


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
