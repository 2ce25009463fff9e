"""The systems of a run: a provider, a LangChain Runnable, or answers given elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from evals.codec import Key
from evals.core import Record, Sample
from evals.folder import utc_now
from evals.runner.contexts import own_key
from evals.runner.spec import BenchmarkSpec, RunSpec, rag_label, settings_of
from rag.citations import read_answer
from rag.config import Config, SystemConfig
from rag.core import Chunk, Citation, Completion, Message, Provider, Request
from rag.errors import ConfigError
from rag.pricing import Price, price_for
from rag.refusals import refuses

if TYPE_CHECKING:
    from rag.providers.budget import Budget

__all__ = ["Caller", "Lane", "Reply", "System", "build_systems", "check_modes", "lane_of", "uncovered"]

Lane = Literal["remote", "local", "recorded"]
# Embedded systems compute on this machine: a busy neighbour slows them, and they slow the clock of others.
_EMBEDDED = ("local", "extractive")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a system gave for one sample, before it is read: cheap to make on the loop that holds the clock.

    `own_passages` are those that the system itself retrieved and told; None where it told none. `history` is
    the conversation before.
    """

    sample: Sample
    system: str
    repeat: int
    completion: Completion
    started: str
    passages: tuple[Chunk, ...] | None = None
    own_passages: tuple[Chunk, ...] | None = None
    context_key: str | None = None
    prompt_sha256: str | None = None
    seed: int | None = None
    history: tuple[Message, ...] = ()

    @property
    def key(self) -> Key:
        """What makes it unique within the run."""
        return Key(
            benchmark=self.sample.benchmark,
            sample_id=self.sample.id,
            system=self.system,
            repeat=self.repeat,
        )

    def record(self) -> Record:
        """Read the reply: take off and check its citations, see whether it refuses."""
        passages = self.passages if self.own_passages is None else self.own_passages
        text = self.completion.text
        citations: tuple[Citation, ...] = ()
        if passages is None or self.sample.choices:
            answer, refused = text.strip(), refuses(text)
        else:
            parsed = read_answer(text, passages)
            answer, citations, refused = parsed.text, parsed.citations, parsed.refused
        return Record(
            benchmark=self.sample.benchmark,
            sample_id=self.sample.id,
            system=self.system,
            repeat=self.repeat,
            completion=self.completion,
            answer=answer,
            citations=citations,
            refused=refused,
            context_key=self.context_key,
            prompt_sha256=self.prompt_sha256,
            shots=len(self.sample.shots),
            seed=self.seed,
            started=self.started,
            history=self.history,
        )


class Caller(Protocol):
    """Gets one reply from a system. A failed call is an outcome of its Completion."""

    async def call(self, request: Request, sample: Sample) -> tuple[Completion, tuple[Chunk, ...] | None]:
        """Return the completion, and the passages that the system says it used."""
        ...

    async def close(self) -> None:
        """Release what it holds."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """A system ready to be asked. `caller` is None for answers given elsewhere (`recorded`).

    `pool` names what its calls compete for with those of other systems: a provider. `seed` is the run's.
    """

    config: SystemConfig
    lane: Lane
    provider: str
    model: str
    caller: Caller | None
    pool: str = ""
    recorded: Path | None = None
    rates: Price | None = None
    seed: int | None = None

    @property
    def price(self) -> Mapping[str, Any] | None:
        """The price as plain values, None where unknown."""
        return None if self.rates is None else self.rates.facts()

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def rag(self) -> str | None:
        """The label of its retrieval setting, None for a closed book."""
        return None if self.config.rag is None else rag_label(self.config.rag)

    def asked(self, benchmark: BenchmarkSpec) -> bool:
        """Whether its provider has a say in `benchmark`: not where only our own retrieval is measured."""
        return self.config.provider is None or not benchmark.retrieval_only

    def request(
        self, benchmark: BenchmarkSpec, sample: Sample, passages: tuple[Chunk, ...] | None
    ) -> Request:
        """Build what it is asked."""
        return benchmark.benchmark.request(sample, passages, settings_of(self.config, benchmark.config))

    def facts(self, context_key: str | None) -> dict[str, Any]:
        """Return what `run.json` says of it."""
        config = self.config
        return {
            "name": self.name,
            "kind": next(k for k in ("provider", "runnable", "recorded") if getattr(config, k) is not None),
            "ref": str(config.provider or config.runnable or config.recorded),
            "provider": self.provider,
            "model": self.model,
            "lane": self.lane,
            "rag": None if config.rag is None else config.rag.model_dump(mode="json"),
            "context_key": context_key,
            "settings": config.settings.model_dump(mode="json", exclude_none=True),
            "price": self.price,
        }

    def reply(
        self,
        sample: Sample,
        repeat: int,
        completion: Completion,
        *,
        started: str = "",
        asked: Request | None = None,
        own_passages: tuple[Chunk, ...] | None = None,
        context_key: str | None = None,
    ) -> Reply:
        """Return a Reply of this system; passages that it told itself get a context key of their own."""
        key = context_key if own_passages is None else own_key(self.name, repeat)
        return Reply(
            sample=sample,
            system=self.name,
            repeat=repeat,
            completion=completion,
            started=started or utc_now(),
            passages=asked.passages if asked is not None and context_key is not None else None,
            own_passages=own_passages,
            context_key=key,
            prompt_sha256=None if asked is None else _prompt_sha256(asked),
            seed=self.seed,
        )


class _ProviderCaller:
    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def call(
        self,
        request: Request,
        sample: Sample,  # noqa: ARG002  # the request holds all that goes over a wire
    ) -> tuple[Completion, None]:
        return await self._provider.complete(request), None

    async def close(self) -> None:
        await self._provider.close()


def build_systems(config: Config, budget: Budget | None, *, with_keys: bool = True) -> tuple[System, ...]:
    """Return the systems of `config`, each checked: names, keys, files, imports. Nothing is called.

    Without keys they can be planned with, not called.

    Raises:
        UsageError: one cannot be used as configured; names it and the cure.
    """
    built = (_build(system, config, budget, with_keys=with_keys) for system in config.systems)
    return tuple(replace(system, seed=config.seed) for system in built)


def check_modes(spec: RunSpec, systems: Iterable[System]) -> None:
    """Check that the systems can be asked as the benchmarks ask; nothing is called.

    Raises:
        ConfigError: a benchmark asks for likelihoods, which only embedded models tell.
    """
    for benchmark in spec.benchmarks:
        for system in systems:
            if system.config.provider is None or system.provider == "local" or not benchmark.samples:
                continue
            if system.request(benchmark, benchmark.samples[0], None).continuations:
                raise ConfigError(
                    f"benchmark {benchmark.config.name!r} in mode {benchmark.config.mode!r} needs a 'local:' "
                    f"model; {system.name!r} is {system.config.provider!r}: use mode generate or logprob."
                )


def uncovered(config: Config, systems: Iterable[System]) -> tuple[str, ...]:
    """Return a warning for each system whose calls `limits.budget_usd` cannot keep from costing more."""
    if config.limits.budget_usd is None:
        return ()
    warnings = []
    for system in systems:
        if system.config.runnable is not None:
            warnings.append(f"the budget cannot cover {system.name}: a Runnable calls what it likes")
        elif system.caller is not None and system.price is None:
            warnings.append(f"the budget cannot cover {system.name}: its price is unknown; give 'price:'")
    return tuple(warnings)


def _build(system: SystemConfig, config: Config, budget: Budget | None, *, with_keys: bool) -> System:
    if system.recorded is not None:
        if system.rag is not None:
            raise ConfigError(
                f"system {system.name!r} is recorded; give its contexts in the file, not 'rag'."
            )
        path = config.path(system.recorded)
        if not path.is_file():
            raise ConfigError(f"system {system.name!r}: no file {path}.")
        given = None if system.price is None else price_for("recorded", system.name, system.price)
        return System(
            config=system,
            lane="recorded",
            provider="recorded",
            model=path.name,
            caller=None,
            recorded=path,
            rates=given,
        )
    if system.runnable is not None:
        from evals.runner.runnable import RunnableCaller

        if system.rag is not None:
            raise ConfigError(
                f"system {system.name!r} is a Runnable, which retrieves by itself; remove 'rag'."
            )
        caller = RunnableCaller(system.runnable, system.price, config)
        return System(
            config=system,
            lane="remote",
            provider="runnable",
            model=system.runnable,
            caller=caller,
            rates=caller.price,
        )
    return _provider_system(system, config, budget, with_keys=with_keys)


def _provider_system(
    system: SystemConfig, config: Config, budget: Budget | None, *, with_keys: bool
) -> System:
    from rag.providers import resolve, split_ref

    assert system.provider is not None
    vendor, _ = split_ref(system.provider)
    lane = lane_of(system.provider)
    limits = config.limits if lane == "remote" else config.limits.model_copy(update={"concurrency": 1})
    provider = resolve(
        system.provider, config, limits=limits, budget=budget, price=system.price, with_key=with_keys
    )
    return System(
        config=system,
        lane=lane,
        provider=provider.name,
        model=provider.model,
        caller=_ProviderCaller(provider),
        pool=vendor if lane == "remote" else "",
        rates=getattr(provider, "price", None),
    )


def lane_of(ref: str) -> Lane:
    """Return whether the provider of a REF computes on this machine."""
    return "local" if ref.strip().partition(":")[0] in _EMBEDDED else "remote"


def _prompt_sha256(request: Request) -> str:
    digest = hashlib.sha256()
    for message in request.messages:
        digest.update(f"{message.role}\0{message.content}\0".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
