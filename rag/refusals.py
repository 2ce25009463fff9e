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
_GIVEN = r"(?:given|provided)"
_TEXTS = rf"(?:{_GIVEN} )?(?:documents?|passages?|context|sources?|excerpts?)(?: {_GIVEN})?"
_SAY = r"(?:answer|contain|hold|mention|provide|say|include|specify|state|give|discuss|address)"
_CANNOT = r"(?:i )?(?:cannot|can't|could not|couldn't) (?:answer|find)"
_TEXTOS = (
    r"(?:documentos?|passage(?:m|ns)|trechos?|contexto|fontes?)(?: (?:fornecid[oa]s?|apresentad[oa]s?))?"
)
_DIZEM = (
    r"(?:respondem?|contem|mencionam?|traz(?:em)?|informam?|fornecem?|especificam?|diz(?:em)?|indicam?"
    r"|inclu(?:i|em)|apresentam?)"
)
_FORMS = re.compile(
    r"^(?:(?:i'm |i am )?sorry[,.]? (?:but )?|unfortunately, )?(?:"
    rf"(?:the|these) {_TEXTS} (?:do|does)(?: not|n't) {_SAY}"
    rf"|none of the {_TEXTS} {_SAY}"
    rf"|there is no (?:information|mention|answer)\b[^.]* in the {_TEXTS}"
    rf"|the answer (?:to this question )?is not (?:\w+ )?in the {_TEXTS}"
    rf"|{_CANNOT}[^.]*{_TEXTS}"
    rf"|based on the {_TEXTS}, {_CANNOT})"
    r"|^(?:(?:desculpe|lamento|infelizmente)[,.]? (?:mas )?)?(?:"
    rf"(?:os|as|o|a) {_TEXTOS} nao {_DIZEM}"
    rf"|nenhuma? d[oa]s {_TEXTOS} {_DIZEM}"
    rf"|nao (?:ha|existem?) (?:informac|resposta|menc)[^.]* n[oa]s? {_TEXTOS}"
    rf"|nao (?:encontrei|foi possivel encontrar|e possivel responder)\b[^.]* (?:n|pel)?[oa]s? {_TEXTOS})"
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
    Portuguese; but not where words with a mark such as `[1]` stand before or after it, which are an answer.

    Args:
        answer: the text, with or without its citation lines.
        quoted: whether the reply gave quotes for it. It then refuses only where it is a sentence of
            `REFUSALS` and no more.
    """
    text = fold(" ".join(answer.split())).replace("\u2019", "'")
    if quoted:
        return _KNOWN.fullmatch(MARKER.sub("", text).strip(" .,")) is not None
    said = _KNOWN.search(text, 0, _NEAR_START) or _FORMS.search(text, 0, _NEAR_START)
    if said is None:
        return False
    more = _LETTER.search(text, said.end())
    before = _LETTER.search(text, 0, said.start())
    cited = (more and MARKER.search(text, more.end())) or (
        before and MARKER.search(text, before.end(), said.start())
    )
    return not cited
