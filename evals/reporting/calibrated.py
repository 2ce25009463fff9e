"""What is known of how far a metric agrees with people, to be said wherever its scores are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from evals.calibration import wants_calibration

__all__ = ["calibration_lines", "calibrations"]

_UNRECORDED = "none is recorded in this run; 'ragassay eval rescore' looks for one"


def calibrations(held: Mapping[str, Sequence[str]], metrics: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return for each of `metrics` what was known when it was scored.

    Of one that stands for a person's judgement (a judge, faithfulness) it says so where nothing is recorded.

    Args:
        held: what `run.json` holds by metric; empty in runs of before it was kept.
        metrics: names, with or without their benchmark.
    """
    names = dict.fromkeys(metric.rpartition("/")[2] for metric in metrics)
    return {
        name: tuple(held.get(name) or (_UNRECORDED,))
        for name in names
        if name in held or wants_calibration(name)
    }


def calibration_lines(calibration: Mapping[str, Sequence[str]], metrics: Iterable[str]) -> tuple[str, ...]:
    """Return a line for each of `metrics` that has an entry: its name, and what is known of it.

    Args:
        calibration: as `calibrations` returns it.
        metrics: names, with or without their benchmark.
    """
    names = dict.fromkeys(metric.rpartition("/")[2] for metric in metrics)
    return tuple(
        f"Calibration of {name}: {'; '.join(calibration[name])}." for name in names if name in calibration
    )
