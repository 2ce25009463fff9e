"""Models that answer: a REF such as `groq:openai/gpt-oss-20b` to a Provider ready for use.

The vendor ends at the first colon. A REF is `vendor:model` of the catalog or of the config's `providers:`,
`local:NAME` (embedded llama.cpp), `extractive`, `langchain:module:Class[:model]`, or the bare name of a
configured provider that lists exactly one model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rag.attempts import start_recording
from rag.config import Config, LimitsConfig, PriceConfig
from rag.core import Provider
from rag.errors import ConfigError, UnknownNameError
from rag.registry import load_attribute

if TYPE_CHECKING:
    from rag.providers.budget import Budget
    from rag.providers.catalog import Vendor

__all__ = ["ProviderRef", "find_vendor", "provider_refs", "resolve", "resolve_with_fallback", "split_ref"]

_HINT = "Write vendor:model, such as groq:openai/gpt-oss-20b; 'ragassay providers list' shows the vendors."
_EMBEDDED = "local"
_LANGCHAIN = "langchain"
_EXTRACTIVE = "extractive"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderRef:
    """A provider that a REF can name, for listings.

    `key_env` is None where no key is used; `lacks` names a variable of the address that is not set.
    """

    name: str
    wire: str
    base_url: str | None
    key_env: str | None
    key_set: bool
    local: bool
    models: tuple[str, ...]
    docs: str
    configured: bool
    small_model: str | None = None
    lacks: str | None = None


def resolve(
    ref: str,
    config: Config,
    *,
    limits: LimitsConfig | None = None,
    budget: Budget | None = None,
    price: PriceConfig | None = None,
    stream: bool = True,
    with_key: bool = True,
) -> Provider:
    """Return the Provider that `ref` names, with retries, concurrency, price, budget and cache around it.

    Args:
        ref: see the module's docstring.
        config: its `providers:` come before the catalog.
        limits: those of the config where None.
        budget: shared by all providers of a run.
        price: overrides what is known about the price.
        stream: ask for streams where the wire has them.
        with_key: False for one that is asked what it would cost, never called.

    Raises:
        UnknownNameError: no such vendor, model or local model; the message suggests the nearest.
        MissingKeyError: the environment holds no key; names the variable.
        ConfigError: the REF lacks its model, or a budget is set and the model's price is unknown.
    """
    from rag.pricing import price_for
    from rag.providers.catalog import WIRES
    from rag.providers.limiter import shared_limiter
    from rag.providers.limits import Limited

    start_recording()
    limits = limits or config.limits
    name, model = split_ref(ref)
    if name in _special() and name not in config.providers:
        inner = _build_special(name, model, limits)
        known = price_for(name, inner.model, price, local=name != _LANGCHAIN)
        limiter = shared_limiter(ref, None, limits, name=name)
        identity = _local_identity(name, model)
    else:
        vendor = find_vendor(name, config)
        vendor = vendor if with_key else replace(vendor, key_env=())
        model = _checked(model, vendor, ref)
        inner = WIRES.load(vendor.wire).at(vendor, model, timeout_s=limits.timeout_s, stream=stream)
        own = config.providers[name].price if name in config.providers else None
        known = price_for(name, model, price or own, genai_id=vendor.price_id(model), local=vendor.local)
        limiter = shared_limiter(vendor.base_url, vendor.key_name, limits, name=name)
        identity = vendor.identity(model)
    if budget is not None and known is None:
        raise ConfigError(
            f"a budget is set but the price of {ref!r} is unknown, so it could not be kept; "
            "give the system or the provider a 'price:' in the config."
        )
    limited = Limited(inner, limits=limits, limiter=limiter, price=known, budget=budget)
    return _remembering(limited, identity, config)


def _remembering(provider: Provider, identity: Mapping[str, object] | None, config: Config) -> Provider:
    path = config.reply_cache()
    if path is None or identity is None:
        return provider
    from rag.providers.cache import Cached, shared_store

    return Cached(provider, shared_store(path), identity)


def _local_identity(name: str, model: str) -> Mapping[str, object] | None:
    """Return what decides a reply; None where there is nothing to save, or where that cannot be seen.

    `extractive` costs nothing, and a LangChain object holds settings that this software does not know.
    """
    if name != _EMBEDDED:
        return None
    from rag.models import LOCAL_MODELS

    if model in LOCAL_MODELS:
        return {"wire": "llama.cpp", "files": [file.sha256 for file in LOCAL_MODELS[model].files]}
    own = Path(model).expanduser().resolve()  # gigabytes: not read to be known again
    return {"wire": "llama.cpp", "file": str(own), "size": own.stat().st_size, "at": own.stat().st_mtime_ns}


def resolve_with_fallback(ref: str, config: Config, *, limits: LimitsConfig | None = None) -> Provider:
    """Return the Provider for `ask` and `serve`: `ref`, then the config's `fallback:` where that fails.

    A fallback without a key is left out; `ref` itself must resolve.

    Raises:
        UsageError: as `resolve`.
    """
    from rag.errors import MissingKeyError
    from rag.providers.fallback import Fallback

    chain = [resolve(ref, config, limits=limits)]
    for other in config.fallback:
        if other == ref:
            continue
        try:
            chain.append(resolve(other, config, limits=limits))
        except MissingKeyError:
            continue
    return Fallback(chain) if len(chain) > 1 else chain[0]


def split_ref(ref: str) -> tuple[str, str]:
    """Return vendor and model of a REF; the model is empty where the REF names none.

    Raises:
        ConfigError: the REF is empty.
    """
    name, _, model = ref.strip().partition(":")
    if not name:
        raise ConfigError(f"{ref!r} is not a provider; write vendor:model, such as groq:openai/gpt-oss-20b.")
    return name, model


def provider_refs(config: Config) -> list[ProviderRef]:
    """Return every provider that can be named: the config's first, then the embedded ones and the catalog."""
    from rag.providers.catalog import vendors

    found = [_listed(_configured(name, config), configured=True) for name in config.providers]
    for name, wire in (
        (_EXTRACTIVE, "none"),
        (_EMBEDDED, "llama.cpp in a child process"),
        (_LANGCHAIN, "LangChain"),
    ):
        found.append(
            ProviderRef(
                name=name,
                wire=wire,
                base_url=None,
                key_env=None,
                key_set=True,
                local=name != _LANGCHAIN,
                models=(),
                docs="",
                configured=False,
            )
        )
    found.extend(_listed(v, configured=False) for v in vendors().values() if v.name not in config.providers)
    return found


def _listed(vendor: Vendor, *, configured: bool) -> ProviderRef:
    return ProviderRef(
        name=vendor.name,
        wire=vendor.wire,
        base_url=vendor.base_url,
        key_env=vendor.key_name,
        key_set=vendor.key_set,
        local=vendor.local,
        models=vendor.models,
        docs=vendor.docs,
        configured=configured,
        small_model=vendor.small_model,
        lacks=vendor.lacks,
    )


def _special() -> frozenset[str]:
    return frozenset({_EXTRACTIVE, _EMBEDDED, _LANGCHAIN})


def _build_special(name: str, model: str, limits: LimitsConfig) -> Provider:
    if name == _EXTRACTIVE:
        built = load_attribute("rag.providers.extractive:ExtractiveProvider")()
    elif not model:
        example = (
            "local:smollm2-135m" if name == _EMBEDDED else "langchain:langchain_openai:ChatOpenAI:gpt-4o-mini"
        )
        raise ConfigError(f"{name!r} lacks its model; write for example {example}.")
    elif name == _EMBEDDED:
        built = load_attribute("rag.providers.llamacpp:LocalProvider")(model, timeout_s=limits.timeout_s)
    else:
        built = load_attribute("rag.providers.langchain:LangChainProvider").load(
            model, timeout_s=limits.timeout_s
        )
    provider: Provider = built
    return provider


def find_vendor(name: str, config: Config) -> Vendor:
    """Return the vendor of the config or the catalog.

    Raises:
        UnknownNameError: there is none of that name; an embedded provider is none.
    """
    from rag.providers.catalog import vendors

    if name in config.providers:
        return _configured(name, config)
    table = vendors()
    if name not in table:
        raise UnknownNameError("provider", name, [*table, *config.providers, *_special()], _HINT)
    return table[name]


def _configured(name: str, config: Config) -> Vendor:
    from rag.providers.catalog import Vendor

    given = config.providers[name]
    return Vendor(
        name=name,
        wire=given.wire,
        base_url=given.base_url,
        key_env=(given.api_key_env,) if given.api_key_env else (),
        models=given.models,
    )


def _checked(model: str, vendor: Vendor, ref: str) -> str:
    """Return the model that a REF means; a vendor that lists its models has no others."""
    if model and vendor.models and model not in vendor.models:
        raise UnknownNameError(f"model of {vendor.name!r}", model, vendor.models)
    if model:
        return model
    if len(vendor.models) == 1:
        return vendor.models[0]
    listed = f"; it lists {', '.join(vendor.models[:8])}" if vendor.models else ""
    raise ConfigError(f"{ref!r} lacks its model{listed}; write {vendor.name}:MODEL.")
