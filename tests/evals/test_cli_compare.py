"""`eval compare|choose|history|report` as a person or a script calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import evals.cli
from rag.cli.app import app
from tests.conftest import assert_golden
from tests.evals.reporting.known import Known, known_run, write_run
from tests.evals.reporting.runs import COMPARED, PROFILES, make_run

assert evals.cli.COMMAND_MODULES


def call(*words: object) -> Result:
    return CliRunner().invoke(app, ["eval", *map(str, words)], env={"COLUMNS": "80"})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_run(make_run(PROFILES[:4], choices=8), folder / "tonight")
    for name, day, right in (("old", "2026-11-20", 40), ("new", "2026-11-21", 20)):
        known = Known(scores=[float(n < right) for n in range(50)])
        steady = Known(scores=[float(n % 2) for n in range(50)], usd="0.01")
        write_run(known_run({"a": known, "b": steady}, created=day), folder / name)
    write_run(known_run({"a": Known(scores=[None] * 4), "b": Known(scores=[None] * 4)}), folder / "failed")
    write_run(known_run({"a": Known(scores=[1.0, 0.0])}), folder / "one")
    return folder


@pytest.mark.parametrize(
    ("golden", "words"),
    [
        ("compare.txt", ("compare", "tonight")),
        ("compare_two.txt", ("compare", "old", "new")),
        ("choose.txt", ("choose", "tonight", "--max-p95-ms", "3000")),
        ("history.txt", ("history", "new", "old")),
    ],
)
def test_golden(golden: str, words: tuple[str, ...], runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    done = call(*words)
    assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert_golden(golden, done.stdout)


def test_json_is_one_document(runs: Path) -> None:
    one = json.loads(call("compare", runs / "tonight", "--json").stdout)
    assert one[0].keys() >= COMPARED
    two = json.loads(call("compare", runs / "old", runs / "new", "--json").stdout)
    assert (two[0]["system"], two[0]["significant"], len(two[0]["regressed"])) == ("a", True, 20)
    chosen = json.loads(call("choose", runs / "new", "--json").stdout)
    assert (chosen["chosen"], len(chosen["ranking"])) == ("a", 2)
    series = json.loads(call("history", runs / "old", runs / "new", "--json").stdout)["series"]
    assert [point["mean"] for point in series[0]["points"]] == [0.8, 0.4]


def test_none_qualifies_exits_3(runs: Path) -> None:
    done = call("choose", runs / "old", "--min-quality", "0.9", "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["chosen"] is None
    failed = call("choose", runs / "failed")
    assert failed.exit_code == 3
    assert "nothing of it was scored" in failed.stdout


def test_bad_input_says_what_to_do(runs: Path, tmp_path: Path) -> None:
    for words, code, message in (
        (("choose", tmp_path / "absent"), 2, "is not a run folder"),
        (("compare", tmp_path), 2, "is not a run folder"),
        (("history", runs / "old", tmp_path), 2, "is not a run folder"),
        (("choose", runs / "old", "--metric", "qa/exact"), 2, "did you mean 'qa/exact_match'"),
        (("history", runs / "old", "--metric", "exact_match"), 2, "did you mean 'qa/exact_match'"),
        (("choose", runs / "old", "--min-quality", "60"), 2, "less than or equal to 1"),
        (("compare", runs / "old", runs / "new", runs / "one"), 2, "compare takes one or two"),
        (("compare", runs / "tonight", runs / "old"), 2, "share no system"),
        (("report", runs / "old", "--format", "parquet"), 2, "needs --output"),
    ):
        done = call(*words)
        assert (done.exit_code, message in done.stderr) == (code, True), (words, done.output)


def test_thin_runs_are_told_so(runs: Path) -> None:
    assert "Nothing to compare: it has one system." in call("compare", runs / "one").stdout
    assert (
        "Nothing to compare: no two systems share scored samples." in call("compare", runs / "failed").stdout
    )
    assert json.loads(call("compare", runs / "failed", "--json").stdout) == []
    assert "timeout" in call("history", runs / "failed").stdout
    assert "a is the only system: 0.500" in " ".join(call("choose", runs / "one").stdout.split())


def test_exports_print_where_they_went(runs: Path, tmp_path: Path) -> None:
    for name, out in (("csv", "a.csv"), ("parquet", "a.parquet"), ("dataset", "set")):
        done = call("report", runs / "tonight", "-f", name, "-o", tmp_path / out)
        assert (done.exit_code, done.stdout.strip()) == (0, str(tmp_path / out))
        assert (tmp_path / out).exists()
