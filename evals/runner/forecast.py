"""What a run will cost, before it is run: calls, tokens, money, with the error of the estimate stated."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from evals.core import Sample
from evals.runner.contexts import Collections, context_keys
from evals.runner.spec import RunSpec, given_config, resolve_spec
from evals.runner.systems import System, build_systems, uncovered
from rag.config import Config
from rag.core import Chunk

__all__ = ["Forecast", "SystemForecast", "plan"]

_CHARS_PER_TOKEN = 4
# English prose runs at 4 to 5 characters a token, Portuguese, code and tables at 3.
_CHARS_PER_TOKEN_HIGH, _CHARS_PER_TOKEN_LOW = 5, 3
_OUTPUT_WHEN_UNLIMITED = 1024
_LEAST_OUTPUT = 8
_RETRIEVED = 6
_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemForecast:
    """What one system will take. Costs are None where the price is unknown or depends on time.

    `input_tokens` is estimated at 4 characters a token; the low and high cost take 5 and 3, and for the
    output 8 tokens and all of `max_tokens` (1,024 where none is set).
    """

    name: str
    provider: str
    model: str
    calls: int
    input_tokens: int
    output_tokens_max: int
    cost_low_usd: Decimal | None
    cost_high_usd: Decimal | None
    price_note: str | None = None

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return name, calls, input tokens, most output tokens and cost as text."""
        cost = self.price_note or f"{self.cost_low_usd:.4f} to {self.cost_high_usd:.4f}"
        return (
            self.name,
            f"{self.calls:,}",
            f"{self.input_tokens:,}",
            f"{self.output_tokens_max:,}",
            cost,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """What a run will take, by system."""

    systems: tuple[SystemForecast, ...]
    budget_usd: Decimal | None
    warnings: tuple[str, ...]

    @property
    def calls(self) -> int:
        """All calls, retries not counted."""
        return sum(system.calls for system in self.systems)

    @property
    def cost_high_usd(self) -> Decimal | None:
        """The most that the systems with a known price can cost; None where none is known."""
        known = [s.cost_high_usd for s in self.systems if s.cost_high_usd is not None]
        return sum(known, Decimal(0)) if known else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know: the error of the estimate, the cap, what is odd about the data."""
        estimate = (
            "input tokens are estimated at 4 characters each (expect 20 % fewer to 33 % more), "
            "output tokens at all that max_tokens allows; retries not counted"
        )
        notes = [estimate]
        if self.budget_usd is not None:
            notes.append(f"the run stops before it spends more than ${self.budget_usd}")
        return (*notes, *self.warnings)

    def to_json(self) -> dict[str, Any]:
        """Return plain values: money as decimal strings, None where unknown."""
        return {
            "calls": self.calls,
            "cost_high_usd": _text(self.cost_high_usd),
            "budget_usd": _text(self.budget_usd),
            "systems": [
                {
                    **{field.name: getattr(system, field.name) for field in fields(system)},
                    "cost_low_usd": _text(system.cost_low_usd),
                    "cost_high_usd": _text(system.cost_high_usd),
                }
                for system in self.systems
            ],
            "notes": list(self.notes),
        }


def plan(
    config: Path | str | Config, *, limit: int | None = None, budget: Decimal | float | None = None
) -> Forecast:
    """Check a config as `run` does and say what the run will take; no provider is called.

    Passages are retrieved for a few samples, and their length taken for all.

    Raises:
        UsageError: the config names something that does not exist or is missing; says what.
    """
    resolved, text = given_config(config, limit=limit, budget=budget)
    spec = resolve_spec(resolved, text)
    systems = build_systems(resolved, None)
    collections = Collections(spec)
    try:
        return Forecast(
            systems=tuple(_system(system, spec, collections) for system in systems),
            budget_usd=resolved.limits.budget_usd,
            warnings=(*spec.warnings, *uncovered(resolved, systems)),
        )
    finally:
        collections.close()


def _system(system: System, spec: RunSpec, collections: Collections) -> SystemForecast:
    characters = calls = output = 0
    if system.caller is not None:
        for benchmark in spec.benchmarks:
            passages = _typical(system, benchmark.samples, collections)
            for sample in benchmark.samples:
                request = system.request(benchmark, sample, passages)
                characters += sum(len(message.content) for message in request.messages)
                output += request.settings.max_tokens or _OUTPUT_WHEN_UNLIMITED
            calls += len(benchmark.samples)
    repeats = spec.config.repeats
    calls, characters, output = calls * repeats, characters * repeats, output * repeats
    low = _cost(system, characters // _CHARS_PER_TOKEN_HIGH, min(calls * _LEAST_OUTPUT, output))
    high = _cost(system, -(-characters // _CHARS_PER_TOKEN_LOW), output)
    return SystemForecast(
        name=system.name,
        provider=system.provider,
        model=system.model,
        calls=calls,
        input_tokens=characters // _CHARS_PER_TOKEN,
        output_tokens_max=output,
        cost_low_usd=low,
        cost_high_usd=high,
        price_note=_price_note(system),
    )


def _typical(
    system: System, samples: tuple[Sample, ...], collections: Collections
) -> tuple[Chunk, ...] | None:
    """Return the median-length passages among those of a few samples spread over the benchmark."""
    if system.rag is None or system.config.rag is None:
        return None
    key = context_keys(collections.rags, collections.fingerprints())[system.rag]
    some = samples[:: max(1, len(samples) // _RETRIEVED)][:_RETRIEVED]
    found = [collections.retrieve(sample, system.config.rag, key).passages for sample in some]
    found.sort(key=lambda passages: sum(len(passage.text) for passage in passages))
    return found[len(found) // 2] if found else ()


def _cost(system: System, input_tokens: int, output_tokens: int) -> Decimal | None:
    price = system.price
    if system.caller is None or (price is not None and price["kind"] == "free"):
        return Decimal(0)
    if system.config.runnable is not None:
        return None  # what it asks of whom is its own affair; the question is the least of it
    if price is None or price["input_per_mtok"] is None or price["output_per_mtok"] is None:
        return None
    paid = input_tokens * Decimal(price["input_per_mtok"]) + output_tokens * Decimal(price["output_per_mtok"])
    return paid / _MILLION


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _price_note(system: System) -> str | None:
    if system.caller is None:
        return "answers given elsewhere: no calls"
    if system.price is None:
        return "price unknown"
    if system.price["kind"] == "per_hour":
        return f"${system.price['usd_per_hour']} per busy hour (assumed)"
    if system.config.runnable is not None:
        return "known afterwards: a Runnable calls what it likes"
    return None
