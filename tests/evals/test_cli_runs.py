"""`eval` commands: what a person is told, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

import evals.cli  # adds its commands
from rag.cli.app import app
from tests.evals.runs import run_data, write_questions
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer

assert evals.cli.COMMAND_MODULES


def test_each_failed_item_is_named_up_to_twenty(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 300)
    with FakeServer() as server:
        server.script(*[Behaviour(fault="server_error")] * 22)
        (tmp_path / "c.yaml").write_text(json.dumps(run_data(server.base_url)))
        done = CliRunner().invoke(
            app, ["eval", "run", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "r")]
        )
        assert done.exit_code == 1, done.output
        named = [line for line in done.stderr.splitlines() if "failed: docqa/q" in line]
        assert len(named) == 20
        assert ", mock: server_error: " in named[0]
        assert "and 2 more failures" in done.stderr
        assert f"resume:     ragassay eval resume {tmp_path / 'r'}\n" in done.stdout
        done = CliRunner().invoke(app, ["eval", "resume", str(tmp_path / "r"), "--budget", "2"])
        assert done.exit_code == 0, done.output
        assert "resume:" not in done.stdout
