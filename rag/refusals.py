"""Refusals: what a system says when the documents do not answer, and how to know it when it is said."""

from __future__ import annotations

import re

from rag.text import fold

__all__ = ["REFUSALS", "refusal", "refuses"]

REFUSALS = {
    "en": "The documents do not answer this question.",
    "pt": "Os documentos não respondem a esta pergunta.",
    "es": "Los documentos no responden a esta pregunta.",
    "fr": "Les documents ne répondent pas à cette question.",
    "de": "Die Dokumente beantworten diese Frage nicht.",
}
_FORMS = re.compile(
    r"^(?:i(?:'m| am) sorry[,.]? (?:but )?)?"
    r"(?:the|these) (?:given |provided )?(?:documents?|passages?|context) (?:do|does) not "
    r"(?:answer|contain|hold|mention|provide|say|include)"
    r"|^(?:os|as|o|a) (?:documentos?|passagens|trechos|contexto) (?:fornecid[oa]s? )?nao "
    r"(?:respondem?|contem|mencionam?|trazem|informam?|fornecem?)"
    r"|^(?:i )?(?:cannot|can't|could not) (?:answer|find)[^.]*(?:documents?|passages?|context)"
)


def refusal(language: str | None) -> str:
    """Return the refusal sentence for an ISO 639-1 code; English where there is none."""
    return REFUSALS.get(language or "en", REFUSALS["en"])


def refuses(answer: str) -> bool:
    """Return whether `answer` says that the documents do not answer.

    True for each sentence of `REFUSALS` near the start, and for common ways of saying the same in English and
    Portuguese.
    """
    start = fold(" ".join(answer.split()))[:300]
    known = any(fold(sentence).rstrip(".") in start for sentence in REFUSALS.values())
    return known or bool(_FORMS.search(start))
