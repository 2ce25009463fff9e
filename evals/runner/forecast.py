"""What a run will take: calls, tokens, money, and how people are shown them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from rag.providers.tokens import ESTIMATE

__all__ = ["OUTPUT_WHEN_UNLIMITED", "Forecast", "SystemForecast", "total"]

OUTPUT_WHEN_UNLIMITED = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemForecast:
    """What one system, or a judge, will take. Costs are None where the price is unknown or depends on time.

    `input_tokens` is the likely number, between `input_tokens_low` and `input_tokens_high`; all three are the
    same where the model's own tokenizer `counted`. The low cost takes the low number, all of it read from the
    provider's cache, and one token of output a call; the high cost the high number and an output of all that
    `max_tokens` allows (1,024 where none is set).
    """

    name: str
    provider: str
    model: str
    calls: int
    input_tokens: int
    input_tokens_low: int
    input_tokens_high: int
    counted: bool
    output_tokens_max: int
    unlimited_output: bool
    cost_low_usd: Decimal | None
    cost_high_usd: Decimal | None
    price: str | None = None
    price_note: str | None = None

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return name, calls, input tokens, most output tokens and cost as text."""
        return (
            self.name,
            f"{self.calls:,}",
            _tokens(self.input_tokens, self.input_tokens_low, self.input_tokens_high),
            f"{self.output_tokens_max:,}",
            self.price_note or _range(self.cost_low_usd, self.cost_high_usd),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """What a run will take, by system and in total."""

    systems: tuple[SystemForecast, ...]
    budget_usd: Decimal | None
    warnings: tuple[str, ...]

    @property
    def calls(self) -> int:
        """All calls, retries not counted."""
        return sum(system.calls for system in self.systems)

    @property
    def cost_low_usd(self) -> Decimal | None:
        """The least that the systems with a known price can cost; None where none is known."""
        return total([system.cost_low_usd for system in self.systems])

    @property
    def cost_high_usd(self) -> Decimal | None:
        """The most that the systems with a known price can cost; None where none is known."""
        return total([system.cost_high_usd for system in self.systems])

    @property
    def unknown(self) -> tuple[str, ...]:
        """The systems whose cost cannot be told beforehand; the totals leave them out."""
        return tuple(system.name for system in self.systems if system.cost_high_usd is None)

    def total_cells(self) -> tuple[str, str, str, str, str]:
        """Return the sums as text, in the order of `SystemForecast.cells`."""
        sums = [
            sum(getattr(system, name) for system in self.systems)
            for name in ("input_tokens", "input_tokens_low", "input_tokens_high", "output_tokens_max")
        ]
        cost = _range(self.cost_low_usd, self.cost_high_usd)
        beside = (
            f" and {len(self.unknown)} unknown" if self.unknown and self.cost_high_usd is not None else ""
        )
        return ("total", f"{self.calls:,}", _tokens(*sums[:3]), f"{sums[3]:,}", cost + beside)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know: the error of the estimate, the prices, the cap, what is odd."""
        called = [system for system in self.systems if system.calls]
        notes = ["output tokens are at most what max_tokens allows; retries are not counted"]
        if any(not system.counted for system in called):
            notes.append(f"input tokens are {ESTIMATE}; the bounds are its error")
        counted = [system.name for system in called if system.counted and system.input_tokens]
        if counted:
            notes.append(f"tokens of {', '.join(counted)} are counted with the model's own tokenizer")
        if any(system.unlimited_output for system in called):
            notes.append(f"where no max_tokens is set, {OUTPUT_WHEN_UNLIMITED:,} tokens of output are taken")
        notes.extend(f"price of {system.name}: {system.price}" for system in called if system.price)
        if self.budget_usd is not None:
            notes.append(f"the run stops before it spends more than ${self.budget_usd}")
        return (*notes, *self.warnings)

    def to_json(self) -> dict[str, Any]:
        """Return plain values: money as decimal strings, None where unknown."""
        return {
            "calls": self.calls,
            "cost_low_usd": _text(self.cost_low_usd),
            "cost_high_usd": _text(self.cost_high_usd),
            "unknown": list(self.unknown),
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


def total(amounts: Sequence[Decimal | None]) -> Decimal | None:
    """Return the sum of those that are known, None where none is."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"


def _range(low: Decimal | None, high: Decimal | None) -> str:
    if low is None or high is None:
        return "unknown"
    if not high:
        return "0"
    decimals = max(4, 1 - high.adjusted())  # two digits of it: what costs something is not 0.0000
    return f"{low:.{decimals}f} to {high:.{decimals}f}"


def _tokens(likely: int, low: int, high: int) -> str:
    return f"{likely:,}" if low == high else f"{likely:,}\n{low:,} to {high:,}"
