"""How many processor cores a computation may use here."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["usable_cores"]

_TOPOLOGY = Path("/sys/devices/system/cpu")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Return the physical cores open to this process: affinity and quota count, siblings do not."""
    affinity = getattr(os, "sched_getaffinity", None)
    logical = affinity(0) if affinity else set(range(os.cpu_count() or 1))
    physical = {_core(number) for number in logical}
    return max(1, min(len(physical), _quota() or len(physical)))


def _core(number: int) -> str:
    try:
        return (_TOPOLOGY / f"cpu{number}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(number)


def _quota() -> int | None:
    try:
        limit, period = _QUOTA.read_text().split()
        return max(1, int(limit) // int(period))
    except (OSError, ValueError):  # no cgroup, or "max"
        return None
