"""MMLU-Pro: harder questions with up to ten options, answered after some reasoning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from evals.benchmarks.multiple_choice import MAX_OPTIONS, Item, MultipleChoice, item_text, letter_of
from evals.core import Sample

__all__ = ["MMLUPro"]

_COT = "A: "


class MMLUPro(MultipleChoice):
    """Multiple choice with up to ten options over 14 subjects, answered after some reasoning.

    The prompt is the authors': five worked examples of the subject from the `validation` split, each of which
    ends in `the answer is (X)`. Leave room for the reasoning (`max_tokens` of 1,024 or more). In mode
    `logprob` there is no reasoning, and MMLU's prompt.
    Rows are the hub's: `question`, `options`, `answer`, `category`, `cot_content`.
    """

    licence = "MIT"
    citation = "Wang et al. 2024, MMLU-Pro, arXiv:2406.01574"
    revisions: ClassVar[Mapping[str, str]] = {
        "TIGER-Lab/MMLU-Pro": "b189ec765aa7ed75c8acfea42df31fdae71f97be"
    }
    shots_split = "validation"

    def item(self, row: Any) -> Item:
        """Return the item in a row; options that are `N/A` only fill the list's end and are left out."""
        if not isinstance(row, Mapping):
            raise ValueError("no columns with names")  # noqa: TRY004  # a bad row, not a bad argument
        question, options = row.get("question"), row.get("options")
        if not isinstance(question, str) or not question.strip():
            raise ValueError("no 'question'")
        if not isinstance(options, Sequence) or isinstance(options, str):
            raise ValueError("no list of 'options'")  # noqa: TRY004
        choices = tuple(map(str, options))
        while choices and choices[-1] == "N/A":
            choices = choices[:-1]
        if not 2 <= len(choices) <= MAX_OPTIONS:
            raise ValueError(f"{len(choices)} options where two to {MAX_OPTIONS} are expected")
        solution = str(row.get("cot_content") or "").removeprefix(_COT).strip()
        return Item(
            question=question,
            choices=choices,
            letter=letter_of(row.get("answer"), len(choices)),
            id=str(row["question_id"]) if row.get("question_id") is not None else None,
            subject=str(row["category"]) if row.get("category") else None,
            solution=solution or None,
        )

    def templates(self, mode: str) -> Sequence[str]:
        """Return the templates of a mode."""
        if mode == "generate":
            return "mmlu_pro.user", "mmlu.passages"
        return "mmlu.user", "mmlu.passages", "mmlu.system"

    def show(self, sample: Sample, mode: str) -> str:
        """Return an item with the authors' headings, save where only a letter is asked for."""
        text = item_text(sample)
        if mode != "generate":
            return text
        question = sample.question.strip()
        return f"Question:\n{question}\nOptions:{text[len(question) :]}"
