"""What is wrong with a file that a person wrote, in one line."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["explain"]

Place: TypeAlias = tuple[int | str, ...]

_EXPECTED = {  # where pydantic names a type of Python
    "tuple_type": "Input should be a list",
    "dict_type": "Input should be keys with values",
    "model_type": "Input should be keys with values",
    "path_type": "Input should be a path",
    "string_pattern_mismatch": "Input should be letters, digits, blanks and any of . _ @ : + -",
}


def explain(error: ValidationError, data: Any, known_keys: Callable[[Place], list[str]]) -> str:
    """Return the first mistake: its place, what is expected there, the value seen, the nearest known key.

    Args:
        error: what pydantic says of `data`.
        data: the content of the file.
        known_keys: the keys that may stand at a place.
    """
    errors = error.errors(include_url=False)
    first = errors[0]
    place = _place(first["loc"], data)
    name = ".".join(str(part) for part in place)
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(place[-1]), known_keys(place[:-1]), n=1, cutoff=0.5)
        return f"unknown key {name!r}{f'; did you mean {near[0]!r}?' if near else '.'}"
    # A value that may be of several kinds has an error for each kind.
    said = dict.fromkeys(_expected(one) for one in errors if _place(one["loc"], data) == place)
    words = " or ".join(said).replace("or Input should be ", "or ")
    value = first["input"]
    if first["type"] not in {"value_error", "missing"} and not isinstance(value, dict | list):
        words += f", not {json.dumps(value, ensure_ascii=False, default=str)[:80]}"
    return f"{name}: {words}." if name else f"{words}."


def _expected(error: Any) -> str:
    said = str(error["msg"]).removeprefix("Value error, ").partition(", unable")[0]
    return _EXPECTED.get(error["type"], said)


def _place(location: Place, data: Any) -> Place:
    """Return the part of `location` that the file has: pydantic adds the kind that a value might be of."""
    place: list[int | str] = []
    for part in location:
        if not isinstance(data, dict | list):
            break
        place.append(part)
        if isinstance(data, dict):
            data = data.get(part)
        else:
            data = data[part] if isinstance(part, int) and part < len(data) else None
    return tuple(place)
