"""What the tests of benchmarks share: rows on disk, and samples loaded from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evals.benchmarks import load_benchmark
from evals.core import SampleSet
from rag.config import BenchmarkConfig, parse_config
from rag.core import Chunk, Settings


def load(folder: Path, config: Mapping[str, Any] | None = None, **spec: object) -> SampleSet:
    """Load the benchmark that `spec` describes; its paths start from `folder`."""
    benchmark = BenchmarkConfig.model_validate(spec)
    return load_benchmark(benchmark).load(
        benchmark, parse_config({"seed": 3, **(config or {})}, folder=folder)
    )


def asked(found: SampleSet, number: int = 0, *passages: Chunk, **spec: object) -> str:
    """Return the last message of what a sample is asked."""
    kind = load_benchmark(BenchmarkConfig.model_validate(spec))
    return kind.request(found.samples[number], passages or None, Settings()).messages[-1].content


def write_rows(path: Path, *rows: object) -> Path:
    """Write rows as JSONL, texts as they are."""
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


def chunk(text: str, source: str = "a.md", page: int | None = None) -> Chunk:
    """Return a passage that is a whole document."""
    return Chunk(
        id=f"{source}/{text[:30]}",
        document_id=source,
        source=source,
        title=source,
        text=text,
        start=0,
        end=len(text),
        page=page,
    )
