"""Benchmarks: rows to samples in every layout, bad rows named, prompts as they should be."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.benchmarks import BENCHMARKS, list_benchmarks, load_benchmark
from evals.benchmarks.rows import stratified
from evals.core import Sample, SampleSet
from rag.config import BenchmarkConfig, parse_config
from rag.core import Chunk, Settings
from rag.errors import ConfigError, LoadError, UnknownNameError

PASSAGE = Chunk(id="c", document_id="d", source="a.md", title="A", text="Mars is red.", start=0, end=12)


def load(folder: Path, **spec: object) -> SampleSet:
    config = parse_config({}, folder=folder)
    benchmark = BenchmarkConfig.model_validate(spec)
    return load_benchmark(benchmark).load(benchmark, config)


def write_rows(path: Path, *rows: object) -> Path:
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


def item(n: int, answer: object = "B") -> list[object]:
    return [f"Question {n}?", f"one {n}", f"two {n}", f"three {n}", f"four {n}", answer]


def write_mmlu(folder: Path) -> Path:
    """A headerless split of two subjects, and a dev split with a header that shares an item with it."""
    for name, header, numbers in (("test", False, range(10)), ("dev", True, range(9, 15))):
        (folder / name).mkdir(parents=True)
        for subject in ("anatomy", "world_history"):
            rows = [item(n, 1 if header else "B") for n in numbers]
            lines = ["question,choice0,choice1,choice2,choice3,answer"] * header
            lines += [",".join(str(cell) for cell in row) for row in rows]
            (folder / name / f"{subject}_{name}.csv").write_text("\n".join(lines))
    return folder


# ---------------------------------------------------------------- docqa


def test_questions_become_samples(tmp_path: Path) -> None:
    write_rows(
        tmp_path / "q.jsonl",
        {
            "id": "a",
            "question": "Who?",
            "answer": "Ann",
            "relevant": ["x.pdf#3"],
            "cluster": "x",
            "language": "en",
        },
        {"id": 7, "question": "Where?", "answers": ["Here", "There"], "support": "words"},
        "\n",
        {"id": "c", "question": "Why?", "answers": []},
    )
    found = load(tmp_path, name="docqa", data="q.jsonl")
    assert [s.id for s in found.samples] == ["a", "7", "c"]
    assert [s.targets for s in found.samples] == [("Ann",), ("Here", "There"), ()]
    assert found.samples[0].relevant == ("x.pdf#3",)
    assert found.samples[1].metadata == {"support": "words"}
    assert found.warnings == ()
    assert len(found.sha256) == 64


def test_null_answers_leave_the_answer_to_count(tmp_path: Path) -> None:
    write_rows(tmp_path / "q.jsonl", {"id": "a", "question": "?", "answer": "X", "answers": None})
    assert load(tmp_path, name="docqa", data="q.jsonl").samples[0].targets == ("X",)


def test_long_integers_stay_integers(tmp_path: Path) -> None:
    number = 123456789012345678901234567890
    write_rows(tmp_path / "q.jsonl", {"id": number, "question": "?", "answer": "X"})
    assert load(tmp_path, name="docqa", data="q.jsonl").samples[0].id == str(number)


def test_lists_in_csv_are_json_or_one_text(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(
        "id,question,answer,answers,relevant\n"
        'a,Who?,,"[""Ann"", ""Anna""]","[""x.pdf#3""]"\n'
        "b,Where?,,Here,x.pdf\n"
        "c,Why?,,[],\n"
        "d,How?,So,,\n"
    )
    samples = load(tmp_path, name="docqa", data="q.csv").samples
    assert [s.targets for s in samples] == [("Ann", "Anna"), ("Here",), (), ("So",)]
    assert [s.relevant for s in samples] == [("x.pdf#3",), ("x.pdf",), (), ()]


def test_bad_rows_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    good = [{"id": f"g{n}", "question": "?", "answer": "x"} for n in range(60)]
    bad = [
        "{not json\n",
        {"id": "g1", "question": "?", "answer": "x"},
        {"id": "x", "answer": "x"},
        {"id": "y", "question": "?"},
        {"id": "z", "question": "?", "answers": "x"},
        {"question": "?", "answer": "x"},
    ]
    write_rows(tmp_path / "q.jsonl", *good, *bad)
    found = load(tmp_path, name="docqa", data="q.jsonl")
    assert len(found.samples) == 60
    warning = found.warnings[0]
    assert "6 of 66 rows" in warning
    for words in (
        "q.jsonl line 61: not JSON",
        "line 62: id 'g1' was used before",
        "line 63: no 'question'",
        "line 64: no 'answer' or 'answers'",
        "line 65: 'answers' should be a list",
        "line 66: no 'id'",
    ):
        assert words in warning


def test_too_many_bad_rows_or_none_at_all_fail(tmp_path: Path) -> None:
    good = {"id": "a", "question": "?", "answer": "x"}
    write_rows(tmp_path / "q.jsonl", *[{**good, "id": str(n)} for n in range(8)], {"id": "b"})
    with pytest.raises(LoadError, match=r"1 of 9 rows .* line 9: no 'question'"):
        load(tmp_path, name="docqa", data="q.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(LoadError, match="no usable row"):
        load(tmp_path, name="docqa", data="empty.jsonl")
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    with pytest.raises(LoadError, match=r"should end in \.jsonl"):
        load(tmp_path, name="docqa", data="image.png")


def test_a_limit_keeps_the_share_of_languages_and_of_unanswerable_questions(tmp_path: Path) -> None:
    rows = [
        {
            "id": str(n),
            "question": "?",
            "answers": ["x"] if n % 5 else [],
            "language": "en" if n < 60 else "pt",
        }
        for n in range(100)
    ]
    write_rows(tmp_path / "q.jsonl", *rows)
    found = load(tmp_path, name="docqa", data="q.jsonl", limit=20).samples
    assert Counter((s.language, bool(s.targets)) for s in found) == {
        ("en", True): 10,
        ("en", False): 2,
        ("pt", True): 6,
        ("pt", False): 2,
    }
    assert [int(s.id) for s in found] == sorted(int(s.id) for s in found)
    assert found == load(tmp_path, name="docqa", data="q.jsonl", limit=20).samples


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 80), st.integers(0, 9))
def test_strata_get_their_share_to_within_one(strata: list[int], limit: int, seed: int) -> None:
    samples = [Sample(id=str(n), benchmark="b", question="?", cluster=str(s)) for n, s in enumerate(strata)]
    chosen = stratified(samples, limit, seed=seed, stratum=lambda sample: sample.cluster)
    assert len(chosen) == min(limit, len(samples))
    assert len({s.id for s in chosen}) == len(chosen)
    counts, wanted = Counter(s.cluster for s in chosen), Counter(s.cluster for s in samples)
    for name, size in wanted.items():
        assert abs(counts[name] - size * len(chosen) / len(samples)) < 1


def test_docqa_asks_over_passages_and_closed_book() -> None:
    benchmark = BENCHMARKS.load("docqa")()
    sample = Sample(id="a", benchmark="b", question="Qual é a cor de Marte?", language="pt")
    over = benchmark.request(sample, (PASSAGE,), Settings())
    assert "Mars is red." in over.messages[1].content
    assert over.passages == (PASSAGE,)
    closed = benchmark.request(sample, None, Settings(max_tokens=5))
    assert closed.messages[1].content == sample.question
    assert "Os documentos não respondem" in closed.messages[0].content
    assert (closed.passages, closed.settings.max_tokens) == ((), 5)
    assert set(benchmark.prompt_hashes()) == {"rag", "closed_book"}


# ---------------------------------------------------------------- mmlu


def test_a_folder_with_and_without_header(tmp_path: Path) -> None:
    write_mmlu(tmp_path / "m")
    found = load(tmp_path, name="mmlu", data="m", shots=5)
    assert [s.id for s in found.samples[:2]] == ["anatomy/0", "anatomy/1"]
    assert len(found.samples) == 20
    assert {s.targets for s in found.samples} == {("B",)}
    assert found.samples[0].choices == ("one 0", "two 0", "three 0", "four 0")
    assert Counter(s.cluster for s in found.samples) == {"anatomy": 10, "world_history": 10}
    assert [text.splitlines()[0] for text, _ in found.samples[0].shots] == [
        f"Question {n}?" for n in range(9, 14)
    ]


def test_an_item_is_left_out_of_its_own_shots_and_the_warning_says_so(tmp_path: Path) -> None:
    write_mmlu(tmp_path / "m")
    found = load(tmp_path, name="mmlu", data="m", shots=5, subjects=["anatomy"])
    shared = found.samples[9]
    assert shared.question == "Question 9?"
    assert [text.splitlines()[0] for text, _ in shared.shots] == [f"Question {n}?" for n in range(10, 15)]
    assert any("left out of their own: anatomy/9" in warning for warning in found.warnings)


def test_shots_default_to_five_where_there_is_a_dev_split(tmp_path: Path) -> None:
    write_mmlu(tmp_path / "m")
    assert {len(s.shots) for s in load(tmp_path, name="mmlu", data="m").samples} == {5}
    assert {len(s.shots) for s in load(tmp_path, name="mmlu", data="m", shots=0).samples} == {0}
    seven = load(tmp_path, name="mmlu", data="m", shots=7)
    assert any("fewer than 7 shots" in warning for warning in seven.warnings)


def test_the_hubs_columns_in_jsonl_and_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [
        {"question": f"Q{n}?", "subject": "law", "choices": ["a", "b", "c", "d"], "answer": n % 4}
        for n in range(6)
    ]
    write_rows(tmp_path / "x.jsonl", *rows)
    (tmp_path / "hub").mkdir()
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "hub" / "test-00000-of-00001.parquet")
    for data in ("x.jsonl", "hub"):
        found = load(tmp_path, name="mmlu", data=data).samples
        assert [s.id for s in found] == [f"law/{n}" for n in range(6)]
        assert [s.targets[0] for s in found] == ["A", "B", "C", "D", "A", "B"]


def test_a_copy_of_a_hubs_repository(tmp_path: Path) -> None:
    """Its files lie in folders that are no splits: `data`, or one a subset."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def write(folder: str, split: str, number: int) -> None:
        rows = [{"question": f"{split} {n}?", "choices": ["a", "b"], "answer": 0} for n in range(number)]
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        path = tmp_path / folder / f"{split}-00000-of-00001.parquet"
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)

    write("one/data", "test", 6)
    write("one/data", "dev", 2)
    found = load(tmp_path, name="mmlu", data="one").samples
    assert [s.question for s in found] == [f"test {n}?" for n in range(6)]
    assert {len(s.shots) for s in found} == {2}
    for subset in ("all", "law"):
        write(f"several/{subset}", "test", 3)
    with pytest.raises(ConfigError, match="'test' in several folders: all, law; give one of them"):
        load(tmp_path, name="mmlu", data="several")
    assert len(load(tmp_path, name="mmlu", data="several/law").samples) == 3


def test_options_are_a_list_or_the_json_of_one(tmp_path: Path) -> None:
    """Read letter by letter, a text of two to ten characters would be as many options."""
    rows = [f'"Q{n}?","[""left"", 4]",B' for n in range(20)] + ['"Q?","left, or",1']
    (tmp_path / "x.csv").write_text("\n".join(["question,choices,answer", *rows, ""]))
    for name in ("mmlu", "custom"):
        found = load(tmp_path, name=name, data="x.csv")
        assert {(s.choices, s.targets) for s in found.samples} == {(("left", "4"), ("B",))}
        assert "line 22: the options should be a list, not 'left, or'" in found.warnings[0]


def test_bad_items_are_held_against_those_of_all_subjects(tmp_path: Path) -> None:
    folder = write_mmlu(tmp_path / "m")
    path = folder / "test" / "anatomy_test.csv"
    path.write_text(path.read_text() + "\nonly,two\nonly,three\n")
    found = load(tmp_path, name="mmlu", data="m", shots=0, subjects=["world_history"])
    assert len(found.samples) == 10
    assert "2 of 22 rows" in found.warnings[0]


def test_the_prompt_is_the_fields_own(tmp_path: Path) -> None:
    write_mmlu(tmp_path / "m")
    sample = load(tmp_path, name="mmlu", data="m", shots=1, subjects=["world_history"]).samples[0]
    benchmark = BENCHMARKS.load("mmlu")()
    shot = "Question 9?\nA. one 9\nB. two 9\nC. three 9\nD. four 9\nAnswer: B"
    asked = "Question 0?\nA. one 0\nB. two 0\nC. three 0\nD. four 0\nAnswer:"
    intro = "The following are multiple choice questions (with answers) about world history."
    request = benchmark.request(sample, None, Settings())
    assert request.messages[1].content == f"{intro}\n\n{shot}\n\n{asked}"
    assert request.choices == sample.choices
    over = benchmark.request(sample, (PASSAGE,), Settings()).messages[1].content
    assert over == (
        f"{intro}\n\n{shot}\n\nThese passages may help with the next question:\n\n[1] Mars is red.\n\n{asked}"
    )


def test_bad_items_are_named(tmp_path: Path) -> None:
    folder = write_mmlu(tmp_path / "m")
    path = folder / "test" / "anatomy_test.csv"
    path.write_text(path.read_text() + "\nonly,two\nQ?,a,b,c,d,E\n")
    found = load(tmp_path, name="mmlu", data="m", shots=0)
    assert len(found.samples) == 20
    assert "anatomy_test.csv line 11: 2 columns where six are expected" in found.warnings[0]
    assert "line 12: answer 'E' is none of the 4 options" in found.warnings[0]


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ({"data": "m", "split": "tset"}, UnknownNameError, "did you mean 'test'"),
        ({"data": "m", "subjects": ["anatmy"]}, UnknownNameError, "did you mean 'anatomy'"),
        (
            {"data": "m", "mode": "exam"},
            ConfigError,
            "no mode 'exam'; it has: generate, logprob, letters, cloze",
        ),
        ({"data": "m/nowhere/x"}, ConfigError, "no such file or folder"),
        ({"data": "m/test/anatomy_test.csv", "split": "test"}, ConfigError, "has no split"),
        ({}, ConfigError, "needs 'data:'"),
    ],
)
def test_what_cannot_be_used_is_said(
    tmp_path: Path, spec: dict[str, object], error: type, message: str
) -> None:
    write_mmlu(tmp_path / "m")
    with pytest.raises(error, match=message):
        load(tmp_path, name="mmlu", **spec)


def test_an_unreachable_hub_is_said_in_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    started = time.monotonic()
    with pytest.raises(LoadError, match=r"'cais/mmlu' .*cannot be reached.*data: PATH"):
        load(tmp_path, name="mmlu", data="cais/mmlu")
    assert time.monotonic() - started < 20  # most of it is the import of datasets
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(LoadError, match="HF_HUB_OFFLINE is set"):
        load(tmp_path, name="mmlu", data="cais/mmlu")


def test_every_benchmark_says_what_it_is() -> None:
    infos = list_benchmarks()
    assert [info.name for info in infos] == sorted(BENCHMARKS)
    for info in infos:
        assert info.what
        assert info.licence
        assert info.citation
        assert info.default_metrics
