"""From run folders to a decision: systems compared, one chosen, metrics over time."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from evals.reporting.history import History
    from evals.reporting.model import Comparison
    from evals.reporting.rundiff import RunDiff
    from evals.reporting.verdicts import Choice

__all__ = ["choose", "compare", "history"]


@overload
def compare(run_folder: Path | str, after: None = None) -> tuple[Comparison, ...]: ...


@overload
def compare(run_folder: Path | str, after: Path | str) -> RunDiff: ...


def compare(run_folder: Path | str, after: Path | str | None = None) -> tuple[Comparison, ...] | RunDiff:
    """Return the paired differences between the systems of a run, or what changed from it to a later one.

    Differences are those on the samples that both were measured on, p-values adjusted by Holm's method: over
    all pairs of systems within a run, over the systems between two runs.

    Args:
        run_folder: a run; with `after` the earlier one.
        after: a later run of the same systems on the same samples.

    Raises:
        RunError: a folder is not a run, or a part of it cannot be read.
        UsageError: two runs share no system or no sample.
    """
    from evals.reporting import build
    from evals.reporting.load import load_run
    from evals.reporting.rundiff import compare_runs

    if after is None:
        return build(run_folder).comparisons
    return compare_runs(load_run(run_folder), load_run(after))


def choose(
    run_folder: Path | str,
    *,
    metric: str | None = None,
    min_quality: float | None = None,
    max_usd_per_1k: Decimal | float | str | None = None,
    max_p95_ms: float | None = None,
) -> Choice:
    """Return the system to take, and why: the best, or the cheapest of those that chance cannot tell from it.

    Everything missing counts as wrong. `chosen` is None where no system qualifies.

    Args:
        run_folder: a scored run.
        metric: `BENCHMARK/METRIC`; by default the leading metric of every benchmark.
        min_quality: least quality, 0 to 1.
        max_usd_per_1k: most to pay for 1,000 samples, in USD.
        max_p95_ms: longest time to a whole answer, 95th percentile, in ms.

    Raises:
        RunError: the folder is not a run, or a part of it cannot be read.
        UnknownNameError: the run has no such metric; names the nearest.
        UsageError: nothing in the run says what is right, or of the metric less is better.
    """
    from evals.reporting.choosing import choose_system
    from evals.reporting.load import load_run
    from evals.reporting.verdicts import Limits

    most = None if max_usd_per_1k is None else Decimal(str(max_usd_per_1k))
    limits = Limits(min_quality=min_quality, max_usd_per_1k=most, max_p95_ms=max_p95_ms)
    return choose_system(load_run(run_folder), metric=metric, limits=limits)


def history(*run_folders: Path | str, metric: str | None = None) -> History:
    """Return each metric of each system over runs, the oldest first, with intervals.

    Args:
        run_folders: runs in any order.
        metric: `BENCHMARK/METRIC`; by default all.

    Raises:
        RunError: a folder is not a run, or a part of it cannot be read.
        UnknownNameError: no run has that metric; names the nearest.
        UsageError: no run was given.
    """
    from evals.reporting.history import history_of
    from evals.reporting.load import load_run
    from rag.errors import UsageError

    if not run_folders:
        raise UsageError("name the run folders to look at.")
    return history_of([load_run(folder) for folder in run_folders], metric=metric)
