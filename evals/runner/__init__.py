"""Runs: systems x samples into a run folder, to be gone on with, scored again and reported."""

from __future__ import annotations

from evals.runner.forecast import Forecast, SystemForecast
from evals.runner.planning import plan
from evals.runner.progress import Progress, ProgressState, SystemProgress
from evals.runner.run import RunResult, rescore, resume, run
from evals.runner.scoring import Failure, SystemTotals

__all__ = [
    "Failure",
    "Forecast",
    "Progress",
    "ProgressState",
    "RunResult",
    "SystemForecast",
    "SystemProgress",
    "SystemTotals",
    "plan",
    "rescore",
    "resume",
    "run",
]
