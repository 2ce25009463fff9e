"""Prices: Decimal, dated, unknown stays unknown, cached tokens apart, long contexts dearer."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from rag.config import PriceConfig
from rag.core import Usage
from rag.pricing import FREE, Price, Rate, cost, price_for

TOKENS = Usage(input_tokens=1000, cached_input_tokens=400, cache_write_tokens=100, output_tokens=50)
CONFIGURED = PriceConfig(
    input_per_mtok=Decimal(2),
    cached_input_per_mtok=Decimal("0.5"),
    cache_write_per_mtok=Decimal(3),
    output_per_mtok=Decimal(10),
    as_of=date(2026, 11, 1),
)


def test_cached_and_written_tokens_are_priced_apart():
    price = price_for("lab", "mock", CONFIGURED)
    assert (
        cost(price, TOKENS, None) == Decimal(500 * 2 + 400 * Decimal("0.5") + 100 * 3 + 50 * 10) / 1_000_000
    )
    plain = PriceConfig(input_per_mtok=Decimal(2), output_per_mtok=Decimal(10))
    assert cost(price_for("lab", "mock", plain), TOKENS, None) == Decimal(2500) / 1_000_000


@pytest.mark.parametrize("usage", [Usage(), Usage(input_tokens=5), Usage(output_tokens=5)])
def test_unknown_tokens_have_no_cost(usage: Usage):
    assert cost(price_for("lab", "mock", CONFIGURED), usage, 1.0) is None


def test_unknown_prices_have_no_cost():
    assert price_for("openai", "no-such-model-at-all", genai_id="openai") is None
    assert price_for("lab", "mock") is None
    assert cost(None, TOKENS, 1.0) is None


def test_what_runs_here_is_free_or_priced_by_the_hour():
    assert price_for("local", "smollm2-135m", local=True) is FREE
    assert cost(FREE, Usage(), None) == 0
    hourly = price_for("local", "m", PriceConfig(usd_per_hour=Decimal("0.40")), local=True)
    assert cost(hourly, Usage(), 9.0) == Decimal("0.001")
    assert cost(hourly, TOKENS, None) is None
    assert hourly.assumption
    assert "assumed" in hourly.describe()


def test_a_long_input_takes_the_higher_tier():
    rate = Rate(base=Decimal(1), tiers=((200_000, Decimal(2)),))
    price = Price(kind="per_token", source="t", input=rate, output=Rate(base=Decimal(4)))
    assert cost(price, Usage(input_tokens=200_000, output_tokens=0), None) == Decimal("0.2")
    assert cost(price, Usage(input_tokens=200_001, output_tokens=0), None) == Decimal("0.400002")
    assert rate.highest == 2


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "gpt-4o-mini"), ("groq", "llama-3.3-70b-versatile"), ("mistral", "mistral-small-latest")],
)
def test_genai_prices_agree_with_their_own_arithmetic(provider: str, model: str):
    import genai_prices

    price = price_for(provider, model, genai_id=provider)
    assert price.as_of >= date(2026, 1, 1)
    assert price.source.startswith("genai-prices ")
    used = Usage(input_tokens=12_345, cached_input_tokens=2_345, output_tokens=678)
    theirs = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=12_345, cache_read_tokens=2_345, output_tokens=678),
        model_ref=model,
        provider_id=provider,
    )
    assert cost(price, used, None) == theirs.total_price
