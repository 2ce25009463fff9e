"""The evaluation pipeline: which provider gives the best answers per dollar and per second.

`plan(config)` says what a run will take; `run(config)` makes a run folder; `resume(folder)` goes on with it;
`rescore(folder)` scores it again; `report(folder)` makes a table, Markdown, JSON or HTML of it;
`compare(folder)`, `choose(folder)` and `history(*folders)` say what follows from runs.

Example:
    >>> from evals import choose, compare, history, report, resume, run
    >>> from rag import load_config
    >>> config = load_config("configs/demo.yaml")
    >>> baseline = config.model_copy(update={"systems": config.systems[:1]})
    >>> result = run(baseline, out="first-run", limit=2)
    >>> result.folder.name
    'first-run'
    >>> resume("first-run").folder == result.folder  # nothing is missing, so nothing is called
    True
    >>> '"docqa/token_f1"' in report("first-run", format="json")
    True
    >>> compare("first-run")  # it has one system
    ()
    >>> [series.metric for series in history("first-run", metric="docqa/token_f1").series]
    ['docqa/token_f1']
    >>> [one.name for one in choose("first-run").ranking] == [baseline.systems[0].name]
    True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evals.reporting import report
    from evals.reporting.decisions import choose, compare, history
    from evals.runner import Forecast, RunResult, plan, rescore, resume, run

__all__ = [
    "Forecast",
    "RunResult",
    "choose",
    "compare",
    "history",
    "plan",
    "report",
    "rescore",
    "resume",
    "run",
]

_HOMES = {
    "report": "evals.reporting",
    **dict.fromkeys(("choose", "compare", "history"), "evals.reporting.decisions"),
}


def __getattr__(name: str) -> Any:
    # Imported when first used: `import evals` stays light, for the command line's sake.
    if name not in __all__:
        raise AttributeError(f"module 'evals' has no attribute {name!r}")
    home = importlib.import_module(_HOMES.get(name, "evals.runner"))
    value = globals()[name] = getattr(home, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
