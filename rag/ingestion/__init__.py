"""Ingest: sources to a searchable collection, doing only what changed."""

from __future__ import annotations

from rag.ingestion.report import IngestReport
from rag.ingestion.run import ingest

__all__ = ["IngestReport", "ingest"]
