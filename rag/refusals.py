"""Refusals: what a system says when the documents do not answer, and how to know it when it is said."""

from __future__ import annotations

import re

from rag.quotes import MARKER
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
    r"^(?:(?:i'm |i am )?sorry[,.]? (?:but )?)?"
    r"(?:the|these) (?:given |provided )?(?:documents?|passages?|context) (?:do|does)(?: not|n't) "
    r"(?:answer|contain|hold|mention|provide|say|include)"
    r"|^(?:os|as|o|a) (?:documentos?|passagens|trechos|contexto) (?:fornecid[oa]s? )?nao "
    r"(?:respondem?|contem|mencionam?|trazem|informam?|fornecem?)"
    r"|^(?:i )?(?:cannot|can't|could not) (?:answer|find)[^.]*(?:documents?|passages?|context)"
)
_KNOWN = re.compile("|".join(re.escape(fold(sentence).rstrip(".")) for sentence in REFUSALS.values()))
_NEAR_START = 300  # characters
_LETTER = re.compile(r"[^\W\d_]")


def refusal(language: str | None) -> str:
    """Return the refusal sentence for an ISO 639-1 code; English where there is none."""
    return REFUSALS.get(language or "en", REFUSALS["en"])


def refuses(answer: str, *, quoted: bool = False) -> bool:
    """Return whether `answer` says that the documents do not answer, and nothing else that it cites.

    True for each sentence of `REFUSALS` near the start, and for common ways of saying the same in English and
    Portuguese; but not where words with a mark such as `[1]` follow, which are an answer.

    Args:
        answer: the text, with or without its citation lines.
        quoted: whether the reply gave quotes for it. It then refuses only where it is a sentence of
            `REFUSALS` and no more.
    """
    text = fold(" ".join(answer.split())).replace("\u2019", "'")
    if quoted:
        return _KNOWN.fullmatch(MARKER.sub("", text).strip(" .,")) is not None
    said = _KNOWN.search(text, 0, _NEAR_START) or _FORMS.search(text, 0, _NEAR_START)
    more = _LETTER.search(text, said.end()) if said else None
    return said is not None and not (more and MARKER.search(text, more.end()))
