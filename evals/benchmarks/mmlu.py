"""MMLU and data in its form: four options (or up to ten), solved examples of the same subject first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from evals.benchmarks.multiple_choice import (
    MAX_OPTIONS,
    Item,
    MultipleChoice,
    item_text,
    letter_of,
    options_of,
)
from evals.core import Sample
from evals.metrics.choices import letters

__all__ = ["MMLU"]

_CHAT = ("mmlu.user", "mmlu.passages", "mmlu.system")
_CELLS = 4  # of a row without header, at least: the question, two options, the answer


# The authors' own grouping (categories.py of hendrycks/test), in which anatomy is not STEM.
_CATEGORIES = {
    "STEM": """abstract_algebra astronomy college_biology college_chemistry college_computer_science
        college_mathematics college_physics computer_security conceptual_physics electrical_engineering
        elementary_mathematics high_school_biology high_school_chemistry high_school_computer_science
        high_school_mathematics high_school_physics high_school_statistics machine_learning""",
    "humanities": """formal_logic high_school_european_history high_school_us_history
        high_school_world_history international_law jurisprudence logical_fallacies moral_disputes
        moral_scenarios philosophy prehistory professional_law world_religions""",
    "social sciences": """econometrics high_school_geography high_school_government_and_politics
        high_school_macroeconomics high_school_microeconomics high_school_psychology human_sexuality
        professional_psychology public_relations security_studies sociology us_foreign_policy""",
    "other": """anatomy business_ethics clinical_knowledge college_medicine global_facts human_aging
        management marketing medical_genetics miscellaneous nutrition professional_accounting
        professional_medicine virology""",
}


class MMLU(MultipleChoice):
    """Multiple choice over 57 subjects, after five solved examples each.

    The prompt is lm-evaluation-harness's (subject line, solved examples, the item, `Answer:`) as one chat
    message. Rows are the authors' CSV, with or without a header, or `cais/mmlu`'s columns. The metadata of a
    sample names its `category`: STEM, humanities, social sciences, other.
    """

    licence = "MIT"
    citation = "Hendrycks et al. 2021, Measuring Massive Multitask Language Understanding, arXiv:2009.03300"
    categories: ClassVar[Mapping[str, str]] = {
        subject: category for category, subjects in _CATEGORIES.items() for subject in subjects.split()
    }
    modes = ("generate", "logprob", "letters", "cloze")
    revisions: ClassVar[Mapping[str, str]] = {"cais/mmlu": "c30699e8356da336a370243923dbaf21066bb9fe"}

    def item(self, row: Any) -> Item:
        """Return the item in a row of any of MMLU's layouts."""
        if isinstance(row, Mapping):
            lowered = {str(key).strip().lower(): value for key, value in row.items()}
            question, answer, subject = lowered.get("question"), lowered.get("answer"), lowered.get("subject")
            given = lowered.get("choices", lowered.get("options"))
            choices = options_of(given) if given else _columns(lowered)
        else:
            question, *choices, answer = row if len(row) >= _CELLS else ("", None)
            subject = None
        if not isinstance(question, str) or not question.strip():
            few = not isinstance(row, Mapping) and len(row) < _CELLS
            raise ValueError(f"{len(row)} columns where six are expected" if few else "no question")
        texts = tuple(str(choice) for choice in choices if choice is not None)
        if not 2 <= len(texts) <= MAX_OPTIONS:
            raise ValueError(f"{len(texts)} options where two to {MAX_OPTIONS} are expected")
        return Item(
            question=question,
            choices=texts,
            letter=letter_of(answer, len(texts)),
            subject=str(subject) if subject else None,
        )

    def templates(self, mode: str) -> Sequence[str]:
        """Return the templates of a mode; raw text has no system message."""
        if mode == "cloze":
            return "mmlu.cloze", "mmlu.passages"
        return ("mmlu.user", "mmlu.passages") if mode == "letters" else _CHAT

    def show(self, sample: Sample, mode: str) -> str:
        """Return an item with its options, for `cloze` without."""
        return f"Question: {sample.question.strip()}" if mode == "cloze" else item_text(sample)


def _columns(row: Mapping[str, Any]) -> list[Any]:
    numbered = [row[f"choice{n}"] for n in range(MAX_OPTIONS) if f"choice{n}" in row]
    return numbered or [row[letter.lower()] for letter in letters(MAX_OPTIONS) if letter.lower() in row]
