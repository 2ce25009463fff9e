"""Runs that are killed or interrupted: nothing that was journalled is asked again."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import evals
from evals.folder import RunFolder
from evals.runner.spec import given_config, resolve_spec
from rag.errors import RunError
from tests.evals.runs import records_of, run_data, timeless, write_questions
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer

_PROGRAM = """
import sys, evals
try:
    if sys.argv[1] == "run":
        result = evals.run(sys.argv[2], out=sys.argv[3])
    else:
        result = evals.resume(sys.argv[3])
except KeyboardInterrupt as exc:
    print(exc, flush=True)
    sys.exit(130)
sys.exit(result.exit_code)
"""
_SAMPLES, _WIDTH = 150, 8


def start(folder: Path, verb: str) -> subprocess.Popen[str]:
    arguments = [verb, str(folder / "c.yaml"), str(folder / "run")]
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *arguments],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=10)


def prepare(folder: Path, base_url: str, **limits: object) -> None:
    write_questions(folder / "questions.jsonl", _SAMPLES)
    limits = {"concurrency": _WIDTH, "max_attempts": 1, "timeout_s": 30, **limits}
    (folder / "c.yaml").write_text(json.dumps(run_data(base_url, "a", "b", limits=limits)))


def wait_for_replies(process: subprocess.Popen[str], folder: Path, number: int) -> None:
    """Return when the journal holds `number` replies, or the process has ended."""
    journal = folder / "run" / "journal.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") >= number:
            return
        time.sleep(0.005)
    assert process.poll() is not None, "the run never got under way"


def kill_and_resume(tmp_path: Path, *, kills: int, seed: int) -> None:
    """Kill a run `kills` times at random points, and check what the server saw."""
    rng = random.Random(seed)
    with FakeServer(Behaviour(latency_s=0.05)) as server:
        prepare(tmp_path, server.base_url)
        kept = 0
        for kill in range(kills):
            process = start(tmp_path, "resume" if kill else "run")
            wait_for_replies(process, tmp_path, kept + 1 + rng.randrange(_SAMPLES // kills))
            time.sleep(rng.uniform(0, 0.1))
            end(process)
            kept = len(records_of(tmp_path / "run"))
            # What was sent and is not in the journal was in flight; everything else was asked once.
            assert server.counters.requests - kept <= _WIDTH * (kill + 1)
        before = server.counters.requests
        result = evals.resume(tmp_path / "run")
        assert result.exit_code == 0
        assert server.counters.requests - before == 2 * _SAMPLES - kept
        assert len(server.counters.calls) == 2 * _SAMPLES
        assert sum(count - 1 for count in server.counters.calls.values()) <= _WIDTH * kills
        (tmp_path / "whole").mkdir()
        prepare(tmp_path / "whole", server.base_url)
        evals.run(tmp_path / "whole" / "c.yaml", out=tmp_path / "whole" / "run")
    assert timeless(tmp_path / "run") == timeless(tmp_path / "whole" / "run")
    scores = [
        {s.key: s.scores for s in RunFolder.open(folder / "run").scores()}
        for folder in (tmp_path, tmp_path / "whole")
    ]
    assert scores[0] == scores[1]


def test_a_killed_run_repeats_no_journalled_call(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, kills=4, seed=1)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(20))
def test_a_hundred_kills_repeat_no_journalled_call(tmp_path: Path, seed: int) -> None:
    kill_and_resume(tmp_path, kills=5, seed=100 + seed)


def test_ctrl_c_leaves_a_run_to_go_on_with(tmp_path: Path) -> None:
    with FakeServer(Behaviour(latency_s=0.03)) as server:
        prepare(tmp_path, server.base_url)
        process = start(tmp_path, "run")
        wait_for_replies(process, tmp_path, 20)
        process.send_signal(signal.SIGINT)
        interrupted = time.monotonic()
        output, _ = process.communicate(timeout=10)
        assert time.monotonic() - interrupted < 5
        assert process.returncode == 130
        assert f"eval resume {tmp_path / 'run'}" in output
        state = RunFolder.open(tmp_path / "run").read()
        assert (state["state"], state["exit_code"]) == ("interrupted", 130)
        kept = len(records_of(tmp_path / "run"))
        before = server.counters.requests
        assert evals.resume(tmp_path / "run").exit_code == 0
        assert server.counters.requests - before == 2 * _SAMPLES - kept


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    with FakeServer() as server:
        prepare(tmp_path, server.base_url)
        server.script(*[Behaviour()] * 3, default=Behaviour(fault="never_reply"))
        process = start(tmp_path, "run")
        wait_for_replies(process, tmp_path, 3)
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=5)
        assert process.returncode in {130, -signal.SIGINT}
        assert len(records_of(tmp_path / "run")) == 3


def test_two_processes_cannot_work_on_a_run(tmp_path: Path) -> None:
    with FakeServer(Behaviour(latency_s=0.05)) as server:
        prepare(tmp_path, server.base_url)
        process = start(tmp_path, "run")
        try:
            wait_for_replies(process, tmp_path, 1)
            with pytest.raises(RunError, match=f"in use by process {process.pid}"):
                evals.resume(tmp_path / "run")
        finally:
            end(process)
        config, text = given_config(tmp_path / "c.yaml", limit=None, budget=None)
        assert len(resolve_spec(config, text).benchmarks[0].samples) == _SAMPLES
        with RunFolder.open(tmp_path / "run").locked():
            pass  # the lock fell with the process
