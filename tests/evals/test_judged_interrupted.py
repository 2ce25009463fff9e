"""Runs that are killed while they are judged: no verdict that was journalled is paid for twice."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

import evals
from evals.folder import RunFolder
from tests.evals.judged import JUDGE, judge_replies, judged_config, said, verdict_lines
from tests.evals.test_runner_interrupted import end, start, wait_for_replies
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer

FULL = (pytest.mark.nightly, pytest.mark.timeout(1800))
_WIDTH = 8
_A_KILL = 60  # samples: more than are judged between two kills


def prepare(folder: Path, systems: FakeServer, judge: FakeServer, samples: int = _A_KILL) -> None:
    config = judged_config(
        folder,
        systems.base_url,
        judge.base_url,
        samples=samples,
        limits={"concurrency": _WIDTH, "timeout_s": 30},
    )
    (folder / "c.yaml").write_text(json.dumps(config.model_dump(mode="json", exclude_none=True)))


@pytest.mark.parametrize(
    ("kills", "seed"), [(2, 1), *(pytest.param(5, 100 + n, marks=FULL) for n in range(10))]
)
def test_a_killed_run_repeats_no_verdict(tmp_path: Path, kills: int, seed: int) -> None:
    rng, samples = random.Random(seed), kills * _A_KILL
    with FakeServer() as systems, FakeServer(Behaviour(text=said(6), latency_s=0.05)) as judge:
        prepare(tmp_path, systems, judge, samples)
        kept = 0
        for kill in range(kills):
            process = start(tmp_path, "resume" if kill else "run")
            wait_for_replies(process, tmp_path, samples + kept + 1 + rng.randrange(_A_KILL // 2))
            time.sleep(rng.uniform(0, 0.1))
            end(process)
            kept = len(judge_replies(tmp_path / "run"))
            assert 0 < kept < samples
            assert judge.counters.requests - kept <= _WIDTH * (kill + 1)
        before = judge.counters.requests
        assert evals.resume(tmp_path / "run").exit_code == 0
        assert judge.counters.requests - before == samples - kept
        assert systems.counters.requests == samples, "no system is asked again either"
        (tmp_path / "whole").mkdir()
        prepare(tmp_path / "whole", systems, judge, samples)
        evals.run(tmp_path / "whole" / "c.yaml", out=tmp_path / "whole" / "run")
    assert verdict_lines(tmp_path / "run") == verdict_lines(tmp_path / "whole" / "run")
    assert len(judge_replies(tmp_path / "run")) == samples


def test_judged_runs_cost_what_the_journal_says(tmp_path: Path) -> None:
    with FakeServer() as systems, FakeServer(Behaviour(text=said(6))) as judge:
        prepare(tmp_path, systems, judge)
        evals.run(tmp_path / "c.yaml", out=tmp_path / "run")
    report = json.loads(evals.report(tmp_path / "run", format="json"))
    paid = sum(reply.completion.cost for reply in judge_replies(tmp_path / "run"))
    assert report["judges"][0]["name"] == JUDGE
    assert report["judges"][0]["cost"]["total_usd"] == f"{paid:f}"
    assert RunFolder.open(tmp_path / "run").read()["judges"][0]["price"]["kind"] == "per_token"
