"""How fast replies are scored and a report is made."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from evals import rescore
from evals.core import Context, Record, Sample
from evals.folder import RunFolder
from evals.metrics import load_metrics, score_records
from evals.reporting import render
from evals.reporting.numbers import build_report
from evals.runner.contexts import context_writer
from rag.core import Chunk
from tests.evals.reporting.known import write_run
from tests.evals.reporting.runs import DOCQA, PROFILES, RETRIEVAL, Profile, make_run, passages_of

_SCORED_PER_S = 2000
_METRICS = (*DOCQA, *RETRIEVAL)
_SYSTEMS = tuple(replace(PROFILES[n % 6], name=f"{PROFILES[n % 6].name}-{n}") for n in range(10))

Reply = tuple[Sample, Record, tuple[Chunk, ...]]


@pytest.mark.bench
def test_scoring() -> None:
    items = _replies(PROFILES[1:5], 1000)
    start = time.process_time()
    scored = sum(1 for _ in score_records(items, load_metrics(_METRICS)))
    rate = scored / (time.process_time() - start)
    print(f"\nscoring, ten metrics, one process: {rate:,.0f} samples per CPU second")


@pytest.mark.bench
def test_rescore(tmp_path: Path) -> None:
    items = _replies(_SYSTEMS, 2000)
    folder = _folder_of(items, tmp_path / "run")
    start = time.perf_counter()
    rescore(folder.path)
    rate = len(items) / (time.perf_counter() - start)
    assert sum(1 for _ in folder.scores()) == len(items)
    print(
        f"\nrescore of {len(items):,} replies, ten metrics, from the folder: {rate:,.0f} samples/s "
        f"(wanted: {_SCORED_PER_S:,}), load {os.getloadavg()[0]:.1f}"
    )


def _replies(systems: Sequence[Profile], questions: int) -> list[Reply]:
    """Return what `systems` replied. Every passage and answer is another text of a usual length.

    Caches may help only where real runs have it too, in that all systems saw the same passages.
    """
    run = make_run(systems, questions=questions, choices=0)
    samples = {sample.id: sample for sample in run.samples}
    passages = {
        key: tuple(replace(p, text=f"{p.text} {_filler(p.id, 12)}") for p in passages_of(sample))
        for key, sample in samples.items()
    }
    replies = []
    for record in run.records:
        answer = f"{record.answer} {_filler(record.sample_id + record.system, 2)}"
        known = replace(record, answer=answer, context_key="handbook")
        replies.append((samples[record.sample_id], known, passages[record.sample_id]))
    return replies


def _folder_of(replies: Sequence[Reply], path: Path) -> RunFolder:
    """Return the folder of a run with these replies, its calls made and its scores still to come."""
    systems = dict.fromkeys(record.system for _, record, _ in replies)
    samples = {sample.id: sample for sample, _, _ in replies}
    state = {
        "created": "2026-11-20",
        "config": {
            "systems": [{"name": name, "provider": "extractive"} for name in systems],
            "benchmarks": [{"name": "docqa", "data": "questions.jsonl"}],
        },
        "config_folder": str(path.parent),
        "benchmarks": {"docqa": {"metrics": list(_METRICS)}},
        "warnings": [],
        "versions": {},
    }
    folder = RunFolder.create(path, spec_yaml="seed: 7\n", samples=samples.values(), state=state)
    with folder.journal() as journal, context_writer(folder) as contexts:
        for key, passages in {sample.id: passages for sample, _, passages in replies}.items():
            contexts.append(
                Context(sample_id=key, benchmark="docqa", key="handbook", passages=passages, retrieval_s=0.01)
            )
        for _, record, _ in replies:
            journal.append(record)
    return folder


@pytest.mark.bench
@pytest.mark.parametrize("samples", [1000, 10_000])
def test_report_of_ten_systems(samples: int, tmp_path: Path) -> None:
    run = make_run(_SYSTEMS, questions=samples // 2, choices=samples // 2)
    folder = write_run(run, tmp_path / "run").path
    program = (
        "import resource, sys, time; from evals import report; start = time.perf_counter();"
        "report(sys.argv[1], format='html', output=sys.argv[2]);"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6;"
        "print(f'{time.perf_counter() - start:.1f} s, {time.process_time():.1f} s of CPU, {peak:.2f} GB')"
    )
    words = [sys.executable, "-c", program, str(folder), str(tmp_path / "report.html")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    print(f"\npage of 10 systems x {samples:,} from the folder (wanted: 20 s, 1 GB): {done.stdout.strip()}")
    start = time.perf_counter()
    report = build_report(run)
    numbers = time.perf_counter() - start
    times = {}
    for name in ("json", "table", "html"):
        start = time.perf_counter()
        render(report, name)
        times[name] = time.perf_counter() - start
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in times.items())
    print(f"\nreport of 10 systems x {samples:,}: numbers {numbers:.1f} s, {parts}")


def _filler(key: str, sentences: int) -> str:
    return " ".join(
        f"Row {key} number {n} of the table names the price of {n + 3} requests, and word{n}{key} too."
        for n in range(sentences)
    )
