"""Named places at which the crash tests end the process, as `kill -9` would.

`RAGASSAY_FAILPOINT=NAME` kills at the first passage of NAME, `NAME:3` at the third; unset, a passage costs
one look at the environment. The names are those of the calls in `rag.index.writer`.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

__all__ = ["failpoint"]

_passages: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """End the process at once if RAGASSAY_FAILPOINT names this place and passage."""
    wanted, _, passage = os.environ.get("RAGASSAY_FAILPOINT", "").partition(":")
    if wanted != name:
        return
    _passages[name] += 1
    if _passages[name] >= int(passage or 1):
        os.kill(os.getpid(), signal.SIGKILL)
