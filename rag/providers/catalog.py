"""The catalog of vendors: `catalog.yaml` as frozen values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from rag.errors import MissingKeyError

__all__ = ["Vendor", "vendors"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Vendor:
    """A wire format at a base URL. `key_env` names the variables that may hold the key, first set first.

    `prices` is the vendor's id in genai-prices, `small_model` a cheap model for a first try. A `local` server
    needs no key and costs nothing unless a price is configured. `models` lists all models where that is
    known, and is empty otherwise.
    """

    name: str
    wire: str
    base_url: str
    docs: str = ""
    key_env: tuple[str, ...] = ()
    key_url: str | None = None
    prices: str | None = None
    small_model: str | None = None
    local: bool = False
    models: tuple[str, ...] = ()
    quirks: Mapping[str, Any] = field(default_factory=dict)

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
        """
        value = next((os.environ[name] for name in self.key_env if os.environ.get(name)), "").strip()
        if value or self.local or not self.key_env:
            return value or None
        name = self.key_env[0]
        where = f" (a key is to be had at {self.key_url})" if self.key_url else ""
        raise MissingKeyError(
            f"{self.name} needs a key and {name} is not set; run 'export {name}=...'{where}."
        )

    def price_id(self, model: str) -> str | None:
        """Return the id under which genai-prices lists `model`, None where it lists none of this vendor's."""
        if self.prices is None or not self.prices.endswith("_*"):
            return self.prices
        _, _, route = model.rpartition(":")
        return self.prices[:-1] + route if route != model else None


@cache
def vendors() -> Mapping[str, Vendor]:
    """Return the vendors that come with this software, by name."""
    table = yaml.safe_load(files("rag.providers").joinpath("catalog.yaml").read_text(encoding="utf-8"))
    return {
        name: Vendor(name=name, **{**entry, "key_env": tuple(entry.get("key_env", ()))})
        for name, entry in table.items()
    }
