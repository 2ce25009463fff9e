"""What the headers of a reply say about the pace that a provider allows."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rag.core import RateLimits
from rag.providers.failures import parse_wait

__all__ = ["read_rate_limits"]

_OPENAI = "x-ratelimit-{part}-{what}"
_ANTHROPIC = "anthropic-ratelimit-{what}-{part}"
_TOKENS = ("tokens", "input-tokens", "output-tokens")
_WORDS = {"true": True, "false": False}

_Window = tuple[int | None, int | None, float | None]
_NOTHING: _Window = (None, None, None)


def read_rate_limits(headers: Mapping[str, str], *, now: float | None = None) -> RateLimits | None:
    """Return what `headers` say about requests and tokens, None where they say nothing.

    Reads OpenAI's `x-ratelimit-*` (resets such as `6m0s`, or in Unix time; Groq, xAI, Together and others
    send the same) and Anthropic's `anthropic-ratelimit-*` (RFC 3339 resets; of its three kinds of tokens the
    one with the least left). Values that make no sense, such as Azure's remaining -1 with reset 0, are None.
    `now` is Unix time.
    """
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    if not any(name.startswith(("x-ratelimit-", "anthropic-ratelimit-", "x-should-")) for name in lower):
        return None
    moment = time.time() if now is None else now
    requests = _window(lower, "requests", moment)
    tokens = min(
        (_window(lower, what, moment) for what in _TOKENS),
        key=lambda window: (window[1] is None, window[1] or 0, window == _NOTHING),
    )
    found = RateLimits(
        requests_limit=requests[0],
        requests_remaining=requests[1],
        requests_reset_s=requests[2],
        tokens_limit=tokens[0],
        tokens_remaining=tokens[1],
        tokens_reset_s=tokens[2],
        should_retry=_WORDS.get(lower.get("x-should-retry", "").lower()),
    )
    return None if found == RateLimits() else found


def _window(headers: Mapping[str, str], what: str, now: float) -> _Window:
    """Return limit, remaining and seconds to the reset; a reset without a remainder says nothing."""
    for pattern in (_OPENAI, _ANTHROPIC):
        limit = _count(headers.get(pattern.format(part="limit", what=what), ""))
        remaining = _count(headers.get(pattern.format(part="remaining", what=what), ""))
        if limit is not None or remaining is not None:
            reset = parse_wait(headers.get(pattern.format(part="reset", what=what), ""), now=now)
            return limit or None, remaining, None if remaining is None else reset
    return _NOTHING


def _count(value: str) -> int | None:
    """Return a whole number that is not negative; some servers write it as `100.0`."""
    try:
        number = float(value)
    except ValueError:
        return None
    return int(number) if 0 <= number < 2**53 else None
