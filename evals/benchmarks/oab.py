"""The first phase of the Brazilian bar examination: four options, in Portuguese."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evals.benchmarks.multiple_choice import Excluded, Item, MultipleChoice, letter_of, options_of

__all__ = ["OAB"]

_OPTIONS = 4
_AREAS = {
    "ADMINISTRATIVE": "direito administrativo",
    "BUSINESS": "direito empresarial",
    "CHILDREN": "estatuto da criança e do adolescente",
    "CIVIL": "direito civil",
    "CIVIL-PROCEDURE": "processo civil",
    "CONSTITUTIONAL": "direito constitucional",
    "CONSUMER": "direito do consumidor",
    "CRIMINAL": "direito penal",
    "CRIMINAL-PROCEDURE": "processo penal",
    "ENVIRONMENTAL": "direito ambiental",
    "ETHICS": "ética profissional",
    "HUMAN-RIGHTS": "direitos humanos",
    "INTERNATIONAL": "direito internacional",
    "LABOUR": "direito do trabalho",
    "LABOUR-PROCEDURE": "processo do trabalho",
    "PHILOSOPHY": "filosofia do direito",
    "TAXES": "direito tributário",
}


class OAB(MultipleChoice):
    """Questions of the Exame de Ordem of the Brazilian bar, by area of law, without the nullified ones.

    Rows are legal-nlp/oab-exams' (`question`, `choices`, `answer`, `areas`, `nullified`) or the hub's
    `eduagarcia/oab_exams` (`choices: {text, label}`, `answerKey`, `question_type`; `split: train`).
    """

    licence = "MIT"
    citation = "Delfino et al. 2017, Passing the Brazilian OAB Exam, arXiv:1712.05128"
    language = "pt"
    general = "direito"
    answer = "Resposta:"

    def item(self, row: Any) -> Item:
        """Return the question in a row of either layout."""
        if not isinstance(row, Mapping):
            raise ValueError("no columns with names")  # noqa: TRY004  # a bad row, not a bad argument
        question = row.get("question")
        if not isinstance(question, str) or not question.strip():
            raise ValueError("no 'question'")
        if row.get("nullified"):
            raise Excluded("nullified by the examiners")
        choices = row.get("choices")
        texts = choices.get("text") if isinstance(choices, Mapping) else choices
        options = tuple(str(text).strip() for text in options_of(texts or ()))
        if len(options) != _OPTIONS:
            raise ValueError(f"{len(options)} choices where {_OPTIONS} are expected")
        return Item(
            question=question.strip(),
            choices=options,
            letter=letter_of(row.get("answer") or row.get("answerKey"), _OPTIONS),
            id=str(row["id"]) if row.get("id") is not None else None,
            subject=_area(row.get("areas") or row.get("question_type")),
        )

    def templates(self, mode: str) -> Sequence[str]:  # noqa: ARG002  # both modes ask alike
        """Return the templates of every mode, in Portuguese."""
        return "oab.user", "exam_pt.passages", "exam_pt.system"


def _area(given: object) -> str | None:
    first = given[0] if isinstance(given, Sequence) and given and not isinstance(given, str) else given
    name = str(first or "").strip()
    return _AREAS.get(name.upper(), name.lower()) or None
