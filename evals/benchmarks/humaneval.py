"""HumanEval, HumanEval+ and HumanEval-XL (Python): functions from docstrings, tested by running them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from evals.benchmarks.data import HUB_KEYS, open_data
from evals.benchmarks.rows import BadRows, refuse_keys, stratified
from evals.core import Sample, SampleSet
from evals.prompts import prompt_hash, render
from evals.sandbox import is_isolated, open_sandbox
from rag.config import BenchmarkConfig, Config
from rag.core import Chunk, Message, Request, Settings
from rag.errors import ConfigError

__all__ = ["HumanEval", "HumanEvalPlus"]

_PASS_AT = re.compile(r"pass@(\d+)")
_ADDED = re.compile(r"^\s*inputs\s*=", re.MULTILINE)


class HumanEval:
    """Python functions to be completed from signature and docstring; the program is run against tests.

    Rows are OpenAI's: `{"task_id", "prompt", "entry_point", "canonical_solution", "test"}`, in a JSONL file
    (`.gz` too) or from the hub (`openai/openai_humaneval`); HumanEval-XL's Python files have these columns.
    Where rows have `base_input` and `plus_input`, the function must also agree with the canonical solution
    on them. With `repeats: n` and `metrics: [pass@1, pass@k]`, k up to n, each task is asked n times.
    """

    licence = "MIT"
    citation = "Chen et al. 2021, Evaluating Large Language Models Trained on Code, arXiv:2107.03374"
    default_metrics: tuple[str, ...] = ("pass@1",)
    revisions: ClassVar[Mapping[str, str]] = {
        "openai/openai_humaneval": "7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544"
    }

    def load(self, spec: BenchmarkConfig, config: Config) -> SampleSet:
        """Read the tasks, and make sure that their programs can be run before anything is asked.

        Raises:
            ConfigError: no such data, a key that this benchmark does not use, or pass@k with too few repeats.
            MissingDependencyError: model-written code cannot be isolated here; says what to do.
            LoadError: no usable row, or more bad ones than `limits.max_error_rate`.
        """
        refuse_keys(spec, HUB_KEYS)
        warnings = _check_metrics(spec.metrics or self.default_metrics, config.repeats)
        data = open_data(spec, config, self.revisions)
        bad = BadRows(data.name, config.limits.max_error_rate)
        split = data.read(spec.split or data.default_split, bad)
        samples: dict[str, Sample] = {}
        for _, place, row in split.rows:
            try:
                sample = self._sample(row, spec.name)
            except ValueError as exc:
                bad.add(place, str(exc))
                continue
            if sample.id in samples:
                bad.add(place, f"task_id {sample.id!r} was used before")
            else:
                samples[sample.id] = sample
        warnings += bad.settle(len(samples))
        chosen = stratified([*samples.values()], spec.limit, seed=config.seed, stratum=lambda _: "")
        where = f"{data.name}, split {split.name!r}" if split.name else data.name
        return SampleSet(samples=chosen, data=where, sha256=split.sha256, warnings=warnings)

    def request(self, sample: Sample, passages: Sequence[Chunk] | None, settings: Settings) -> Request:
        """Ask for the whole function; passages, if there are any, come first."""
        shown = ""
        if passages:
            numbered = "\n\n".join(f"[{n}] {chunk.text}" for n, chunk in enumerate(passages, start=1))
            shown = render("humaneval.passages", passages=numbered) + "\n\n"
        user = render("humaneval.user", passages=shown, prompt=sample.question.strip())
        return Request(
            messages=(Message(role="user", content=user),),
            settings=settings,
            question=sample.question,
            passages=tuple(passages or ()),
        )

    def prompt_hashes(self) -> Mapping[str, str]:
        """Return the hash of the template for the one way of asking."""
        return {"complete": prompt_hash("humaneval.user", "humaneval.passages")}

    def _sample(self, row: Any, benchmark: str) -> Sample:
        """Return the task in `row`; ValueError says what is wrong with it."""
        if not isinstance(row, Mapping):
            raise ValueError("no columns with names")  # noqa: TRY004  # a bad row, not a bad argument
        name, prompt = _text(row, "entry_point"), _text(row, "prompt")
        if not name.isidentifier() or f"def {name}" not in prompt:
            raise ValueError(f"'prompt' does not define {name[:40]!r}, its 'entry_point'")
        solution = row.get("canonical_solution") or ""
        metadata = {"entry_point": name, "test": _text(row, "test")}
        inputs = [*_inputs(row, "base_input"), *_inputs(row, "plus_input")]
        if inputs:
            metadata |= {"inputs": json.dumps(inputs), "reference": _text(row, "canonical_solution")}
            metadata["atol"] = str(float(row.get("atol") or 0))
        if row.get("natural_language"):
            metadata["natural_language"] = str(row["natural_language"])
        return Sample(
            id=_text(row, "task_id"),
            benchmark=benchmark,
            question=prompt,
            targets=(str(solution),) if solution else (),
            metadata=metadata,
        )


class HumanEvalPlus(HumanEval):
    """HumanEval with many more inputs for each function, and mistakes of the original mended.

    Rows are EvalPlus's own (`HumanEvalPlus.jsonl.gz`, with `base_input`, `plus_input` and `atol`), or the
    hub's (`evalplus/humanevalplus`, whose tests hold the inputs). A program passes if it passes the original
    test and agrees with the canonical solution on every input.
    """

    licence = "Apache-2.0"
    citation = (
        "Liu et al. 2023, Is Your Code Generated by ChatGPT Really Correct? (EvalPlus), arXiv:2305.01210"
    )
    revisions: ClassVar[Mapping[str, str]] = {
        "evalplus/humanevalplus": "aa0d916268b1c17e84e881e9bd460508dd2fd308"
    }

    def _sample(self, row: Any, benchmark: str) -> Sample:
        sample = super()._sample(row, benchmark)
        if "inputs" not in sample.metadata and not _ADDED.search(sample.metadata["test"]):
            raise ValueError("neither 'plus_input' nor a test with its inputs: this is HumanEval itself")
        return sample


def _check_metrics(names: Sequence[str], repeats: int) -> tuple[str, ...]:
    tries = [int(found[1]) for name in names if (found := _PASS_AT.fullmatch(name))]
    if not tries:
        return ()
    most = max(tries)
    if most > repeats:
        raise ConfigError(f"pass@{most} needs {most} replies to each task or more; set 'repeats: {most}'.")
    open_sandbox()
    return () if is_isolated() else ("model-written code runs unconfined, as --unsafe-local-code allows",)


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"no '{key}'")
    return value


def _inputs(row: Mapping[str, Any], key: str) -> list[Any]:
    value = row.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, list) for one in value):
        raise ValueError(f"{key!r} should be a list of argument lists, not {str(value)[:60]!r}")
    return value
