"""What a run will cost, before it is run: calls, tokens, money, with the error of the estimate stated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from evals.core import Sample
from evals.runner.contexts import Collections, context_keys
from evals.runner.forecast_judges import judge_cost
from evals.runner.judges import Judge, build_judges
from evals.runner.spec import RunSpec, given_config, resolve_spec
from evals.runner.systems import System, build_systems, check_modes, uncovered
from evals.runner.turns import history_of, with_history
from rag.config import Config
from rag.core import Chunk, Request
from rag.pricing import least, most
from rag.providers.tokens import ESTIMATE, TokenCount, count_tokens

__all__ = ["Forecast", "SystemForecast", "plan"]

_OUTPUT_WHEN_UNLIMITED = 1024
_RETRIEVED = 6
_STORED = "replies that are stored already cost nothing and are not taken off: the run may cost less"


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
        return _total([system.cost_low_usd for system in self.systems])

    @property
    def cost_high_usd(self) -> Decimal | None:
        """The most that the systems with a known price can cost; None where none is known."""
        return _total([system.cost_high_usd for system in self.systems])

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
            notes.append(f"where no max_tokens is set, {_OUTPUT_WHEN_UNLIMITED:,} tokens of output are taken")
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


def plan(
    config: Path | str | Config,
    *,
    limit: int | None = None,
    budget: Decimal | float | None = None,
    cache: bool | None = None,
) -> Forecast:
    """Check a config as `run` does and say what the run will take; no provider is called.

    Passages are retrieved for a few samples, and their length taken for all. Arguments: as of `run`.

    Raises:
        UsageError: the config names something that does not exist or is missing; says what.
    """
    resolved, text = given_config(config, limit=limit, budget=budget)
    resolved = resolved.with_cache(cache)
    spec = resolve_spec(resolved, text)
    systems = build_systems(resolved, None)
    check_modes(spec, systems)
    judges = build_judges(resolved, None) if spec.judged else ()
    stored = () if resolved.reply_cache() is None else (_STORED,)
    collections = Collections(spec)
    try:
        return Forecast(
            systems=(
                *(_system(system, spec, collections) for system in systems),
                *(_judge(judge, spec, systems, collections) for judge in judges),
            ),
            budget_usd=resolved.limits.budget_usd,
            warnings=(*spec.warnings, *uncovered(resolved, systems), *stored),
        )
    finally:
        collections.close()


def _system(system: System, spec: RunSpec, collections: Collections) -> SystemForecast:
    asked = _requests(system, spec, collections)
    read = [] if system.provider == "extractive" else asked  # which reads no prompt and writes no tokens
    outputs = [request.settings.max_tokens or _OUTPUT_WHEN_UNLIMITED for request in read]
    counts = count_tokens(system.provider, system.model, read)
    inputs = [count + _earlier_answers(request) for count, request in zip(counts, read, strict=True)]
    repeats = spec.config.repeats
    total = sum(inputs, start=TokenCount(low=0, likely=0, high=0, counted=True)).times(repeats)
    low, high = _costs(system, inputs, outputs)
    price = system.rates if system.caller is not None else None
    return SystemForecast(
        name=system.name,
        provider=system.provider,
        model=system.model,
        calls=len(asked) * repeats,
        input_tokens=total.likely,
        input_tokens_low=total.low,
        input_tokens_high=total.high,
        counted=total.counted,
        output_tokens_max=sum(outputs) * repeats,
        unlimited_output=any(request.settings.max_tokens is None for request in read),
        cost_low_usd=None if low is None else low * repeats,
        cost_high_usd=None if high is None else high * repeats,
        price=None if price is None else price.describe(),
        price_note=_price_note(system),
    )


def _judge(
    judge: Judge, spec: RunSpec, systems: Sequence[System], collections: Collections
) -> SystemForecast:
    passages = {
        (b.config.name, system.name): _typical(system, b.samples, collections)
        for b in spec.benchmarks
        for system in systems
    }
    found = judge_cost(judge, spec, systems, passages)
    assumed = judge.price is not None and judge.price.assumption
    return SystemForecast(
        name=judge.stop_name,
        provider=judge.provider.name,
        model=judge.provider.model,
        calls=found.calls,
        input_tokens=found.inputs.likely,
        input_tokens_low=found.inputs.low,
        input_tokens_high=found.inputs.high,
        counted=False,
        output_tokens_max=found.output_tokens_max,
        unlimited_output=False,
        cost_low_usd=None if assumed else found.low_usd,
        cost_high_usd=None if assumed else found.high_usd,
        price=None if judge.price is None else judge.price.describe(),
        price_note="price unknown" if judge.price is None else None,
    )


def _requests(system: System, spec: RunSpec, collections: Collections) -> list[Request]:
    if system.caller is None:
        return []
    asked: list[Request] = []
    for benchmark in spec.benchmarks:
        if not system.asked(benchmark):
            continue
        passages = _typical(system, benchmark.samples, collections)
        samples = {sample.id: sample for sample in benchmark.samples}
        for sample in benchmark.samples:
            request = system.request(benchmark, sample, passages)
            before = history_of(sample, samples, lambda _: "...")
            asked.append(with_history(request, before) if before else request)
    return asked


def _earlier_answers(request: Request) -> TokenCount:
    """Return the tokens of the answers that are part of a later turn: unknown, but bounded."""
    turns = sum(message.role == "assistant" for message in request.messages)
    most_tokens = turns * (request.settings.max_tokens or _OUTPUT_WHEN_UNLIMITED)
    return TokenCount(low=0, likely=most_tokens // 2, high=most_tokens, counted=not turns)


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


def _costs(
    system: System, inputs: Sequence[TokenCount], outputs: Sequence[int]
) -> tuple[Decimal | None, Decimal | None]:
    """Return the low and the high cost of one round of calls, None where it cannot be told."""
    if system.caller is None:
        return Decimal(0), Decimal(0)
    # What a Runnable asks of whom is its own affair; the question is the least of it.
    if system.config.runnable is not None or (system.rates is not None and system.rates.assumption):
        return None, None
    if not inputs:
        return Decimal(0), Decimal(0)

    sizes = list(zip(inputs, outputs, strict=True))
    low = _total([least(system.rates, count.low, 1) for count, _ in sizes])
    return low, _total([most(system.rates, count.high, output) for count, output in sizes])


def _total(amounts: Sequence[Decimal | None]) -> Decimal | None:
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


def _price_note(system: System) -> str | None:
    if system.caller is None:
        return "answers given elsewhere: no calls"
    if system.rates is None:
        return "price unknown"
    if system.rates.assumption:
        return f"${system.rates.usd_per_hour} per busy hour (assumed)"
    if system.config.runnable is not None:
        return "known afterwards: a Runnable calls what it likes"
    return None
