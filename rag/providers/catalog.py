"""The catalog of vendors: `catalog.yaml` as frozen values."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import yaml

from rag.errors import ConfigError, MissingKeyError
from rag.registry import Registry

__all__ = ["WIRES", "Vendor", "vendors"]

WIRES = Registry(
    "wire",
    {
        "openai": "rag.providers.openai:OpenAIProvider",
        "anthropic": "rag.providers.anthropic:AnthropicProvider",
        "gemini": "rag.providers.gemini:GeminiProvider",
    },
)
"""The wire formats: name to the `rag.providers.wire.WireProvider` that speaks it."""

_PLACEHOLDER = re.compile(r"\{([A-Z][A-Z0-9_]*)(?:\|([^{}]*))?\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Vendor:
    """A wire format at a base URL. `key_env` names the variables that may hold the key, first set first.

    `base_url` goes up to and with the version. In it and in the values of `query` (sent with every request)
    `{VARIABLE}` and `{VARIABLE|default}` stand for the environment; in `base_url`, `{model}` stands for the
    model. The key goes as the wire format wants it, or as `auth_header` says: `bearer`, or a header's name.

    `prices` is the vendor's id in genai-prices, `small_model` a cheap model for a first try. A `local` server
    needs no key and costs nothing unless a price is configured; `hint` says how it is switched on. `models`
    lists all models where that is known, and is empty otherwise; `lists_models` says whether the vendor
    answers `GET {base_url}/models`. `quirks` says where the vendor departs from its wire format;
    `model_quirks` adds to that by the beginning of a model's name, the longest that fits.
    """

    name: str
    wire: str
    base_url: str
    docs: str = ""
    key_env: tuple[str, ...] = ()
    key_url: str | None = None
    auth_header: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    prices: str | None = None
    small_model: str | None = None
    local: bool = False
    hint: str = ""
    models: tuple[str, ...] = ()
    lists_models: bool = True
    quirks: Mapping[str, Any] = field(default_factory=dict)
    model_quirks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def key_name(self) -> str | None:
        """The variable that holds the key: the first one set, else the first one; None where none is used."""
        return next((name for name in self.key_env if os.environ.get(name)), next(iter(self.key_env), None))

    @property
    def key_set(self) -> bool:
        """Whether a key is in the environment, or none is needed."""
        return self.local or not self.key_env or any(os.environ.get(name) for name in self.key_env)

    def key(self) -> str | None:
        """Return the key from the environment; None where none is needed.

        Raises:
            MissingKeyError: no variable holds it; names the variable and where to get a key.
            ConfigError: no header can hold it.
        """
        value = next((os.environ[name] for name in self.key_env if os.environ.get(name)), "").strip()
        if not value.isprintable():
            raise ConfigError(
                f"the key in {self.key_name} holds a line break or another control character; "
                f"run 'export {self.key_name}=...' again with the key alone."
            )
        if value or self.local or not self.key_env:
            return value or None
        name = self.key_env[0]
        where = f" (a key is to be had at {self.key_url})" if self.key_url else ""
        raise MissingKeyError(
            f"{self.name} needs a key and {name} is not set; run 'export {name}=...'{where}."
        )

    def url(self, model: str = "") -> str:
        """Return the base URL for `model`, variables of the environment filled in, no slash at its end.

        Raises:
            ConfigError: a variable that it needs is not set; names it.
        """
        filled = _filled(self.base_url, self.name)
        return filled.replace("{model}", quote(model, safe="")).rstrip("/")

    @property
    def lacks(self) -> str | None:
        """The first variable that the address needs and the environment lacks; None where there is none."""
        needed = (found[1] for found in _PLACEHOLDER.finditer(self.base_url) if found[2] is None)
        return next((name for name in needed if not os.environ.get(name, "").strip()), None)

    def parameters(self) -> dict[str, str]:
        """Return the query of every request, variables of the environment filled in.

        Raises:
            ConfigError: a variable that it needs is not set; names it.
        """
        return {name: _filled(value, self.name) for name, value in self.query.items()}

    def quirks_of(self, model: str) -> dict[str, Any]:
        """Return where `model` departs from the wire format: the vendor's quirks and those of the model."""
        name = model.rpartition("/")[2].lower()
        fitting = [prefix for prefix in self.model_quirks if name.startswith(prefix)]
        own = self.model_quirks[max(fitting, key=len)] if fitting else {}
        return {**self.quirks, **own}

    def identity(self, model: str) -> dict[str, object]:
        """Return all of this vendor that decides what `model` replies; its key is no part of that.

        Raises:
            ConfigError: as `url`.
        """
        return {
            "wire": self.wire,
            "base_url": self.url(model),
            "query": self.parameters(),
            "quirks": self.quirks_of(model),
        }

    def price_id(self, model: str) -> str | None:
        """Return the id under which genai-prices lists `model`, None where it lists none of this vendor's."""
        if self.prices is None or not self.prices.endswith("_*"):
            return self.prices
        _, _, route = model.rpartition(":")
        return self.prices[:-1] + route if route != model else None


def _filled(template: str, vendor: str) -> str:
    def value(found: re.Match[str]) -> str:
        name, default = found[1], found[2]
        given = os.environ.get(name, "").strip().rstrip("/") or default
        if given is None:
            raise ConfigError(f"{vendor} needs {name} and it is not set; run 'export {name}=https://...'.")
        return given

    return _PLACEHOLDER.sub(value, template)


@cache
def vendors() -> Mapping[str, Vendor]:
    """Return the vendors that come with this software, by name."""
    table = yaml.safe_load(files("rag.providers").joinpath("catalog.yaml").read_text(encoding="utf-8"))
    return {name: Vendor(name=name, **_tuples(entry)) for name, entry in table.items()}


def _tuples(value: Any) -> Any:
    """Return what YAML gave with tuples for lists."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
