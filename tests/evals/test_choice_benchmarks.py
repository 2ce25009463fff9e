"""MMLU-Pro, ENEM and OAB in both of their layouts; options in other orders; letters by log probability."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

import evals
from evals.benchmarks import load_benchmark
from evals.folder import RunFolder
from evals.metrics.letters import letter_histogram, rotations
from rag.config import BenchmarkConfig
from rag.core import Settings
from rag.errors import ConfigError, LoadError
from tests.evals.loading import asked, load, write_rows
from tests.evals.runs import records_of, run_config
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer


def pro(n: int, **changes: object) -> dict[str, object]:
    row = {
        "question_id": n,
        "question": f"What is {n} plus {n}?",
        "options": [str(2 * n + i) for i in range(9)] + ["N/A"],
        "answer": "A",
        "answer_index": 0,
        "cot_content": "",
        "category": "math" if n % 2 else "law",
    }
    return {**row, **changes}


def enem(n: int, **changes: object) -> dict[str, object]:
    row = {
        "id": f"ENEM_2022_{n}",
        "exam": "2022",
        "number": n,
        "context": f"Texto {n}.",
        "question": f"Qual é o tema do texto {n}?",
        "options": [f"tema {i}" for i in range(5)],
        "label": "e",
        "has_associated_images": False,
    }
    return {**row, **changes}


def oab(n: int, **changes: object) -> dict[str, object]:
    row = {
        "id": f"oab_{n}",
        "question": f"Segundo a lei {n}, assinale a correta.",
        "choices": [f"opção {i}" for i in range(4)],
        "answer": "C",
        "areas": ["ETHICS"],
        "nullified": False,
    }
    return {**row, **changes}


# ---------------------------------------------------------------- MMLU-Pro


def write_pro(folder: Path) -> None:
    solved = pro(1, cot_content="A: Let's think step by step. 1 plus 1 is 2. The answer is (A).")
    write_rows(folder / "test.jsonl", *[pro(n) for n in range(10, 16)])
    write_rows(folder / "validation.jsonl", solved, pro(3), pro(2))


def test_ten_options_are_asked_after_worked_examples(tmp_path: Path) -> None:
    write_pro(tmp_path)
    spec = {"name": "mmlu_pro", "data": ".", "shots": 1}
    found = load(tmp_path, **spec)
    assert Counter(s.cluster for s in found.samples) == {"math": 3, "law": 3}
    assert {len(s.choices) for s in found.samples} == {9}  # N/A only fills the list
    text = asked(found, 1, **spec)
    assert text.startswith(
        "The following are multiple choice questions (with answers) about math. Think step"
    )
    assert "Question:\nWhat is 1 plus 1?\nOptions:\nA. 2\nB. 3\n" in text
    assert (
        "Answer: Let's think step by step. 1 plus 1 is 2. The answer is (A).\n\nQuestion:\nWhat is 11" in text
    )
    assert text.endswith("I. 30\nAnswer: Let's think step by step.")


def test_an_option_na_among_others_keeps_its_letter(tmp_path: Path) -> None:
    write_rows(tmp_path / "t.jsonl", pro(1, options=["1", "N/A", "2", "N/A"], answer="C"))
    (sample,) = load(tmp_path, name="mmlu_pro", data="t.jsonl", shots=0).samples
    assert (sample.choices, sample.targets) == (("1", "N/A", "2"), ("C",))


def test_letters_alone_are_asked_without_reasoning(tmp_path: Path) -> None:
    write_pro(tmp_path)
    spec = {"name": "mmlu_pro", "data": ".", "shots": 1, "mode": "logprob"}
    text = asked(load(tmp_path, **spec), 1, **spec)
    assert "step by step" not in text
    assert "I. 10\nAnswer: A\n\nWhat is 11 plus 11?\nA. 22" in text
    assert text.endswith("\nAnswer:")


def test_bad_rows_of_mmlu_pro_are_named(tmp_path: Path) -> None:
    rows = [*[pro(n) for n in range(30)], pro(30, options="AB"), pro(31, answer="J"), pro(7)]
    write_rows(tmp_path / "t.jsonl", *rows)
    (warning,) = load(tmp_path, name="mmlu_pro", data="t.jsonl", shots=0).warnings
    assert "line 31: no list of 'options'" in warning
    assert "line 32: answer 'J' is none of the 9 options" in warning
    assert "line 33: id '7' was used before" in warning


# ---------------------------------------------------------------- ENEM


def test_a_question_without_a_key_is_no_nullified_one(tmp_path: Path) -> None:
    write_rows(tmp_path / "e.jsonl", *[enem(n) for n in range(1, 20)], enem(20, label=None))
    (warning, *_) = load(tmp_path, name="enem", data="e.jsonl", shots=0).warnings
    assert "line 20: no answer" in warning


def test_items_that_need_an_image_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [enem(n) for n in (6, 50, 95, 140)]
    rows += [enem(7, has_associated_images=True), enem(8, has_associated_images=True)]
    rows += [enem(137, options=[]), enem(9, label="ANULADO")]
    (tmp_path / "2022.json").write_text(json.dumps(rows, ensure_ascii=False))
    found = load(tmp_path, name="enem", data="2022.json")
    assert [s.cluster for s in found.samples] == [
        "linguagens",
        "ciências humanas",
        "ciências da natureza",
        "matemática",
    ]
    assert [s.targets for s in found.samples] == [("E",)] * 4
    assert {s.language for s in found.samples} == {"pt"}
    told = " ".join(found.warnings)
    for words in (
        "2 of 8 rows",
        "not asked: needs an image",
        "1 of 8 rows",
        "options are images",
        "nullified by the examiners",
    ):
        assert words in told
    text = asked(found, name="enem")
    assert "(ENEM), com as respostas; área: linguagens." in text
    assert text.endswith("Texto 6.\nQual é o tema do texto 6?\n" + options(5, "tema") + "\nResposta:")


def options(count: int, word: str) -> str:
    return "\n".join(f"{'ABCDE'[i]}. {word} {i}" for i in range(count))


def test_enem_in_the_hubs_columns(tmp_path: Path) -> None:
    row = {"exam": "2023", "question": "Qual?", "alternatives": list("abcde"), "label": "B", "figures": []}
    images = {**row, "id": "questao_02", "figures": ["x.png"]}
    write_rows(tmp_path / "train.jsonl", {**row, "id": "questao_91"}, images)
    (sample,) = load(tmp_path, name="enem", data="train.jsonl").samples
    assert (sample.id, sample.cluster, sample.targets) == ("2023/questao_91", "ciências da natureza", ("B",))


def test_nothing_left_to_ask_is_an_error_that_says_why(tmp_path: Path) -> None:
    write_rows(tmp_path / "x.jsonl", enem(1, has_associated_images=True))
    with pytest.raises(LoadError, match=r"no usable row.*needs an image"):
        load(tmp_path, name="enem", data="x.jsonl")


# ---------------------------------------------------------------- OAB


def test_the_bar_examination_in_both_layouts(tmp_path: Path) -> None:
    hub = {
        "id": "2011-05_3",
        "question": "Qual?",
        "choices": {"text": list("wxyz"), "label": list("ABCD")},
        "answerKey": "D",
        "question_type": "CIVIL-PROCEDURE",
        "nullified": False,
    }
    write_rows(tmp_path / "o.jsonl", oab(1), oab(2, areas=[]), oab(3, nullified=True, answer=None), hub)
    found = load(tmp_path, name="oab", data="o.jsonl")
    assert [(s.id, s.cluster, s.targets[0]) for s in found.samples] == [
        ("oab_1", "ética profissional", "C"),
        ("oab_2", "all", "C"),
        ("2011-05_3", "processo civil", "D"),
    ]
    assert found.samples[2].choices == ("w", "x", "y", "z")
    assert found.warnings == (
        f"1 of 4 rows of {tmp_path / 'o.jsonl'} are not asked: nullified by the examiners",
    )
    assert "área: direito." in asked(found, 1, name="oab")


# ---------------------------------------------------------------- orders and modes


def test_options_are_turned_and_the_right_letter_with_them(tmp_path: Path) -> None:
    write_rows(tmp_path / "o.jsonl", oab(1), oab(2, areas=["CIVIL"]))
    found = load(tmp_path, name="oab", data="o.jsonl", rotations=4)
    assert [s.id for s in found.samples[:4]] == ["oab_1@0", "oab_1@1", "oab_1@2", "oab_1@3"]
    for sample in found.samples:
        assert sample.choices["ABCD".index(sample.targets[0])] == "opção 2"
    assert [s.targets[0] for s in found.samples[:4]] == ["C", "B", "A", "D"]
    # Two subjects are too few for intervals over subjects: the item is the cluster.
    assert {s.cluster for s in found.samples} == {"oab_1", "oab_2"}
    assert "área: direito civil." in asked(found, 4, name="oab")
    assert len(load(tmp_path, name="oab", data="o.jsonl", rotations=9).samples) == 8


def test_a_limit_counts_items_not_orders(tmp_path: Path) -> None:
    write_rows(tmp_path / "o.jsonl", *[oab(n) for n in range(10)])
    assert len(load(tmp_path, name="oab", data="o.jsonl", rotations=2, limit=3).samples) == 6


def test_log_probabilities_are_asked_for_in_one_call(tmp_path: Path) -> None:
    write_rows(tmp_path / "o.jsonl", oab(1))
    found = load(tmp_path, name="oab", data="o.jsonl", mode="logprob")
    kind = load_benchmark(BenchmarkConfig(name="oab"))
    request = kind.request(found.samples[0], None, Settings(max_tokens=64, temperature=0))
    assert request.settings == Settings(max_tokens=1, temperature=0, top_logprobs=20)
    with pytest.raises(ConfigError, match="no mode 'letter'; it has: generate, logprob"):
        load(tmp_path, name="oab", data="o.jsonl", mode="letter")


@pytest.mark.parametrize("mode", ["generate", "logprob"])
def test_a_run_over_all_orders(tmp_path: Path, mode: str) -> None:
    write_rows(tmp_path / "o.jsonl", *[oab(n) for n in range(5)])
    benchmark = {"name": "oab", "data": "o.jsonl", "rotations": 4, "mode": mode}
    with FakeServer(default=Behaviour(text="B")) as server:
        result = evals.run(
            run_config(tmp_path, server.base_url, benchmarks=[benchmark]), out=tmp_path / "run"
        )
    assert result.exit_code == 0
    folder = RunFolder.open(tmp_path / "run")
    samples = {sample.id: sample for sample in folder.samples()}
    scored = [
        (samples[entry.key.sample_id], score)
        for entry in folder.scores()
        for score in entry.scores
        if score.metric == "accuracy"
    ]
    # The fake always says B: right in one of four orders, whatever the item.
    assert {score.reason for _, score in scored} == {"B by logprob" if mode == "logprob" else "B by direct"}
    found = rotations(scored)
    assert found is not None
    assert found.by_rotation == {0: 0.0, 1: 1.0, 2: 0.0, 3: 0.0}
    assert (found.items, found.always, found.ever) == (5, 0.0, 1.0)
    histogram = letter_histogram(scored)
    assert histogram.chosen["B"] == 20
    assert histogram.p_value is not None
    assert histogram.p_value < 1e-9
    record = next(iter(records_of(tmp_path / "run").values()))
    assert (record.shots, record.seed) == (0, 0)
    assert record.prompt_sha256


def test_a_provider_without_log_probabilities_has_no_score(tmp_path: Path) -> None:
    write_rows(tmp_path / "o.jsonl", oab(1), oab(2))
    systems = [{"name": "x", "provider": "extractive"}]
    benchmarks = [{"name": "oab", "data": "o.jsonl", "mode": "logprob"}]
    evals.run(run_config(tmp_path, "", systems=systems, benchmarks=benchmarks), out=tmp_path / "run")
    for entry in RunFolder.open(tmp_path / "run").scores():
        assert all(score.value is None for score in entry.scores)
        assert all("gives none: use mode generate" in (score.error or "") for score in entry.scores)


# ---------------------------------------------------------------- likelihoods


def write_mmlu(folder: Path) -> None:
    rows = [
        {
            "question": f"What is {n} plus {n}?",
            "subject": "sums",
            "choices": [str(2 * n), "a city", "red", "no"],
        }
        for n in range(1, 5)
    ]
    write_rows(folder / "test.jsonl", *({**row, "answer": 0} for row in rows))
    write_rows(folder / "dev.jsonl", {**rows[0], "question": "What is 0 plus 0?", "answer": 1})


def test_likelihood_is_asked_for_of_letters_or_of_the_options_texts(tmp_path: Path) -> None:
    write_mmlu(tmp_path)
    kind = load_benchmark(BenchmarkConfig(name="mmlu"))
    cloze = load(tmp_path, name="mmlu", data=".", mode="cloze", shots=1).samples[1]
    request = kind.request(cloze, None, Settings())
    (message,) = request.messages
    assert message.content == (
        "The following are questions about sums.\n"
        "Question: What is 0 plus 0?\nAnswer: a city\n\n"
        "Question: What is 2 plus 2?\nAnswer:"
    )
    assert request.continuations == (" 4", " a city", " red", " no")
    lettered = load(tmp_path, name="mmlu", data=".", mode="letters", shots=1).samples[1]
    request = kind.request(lettered, None, Settings())
    assert request.continuations == (" A", " B", " C", " D")
    assert request.messages[-1].content.endswith("What is 2 plus 2?\nA. 4\nB. a city\nC. red\nD. no\nAnswer:")


def test_only_embedded_models_tell_likelihoods(tmp_path: Path) -> None:
    write_mmlu(tmp_path)
    benchmarks = [{"name": "mmlu", "data": ".", "mode": "cloze"}]
    with FakeServer() as server:
        config = run_config(tmp_path, server.base_url, benchmarks=benchmarks)
        for start in (lambda: evals.run(config, out=tmp_path / "run"), lambda: evals.plan(config)):
            with pytest.raises(
                ConfigError, match="mode 'cloze' needs a 'local:' model; 'mock' is 'lab:mock'"
            ):
                start()
        assert server.counters.requests == 0


def test_a_run_by_likelihood(tmp_path: Path) -> None:
    write_mmlu(tmp_path)
    systems = [{"name": "small", "provider": "local:smollm2-135m"}]
    entry = {"benchmark": "mmlu", "data": ".", "metrics": ["accuracy"]}
    benchmarks = [{**entry, "name": mode, "mode": mode} for mode in ("cloze", "letters", "logprob")]
    limits = {"timeout_s": 120}
    config = run_config(tmp_path, "", systems=systems, benchmarks=benchmarks, limits=limits)
    assert evals.run(config, out=tmp_path / "run").exit_code == 0
    reasons = {
        entry.key.benchmark: {(score.reason or "").partition(" by ")[2] for score in entry.scores}
        for entry in RunFolder.open(tmp_path / "run").scores()
    }
    assert reasons == {"cloze": {"cloze"}, "letters": {"letters"}, "logprob": {"logprob"}}
