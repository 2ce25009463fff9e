"""Data that is not as it should be: what a person who runs `eval run` over it is told."""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import evals.cli  # adds its commands
from evals.folder import RunFolder
from evals.metrics.mt_bench import is_turn
from rag.cli.app import app
from tests.evals.loading import load

assert evals.cli.COMMAND_MODULES

GOOD = 30
LATIN = "Qual é a opção?"
READERS = ["docqa", "custom", "squad", "mmlu"]


def row_of(name: str, n: int) -> dict[str, Any]:
    """Return a row as the benchmark expects it."""
    if name == "squad":
        answers = {"text": [str(n)], "answer_start": [9]}
        row = {"context": f"Entry {n} is number {n}.", "title": f"T{n % 3}", "answers": answers}
        return {"id": f"q{n}", "question": f"What is entry {n}?", **row}
    if name == "mmlu":
        return {"question": f"Entry {n}?", "choices": [*"wxyz"], "answer": n % 4, "subject": f"s{n % 3}"}
    return {"id": f"q{n}", "question": f"What is entry {n}?", "answer": f"It is {n}"}


def as_lines(*rows: object, encoding: str = "utf-8") -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(encoding)


def write_beir(folder: Path, queries: bytes, qrels: bytes) -> None:
    (folder / "b" / "qrels").mkdir(parents=True)
    (folder / "b" / "queries.jsonl").write_bytes(queries)
    (folder / "b" / "qrels" / "test.tsv").write_bytes(b"query-id\tcorpus-id\tscore\n" + qrels)


def eval_run(folder: Path, **benchmark: object) -> Result:
    config = {"systems": [{"name": "x", "provider": "extractive"}], "benchmarks": [benchmark]}
    (folder / "c.yaml").write_text(json.dumps(config))
    return CliRunner().invoke(app, ["eval", "run", str(folder / "c.yaml"), "--out", str(folder / "run")])


def told(folder: Path) -> str:
    """Return the warnings of the report of the run in `folder`."""
    done = CliRunner().invoke(app, ["eval", "report", str(folder / "run"), "--format", "json"])
    return "\n".join(json.loads(done.stdout)["warnings"])


@pytest.mark.parametrize("name", READERS)
def test_bad_lines_are_named_and_the_others_are_asked(tmp_path: Path, name: str) -> None:
    rows = [row_of(name, n) for n in range(GOOD)]
    latin = as_lines({**row_of(name, 99), "question": LATIN}, encoding="latin-1")
    (tmp_path / "d.jsonl").write_bytes(as_lines(*rows) + b"{broken\n" + latin + as_lines(["a list"]))
    done = eval_run(tmp_path, name=name, data="d.jsonl")
    assert done.exit_code == 0, done.output
    assert len([*RunFolder.open(tmp_path / "run").records()]) == GOOD
    warnings = told(tmp_path)
    assert f"3 of {GOOD + 3} rows" in warnings
    for words in ("line 31: not JSON", "line 32: not UTF-8", "line 33: a list where an object is expected"):
        assert f"d.jsonl {words}" in warnings


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("d.jsonl", b"", r"d\.jsonl has no usable row\. d\.jsonl: no rows"),
        ("d.csv", b"id,question,answer\n", r"d\.csv has no usable row\. d\.csv: no rows"),
        ("d.jsonl", as_lines({"id": 1}, encoding="utf-16"), r"d\.jsonl is UTF-16; save it as UTF-8"),
        ("d.json", as_lines([{"question": LATIN}], encoding="latin-1"), r"d\.json is not UTF-8 \(line 1\)"),
        ("d.json", b'[{"id": 1,', r"d\.json is not valid JSON .* correct it there"),
        ("d.jsonl", b"{broken\n" * 20, r"has no usable row\. d\.jsonl line 1: not JSON .*; \.\.\."),
        ("d.parquet", b"PAR1", r"d\.parquet is not Parquet: .*[^.]\.$"),
    ],
    ids=["empty", "header only", "UTF-16", "Latin-1", "no JSON", "no line of JSON", "no Parquet"],
)
def test_a_file_that_cannot_be_used_is_said_in_one_line(
    tmp_path: Path, name: str, file: str, content: bytes, message: str
) -> None:
    (tmp_path / file).write_bytes(content)
    done = eval_run(tmp_path, name=name, data=file)
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1
    assert re.search(message, done.stderr.strip()), done.stderr


def test_a_folder_where_one_file_is_expected_is_said(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    done = eval_run(tmp_path, name="docqa", data="folder")
    assert "folder: it is a folder; name one file in it" in done.stderr


def test_too_many_bad_rows_end_the_run_before_anything_is_asked(tmp_path: Path) -> None:
    rows = [row_of("docqa", n) for n in range(10)]
    (tmp_path / "d.jsonl").write_bytes(as_lines(*rows) + b"{broken\n" * 2)
    done = eval_run(tmp_path, name="docqa", data="d.jsonl")
    assert done.exit_code == 1
    assert "2 of 12 rows" in done.stderr
    assert "limits.max_error_rate 0.1 allows; correct them, or raise it: d.jsonl line 11" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_folder_without_data_is_said(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "notes.txt").write_text("none")
    done = eval_run(tmp_path, name="mmlu", data="sub")
    assert done.exit_code == 2
    assert "sub holds no file that ends in .csv, .json, .jsonl, .parquet" in done.stderr


# ---------------------------------------------------------------- CSV


def mmlu_csv(numbers: range) -> str:
    return "".join(f"Entry {n}?,w,x,y,z,{'ABCD'[n % 4]}\n" for n in numbers)


def test_a_quote_that_is_never_closed_costs_its_own_line_only(tmp_path: Path) -> None:
    broken = '"Entry 5?,w,x,y,z,A\n'
    (tmp_path / "d.csv").write_text(mmlu_csv(range(5)) + broken + mmlu_csv(range(6, 30)))
    found = load(tmp_path, name="mmlu", data="d.csv")
    assert [s.question for s in found.samples] == [f"Entry {n}?" for n in range(30) if n != 5]
    assert "d.csv line 6: a quote is opened and never closed" in found.warnings[0]


def test_rows_of_several_lines_and_encodings_are_named_by_their_lines(tmp_path: Path) -> None:
    good = mmlu_csv(range(28)) + '"Entry 28,\nto the end?",w,x,y,z,A\n'
    bad = '"two\nlines",w\n,w,x,y,z,A\nEntry?,w,x,y,z,\n'
    latin = f"{LATIN},w,x,y,z,A\n".encode("latin-1")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "law_test.csv").write_bytes((good + bad).encode() + latin + b"Last?,w,x,y,z,B\n")
    (tmp_path / "m" / "none_test.csv").write_bytes(b"")
    config = {"limits": {"max_error_rate": 0.2}}
    found = load(tmp_path, config, name="mmlu", data="m", split="law_test")
    assert len(found.samples) == 30
    for words in (
        "law_test.csv lines 31-32: 2 columns where six are expected",
        "line 33: no question",
        "line 34: no answer",
        "line 35: not UTF-8",
    ):
        assert words in found.warnings[0]


def test_a_subject_without_rows_is_named(tmp_path: Path) -> None:
    (tmp_path / "m" / "test").mkdir(parents=True)
    (tmp_path / "m" / "test" / "law_test.csv").write_text(mmlu_csv(range(30)))
    (tmp_path / "m" / "test" / "art_test.csv").write_bytes(b"")
    found = load(tmp_path, name="mmlu", data="m")
    assert len(found.samples) == 30
    assert "art_test.csv: no rows" in found.warnings[0]


# ---------------------------------------------------------------- answers and ids


@pytest.mark.parametrize("answers", [None, "text", 7, {"text": "7"}, [7], {"text": [None]}, {}])
def test_questions_without_proper_answers_are_named(tmp_path: Path, answers: object) -> None:
    rows = [row_of("squad", n) for n in range(GOOD)]
    rows[5]["answers"] = answers
    nested = [{"context": row.pop("context"), "qas": [row]} for row in json.loads(json.dumps(rows))]
    (tmp_path / "d.jsonl").write_bytes(as_lines(*rows))
    (tmp_path / "d.json").write_bytes(as_lines({"data": [{"title": "T", "paragraphs": nested}]}))
    for name, place in (("d.jsonl", "line 6"), ("d.json", "paragraph 0/5 question 0")):
        found = load(tmp_path, name="squad", data=name)
        assert len(found.samples) == GOOD - 1
        assert f"{name} {place}: no 'answers' as SQuAD has them" in found.warnings[0]


def test_an_answer_may_be_a_plain_text_in_a_list(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_bytes(as_lines({**row_of("squad", 1), "answers": ["1", "one"]}))
    assert load(tmp_path, name="squad", data="d.jsonl").samples[0].targets == ("1", "one")


@pytest.mark.parametrize("name", ["docqa", "custom", "squad"])
def test_ids_may_count_from_zero(tmp_path: Path, name: str) -> None:
    (tmp_path / "d.jsonl").write_bytes(as_lines(*({**row_of(name, n), "id": n} for n in range(3))))
    found = load(tmp_path, name=name, data="d.jsonl")
    assert [s.id for s in found.samples] == ["0", "1", "2"]
    assert not [warning for warning in found.warnings if "left out" in warning]


def test_rows_of_ones_own_without_an_answer_are_counted(tmp_path: Path) -> None:
    rows = [row_of("custom", n) for n in range(GOOD)]
    bare = [{"question": f"Rate {n}"} for n in range(2)]
    refused = {"question": "Who?", "answers": []}
    (tmp_path / "d.jsonl").write_bytes(as_lines(*rows, *bare, refused))
    (warning,) = load(tmp_path, name="custom", data="d.jsonl").warnings
    assert "2 of 33 rows" in warning
    assert "a refusal counts as right" in warning
    (tmp_path / "d.jsonl").write_bytes(as_lines(*bare))
    found = load(tmp_path, name="custom", data="d.jsonl")
    assert found.warnings == ()
    assert [sample.unanswerable for sample in found.samples] == [False, False]


@pytest.mark.parametrize("name", ["docqa", "custom"])
def test_columns_of_ones_own_are_not_taken_for_ours(tmp_path: Path, name: str) -> None:
    """With `turn` and `category` a row would be judged as MT-bench's, with `rotation` counted as turned."""
    own = {"turn": 3, "category": "billing", "rotation": "weekly", "mode": "cloze", "item": 7, "kept": 1}
    (tmp_path / "d.jsonl").write_bytes(as_lines({**row_of(name, 1), **own}))
    (sample,) = load(tmp_path, name=name, data="d.jsonl").samples
    assert not is_turn(sample)
    assert {key: sample.metadata.get(key) for key in own} == {
        **dict.fromkeys(own),
        "category": "billing",
        "kept": "1",
    }


def test_an_empty_cell_is_no_category(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("id,question,answers,category\n1,A?,x,law\n2,B?,y,\n")
    found = load(tmp_path, name="docqa", data="d.csv").samples
    assert [dict(sample.metadata) for sample in found] == [{"category": "law"}, {}]


def test_more_choices_than_letters_are_said(tmp_path: Path) -> None:
    many = {**row_of("custom", 0), "choices": [str(n) for n in range(27)], "answers": "3"}
    (tmp_path / "d.jsonl").write_bytes(as_lines(many, *(row_of("custom", n) for n in range(1, GOOD))))
    (warning,) = load(tmp_path, name="custom", data="d.jsonl").warnings
    assert "line 1: 27 choices, more than there are letters" in warning


# ---------------------------------------------------------------- BEIR


def test_queries_that_cannot_be_asked_are_named_once_and_in_order(tmp_path: Path) -> None:
    queries = [{"_id": f"q{n}", "text": f"entry {n}"} for n in range(GOOD)]
    judged = "".join(f"q{n}\td{n}\t1\n" for n in range(GOOD + 2)).encode()
    write_beir(tmp_path, as_lines(*queries[:-1], {"_id": "q29", "text": " "}, queries[3]), judged)
    done = eval_run(tmp_path, name="beir", data="b")
    assert done.exit_code == 1
    assert "4 of 33 rows" in done.stderr
    named = (
        "queries.jsonl line 30: no 'text'; queries.jsonl line 31: id 'q3' was used before; "
        "test.tsv: query 'q30' is not in queries.jsonl; test.tsv: query 'q31' is not in queries.jsonl"
    )
    assert named in done.stderr


@pytest.mark.parametrize(
    ("queries", "qrels", "message"),
    [
        (b"", b"q0\td0\t1\n", "queries.jsonl: no rows; test.tsv: query 'q0' is not in queries.jsonl"),
        (as_lines({"_id": "q0", "text": "x"}), b"", "test.tsv: no judgement"),
        (
            as_lines({"_id": "q0", "text": "x"}),
            "é\td0\t1\n".encode("latin-1"),
            "test.tsv is not UTF-8 (line 2)",
        ),
    ],
    ids=["no queries", "no judgements", "Latin-1"],
)
def test_a_retrieval_folder_that_cannot_be_used_is_said(
    tmp_path: Path, queries: bytes, qrels: bytes, message: str
) -> None:
    write_beir(tmp_path, queries, qrels)
    done = eval_run(tmp_path, name="beir", data="b")
    assert done.exit_code == 1
    assert message in done.stderr


# ---------------------------------------------------------------- hub


@pytest.mark.parametrize("name", ["mmlu", "squad", "custom", "humaneval"])
def test_a_hub_that_never_answers_costs_seconds(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("datasets")  # its import is no part of the wait
    monkeypatch.setattr("evals.benchmarks.data._HUB_TIMEOUT_S", 0.3)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        done = eval_run(tmp_path, name=name, data="some/data")
        assert time.monotonic() - started < 5
    assert done.exit_code == 1
    assert "cannot get 'some/data' from the hub" in done.stderr
    assert "'data: PATH'" in done.stderr


def test_nothing_scored_is_told_and_no_number_is_made_of_it(tmp_path: Path) -> None:
    write_beir(tmp_path, as_lines({"_id": "q0", "text": "x"}), b"q0\td0\t1\n")
    done = eval_run(tmp_path, name="beir", data="b")  # no collection: nothing is retrieved
    assert done.exit_code == 0
    assert "closed book" in done.stdout
    done = CliRunner().invoke(app, ["eval", "report", str(tmp_path / "run"), "--format", "json"])
    metric = json.loads(done.stdout)["systems"][0]["metrics"]["beir/ndcg@10"]
    assert (metric["mean"], metric["ci_low"], metric["n"]) == (None, None, 0)
