"""Beside every judge's score: how far it agrees with people, or that nobody knows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from evals import report, rescore, run
from evals.folder import RunFolder
from evals.reporting import build, render
from evals.reporting.choice_views import choice_to_json, render_choice
from evals.reporting.choosing import choose_system
from evals.reporting.data import RunData
from evals.reporting.diff_views import render_comparisons, render_diff
from evals.reporting.history import history_of, history_to_json, render_history
from evals.reporting.load import load_run
from evals.reporting.numbers import build_report
from evals.reporting.rundiff import compare_runs
from rag.config import parse_config
from tests.evals.reporting.known import Known, known_run, write_run

KNOWN = "AUROC 0.91 [0.88, 0.94] on 200 labelled answers of mine/labels.jsonl"
SYSTEMS = {"a": Known(scores=[1, 0] * 20), "b": Known(scores=[0, 0, 1, 0] * 10)}


def judged(**held: list[str]) -> RunData:
    return replace(known_run(SYSTEMS, metric="judge_rating"), calibration=held)


def flat(text: str) -> str:
    return " ".join(text.replace("\\", "").replace("&#39;", "'").split())


@pytest.mark.parametrize("form", ["table", "md", "html", "json"])
def test_a_calibration_stands_beside_the_scores_in_every_format(form: str, tmp_path: Path) -> None:
    folder = write_run(judged(), tmp_path / "run")
    none = "none is recorded in this run; 'ragassay eval rescore' looks for one"
    assert none in flat(report(folder.path, format=form))
    folder.update(calibration={"judge_rating": [KNOWN]})
    found = flat(report(folder.path, format=form))
    assert KNOWN in found
    assert none not in found


def test_wherever_a_judge_decides_its_calibration_is_said() -> None:
    data = judged(judge_rating=[KNOWN])
    line = f"Calibration of judge_rating: {KNOWN}."
    choice, history = choose_system(data), history_of([data])
    for text in (
        render_choice(choice),
        render_comparisons(build_report(data)),
        render_diff(compare_runs(data, data)),
        render_history(history),
    ):
        assert line in flat(text)
    for plain in (choice_to_json(choice), history_to_json(history)):
        assert plain["calibration"] == {"judge_rating": [KNOWN]}


def test_of_a_metric_that_needs_none_nothing_is_said() -> None:
    data = known_run(SYSTEMS)
    assert "alibration" not in render(build_report(data), "table")
    # ... but what its user has measured is shown.
    known = build_report(replace(data, calibration={"exact_match": [KNOWN]}))
    assert known.calibration == {"exact_match": (KNOWN,)}


def test_a_run_keeps_what_was_known_when_it_was_scored(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(
        '{"id": "1", "question": "How high is it?", "answer": "3 m"}\n', encoding="utf-8"
    )
    (tmp_path / "said.jsonl").write_text(
        '{"id": "1", "answer": "It is 3 m high.", "contexts": ["It is 3 m high."]}\n', encoding="utf-8"
    )
    config = parse_config(
        {
            "systems": [{"name": "app", "recorded": "said.jsonl"}],
            "benchmarks": [
                {"name": "docqa", "data": "q.jsonl", "metrics": ["faithfulness_lexical", "exact_match"]}
            ],
        },
        folder=tmp_path,
    )
    folder = run(config, out=tmp_path / "run").folder
    held = RunFolder.open(folder).read()["calibration"]
    assert [*held] == ["faithfulness_lexical"]
    assert all(line.endswith("cross-validated") for line in held["faithfulness_lexical"])
    assert build(folder).calibration == {"faithfulness_lexical": tuple(held["faithfulness_lexical"])}
    RunFolder.open(folder).update(calibration={})
    rescore(folder)
    assert json.loads(report(folder, format="json"))["calibration"] == held
    assert load_run(folder).calibration == held
