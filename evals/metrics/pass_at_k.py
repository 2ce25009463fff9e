"""pass@k: the chance that one of k programs passes the tests; every program is run in the sandbox."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from evals.core import Record, Sample, Score, ScoreItem
from evals.metrics.code import Extracted, extract_program
from evals.sandbox import Exam, Kind, Verdict, open_sandbox
from rag.core import Chunk

__all__ = ["PassAtK", "exam_of", "pass_at_k", "tries_of"]

_NAME = re.compile(r"pass@([1-9]\d{0,3})")
_DETAIL = 160
# EvalPlus's added inputs take up to a hundred times as long as HumanEval's own.
_PATIENCE = 6


class PassAtK:
    """1 where the program passes, else 0; the reason is the kind of failure, its detail and the rule.

    One reply scores the same for every k: a report makes one value of a sample's repeats, for k of 1 their
    mean and for more Chen's estimator (`pass_at_k`). `names` are `pass@K`, all scored by one run.

    Raises:
        MissingDependencyError: model-written code cannot be isolated here; says what to do.
    """

    needs_answer = True
    needs_passages = False

    def __init__(self, names: Sequence[str] = ("pass@1",)) -> None:
        self.names = tuple(names)
        self._sandbox = open_sandbox()
        self._verdicts: dict[tuple[str, str], Verdict] = {}

    def inapplicable(self, sample: Sample) -> str | None:
        """Return that a sample asks for no program."""
        return None if "entry_point" in sample.metadata else "no program is asked for"

    def prepare(self, items: Sequence[ScoreItem]) -> None:
        """Run the programs of many replies, one a processor at a time, and those that are alike once."""
        exams: dict[tuple[str, str], Exam] = {}
        for sample, record, _ in items:
            program = "" if self.inapplicable(sample) else _program(sample, record).program
            if program and record.completion.outcome.answered:
                exams[sample.id, program] = exam_of(sample, program)
        self._verdicts.clear()
        for key, verdict in zip(exams, self._sandbox.examine_all(exams.values()), strict=True):
            self._verdicts[key] = verdict

    def score(self, sample: Sample, record: Record, passages: Sequence[Chunk]) -> Sequence[Score]:  # noqa: ARG002
        """Run the program of the reply against the sample's tests."""
        found = _program(sample, record)
        if not found.program:
            return self._scores(passed=False, reason=f"{Kind.SYNTAX}: no code in the reply")
        known = self._verdicts.get((sample.id, found.program))
        verdict = known or self._sandbox.examine(exam_of(sample, found.program))
        detail = f": {' '.join(verdict.detail.split())[:_DETAIL]}" if verdict.detail else ""
        return self._scores(passed=verdict.passed, reason=f"{verdict.kind}{detail} [{found.rule}]")

    def _scores(self, *, passed: bool, reason: str) -> list[Score]:
        return [Score(metric=name, value=float(passed), reason=reason) for name in self.names]


def _program(sample: Sample, record: Record) -> Extracted:
    entry_point = sample.metadata["entry_point"]
    return extract_program(record.completion.text, prompt=sample.question, entry_point=entry_point)


def exam_of(sample: Sample, program: str) -> Exam:
    """Return the exam of a program for `sample`: its test, and the added inputs if it has any."""
    facts = sample.metadata
    inputs = json.loads(facts.get("inputs") or "[]")
    return Exam(
        program=program,
        entry_point=facts["entry_point"],
        test=facts.get("test", ""),
        setup=sample.question,
        reference=sample.question + facts.get("reference", ""),
        inputs=inputs,
        atol=float(facts.get("atol") or 0),
        patience=_PATIENCE if inputs else 1,
    )


def pass_at_k(tries: float, passed: float, k: int) -> float:
    """Return the unbiased estimate of pass@k from `passed` of `tries` programs.

    1 - C(n-c, k) / C(n, k), as the product 1 - prod(1 - k/i) over i from n-c+1 to n.

    Source:
        Chen et al. 2021, Evaluating Large Language Models Trained on Code, arXiv:2107.03374, equation 1.

    Raises:
        ValueError: fewer than `k` tries.
    """
    n, c = round(tries), round(passed)
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"pass@{k} of {c} passed in {n} tries")
    if n - c < k:
        return 1.0
    product = 1.0
    for i in range(n - c + 1, n + 1):
        product *= 1.0 - k / i
    return 1.0 - product


def tries_of(name: str) -> int | None:
    """Return k of a metric's name `pass@k`; None for other names."""
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else None
