"""The forecast of a run, before it is run: calls, tokens, money, with the error of the estimate stated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

from evals.core import Sample
from evals.runner.contexts import Collections, context_keys
from evals.runner.forecast import OUTPUT_WHEN_UNLIMITED, Forecast, SystemForecast, total
from evals.runner.forecast_judges import judge_cost
from evals.runner.judges import Judge, build_judges
from evals.runner.spec import RunSpec, given_config, resolve_spec
from evals.runner.systems import System, build_systems, check_modes, uncovered
from evals.runner.turns import history_of, with_history
from rag.config import Config
from rag.core import Chunk, Request
from rag.errors import MissingKeyError
from rag.pricing import least, most
from rag.providers import resolve
from rag.providers.tokens import TokenCount, count_tokens

__all__ = ["plan"]

_RETRIEVED = 6
_STORED = "replies that are stored already cost nothing and are not taken off: the run may cost less"


def plan(
    config: Path | str | Config,
    *,
    limit: int | None = None,
    budget: Decimal | float | None = None,
    cache: bool | None = None,
) -> Forecast:
    """Check a config as `run` does and say what the run will take; no provider is called.

    A key that is missing is a warning here: what it would cost is asked before an account is opened.
    Passages are retrieved for a few samples, and their length taken for all. Arguments: as of `run`.

    Raises:
        UsageError: the config names something that does not exist or is missing; says what.
    """
    resolved, text = given_config(config, limit=limit, budget=budget)
    resolved = resolved.with_cache(cache)
    spec = resolve_spec(resolved, text)
    systems = build_systems(resolved, None, with_keys=False)
    check_modes(spec, systems)
    judges = build_judges(resolved, None, with_keys=False) if spec.judged else ()
    refs = [
        *(system.config.provider for system in systems if system.config.provider),
        *(judge.config.provider for judge in judges),
    ]
    stored = () if resolved.reply_cache() is None else (_STORED,)
    collections = Collections(spec)
    try:
        return Forecast(
            systems=(
                *(_system(system, spec, collections) for system in systems),
                *(_judge(judge, spec, systems, collections) for judge in judges),
            ),
            budget_usd=resolved.limits.budget_usd,
            warnings=(
                *spec.warnings,
                *_keys_missing(refs, resolved),
                *uncovered(resolved, systems),
                *stored,
            ),
        )
    finally:
        collections.close()


def _keys_missing(refs: Iterable[str], config: Config) -> tuple[str, ...]:
    missing: dict[str, None] = {}
    for ref in refs:
        try:
            resolve(ref, config)
        except MissingKeyError as exc:
            missing[str(exc)] = None
    return tuple(missing)


def _system(system: System, spec: RunSpec, collections: Collections) -> SystemForecast:
    asked = _requests(system, spec, collections)
    read = [] if system.provider == "extractive" else asked  # which reads no prompt and writes no tokens
    outputs = [request.settings.max_tokens or OUTPUT_WHEN_UNLIMITED for request in read]
    counts = count_tokens(system.provider, system.model, read)
    inputs = [count + _earlier_answers(request) for count, request in zip(counts, read, strict=True)]
    repeats = spec.config.repeats
    whole = sum(inputs, start=TokenCount(low=0, likely=0, high=0, counted=True)).times(repeats)
    low, high = _costs(system, inputs, outputs)
    price = system.rates if system.caller is not None else None
    return SystemForecast(
        name=system.name,
        provider=system.provider,
        model=system.model,
        calls=len(asked) * repeats,
        input_tokens=whole.likely,
        input_tokens_low=whole.low,
        input_tokens_high=whole.high,
        counted=whole.counted,
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
    most_tokens = turns * (request.settings.max_tokens or OUTPUT_WHEN_UNLIMITED)
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
    low = total([least(system.rates, count.low, 1) for count, _ in sizes])
    return low, total([most(system.rates, count.high, output) for count, output in sizes])


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
