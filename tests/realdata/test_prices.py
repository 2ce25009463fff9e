"""Our prices of common models against an independent table (LiteLLM's)."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from rag.pricing import price_for

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("vendor", "genai_id", "model", "entry"),
    [
        ("openai", "openai", "gpt-4o-mini", "gpt-4o-mini"),
        ("openai", "openai", "gpt-4o", "gpt-4o"),
        ("openai", "openai", "gpt-4.1-mini", "gpt-4.1-mini"),
        ("groq", "groq", "openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
        ("groq", "groq", "openai/gpt-oss-20b", "groq/openai/gpt-oss-20b"),
        ("xai", "x-ai", "grok-4.5", "xai/grok-4.5"),
        ("mistral", "mistral", "codestral-2508", "mistral/codestral-2508"),
    ],
)
def test_prices_agree(shared_data: Path, vendor: str, genai_id: str, model: str, entry: str):
    (table,) = (shared_data / "llm_prices").glob("litellm_model_prices_*.json")
    theirs = json.loads(table.read_text(encoding="utf-8"), parse_float=Decimal)[entry]
    ours = price_for(vendor, model, genai_id=genai_id)
    assert ours.input.base == Decimal(theirs["input_cost_per_token"]) * MILLION
    assert ours.output.base == Decimal(theirs["output_cost_per_token"]) * MILLION
