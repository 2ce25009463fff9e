"""Refusals understood: waits in every form, statuses and words to outcomes, no secret in any line."""

from __future__ import annotations

import time
from email.utils import formatdate

import orjson
import pytest

from rag.core import Outcome
from rag.providers.failures import classify, one_line, parse_wait, wait_asked_for

NOW = 1_800_000_000.0
GROQ_AD = "Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("2", 2.0),
        (" 7 ", 7.0),
        ("0.5", 0.5),
        ("3600", 3600.0),
        ("1m30s", 90.0),
        ("6m0s", 360.0),
        ("500ms", 0.5),
        ("1h2m3s", 3723.0),
        ("1.5s", 1.5),
        ("34s", 34.0),
        (formatdate(NOW + 120, usegmt=True), 120.0),
        (formatdate(NOW - 120, usegmt=True), 0.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 4096250880.0 - NOW),
        ("1800000012", 12.0),
        ("1800000012000", 12.0),
        ("1799999000", 0.0),
        ("-5", None),
        ("-5s", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        ("soon", None),
        ("12 parsecs", None),
        ("5x", None),
        ("1s1m", None),
        ("Wed, 99 Oct 2099", None),
    ],
)
def test_every_form_of_wait(value: str, seconds: float | None):
    found = parse_wait(value, now=NOW)
    assert found == (None if seconds is None else pytest.approx(seconds, abs=1))


@pytest.mark.parametrize(
    ("headers", "text", "seconds"),
    [
        ({"Retry-After": "3"}, "", 3),
        ({"retry-after-ms": "250", "retry-after": "9"}, "", 0.25),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, "", 360),
        ({"x-ratelimit-remaining-tokens": "10", "x-ratelimit-reset-tokens": "6m0s"}, "", None),
        ({"x-ratelimit-remaining-requests": "-1", "x-ratelimit-reset-requests": "0"}, "", None),
        ({}, "Rate limit reached. Please try again in 1m2.5s. Visit us.", 62.5),
        ({}, "Please try again later", None),
        ({"retry-after": "garbage"}, "", None),
    ],
)
def test_waits_from_headers_and_words(headers: dict[str, str], text: str, seconds: float | None):
    assert wait_asked_for(headers, text) == seconds


@pytest.mark.parametrize("value", ["Fri Jan 15 08:02:00 2027", "Fri, 15 Jan 2027 08:02:00"])
def test_a_date_without_a_zone_is_not_that_of_this_machine(value: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "America/Sao_Paulo")
    time.tzset()
    try:
        assert parse_wait(value, now=NOW) == 120.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_refusal_that_names_the_moment_in_unix_time_asks_for_seconds():
    moment = str(int(time.time()) + 20)
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": moment}
    assert wait_asked_for(headers) == pytest.approx(20, abs=2)
    assert wait_asked_for({"retry-after": moment}) == pytest.approx(20, abs=2)


@pytest.mark.parametrize(
    ("status", "error", "outcome"),
    [
        (429, {"code": "insufficient_quota", "message": "x"}, Outcome.QUOTA),
        (429, "too many", Outcome.RATE_LIMITED),
        (429, {"code": "rate_limit_exceeded", "message": f"per minute. {GROQ_AD}"}, Outcome.RATE_LIMITED),
        (429, {"message": f"Check your plan and billing details. {GROQ_AD}"}, Outcome.QUOTA),
        (402, "pay", Outcome.QUOTA),
        (400, {"message": "prompt is too long: 9 tokens > 8"}, Outcome.CONTEXT_LENGTH),
        (500, {"message": "the request exceeds the available context size"}, Outcome.CONTEXT_LENGTH),
        (400, {"message": "API key not valid"}, Outcome.AUTH),
        (413, {"message": "too big"}, Outcome.BAD_REQUEST),
        (405, {"message": "no"}, Outcome.BAD_REQUEST),
        (504, {"message": "late"}, Outcome.TIMEOUT),
        (599, {"message": "?"}, Outcome.SERVER_ERROR),
    ],
)
def test_statuses_and_words(status: int, error: object, outcome: Outcome):
    assert classify(status, {}, orjson.dumps({"error": error})).outcome is outcome


@pytest.mark.parametrize(
    "text",
    [
        "key sk-abcdef123456 is wrong",
        "gsk_abcdefghijkl and xai-abcdefghijkl",
        "Authorization: Bearer verysecrettoken",
        "https://user:verysecrettoken@host/v1",
        "url ?api_key=verysecrettoken&x=1",
        "mine is verysecrettoken",
    ],
)
def test_no_secret_survives(text: str):
    line = one_line(text, secret="verysecrettoken")
    assert "verysecrettoken" not in line
    assert "abcdef" not in line


def test_a_line_is_one_plain_line():
    line = one_line("a\n\tb\x1b[31m\u202e" + "c" * 500)
    assert line.startswith("a b [31m c")
    assert len(line) <= 200
    assert line.isprintable()
