"""What headers say about the pace, and every form in which a refusal can name its wait."""

from __future__ import annotations

import time
from email.utils import formatdate

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core import RateLimits
from rag.providers.failures import classify
from rag.providers.rates import read_rate_limits

NOW = 1_800_000_000.0


def test_openai_headers():
    headers = {
        "x-ratelimit-limit-requests": "60",
        "X-RateLimit-Remaining-Requests": "59",
        "x-ratelimit-reset-requests": "500ms",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert read_rate_limits(headers) == RateLimits(
        requests_limit=60,
        requests_remaining=59,
        requests_reset_s=0.5,
        tokens_limit=150_000,
        tokens_remaining=149_984,
        tokens_reset_s=360,
    )


@pytest.mark.parametrize("moment", ["1800000012", "1800000012000", "1799999000"])
def test_a_reset_in_unix_time_is_no_wait_of_decades(moment: str):
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": moment}
    found = read_rate_limits(headers, now=NOW)
    assert found is not None
    assert found.requests_reset_s == (12.0 if moment.startswith("18") else 0.0)


def test_anthropic_headers_and_the_tightest_kind_of_tokens():
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:05Z",
        "anthropic-ratelimit-tokens-limit": "48000",
        "anthropic-ratelimit-tokens-remaining": "48000",
        "anthropic-ratelimit-tokens-reset": "2027-01-15T08:00:00Z",
        "anthropic-ratelimit-input-tokens-limit": "40000",
        "anthropic-ratelimit-input-tokens-remaining": "40000",
        "anthropic-ratelimit-input-tokens-reset": "2027-01-15T08:00:00Z",
        "anthropic-ratelimit-output-tokens-limit": "8000",
        "anthropic-ratelimit-output-tokens-remaining": "1000",
        "anthropic-ratelimit-output-tokens-reset": "2027-01-15T08:00:30+00:00",
    }
    assert read_rate_limits(headers, now=NOW) == RateLimits(
        requests_limit=50,
        requests_remaining=49,
        requests_reset_s=5,
        tokens_limit=8000,
        tokens_remaining=1000,
        tokens_reset_s=30,
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/json"},
        {
            "x-ratelimit-limit-requests": "-1",
            "x-ratelimit-remaining-requests": "-1",
            "x-ratelimit-reset-requests": "0",
        },
        {"x-ratelimit-remaining-requests": "many", "x-ratelimit-reset-requests": "soon"},
        {"x-ratelimit-reset-tokens": "6m0s"},
        {"anthropic-ratelimit-tokens-reset": "2027-99-99T00:00:00Z"},
        {"x-ratelimit-remaining-tokens": "nan", "x-ratelimit-limit-tokens": "inf"},
    ],
)
def test_what_makes_no_sense_says_nothing(headers: dict[str, str]):
    assert read_rate_limits(headers) is None


@pytest.mark.parametrize(("value", "word"), [("true", True), ("False", False)])
def test_the_servers_word_on_retries(value: str, word: bool):
    assert read_rate_limits({"X-Should-Retry": value}) == RateLimits(should_retry=word)
    assert read_rate_limits({"x-should-retry": "maybe"}) is None


@given(st.dictionaries(st.sampled_from([
    f"{start}{middle}{end}"
    for start, middle, end in (
        ("x-ratelimit-remaining-", "requests", ""),
        ("x-ratelimit-reset-", "requests", ""),
        ("x-ratelimit-limit-", "tokens", ""),
        ("anthropic-ratelimit-tokens-", "reset", ""),
        ("anthropic-ratelimit-tokens-", "remaining", ""),
    )
]), st.text(max_size=24)))  # fmt: skip
def test_no_header_breaks_the_reading(headers: dict[str, str]):
    found = read_rate_limits(headers)
    for name in ("requests_remaining", "tokens_limit", "tokens_remaining", "requests_reset_s"):
        value = getattr(found, name, None)
        assert value is None or value >= 0


GEMINI = {
    "error": {
        "code": 429,
        "message": "You exceeded a limit.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}],
            },
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"},
        ],
    }
}
_RESET = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}
_TOKENS = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"}


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "2"}, b"", 2),
        ({"Retry-After": "0"}, b"", 0),
        ({"retry-after": "1.5"}, b"", 1.5),
        ({"retry-after": " 7 "}, b"", 7),
        ({"retry-after": "3600"}, b"", 3600),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, b"", 0),
        ({"retry-after": "-5"}, b"", None),
        ({"retry-after": "soon"}, b"", None),
        ({"retry-after": ""}, b"", None),
        ({"retry-after": "nan"}, b"", None),
        ({"retry-after": "inf"}, b"", None),
        ({"retry-after": "30s"}, b"", 30),
        ({"retry-after": "1m30s"}, b"", 90),
        ({"retry-after": "500ms"}, b"", 0.5),
        ({"retry-after": "1h"}, b"", 3600),
        ({"retry-after-ms": "120"}, b"", 0.12),
        ({"retry-after-ms": "120", "retry-after": "9"}, b"", 0.12),
        ({"retry-after-ms": "-1", "retry-after": "9"}, b"", 9),
        (_RESET, b"", 360),
        (_TOKENS, b"", 0.12),
        ({"x-ratelimit-remaining-requests": "-1", "x-ratelimit-reset-requests": "0"}, b"", None),
        ({}, b'{"error": {"message": "Please try again in 1m2.5s."}}', 62.5),
        ({}, orjson.dumps(GEMINI), 34),
        ({}, orjson.dumps([GEMINI]), 34),
    ],
)
def test_every_form_of_a_named_wait(headers: dict[str, str], body: bytes, seconds: float | None):
    wait = classify(429, headers, body).retry_after_s
    assert wait == (None if seconds is None else pytest.approx(seconds, abs=1e-9))


def test_a_date_to_come_is_waited_for():
    headers = {"retry-after": formatdate(time.time() + 90, usegmt=True)}
    assert classify(429, headers, b"").retry_after_s == pytest.approx(90, abs=5)
