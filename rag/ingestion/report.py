"""What an ingest did, as a value, as JSON and in a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rag.loaders import Failure

__all__ = ["IngestReport"]


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestReport:
    """What an ingest did.

    The counts are of documents: a file, or a row of a JSONL file. `failures` are files and URLs.
    """

    collection: str
    added: int
    updated: int
    unchanged: int
    removed: int
    failures: tuple[Failure, ...]
    chunks_added: int
    chunks_removed: int
    chunks_total: int
    seconds: float

    @property
    def chunks_per_s(self) -> float | None:
        """Passages written per second; None where none was."""
        return self.chunks_added / self.seconds if self.chunks_added and self.seconds else None

    def shape(self) -> dict[str, Any]:
        """Return what `ingest --json` prints."""
        speed = self.chunks_per_s
        return {
            "collection": self.collection,
            "documents": {
                "added": self.added,
                "updated": self.updated,
                "unchanged": self.unchanged,
                "removed": self.removed,
                "failed": len(self.failures),
            },
            "chunks": {
                "added": self.chunks_added,
                "removed": self.chunks_removed,
                "total": self.chunks_total,
            },
            "failures": [{"source": f.source, "error": f.error} for f in self.failures],
            "seconds": round(self.seconds, 3),
            "chunks_per_s": None if speed is None else round(speed, 1),
        }

    def summary(self) -> str:
        """Return the report in one line for a person."""
        counted = {
            "added": self.added,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "removed": self.removed,
            "failed": len(self.failures),
        }
        counts = ", ".join(f"{count} {what}" for what, count in counted.items() if count)
        return (
            f"{self.collection}: {counts or 'nothing to do'}; "
            f"{self.chunks_total} passages in all; {self.seconds:.1f} s"
        )
