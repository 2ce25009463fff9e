"""How fast a run is beside the endpoint it measures: 1,000 calls of 50 ms, 64 in flight, full journal."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import evals
from evals.runner import ProgressState
from tests.evals.runs import records_of, run_config, write_questions

_SAMPLES = 1000


@pytest.fixture
def base_url(tmp_path: Path) -> Iterator[str]:
    """The fake server in a process of its own: in this one it would share the interpreter with the client."""
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"default": {"latency_s": 0.05}}))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.server", "--script", str(script)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}/v1"
    process.terminate()
    process.communicate(timeout=10)


@pytest.mark.bench
def test_a_thousand_calls_with_a_full_journal(tmp_path: Path, base_url: str) -> None:
    write_questions(tmp_path / "questions.jsonl", _SAMPLES)
    config = run_config(tmp_path, base_url, limits={"concurrency": 64})
    calls: list[float] = []

    def watch(state: ProgressState) -> None:
        if state.phase == "calls":
            calls.append(time.perf_counter())

    for attempt in range(3):
        started = time.perf_counter()
        result = evals.run(config, out=tmp_path / str(attempt), progress=watch)
        whole = time.perf_counter() - started
        assert (result.exit_code, len(records_of(result.folder))) == (0, _SAMPLES)
        rate = (_SAMPLES - 1) / (calls[-1] - calls[-_SAMPLES])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"\n{rate:.0f} samples/s while calling, {_SAMPLES / whole:.0f} samples/s from config to scores, "
            f"peak memory {peak:.0f} MB, load {os.getloadavg()[0]:.1f}"
        )
