"""Which option a reply chose: an ordered cascade of rules, each taking its last match.

The order is from the most explicit to the least. First-match readers misread `Both A and C fail, so D`;
readers without word boundaries take the A out of `Answer`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rag.text import fold, words

__all__ = ["Choice", "extract_choice", "letters"]

_MAX_CHARS = 20_000
_RUNS = re.compile(r"([\W_])\1{2,}")
_NEXT_QUESTION = re.compile(r"(?<=\S)\s*\n\s*(?:Question|Quest[ãa]o|Pergunta)\s*\d{0,4}\s*:")
# Of folded text: lower case, no accents.
_DECLINED = re.compile(
    r"\b(?:i (?:cannot|can't|can ?not|am unable to|am not able to|won't|will not|must decline)"
    r"|i'm (?:sorry|unable|not able)|as an ai"
    r"|nao (?:posso|consigo|sou capaz)|desculpe|lamento|sinto muito"
    r"|como (?:uma? )?(?:ia|modelo de linguagem))\b"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The letter found and the rule that found it; no letter: `rule` is `"unparsed"` or `"refused"`."""

    letter: str | None
    rule: str


def letters(count: int) -> str:
    """Return the option letters of `count` options: `"ABCD"` for 4."""
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:count]


@lru_cache(maxsize=16384)
def extract_choice(reply: str, choices: tuple[str, ...]) -> Choice:
    r"""Return the option that `reply` chose, in English or Portuguese (a little Spanish, French, German).

    The rules, in order; each takes its last match in the reply:

    1. `direct`: the first line is a letter and nothing else: `B`, `(B)`, `**B.**`
    2. `phrase`: `Answer: (B)`, `the answer is B`, `Resposta: b`, `alternativa correta é a letra C`
    3. `stated`: `B is correct`, `a letra C está certa`
    4. `marked`: `**B**`, `**B) text**`, `\boxed{B}`
    5. `line`: a line that starts with `B.` or `(B)`
    6. `option`: the reply, or its first or last line, is the text of one option
    7. `letter`: a capital letter alone, that is not the word A, E, O or I, nor turned down (`not A`)
    8. `mention`: exactly one option's text occurs in the reply

    Left out before: thoughts up to `</think>`; a further question that the model asked itself; lines of
    several different options, which repeat or discuss the list; and lists of letters (`A or B`), which
    choose nothing. What is left without a letter is `refused` where the reply declines to answer
    (`I cannot help with that`), else `unparsed`.

    Args:
        reply: what the model wrote, without its reasoning; at most the last 20,000 characters are read.
        choices: the options' texts, in the order of their letters.
    """
    # Long runs of blanks and stars are squeezed: the patterns would spend quadratic time on them.
    text = _RUNS.sub(r"\1\1", reply[-_MAX_CHARS:].rpartition("</think>")[2]).strip()
    text = _NEXT_QUESTION.split(text, maxsplit=1)[0]
    plain = _without_lists(_without_discussed_options(text, len(choices)), len(choices))
    for rule in (_direct, _phrase, _stated, _marked, _line, _option, _letter, _mention):
        letter = rule(plain, choices)
        if letter is not None:
            return Choice(letter=letter.upper(), rule=rule.__name__.lstrip("_"))
    return Choice(letter=None, rule="refused" if _DECLINED.search(fold(text)) else "unparsed")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Patterns:
    direct: re.Pattern[str]
    phrase: re.Pattern[str]
    phrase_lower: re.Pattern[str]
    stated: re.Pattern[str]
    listed: re.Pattern[str]
    marked: re.Pattern[str]
    line: re.Pattern[str]
    letter: re.Pattern[str]


_OPENING = r"[\s*_`\"'“‘(\[{<$]{0,12}"
# A, E, I, O are words too: taken as letters only where no lower-case word follows, save for connectives.
_NOT_A_WORD = (
    r"(?!(?<=[AEIO])\s+(?!(?:because|since|as|is|and|but|due|which|pois|porque|que|por|já|é|com)\b)[a-zà-ÿ])"
)
_SUBJECT = (
    r"(?:answers?|choice|option|solution|resposta|alternativa|op[çc][ãa]o|letra|gabarito|item"
    r"|respuesta|opci[óo]n|r[ée]ponse|antwort)"
    r"(?:\s+(?:final|correct|corret[ao]|correcta|cert[ao]|right|best|choice|option|answer|letter)){0,4}"
)
_VERB = (
    r"(?:\s{0,4}[*_\"']{0,3}\s{0,4}"
    r"(?::|=|-{1,2}>?|→|\b(?:is|would be|must be|should be|é|seria|ser[áa]|es|est|ist|lautet)\b)){1,3}"
)
_RIGHT = (
    r"(?:is|é|est[áa]|es|est)\s+(?:indeed\s+|clearly\s+)?(?:(?:the|a|o|la)\s+)?(?:most\s+|mais\s+)?"
    r"(?:correct|right|best|true|accurate|appropriate|corret[ao]|cert[ao]|melhor|verdadeir[ao]|correcta"
    r"|answer|resposta)\b"
)
# Before a letter, and after it: words that turn it down.
_NOT = re.compile(
    r"(?i)(?:\b(?:not|cannot|(?<!other )than|over|instead\s+of|não|nem|em\s+vez\s+d[aeo]|nicht)|n['’]t)"
    r"(?:\s+(?:be|choose|pick|é|est[áa]|a|o|the|option|letter|choice|answer|letra|alternativa|op[çc][ãa]o)){0,4}"
    r"[\s*_\"'“‘(\[]*$"
)
_WRONG = re.compile(
    r"(?i)[)\]*.\"'”]{0,3}\s{1,3}(?:is|was|é|est[áa]|es|est)\s+"
    r"(?:not\b|não\b|wrong|false\b|incorrect|inaccurate|incorret|errad|fals[ao]\b|faux\b)"
)
_OR = r"\s{0,3}(?:,|;|/|&|,?\s{0,3}\b(?:and|or|e|ou|nor|nem|y|o|et|und|oder)\b)\s{0,3}"
_KIND = (
    r"(?:(?:the|a|o|la)\s+)?(?:(?:option|letter|choice|answer|letra|alternativa|op[çc][ãa]o|item)\s*:?\s*)?"
)


@lru_cache(maxsize=32)
def _patterns(count: int) -> _Patterns:
    span = letters(count)
    upper = f"([{span}])"
    either = f"([{span}{span.lower()}])"
    close = r"(?!\w|['’]\w)"
    return _Patterns(
        direct=re.compile(rf"{_OPENING}{either}[\s*_`\"'”’)\]}}>$.:,]*"),
        phrase=re.compile(rf"(?i:\b{_SUBJECT}{_VERB}{_OPENING}{_KIND}{_OPENING}){upper}{close}{_NOT_A_WORD}"),
        phrase_lower=re.compile(
            rf"(?i)\b{_SUBJECT}{_VERB}{_OPENING}{_KIND}{_OPENING}{either}(?=[\s*_`\"'”’]*(?:[)\].,;:]|$|\n))"
        ),
        stated=re.compile(rf"(?<![\w'’.-]){upper}[)\]*.\"'”]{{0,3}}\s{{1,3}}(?i:{_RIGHT})"),
        listed=re.compile(rf"(?<![\w'’.-])\(?{upper}\)?(?:{_OR}\(?[{span}]\)?(?![\w'’.-]\w|\w))+"),
        marked=re.compile(
            rf"\*\*\s*\(?{upper}(?:\s*[).:][^*\n]*)?\s*\*\*|\\boxed\{{\s*(?:\\\w+\{{)?\s*\(?{upper}\)?"
        ),
        line=re.compile(rf"(?m)^[\s>*_-]*(?:\({upper}\)|\[{upper}\]|{upper}\s*[.):](?!\w))"),
        letter=re.compile(rf"(?<![\w'’.-]){upper}(?![\w'’-]|\.\w){_NOT_A_WORD}"),
    )


def _without_discussed_options(text: str, count: int) -> str:
    line = _patterns(count).line
    found = {next(g for g in m.groups() if g) for m in line.finditer(text)}
    if len(found) <= 1:
        return text
    return "\n".join(part for part in text.split("\n") if not line.match(part))


def _without_lists(text: str, count: int) -> str:
    """Blank out `A, B and C`; a letter that comes again (`A and B, B`) ends the list and stays.

    So does one that a new sentence begins with: `not C, D is right`.
    """
    stated, begins = _patterns(count).stated, re.compile(rf"[,;]\s*\(?(?=[{letters(count)}]\)?\Z)")

    def blanked(match: re.Match[str]) -> str:
        begun = begins.search(match.group())
        if begun and stated.match(text, match.start() + begun.end()):
            return " " * begun.end() + match.group()[begun.end() :]
        seen: set[str] = set()
        for found in re.finditer(rf"[{letters(count)}]", match.group()):
            if found.group() in seen:
                return " " * found.start() + match.group()[found.start() :]
            seen.add(found.group())
        return " " * len(match.group())

    return _patterns(count).listed.sub(blanked, text)


def _last(matches: Iterator[re.Match[str]]) -> tuple[int, str] | None:
    found = [(m.end(), next(g for g in m.groups() if g)) for m in matches]
    return found[-1] if found else None


def _direct(text: str, choices: Sequence[str]) -> str | None:
    match = _patterns(len(choices)).direct.fullmatch(text.split("\n", 1)[0].strip())
    return match.group(1) if match else None


def _phrase(text: str, choices: Sequence[str]) -> str | None:
    patterns = _patterns(len(choices))
    found = [_last(p.finditer(text)) for p in (patterns.phrase, patterns.phrase_lower)]
    hits = [hit for hit in found if hit]
    return max(hits)[1] if hits else None


def _stated(text: str, choices: Sequence[str]) -> str | None:
    hit = _last(_patterns(len(choices)).stated.finditer(text))
    return hit[1] if hit else None


def _marked(text: str, choices: Sequence[str]) -> str | None:
    hit = _last(_patterns(len(choices)).marked.finditer(text))
    return hit[1] if hit else None


def _line(text: str, choices: Sequence[str]) -> str | None:
    hit = _last(_patterns(len(choices)).line.finditer(text))
    return hit[1] if hit else None


def _letter(text: str, choices: Sequence[str]) -> str | None:
    found = [
        m
        for m in _patterns(len(choices)).letter.finditer(text)
        if not _NOT.search(text, max(0, m.start() - 60), m.start())
    ]
    # Where a false statement is asked for, the one that is said to be wrong is the answer.
    kept = [m for m in found if not _WRONG.match(text, m.end())] or found
    return kept[-1][1] if kept else None


def _option(text: str, choices: Sequence[str]) -> str | None:
    options = [_plain(choice) for choice in choices]
    lines = text.split("\n")
    for part in (text, lines[-1], lines[0]):
        body = re.sub(r"(?i)^.*?\b(?:answer|resposta)\b\s*(?:is|é|:)+\s*", "", part.strip())
        found = [i for i, option in enumerate(options) if option and option in (_plain(part), _plain(body))]
        if len(found) == 1:
            return letters(len(choices))[found[0]]
    return None


def _mention(text: str, choices: Sequence[str]) -> str | None:
    padded = f" {_plain(text)} "
    options = [_plain(choice) for choice in choices]
    found = [i for i, option in enumerate(options) if option and f" {option} " in padded]
    # "sodium chloride" mentions the option "sodium" too: the longer one is meant.
    longest = [i for i in found if not any(j != i and f" {options[i]} " in f" {options[j]} " for j in found)]
    return letters(len(choices))[longest[0]] if len(longest) == 1 else None


def _plain(text: str) -> str:
    return " ".join(words(fold(text)))
