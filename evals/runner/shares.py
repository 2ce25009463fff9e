"""The scores of a run's replies: made here or, where there are many, in a process for each processor.

A process takes its share of the samples, so that the systems that saw the same passages stay together and
those are read once. It reads the run folder by itself and prints the scores of its share in the order of
`RunFolder.records`, in which this process puts them together again:
`python -m evals.runner.shares FOLDER SHARE SHARES`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO
from zlib import crc32

from evals.codec import Key, ScoredRecord, dumps, loads, scored_from_json, scored_to_json
from evals.core import BatchMetric, Metric, Record, Sample, Score
from evals.folder import RunFolder
from evals.metrics import load_metrics, prepare_metrics, score_record
from evals.metrics.scoring import BLOCK
from evals.runner.cases import LOST_PASSAGES
from evals.runner.contexts import ContextStore, context_address, is_lost
from evals.runner.spec import RunSpec, stored_spec
from rag.children import python_path
from rag.core import Chunk
from rag.providers.cpu import usable_cores

__all__ = ["ShareEndedError", "processes_for", "score_records"]

_WORTHWHILE = 4000  # replies: fewer are scored before other processes have begun
_MOST = 8

Scores = tuple[Record, tuple[Score, ...]]


class ShareEndedError(Exception):
    """A scoring process ended before its share was done."""


def processes_for(spec: RunSpec) -> int:
    """Return in how many processes to score: models and sandboxes use all processors by themselves."""
    replies = sum(len(benchmark.samples) for benchmark in spec.benchmarks)
    replies *= spec.config.repeats * len(spec.config.systems)
    metrics = [metric for b in spec.benchmarks for metric in load_metrics(b.metrics, spec.config)]
    if replies < _WORTHWHILE or any(isinstance(metric, BatchMetric) for metric in metrics):
        return 1
    return min(usable_cores(), _MOST)


def score_records(
    records: Iterable[Record], folder: RunFolder, contexts: ContextStore, spec: RunSpec, processes: int
) -> Iterator[Scores]:
    """Yield each record of a run with its scores; those of a benchmark that `spec` has not are left out.

    Args:
        records: what `folder` holds, in its order.
        folder: the run.
        contexts: of the run.
        spec: the one that `folder` holds.
        processes: in how many to score; 1 is this one.

    Raises:
        ShareEndedError: a scoring process ended.
    """
    samples = {(b.config.name, sample.id): sample for b in spec.benchmarks for sample in b.samples}
    wanted = (record for record in records if (record.benchmark, record.sample_id) in samples)
    if processes > 1:
        return _shared(wanted, folder, processes)
    return _here(wanted, samples, contexts, spec)


def _here(
    wanted: Iterator[Record], samples: Mapping[tuple[str, str], Sample], contexts: ContextStore, spec: RunSpec
) -> Iterator[Scores]:
    metrics = {b.config.name: load_metrics(b.metrics, spec.config) for b in spec.benchmarks}
    while block := list(islice(wanted, BLOCK)):
        items = [(samples[r.benchmark, r.sample_id], r, _passages(r, contexts)) for r in block]
        for name, chosen in metrics.items():
            prepare_metrics(chosen, [(s, r, p) for s, r, p in items if r.benchmark == name and p is not None])
        for sample, record, passages in items:
            chosen = metrics[record.benchmark]
            if passages is None:
                yield record, tuple(_without_passages(sample, record, chosen))
            else:
                yield record, score_record(sample, record, passages, chosen)


def _shared(wanted: Iterator[Record], folder: RunFolder, processes: int) -> Iterator[Scores]:
    with ExitStack() as stack:
        shares = [stack.enter_context(_process(folder.path, n, processes)) for n in range(processes)]
        for record in wanted:
            line = shares[_share(record, processes)].readline()
            if not line.endswith(b"\n"):
                raise ShareEndedError
            yield record, scored_from_json(loads(line)).scores


@contextmanager
def _process(folder: Path, share: int, shares: int) -> Iterator[IO[bytes]]:
    """Start a process and yield the lines that it prints; it ends with the block."""
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "evals.runner.shares", str(folder), str(share), str(shares)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": python_path()},
        start_new_session=True,  # Ctrl-C is this process's to answer
    )
    assert child.stdout is not None
    with child:
        try:
            yield child.stdout
        finally:
            child.kill()


def _main(folder: Path, share: int, shares: int) -> None:
    run = RunFolder.open(folder)
    spec = stored_spec(run, run.read())
    with os.fdopen(os.dup(1), "wb") as lines:
        os.dup2(2, 1)  # whatever a library prints is no score
        mine = (record for record in run.records() if _share(record, shares) == share)
        for record, scores in score_records(mine, run, ContextStore(run), spec, 1):
            lines.write(dumps(scored_to_json(ScoredRecord(key=Key.of(record), scores=scores))) + b"\n")


def _share(record: Record, shares: int) -> int:
    return crc32(f"{record.benchmark}/{record.sample_id}".encode("utf-8", "surrogatepass")) % shares


def _passages(record: Record, contexts: ContextStore) -> Sequence[Chunk] | None:
    """Return what the system was shown, () for a closed book; None where it is lost."""
    if is_lost(record, contexts):
        return None
    return () if record.context_key is None else contexts.passages(*context_address(record))


def _without_passages(sample: Sample, record: Record, metrics: Sequence[Metric]) -> Iterator[Score]:
    for metric in metrics:
        if metric.needs_passages:
            for name in metric.names:
                yield Score(metric=name, value=None, error=LOST_PASSAGES)
        else:
            yield from score_record(sample, record, (), [metric])


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
