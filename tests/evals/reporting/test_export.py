"""Rows of a run as CSV, Parquet and a folder for `datasets`."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from evals import report
from evals.codec import Key
from evals.core import Score
from evals.reporting.data import RunData
from rag.errors import StorageError, UnknownNameError, UsageError
from tests.evals.reporting.known import Known, known_run, write_run
from tests.evals.reporting.runs import PROFILES, make_run

NASTY = 'a "quoted", line\r\nand \ud800 é\x00'


@pytest.fixture(scope="module")
def run() -> RunData:
    return make_run(PROFILES[:4], questions=8, choices=4)


@pytest.fixture
def folder(run: RunData, tmp_path: Path) -> Path:
    return write_run(run, tmp_path / "run").path


def test_csv_holds_every_reply_and_score(run: RunData, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "answers.csv"
    assert report(folder, format="csv", output=out) == out.read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert len(rows) == len(run.records)
    for row, record in zip(rows, run.records, strict=True):
        assert (row["run"], row["sample_id"], row["system"]) == ("run", record.sample_id, record.system)
        scores = {score.metric: score.value for score in run.scores[Key.of(record)]}
        for name in ("token_f1", "accuracy"):
            value = scores.get(name)
            assert (float(row[name]) if row[name] else None) == value
        assert json.loads(row["targets"]) is not None
        assert (row["cost_usd"] == "") == (record.completion.cost is None)


@pytest.mark.parametrize("answer", [NASTY, "a\rb", "a\nb", "\r"])
def test_any_answer_survives_csv(run: RunData, tmp_path: Path, answer: str) -> None:
    records = [replace(run.records[0], answer=answer), *run.records[1:]]
    path = write_run(replace(run, records=records), tmp_path / "run").path
    text = report(path, format="csv")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert rows[0]["answer"] == answer.replace("\ud800", "?")
    assert len(rows) == len(run.records)


def test_of_several_judges_each_has_a_column(tmp_path: Path) -> None:
    data = known_run({"x": Known(scores=[0.6, 0.8])}, metric="judge_rating")
    first, second = data.scores
    said = Score(metric="judge_rating", value=0.6, by_judge={"lab:a": 0.5, "lab:b": 0.7})
    odd = Score(metric="judge_rating", value=0.8, by_judge={"lab:a": 0.8, "lab:b": "judge: unreadable"})
    path = write_run(replace(data, scores={first: (said,), second: (odd,)}), tmp_path / "run").path
    rows = [*csv.DictReader(io.StringIO(report(path, format="csv")))]
    columns = ("judge_rating", "judge_rating[lab:a]", "judge_rating[lab:b]")
    assert [[row[name] for name in columns] for row in rows] == [["0.6", "0.5", "0.7"], ["0.8", "0.8", ""]]
    report(path, format="parquet", output=tmp_path / "rows.parquet")
    typed = pq.read_table(tmp_path / "rows.parquet", columns=[*columns])
    assert typed.to_pylist()[1] == dict(zip(columns, (0.8, 0.8, None), strict=True))
    page = report(path, format="html")
    assert "judge_rating 0.600 (lab:a 0.500, lab:b 0.700)" in page
    assert "judge_rating 0.800 (lab:a 0.800, lab:b unreadable)" in page


def test_parquet_has_types(run: RunData, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.parquet"
    assert report(folder, format="parquet", output=out) == ""
    table = pq.read_table(out)
    assert table.num_rows == len(run.records)
    assert str(table.schema.field("token_f1").type) == "double"
    assert str(table.schema.field("targets").type).startswith("list<")
    assert table.column("cost_usd").to_pylist()[0] == 0.0
    assert None in table.column("accuracy").to_pylist()


def test_the_folder_loads_with_datasets(
    run: RunData, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets import load_dataset

    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    out = tmp_path / "set"
    report(folder, format="dataset", output=out)
    cache = str(tmp_path / "cache")
    answers = load_dataset(str(out), split="test", cache_dir=cache)
    samples = load_dataset(str(out), "samples", split="test", cache_dir=cache)
    assert (len(answers), len(samples)) == (len(run.records), len(run.samples))
    assert answers[0]["question"] == samples[0]["question"]
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "Hendrycks et al. 2021" in card
    assert "- Calibration of faithfulness_lexical: none is recorded in this run" in card


def test_several_runs(run: RunData, tmp_path: Path) -> None:
    one, two = (write_run(run, tmp_path / name).path for name in ("one", "two"))
    assert [found["run"] for found in json.loads(report(one, two, format="json"))] == ["one", "two"]
    rows = list(csv.DictReader(io.StringIO(report(one, two, format="csv"))))
    assert {row["run"] for row in rows} == {"one", "two"}
    assert report(one, two).count("\nSystems\n") == 2
    with pytest.raises(UsageError, match="a page shows one"):
        report(one, two, format="html")


def test_what_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    for name in ("parquet", "dataset"):
        with pytest.raises(UsageError, match="needs --output"):
            report(folder, format=name)
        with pytest.raises(StorageError, match="cannot write"):
            report(folder, format=name, output=folder / "run.json" / "x")
    with pytest.raises(UnknownNameError, match="did you mean 'parquet'"):
        report(folder, format="parket")
    with pytest.raises(UsageError, match="name the run folder"):
        report()


def test_a_run_without_replies(run: RunData, tmp_path: Path) -> None:
    path = write_run(replace(run, records=[], scores={}), tmp_path / "run").path
    assert report(path, format="csv").count("\n") == 1
    report(path, format="dataset", output=tmp_path / "set")
    assert pq.read_table(tmp_path / "set" / "answers.parquet").num_rows == 0
