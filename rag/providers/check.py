"""One tiny call that shows whether a provider works, and a plain diagnosis where it does not."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import Any

from rag.attempts import record_attempt
from rag.config import Config
from rag.core import Completion, Message, Outcome, Provider, Request, Settings
from rag.errors import ConfigError
from rag.pricing import Price, cost
from rag.providers import find_vendor, resolve, split_ref
from rag.providers.catalog import Vendor
from rag.providers.limits import Limited
from rag.providers.listing import list_models

__all__ = ["Check", "check_provider"]

# Enough for a word after the thoughts of a small reasoning model; one that thinks longer ends in `length`.
_MAX_TOKENS = 64
_QUESTION = "Reply with the single word: ready"
_SHOWN_MODELS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """What one call showed. `failure` is why nothing came, `flaws` what is missing from what came."""

    ref: str
    completion: Completion
    price: str | None
    failure: str | None = None
    flaws: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    models: tuple[str, ...] | None = None

    @property
    def ok(self) -> bool:
        """True where key, model, streaming and usage are all proven."""
        return self.failure is None and not self.flaws

    @property
    def exit_code(self) -> int:
        """0 where all is proven, 4 where the key or the account is refused, else 1."""
        return 0 if self.ok else 4 if self.completion.outcome.terminal and self._refused else 1

    @property
    def _refused(self) -> bool:
        return self.completion.outcome in {Outcome.AUTH, Outcome.QUOTA}

    def to_json(self) -> dict[str, Any]:
        """Return plain values: durations in milliseconds, money as a decimal string, None where unknown."""
        completion = self.completion
        timing, usage = completion.timing, completion.usage
        return {
            "ref": self.ref,
            "ok": self.ok,
            "outcome": completion.outcome.value,
            "failure": self.failure,
            "flaws": list(self.flaws),
            "notes": list(self.notes),
            "error": completion.error,
            "provider": completion.provider,
            "model": completion.model,
            "model_answered": completion.model_answered,
            "streamed": timing.streamed,
            "timing": {"ttft_ms": _ms(timing.ttft_s), "total_ms": _ms(timing.total_s)},
            "usage": {
                "input_tokens": usage.input_tokens,
                "cached_input_tokens": usage.cached_input_tokens,
                "output_tokens": usage.output_tokens,
                "reasoning_tokens": usage.reasoning_tokens,
            },
            "cost_usd": None if completion.cost is None else f"{completion.cost:f}",
            "price": self.price,
            "models": None if self.models is None else list(self.models),
        }


async def check_provider(ref: str, config: Config) -> Check:
    """Ask `ref` for one word, once, past every cache, and say what that shows.

    A REF without its model takes the vendor's small model, else the only one that its endpoint lists.

    Raises:
        UnknownNameError: no such vendor or configured model.
        MissingKeyError: the environment holds no key; names the variable.
        ConfigError: the REF names no model and the endpoint lists several, or none.
    """
    vendor = _vendor(ref, config)
    ref = await _with_model(ref, vendor)
    provider = resolve(ref, config.model_copy(update={"cache": False}))
    price: Price | None = getattr(provider, "price", None)
    request = Request(
        messages=(Message(role="user", content=_QUESTION),),
        settings=Settings(max_tokens=_MAX_TOKENS),
        question=_QUESTION,
    )
    try:
        completion = await _once(provider, request, price)
    finally:
        await provider.close()
    models = None
    if completion.outcome in {Outcome.NOT_FOUND, Outcome.BAD_REQUEST} and vendor is not None:
        models = await list_models(vendor)
    flaws, notes = _seen(completion, vendor, priced=price is not None)
    return Check(
        ref=ref,
        completion=completion,
        price=None if price is None else price.describe(),
        failure=_failure(completion, vendor, models),
        flaws=flaws,
        notes=notes,
        models=models,
    )


async def _once(provider: Provider, request: Request, price: Price | None) -> Completion:
    """Make one attempt, past the retries: a refusal that asks to wait is the answer to the question here."""
    inner = provider.inner if isinstance(provider, Limited) else provider
    completion = await inner.complete(request)
    completion = replace(completion, cost=cost(price, completion.usage, completion.timing.total_s))
    record_attempt(request, completion, number=1, base_url=getattr(inner, "base_url", None))
    return completion


def _vendor(ref: str, config: Config) -> Vendor | None:
    """Return the vendor that a REF names, None for an embedded provider."""
    name, _ = split_ref(ref)
    if name in {"local", "extractive", "langchain"} and name not in config.providers:
        return None
    return find_vendor(name, config)


async def _with_model(ref: str, vendor: Vendor | None) -> str:
    name, model = split_ref(ref)
    if model or vendor is None or len(vendor.models) == 1:
        return ref
    if vendor.small_model:
        return f"{name}:{vendor.small_model}"
    if not vendor.lists_models:
        raise ConfigError(f"{ref!r} lacks its model, and {name} does not list them; write {name}:MODEL.")
    listed = vendor.models or await list_models(vendor)
    if listed is None:
        where = vendor.hint or f"is {vendor.url()} the right address?"
        raise ConfigError(f"{name} does not tell its models; {where}\nWith a model, write {name}:MODEL.")
    if len(listed) != 1:
        raise ConfigError(f"{ref!r} lacks its model; {name} lists {_shown(listed)}; write {name}:MODEL.")
    return f"{name}:{listed[0]}"


_CURES = {
    Outcome.QUOTA: "the key works, but the account may not spend: add credit or raise its limit",
    Outcome.RATE_LIMITED: "the key works, but its rate is used up: try again later",
    Outcome.TIMEOUT: "raise limits.timeout_s in the config, or try again later",
    Outcome.OVERLOADED: "the trouble is the provider's: try again later",
    Outcome.SERVER_ERROR: "the trouble is the provider's: try again later",
}


def _failure(completion: Completion, vendor: Vendor | None, models: tuple[str, ...] | None) -> str | None:
    """Say what is wrong and what to do about it, None where an answer came."""
    outcome = completion.outcome
    if outcome.answered:
        return None
    said = completion.error or outcome.value
    if vendor is None:
        return said
    if outcome in _CURES:
        cure = _CURES[outcome]
    elif outcome is Outcome.AUTH:
        cure = _key_cure(vendor)
    elif models is not None and completion.model not in models:
        cure = _model_cure(completion.model, models)
    else:
        cure = _address_cure(completion, vendor)
    return f"{said.rstrip('.')}; {cure.rstrip('.')}{'' if cure.endswith('?') else '.'}"


def _address_cure(completion: Completion, vendor: Vendor) -> str:
    url = vendor.url(completion.model)
    if completion.outcome is Outcome.CONNECTION:
        return vendor.hint or f"is the network up, and is {url} the right address?"
    if completion.outcome in {Outcome.MALFORMED, Outcome.STREAM_TRUNCATED}:
        return f"does {url} speak the {vendor.wire} wire format?"
    if completion.outcome is Outcome.NOT_FOUND:
        return f"are the model {completion.model!r} and the address {url} right?"
    return f"see {vendor.docs or 'the documentation of the provider'}"


def _key_cure(vendor: Vendor) -> str:
    if not vendor.key_env:
        return "this server wants a key: name its variable in api_key_env"
    where = f"; a key is to be had at {vendor.key_url}" if vendor.key_url else ""
    if not vendor.key() and vendor.local:
        return f"this server wants a key: set {vendor.key_name}"
    return f"the key in {vendor.key_name} was refused{where}"


def _model_cure(model: str, models: tuple[str, ...]) -> str:
    if not models:
        return "the endpoint lists no model: load or install one first"
    near = difflib.get_close_matches(model, models, n=_SHOWN_MODELS, cutoff=0.4)
    hint = f"nearest to {model!r}: {', '.join(near)}" if near else _shown(models)
    return f"the endpoint lists {len(models)} model{'s' if len(models) != 1 else ''}; {hint}"


def _shown(models: tuple[str, ...]) -> str:
    more = f" and {len(models) - _SHOWN_MODELS} more" if len(models) > _SHOWN_MODELS else ""
    return (", ".join(models[:_SHOWN_MODELS]) or "none") + more


def _seen(
    completion: Completion, vendor: Vendor | None, *, priced: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what is missing from an answer, and what is known to be missing or only good to know."""
    if not completion.outcome.answered or vendor is None:
        return (), ()
    flaws, notes = [], []
    if not completion.timing.streamed:
        said = "the reply came whole: no time to the first token is known"
        if vendor.quirks_of(completion.model).get("stream", True):
            flaws.append(f"no stream; {said}")
        else:
            notes.append(f"{vendor.name} does not stream; {said}")
    if completion.usage.output_tokens is None or completion.usage.input_tokens is None:
        flaws.append("no usage in the reply; tokens and cost stay unknown")
    if not priced:
        notes.append("the price is unknown; give it under 'price:' in the config, and costs are known")
    if completion.outcome is Outcome.LENGTH:
        notes.append(f"the reply was cut at {_MAX_TOKENS} tokens, as asked; that is no fault")
    return tuple(flaws), tuple(notes)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
