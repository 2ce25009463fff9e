"""Records, samples, contexts and scores as plain JSON, in a schema of our own.

Durations become milliseconds after `sent` (so a decoded `Timing` starts at 0.0), money a decimal string,
outcomes their value, unknown values null. Keys that this version does not know are ignored on reading.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, NamedTuple, TypeVar

import orjson

from evals.core import Context, JudgeReply, Record, Sample, Score
from rag.core import Chunk, Citation, Completion, Message, Outcome, Timing, TokenLogprob, Usage

__all__ = [
    "Key",
    "ScoredRecord",
    "context_from_json",
    "context_to_json",
    "dumps",
    "judge_reply_from_json",
    "judge_reply_to_json",
    "key_from_json",
    "loads",
    "record_from_json",
    "record_to_json",
    "sample_from_json",
    "sample_to_json",
    "scored_from_json",
    "scored_to_json",
]

T = TypeVar("T")
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
_POINTS = ("headers", "first_reasoning", "first_content", "last")


class Key(NamedTuple):
    """What makes a reply unique within a run; a tuple, because reports look up millions of them."""

    benchmark: str
    sample_id: str
    system: str
    repeat: int

    @classmethod
    def of(cls, record: Record) -> Key:
        """Return the key of `record`."""
        return cls(record.benchmark, record.sample_id, record.system, record.repeat)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredRecord:
    """The scores of one reply: a line of `scores.jsonl`."""

    key: Key
    scores: tuple[Score, ...]


def dumps(value: object) -> bytes:
    """Return `value` as one line of JSON.

    Lone surrogates and integers beyond 64 bits, which orjson refuses, are written by the standard library.
    """
    try:
        return orjson.dumps(value, default=_plain)
    except TypeError:
        return json.dumps(value, default=_plain, separators=(",", ":")).encode("ascii")


def loads(data: bytes) -> Any:
    """Return what `dumps` wrote.

    Raises:
        ValueError: `data` is not JSON.
    """
    if _LONG_NUMBER in data.translate(_DIGITS):
        return json.loads(data)  # orjson rounds integers beyond 64 bits to floats
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data)


def record_to_json(record: Record) -> dict[str, Any]:
    """Return `record` as plain values; `kind` tells it from the replies of judges."""
    history = {"history": [_flat(message) for message in record.history]} if record.history else {}
    return {
        "kind": "reply",
        "benchmark": record.benchmark,
        "sample_id": record.sample_id,
        "system": record.system,
        "repeat": record.repeat,
        "started": record.started,
        "prompt_sha256": record.prompt_sha256,
        "shots": record.shots,
        "seed": record.seed,
        "context_key": record.context_key,
        "answer": record.answer,
        "refused": record.refused,
        "citations": [_flat(citation) for citation in record.citations],
        "completion": _completion_to_json(record.completion),
        **history,
    }


def record_from_json(data: Mapping[str, Any]) -> Record:
    """Return the record that `record_to_json` wrote."""
    return Record(
        benchmark=data["benchmark"],
        sample_id=data["sample_id"],
        system=data["system"],
        repeat=data["repeat"],
        started=data["started"],
        prompt_sha256=data["prompt_sha256"],
        shots=data.get("shots", 0),
        seed=data.get("seed"),
        context_key=data["context_key"],
        answer=data["answer"],
        refused=data["refused"],
        citations=tuple(_build(Citation, citation) for citation in data["citations"]),
        completion=_completion_from_json(data["completion"]),
        history=tuple(_build(Message, message) for message in data.get("history", ())),
    )


def judge_reply_to_json(reply: JudgeReply) -> dict[str, Any]:
    """Return the reply of a judge as plain values."""
    return {"kind": "judge", **_flat(reply), "completion": _completion_to_json(reply.completion)}


def judge_reply_from_json(data: Mapping[str, Any]) -> JudgeReply:
    """Return the reply that `judge_reply_to_json` wrote."""
    return _build(JudgeReply, {**data, "completion": _completion_from_json(data["completion"])})


def sample_to_json(sample: Sample) -> dict[str, Any]:
    """Return `sample` as plain values."""
    return _flat(sample)


def sample_from_json(data: Mapping[str, Any]) -> Sample:
    """Return the sample that `sample_to_json` wrote."""
    lists = {name: tuple(data.get(name, ())) for name in ("targets", "choices", "relevant", "gains")}
    shots = tuple((question, letter) for question, letter in data["shots"])
    return _build(Sample, {**data, **lists, "shots": shots})


def context_to_json(context: Context) -> dict[str, Any]:
    """Return `context` as plain values."""
    plain = _flat(context)
    plain["passages"] = [_flat(passage) for passage in context.passages]
    plain["retrieval_ms"] = round(plain.pop("retrieval_s") * 1000, 3)
    return plain


def context_from_json(data: Mapping[str, Any]) -> Context:
    """Return the context that `context_to_json` wrote."""
    passages = tuple(_build(Chunk, passage) for passage in data["passages"])
    return _build(Context, {**data, "passages": passages, "retrieval_s": data["retrieval_ms"] / 1000})


def scored_to_json(scored: ScoredRecord) -> dict[str, Any]:
    """Return the scores of a reply as plain values."""
    return {**scored.key._asdict(), "scores": [_score_to_json(score) for score in scored.scores]}


def scored_from_json(data: Mapping[str, Any]) -> ScoredRecord:
    """Return the scores that `scored_to_json` wrote."""
    return ScoredRecord(key=key_from_json(data), scores=tuple(map(_score, data["scores"])))


def key_from_json(data: Mapping[str, Any]) -> Key:
    """Return the key of a reply, or of its scores, as they were written."""
    return Key(data["benchmark"], data["sample_id"], data["system"], data["repeat"])


def _score(data: Mapping[str, Any]) -> Score:
    found = _one_score(data["metric"], data["value"], data.get("reason"), data.get("error"))
    by_judge = data.get("by_judge")
    return found if by_judge is None else replace(found, by_judge=by_judge)


@lru_cache(maxsize=65536, typed=True)
def _one_score(metric: str, value: float | None, reason: str | None, error: str | None) -> Score:
    # A run holds ten times as many of these as of anything else, and most are alike: they share one.
    return Score(metric=metric, value=value, reason=reason, error=error)


def _score_to_json(score: Score) -> dict[str, Any]:
    plain = _flat(score)
    if score.by_judge is None:
        del plain["by_judge"]
    return plain


def _completion_to_json(completion: Completion) -> dict[str, Any]:
    plain = _flat(completion)
    plain["outcome"] = completion.outcome.value
    plain["usage"] = _flat(completion.usage)
    plain["timing"] = _timing_to_json(completion.timing)
    for name in ("cost", "original_cost"):
        cost = plain.pop(name)
        plain[f"{name}_usd"] = None if cost is None else str(cost)
    plain.pop("rate_limits")  # of the hour of the call: nothing that a report shows
    return plain


def _completion_from_json(data: Mapping[str, Any]) -> Completion:
    plain = {
        **data,
        "outcome": Outcome(data["outcome"]),
        "usage": _build(Usage, data["usage"]),
        "timing": _timing_from_json(data["timing"]),
        "logprobs": tuple(_logprob(item) for item in data.get("logprobs", ())),
    }
    for name in ("cost", "original_cost"):
        plain[name] = _money(plain.pop(f"{name}_usd", None))
    return _build(Completion, plain)


def _money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _logprob(data: Mapping[str, Any]) -> TokenLogprob:
    alternatives = tuple((token, logprob) for token, logprob in data["alternatives"])
    return TokenLogprob(token=data["token"], logprob=data["logprob"], alternatives=alternatives)


def _timing_to_json(timing: Timing) -> dict[str, Any]:
    plain: dict[str, Any] = {"streamed": timing.streamed, "concurrency": timing.concurrency}
    for name in _POINTS:
        reading = getattr(timing, name)
        plain[f"{name}_ms"] = None if reading is None else round((reading - timing.sent) * 1000, 3)
    return plain


def _timing_from_json(data: Mapping[str, Any]) -> Timing:
    readings = {name: _seconds(data[f"{name}_ms"]) for name in _POINTS}
    return Timing(sent=0.0, streamed=data["streamed"], concurrency=data["concurrency"], **readings)


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds / 1000, 6)


def _flat(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _build(kind: type[T], data: Mapping[str, Any]) -> T:
    known = _names(kind)  # type: ignore[arg-type]  # a class is hashable
    if data.keys() <= known:
        return kind(**data)
    return kind(**{name: value for name, value in data.items() if name in known})


@cache
def _names(kind: type[object]) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind))  # type: ignore[arg-type]  # only dataclasses come here


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no place in a run folder")
