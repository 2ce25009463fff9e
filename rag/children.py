"""What the child processes of this package are given: where to import from, and little of the environment."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["bare_environment", "python_path"]

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT", "PYTHONHOME")


def bare_environment(**extra: str) -> dict[str, str]:
    """Return the environment of a child that reads what strangers wrote: no keys are in it."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | extra


def python_path() -> str:
    """Return a PYTHONPATH that begins with this package's own root, for children started with `-P`."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    root = str(Path(__file__).parents[1])
    return os.pathsep.join([root, *filter(None, given)])  # an empty part would mean the working folder
