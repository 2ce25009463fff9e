"""What a provider's refusal means: HTTP status, headers and error body to an Outcome, a wait and one line."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from rag.core import Outcome

__all__ = ["Failure", "classify", "classify_inside", "error_in", "one_line", "parse_wait", "wait_asked_for"]

_MAX_LINE = 200
_UNIX_TIME = 1e9  # so many seconds are no wait but a moment, in seconds or milliseconds since 1970
_SECRETS = re.compile(
    r"\b(?:sk|gsk|xai|hf|pk|rk|fw|csk|nvapi|AIza|tgp_v1)[-_][\w*.-]{6,}"
    r"|\bAIza[\w-]{20,}"
    r"|(?i:(?<=bearer )\S+)"
    r"|(?i:(?<=api[_-]key=)[^\s&]+)"
    r"|(?<=://)[^/\s@]+(?=@)"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")
_DURATION = re.compile(
    r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?"
)
_WAIT_IN_TEXT = re.compile(
    r"(?:try again|retry) (?:in|after) ((?:\d+(?:\.\d+)?(?:h|ms|m|s))+)", re.IGNORECASE
)

_ADDRESS = re.compile(r"https?://\S+")  # "upgrade at https://.../billing" stands in plain refusals for pace
_CONTEXT = re.compile(
    r"context[_ ](?:length|window|size|limit)|maximum context|prompt is too long|too many (?:input )?tokens"
    r"|exceeds? the (?:model'?s )?max(?:imum)? (?:number of )?(?:input )?tokens|exceed_context_size",
    re.IGNORECASE,
)
_FILTER = re.compile(
    r"content_?filter|content[_ ](?:management )?policy|ResponsibleAIPolicy|flagged", re.IGNORECASE
)
_QUOTA = re.compile(
    r"insufficient[_ ](?:quota|credits?|balance|funds)|exceeded your current quota|billing"
    r"|spend(?:ing)?[_ ]limit|API usage limits|credit balance|out of credits|payment required",
    re.IGNORECASE,
)
_AUTH = re.compile(
    r"invalid[_ ]api[_ ]key|authentication|unauthorized|permission[_ ](?:denied|error)|forbidden",
    re.IGNORECASE,
)
_RATE = re.compile(r"rate[_ ]?limit|too many requests|resource_exhausted", re.IGNORECASE)
_BUSY = re.compile(r"overloaded|unavailable|capacity|loading model", re.IGNORECASE)
_BAD = re.compile(
    r"invalid[_ ]request|bad[_ ]?request|not[_ ]found|unsupported|does not exist|too[_ ]large", re.IGNORECASE
)

_BY_STATUS = {
    401: Outcome.AUTH,
    402: Outcome.QUOTA,
    403: Outcome.AUTH,
    404: Outcome.NOT_FOUND,
    408: Outcome.TIMEOUT,
    409: Outcome.SERVER_ERROR,
    425: Outcome.SERVER_ERROR,
    429: Outcome.RATE_LIMITED,
    503: Outcome.OVERLOADED,
    504: Outcome.TIMEOUT,
    529: Outcome.OVERLOADED,
}

_WORTH_WAITING = frozenset({Outcome.RATE_LIMITED, Outcome.OVERLOADED, Outcome.SERVER_ERROR, Outcome.TIMEOUT})

# Where the words of an error say more than its status; the first match wins.
_EXCEPTIONS = (
    (frozenset({403, 429}), _QUOTA, Outcome.QUOTA),
    (frozenset({403}), _FILTER, Outcome.CONTENT_FILTER),
    (frozenset({400, 413, 422, 500}), _CONTEXT, Outcome.CONTEXT_LENGTH),
    (frozenset({400, 422}), _FILTER, Outcome.CONTENT_FILTER),
    (frozenset({400, 422}), _QUOTA, Outcome.QUOTA),
    (frozenset({400}), re.compile(r"api[_ ]key|location is not supported", re.IGNORECASE), Outcome.AUTH),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A refusal understood: its outcome, one plain line, and the seconds it asks to wait."""

    outcome: Outcome
    message: str
    retry_after_s: float | None = None


def classify(status: int, headers: Mapping[str, str], body: bytes, *, secret: str | None = None) -> Failure:
    """Explain a reply whose status is not 200; `secret` is blanked out of the message."""
    error = error_in(_json(body))
    text = _words(error)
    outcome = _which_quota(error, _outcome(status, text))
    wait = _wait(outcome, headers, error)
    said = _message(error) or ("an HTML page" if b"<html" in body[:2000].lower() else _decode(body))
    if 300 <= status < 400:
        said = "a redirect, which is not followed; check the base URL"
    return Failure(
        outcome=outcome,
        message=one_line(f"HTTP {status}: {said}" if said else f"HTTP {status}", secret=secret),
        retry_after_s=wait,
    )


def classify_inside(error: Any, headers: Mapping[str, str], *, secret: str | None = None) -> Failure:
    """Explain an error that came inside a reply with status 200, whole or in the middle of a stream."""
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str) and code.isdigit():
        code = int(code)
    text = _words(error)
    if isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600:
        outcome = _which_quota(error, _outcome(code, text))
    else:
        outcome = _outcome_by_words(text)
    return Failure(
        outcome=outcome,
        message=one_line(f"error inside the reply: {_message(error) or text}", secret=secret),
        retry_after_s=_wait(outcome, headers, error),
    )


def _outcome(status: int, text: str) -> Outcome:
    for statuses, pattern, outcome in _EXCEPTIONS:
        if status in statuses and pattern.search(text):
            return outcome
    return _BY_STATUS.get(status) or (Outcome.SERVER_ERROR if status >= 500 else Outcome.BAD_REQUEST)


def _which_quota(error: Any, outcome: Outcome) -> Outcome:
    """Tell a quota of the minute from one of the day, which Google names in details, not in words."""
    if outcome not in {Outcome.QUOTA, Outcome.RATE_LIMITED}:
        return outcome
    violations = [
        v for detail in _details(error) for v in detail.get("violations") or () if isinstance(v, dict)
    ]
    ids = [str(violation.get("quotaId") or "") for violation in violations]
    if any("PerDay" in name for name in ids):
        return Outcome.QUOTA
    return Outcome.RATE_LIMITED if any(ids) or _retry_delay(error) is not None else outcome


def _wait(outcome: Outcome, headers: Mapping[str, str], error: Any) -> float | None:
    if outcome not in _WORTH_WAITING:
        return None
    wait = wait_asked_for(headers)
    if wait is None:
        wait = _retry_delay(error)
    return wait_asked_for({}, _words(error)) if wait is None else wait


def _retry_delay(error: Any) -> float | None:
    """Return the seconds of a google.rpc.RetryInfo."""
    delays = [parse_wait(str(detail.get("retryDelay") or "")) for detail in _details(error)]
    return next((delay for delay in delays if delay is not None), None)


def _details(error: Any) -> list[dict[str, Any]]:
    details = error.get("details") if isinstance(error, dict) else None
    return [d for d in details if isinstance(d, dict)] if isinstance(details, list) else []


def _outcome_by_words(text: str) -> Outcome:
    for pattern, outcome in (
        (_CONTEXT, Outcome.CONTEXT_LENGTH),
        (_QUOTA, Outcome.QUOTA),
        (_RATE, Outcome.RATE_LIMITED),
        (_BUSY, Outcome.OVERLOADED),
        (_AUTH, Outcome.AUTH),
        (_FILTER, Outcome.CONTENT_FILTER),
        (_BAD, Outcome.BAD_REQUEST),
    ):
        if pattern.search(text):
            return outcome
    return Outcome.SERVER_ERROR


def error_in(body: Any) -> Any:
    """Return the error that a decoded body reports (an object or a string), or None where it reports none."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict):
        return None
    if body.get("error"):
        return body["error"]
    if body.get("object") == "error" or ("message" in body and "choices" not in body):
        return body
    if "detail" in body and "choices" not in body:
        return {"message": body["detail"] if isinstance(body["detail"], str) else str(body["detail"])}
    return None


def _message(error: Any) -> str:
    if isinstance(error, dict):
        message = error.get("message")
        return message if isinstance(message, str) else ""
    return error if isinstance(error, str) else ""


def _words(error: Any) -> str:
    """Return everything an error says, its codes included and addresses left out, for matching."""
    text = error if isinstance(error, str) else ""
    if isinstance(error, dict):
        inner = error.get("innererror") or error.get("metadata") or error.get("details") or ""
        text = " ".join(str(error.get(k) or "") for k in ("type", "code", "status", "message")) + f" {inner}"
    return _ADDRESS.sub("", text)


def one_line(text: str, *, secret: str | None = None) -> str:
    """Return `text` as one line of at most 200 characters with anything that looks like a key blanked out."""
    if secret:
        text = text.replace(secret, "[key]")
    text = _SECRETS.sub("[key]", " ".join(_CONTROL.sub(" ", text[:4000]).split()))
    return text if len(text) <= _MAX_LINE else text[: _MAX_LINE - 3].rstrip() + "..."


def wait_asked_for(headers: Mapping[str, str], text: str = "") -> float | None:
    """Return the seconds a refusal asks to wait: from its headers, else from the words of its error."""
    lower = {name.lower(): value for name, value in headers.items()}
    milliseconds = parse_wait(lower.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    wait = parse_wait(lower.get("retry-after", ""))
    if wait is not None:
        return wait
    resets = [
        parse_wait(lower.get(f"x-ratelimit-reset-{what}", ""))
        for what in ("requests", "tokens")
        if lower.get(f"x-ratelimit-remaining-{what}", "").strip() == "0"
    ]
    resets += [
        parse_wait(lower.get(f"anthropic-ratelimit-{what}-reset", ""))
        for what in ("requests", "tokens", "input-tokens", "output-tokens")
        if lower.get(f"anthropic-ratelimit-{what}-remaining", "").strip() == "0"
    ]
    known = [reset for reset in resets if reset]
    if known:
        return max(known)
    found = _WAIT_IN_TEXT.search(text)
    return parse_wait(found[1]) if found else None


def parse_wait(value: str, *, now: float | None = None) -> float | None:
    """Return the seconds that a Retry-After value stands for, None where it makes no sense.

    Reads whole and fractional seconds, durations such as `1m30s` and `500ms`, HTTP dates (RFC 9110, section
    10.2.3), times (RFC 3339) and Unix time, in seconds or milliseconds; a time in the past is 0, a negative
    number makes no sense. `now` is Unix time.
    """
    value = value.strip()
    if not value:
        return None
    moment = time.time() if now is None else now
    try:
        number = float(value)
    except ValueError:
        duration = _duration(value) if value[0].isdigit() else None
        return _until(value, moment) if duration is None else duration
    if not math.isfinite(number) or number < 0:
        return None
    if number < _UNIX_TIME:
        return number
    return max(0.0, (number / 1000 if number >= 1000 * _UNIX_TIME else number) - moment)


def _duration(value: str) -> float | None:
    parts = _DURATION.fullmatch(value.lower())
    if parts is None:
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in parts.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def _until(value: str, now: float) -> float | None:
    try:
        when = datetime.fromisoformat(value) if value[0].isdigit() else parsedate_to_datetime(value)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max(0.0, when.timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _decode(body: bytes) -> str:
    return body[:1000].decode("utf-8", "replace")
