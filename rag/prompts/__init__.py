"""Prompt templates as files beside this module; their hash goes into every record."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from string import Template

from rag.errors import ConfigError

__all__ = ["prompt_hash", "render"]


def render(name: str, **values: object) -> str:
    """Fill the template file `name` (`"answer.user"` is `answer.user.txt`) with `values`.

    Raises:
        ConfigError: no such template.
        KeyError: a place of the template has no value.
    """
    return Template(_source(name)).substitute(values).strip()


def prompt_hash(*names: str) -> str:
    """Return 16 hexadecimal digits of SHA-256 over the template files `names`."""
    joined = "\0".join(_source(name) for name in names)
    return hashlib.sha256(joined.encode()).hexdigest()[:16]


@cache
def _source(name: str) -> str:
    path = files("rag.prompts").joinpath(f"{name}.txt")
    if not path.is_file():
        raise ConfigError(f"no prompt template {name!r} beside rag/prompts/__init__.py.")
    return path.read_text(encoding="utf-8")
