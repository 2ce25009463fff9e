"""The demo: which unfinished run it goes on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evals.demo import demo_config, unfinished_run


def left_off(out: Path, name: str, **changes: Any) -> Path:
    systems = [system.model_dump(mode="json", exclude_none=True) for system in demo_config().systems]
    folder = out / "runs" / name
    folder.mkdir(parents=True)
    state = {"format": 1, "state": "interrupted", "config": {"systems": systems}, **changes}
    (folder / "run.json").write_text(json.dumps(state))
    return folder


def test_only_a_run_that_can_be_gone_on_with_is_resumed(tmp_path: Path) -> None:
    config = demo_config()
    assert unfinished_run(config, tmp_path) is None
    wanted = left_off(tmp_path, "1")
    left_off(tmp_path, "2", state="finished")
    left_off(tmp_path, "3", config={"systems": [{"name": "other", "provider": "extractive"}]})
    left_off(tmp_path, "4", format=99)
    (left_off(tmp_path, "5") / "run.json").write_text("not json")
    assert unfinished_run(config, tmp_path) == wanted
