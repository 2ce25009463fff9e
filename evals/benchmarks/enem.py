"""ENEM, the Brazilian secondary-school examination: five options, in Portuguese."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from evals.benchmarks.multiple_choice import Excluded, Item, MultipleChoice, letter_of, options_of

__all__ = ["ENEM"]

_AREAS = ("linguagens", "ciências humanas", "ciências da natureza", "matemática")
_QUESTIONS_PER_AREA = 45
_OPTIONS = 5


class ENEM(MultipleChoice):
    """Questions of the Exame Nacional do Ensino Médio, by area, without those that need an image.

    How many were left out, and why, is among the warnings; captions do not stand in for images. Rows are
    those of piresramon/gpt-4-enem (`context`, `question`, `options`, `label`) or the hub's `maritaca-ai/enem`
    (`question`, `alternatives`, `label`, `figures`; `subset` is the year, `split: train`). The area follows
    from the number of the question, 45 each.
    """

    licence = "MIT"
    citation = (
        "Nunes et al. 2023, Evaluating GPT-3.5 and GPT-4 Models on Brazilian University Admission Exams, "
        "arXiv:2303.17003"
    )
    language = "pt"
    general = "conhecimentos gerais"
    answer = "Resposta:"

    def item(self, row: Any) -> Item:
        """Return the question in a row of either layout."""
        if not isinstance(row, Mapping):
            raise ValueError("no columns with names")  # noqa: TRY004  # a bad row, not a bad argument
        parts = [str(row.get(key) or "").strip() for key in ("context", "question")]
        question, label = "\n".join(part for part in parts if part), row.get("label")
        if not question:
            raise ValueError("no 'question'")
        if row.get("has_associated_images") or row.get("associated_images") or row.get("figures"):
            raise Excluded("needs an image")
        options = row.get("options") if "options" in row else row.get("alternatives")
        if not options:
            raise Excluded("options are images")
        if label is not None and len(str(label).strip()) > 1:  # "ANULADO"
            raise Excluded("nullified by the examiners")
        choices = tuple(str(option).strip() for option in options_of(options))
        if len(choices) != _OPTIONS:
            raise ValueError(f"{len(choices)} options where {_OPTIONS} are expected")
        return Item(
            question=question,
            choices=choices,
            letter=letter_of(label, _OPTIONS),
            id=_identity(row),
            subject=_area(row),
        )

    def templates(self, mode: str) -> Sequence[str]:  # noqa: ARG002  # both modes ask alike
        """Return the templates of every mode, in Portuguese."""
        return "enem.user", "exam_pt.passages", "exam_pt.system"


def _identity(row: Mapping[str, Any]) -> str | None:
    if row.get("id") is None:
        return None
    own, exam = str(row["id"]), str(row.get("exam") or "")
    return own if exam in own else f"{exam}/{own}"


def _area(row: Mapping[str, Any]) -> str | None:
    number = row.get("number")
    if number is None:
        found = re.search(r"(\d+)$", str(row.get("id") or ""))
        number = found.group(1) if found else None
    place = (int(number) - 1) // _QUESTIONS_PER_AREA if number is not None else -1
    return _AREAS[place] if 0 <= place < len(_AREAS) else None
