"""What judged metrics share: text marked as data, replies read strictly, judgements from replies.

A judge is asked by a generator that yields requests and is sent replies (`evals.core.Judgement`). `consult`
runs it against the replies that are known: the run's calls and the scores made from the journal are the same
code, and the same replies give the same scores.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from evals.core import Case, JudgedMetric, Judgement, Score
from evals.metrics.scoring import settled_scores
from rag.core import Completion, Outcome, Request

__all__ = [
    "NO_VERDICT",
    "UNREADABLE",
    "Known",
    "UnreadableError",
    "Wanted",
    "bordered",
    "consult",
    "object_schema",
    "read_object",
    "request_sha256",
    "score_case",
]

UNREADABLE = "judge: unreadable"
NO_VERDICT = "judge: no verdict"

Known = Callable[[str, int], Completion | None]
"""The reply to the request of that hash, asked for the n-th time in a judgement; None where there is none."""

_MARK_DIGITS = 24
_FENCE = re.compile(r"\A```[a-z]*\n(.*)\n```\Z", re.DOTALL)
_THOUGHT = re.compile(r"\A<think>.*?</think>", re.DOTALL)


class UnreadableError(ValueError):
    """A judge's reply is not what was asked for; counted, never guessed at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A request that a judgement cannot go on without; `ordinal` as in `Known`."""

    request: Request
    sha256: str
    ordinal: int


# ---------------------------------------------------------------- asking


def bordered(label: str, text: str) -> str:
    """Return `text` between lines `<label MARK>` and `</label MARK>`, which no text can imitate.

    The mark is made from the SHA-256 of the text itself: a text that held its own mark would have another.
    Without a draw the same text gives the same request, so that replies are found again.
    """
    digest = hashlib.sha256(f"{label}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()
    mark = digest[:_MARK_DIGITS]
    return f"<{label} {mark}>\n{text}\n</{label} {mark}>"


def object_schema(**properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of an object that has exactly these properties, in their order."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [*properties],
        "additionalProperties": False,
    }


def request_sha256(request: Request) -> str:
    """Return the hash of all that a judgement decides of a request: messages and schema."""
    said = [[message.role, message.content] for message in request.messages]
    plain = json.dumps([said, request.settings.response_schema])  # ASCII: lone surrogates have one form
    return hashlib.sha256(plain.encode()).hexdigest()


# ---------------------------------------------------------------- reading


def read_object(reply: Completion, *keys: str) -> dict[str, Any]:
    """Return the JSON object that a reply consists of; it has `keys`.

    Nothing is searched for: an object that stands somewhere in a longer reply may be quoted from the text
    that is judged. A leading `<think>` block and a code fence around the object are taken off.

    Raises:
        UnreadableError: the reply is something else, or names a key twice.
    """
    text = _THOUGHT.sub("", reply.text.strip()).strip()
    fenced = _FENCE.match(text)
    try:
        found = json.loads(fenced[1] if fenced else text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as exc:
        raise UnreadableError(f"no JSON object: {text[:80]!r}") from exc
    if not isinstance(found, dict):
        raise UnreadableError(f"no JSON object: {text[:80]!r}")
    missing = [key for key in keys if key not in found]
    if missing:
        raise UnreadableError(f"no {missing[0]!r} in {text[:80]!r}")
    return found


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that names a key twice: which of the values counts is anybody's guess."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnreadableError("a key is there twice")
    return found


# ---------------------------------------------------------------- judging


def score_case(metric: JudgedMetric, case: Case, judges: Mapping[str, Known]) -> tuple[Score, ...]:
    """Return the scores of a case from the replies of its judges: with several the mean of their values.

    Judges whose replies cannot be read, or were never received, are left out of the mean; where none is left
    the score has no value and the first judge's reason.
    """
    settled = settled_scores(metric, case.sample, case.record)
    if settled is not None:
        return tuple(settled)
    found = {judge: _verdict(metric, case, known) for judge, known in judges.items()}
    return tuple(
        _combined({judge: scores[place] for judge, scores in found.items()})
        for place in range(len(metric.names))
    )


def consult(metric: JudgedMetric, case: Case, known: Known) -> Sequence[Score] | Wanted:
    """Return what one judge's replies come to, or the first request without a reply.

    The metric's failures are scores: `UNREADABLE`, the outcome of a reply that was refused, an error.
    """
    settled = settled_scores(metric, case.sample, case.record)
    if settled is not None:
        return settled
    judgement = metric.judge(case)
    try:
        return _carried_out(judgement, metric, known)
    except UnreadableError:
        return _alike(metric, reason=UNREADABLE)
    except Exception as exc:  # noqa: BLE001 - whatever a metric raises is its own failure, and data
        return _alike(metric, error=f"{type(exc).__name__}: {exc}"[:300])
    finally:
        judgement.close()


def _carried_out(judgement: Judgement, metric: JudgedMetric, known: Known) -> Sequence[Score] | Wanted:
    asked: Counter[str] = Counter()
    try:
        request = next(judgement)
        while True:
            digest = request_sha256(request)
            reply = known(digest, asked[digest])
            if reply is None:
                return Wanted(request=request, sha256=digest, ordinal=asked[digest])
            if not reply.outcome.answered or reply.outcome is Outcome.REFUSAL:
                return _alike(metric, reason=f"judge: {reply.outcome}")
            asked[digest] += 1
            request = judgement.send(reply)
    except StopIteration as end:
        scores: Sequence[Score] = end.value
        return [
            score if _finite(score) else replace(score, value=None, reason=UNREADABLE) for score in scores
        ]


def _verdict(metric: JudgedMetric, case: Case, known: Known) -> Sequence[Score]:
    found = consult(metric, case, known)
    return _alike(metric, reason=NO_VERDICT) if isinstance(found, Wanted) else found


def _combined(scores: Mapping[str, Score]) -> Score:
    by_judge = {
        judge: score.value if score.value is not None else score.reason or score.error or NO_VERDICT
        for judge, score in scores.items()
    }
    values = [score.value for score in scores.values() if score.value is not None]
    first = next(iter(scores.values()))
    if len(scores) == 1 or not values:
        return replace(first, by_judge=by_judge)
    said = "; ".join(
        f"{judge} {f'{value:.3g}' if isinstance(value, float) else value}"
        for judge, value in by_judge.items()
    )
    return Score(metric=first.metric, value=fmean(values), reason=said, by_judge=by_judge)


def _alike(metric: JudgedMetric, *, reason: str | None = None, error: str | None = None) -> list[Score]:
    return [Score(metric=name, value=None, reason=reason, error=error) for name in metric.names]


def _finite(score: Score) -> bool:
    return score.value is None or math.isfinite(score.value)
