"""The evaluation pipeline: which provider gives the best answers per dollar and per second.

`plan(config)` says what a run will take; `run(config)` makes a run folder; `resume(folder)` goes on with it;
`rescore(folder)` scores it again; `report(folder)` makes a table, Markdown, JSON or HTML of it.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evals.runner import Forecast, RunResult, plan, rescore, resume, run

__all__ = ["Forecast", "RunResult", "plan", "report", "rescore", "resume", "run"]

# The package evals.report takes this module's attribute when it is first imported: once, before the function.
importlib.import_module("evals.report")


def report(run_folder: Path | str, *, format: str = "table") -> str:  # noqa: A002  # the option's own name
    """Return the report of a run as text: `table`, `json`, `md` or `html`.

    Raises:
        RunError: `run_folder` is not a run folder, or a part of it cannot be read.
        UnknownNameError: no such format.
    """
    from evals.report import build, render

    return render(build(run_folder), format)


def __getattr__(name: str) -> Any:
    # The runner is imported when first used: `import evals` stays light, for the command line's sake.
    if name not in __all__:
        raise AttributeError(f"module 'evals' has no attribute {name!r}")
    return getattr(importlib.import_module("evals.runner"), name)
