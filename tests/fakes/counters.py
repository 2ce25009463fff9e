"""What the fake server saw: the oracle of tests about concurrency, waits and repeated calls."""

from __future__ import annotations

from collections import Counter
from typing import Any

__all__ = ["Counters"]


class Counters:
    """Counts of one server. Times are seconds of the server's own monotonic clock.

    `calls` counts requests by the hash of their body, `early` those that came before the wait promised to the
    same body had passed, `answered` those whose good reply was sent whole. `after_leaving` counts bytes that
    were written after the client was gone.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.answered = 0
        self.in_flight = 0
        self.max_in_flight = 0
        self.early = 0
        self.waits_kept = 0
        self.client_left = 0
        self.after_leaving = 0
        self.calls: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.ttft_s: list[float] = []
        self.total_s: list[float] = []
        self._promised: dict[str, float] = {}

    def begin(self, body_hash: str, now: float) -> None:
        self.requests += 1
        self.calls[body_hash] += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        until = self._promised.pop(body_hash, None)
        if until is not None:
            if now < until:
                self.early += 1
            else:
                self.waits_kept += 1

    def end(self) -> None:
        self.in_flight -= 1

    def promise(self, body_hash: str, until: float) -> None:
        """Remember that the client was asked to come back no earlier than `until`."""
        self._promised[body_hash] = until

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}
