"""Tables of names to `"module:attribute"`, imported only when used."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from rag.errors import ConfigError, MissingDependencyError, UnknownNameError

__all__ = ["Registry", "load_attribute"]


class Registry(Mapping[str, str]):
    """A read-only table of names whose values are imported on demand.

    Args:
        kind: what the names are, for messages: `"metric"`.
        table: name to `"module:attribute"`.
        hint: how a user lists the names, for messages.
    """

    def __init__(self, kind: str, table: Mapping[str, str], hint: str = "") -> None:
        self._kind = kind
        self._table = dict(table)
        self._hint = hint

    def __getitem__(self, name: str) -> str:
        if name not in self._table:
            raise UnknownNameError(self._kind, name, self._table, self._hint)
        return self._table[name]

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def load(self, name: str) -> Any:
        """Import and return what `name` stands for.

        Raises:
            UnknownNameError: no such name; the message suggests the nearest.
        """
        return load_attribute(self[name])


def load_attribute(path: str) -> Any:
    """Import `"package.module:attribute"` and return the attribute.

    Raises:
        ConfigError: the path has another form, or the module lacks the attribute.
        MissingDependencyError: the module, or one that it imports, is not installed.
    """
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise ConfigError(f"{path!r} is not of the form 'package.module:attribute'.")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        raise MissingDependencyError(
            f"cannot import {module_name!r}: no module named {exc.name!r}; "
            f"install it with 'pip install {exc.name}'."
        ) from exc
    target: Any = module
    for part in attribute.split("."):
        if not hasattr(target, part):
            raise ConfigError(f"module {module_name!r} has no attribute {attribute!r}.")
        target = getattr(target, part)
    return target
