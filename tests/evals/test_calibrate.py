"""Agreement with labels: against scipy and statsmodels, by hand, and as the command shows and keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu
from statsmodels.stats.inter_rater import cohens_kappa
from typer.testing import CliRunner

from evals import report, run
from evals.calibration import calibration_notes, known_calibrations
from evals.calibration.agreement import agreement
from evals.calibration.altered import altered_sentences
from evals.calibration.data import read_labelled
from evals.calibration.logistic import fit_logistic, folds_of
from evals.cli import app
from evals.cli.judged import judge_labelled
from evals.folder import RunFolder
from evals.metrics.faithfulness_lexical import support
from evals.metrics.judge_rating import reference_of
from evals.prompts import render
from rag.config import Config, parse_config
from rag.errors import ConfigError, LoadError
from tests.evals.judged import JUDGE, judged_config
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer

PASSAGE = "Keys expire after 90 days. Failed rows are not charged. The limit is 50,000 requests in one file."
ROWS = [
    ("Keys expire after 90 days.", True),
    ("The limit is 50,000 requests.", True),
    ("Rows that failed are not charged.", True),
    ("The limit is 60,000 requests.", False),
    ("Failed rows are charged.", False),
    ("Dragons guard the server room.", False),
]


def labelled(folder: Path, rows: list[tuple[str, Any]] | None = None) -> Path:
    path = folder / "labelled.jsonl"
    lines = [
        {
            "question": "What is said?",
            "answer": answer,
            "passages": [PASSAGE],
            "label": label,
            "cluster": str(n),
        }
        for n, (answer, label) in enumerate(rows or ROWS * 5)
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


def calibrate(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["eval", "calibrate", *map(str, arguments)])


# ---------------------------------------------------------------- figures


@given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=60).filter(
        lambda rows: len({label for _, label in rows}) == 2
    )
)
def test_auroc_and_kappa_are_scipys_and_statsmodels(rows: list[tuple[int, bool]]) -> None:
    scores, labels = np.array([s / 6 for s, _ in rows]), np.array([label for _, label in rows])
    found = agreement(scores.tolist(), labels.tolist(), range(len(rows)))
    u = mannwhitneyu(scores[labels], scores[~labels]).statistic
    assert found.auroc.value == pytest.approx(u / (labels.sum() * (~labels).sum()), abs=1e-12)
    for at in (found.given, found.best):
        said = scores >= at.threshold
        table = [[np.sum((said == a) & (labels == b)) for b in (True, False)] for a in (True, False)]
        assert at.kappa.value == pytest.approx(cohens_kappa(table, return_results=False), abs=1e-9)
        sensitivity, specificity = said[labels].mean(), (~said[~labels]).mean()
        assert at.balanced_accuracy.value == pytest.approx((sensitivity + specificity) / 2, abs=1e-12)
    assert found.best.balanced_accuracy.value >= found.given.balanced_accuracy.value - 1e-12
    assert sum(held.n for held in found.bins) == len(rows)


def test_best_threshold_and_bins_by_hand() -> None:
    scores = [0.1] * 10 + [0.4] * 10 + [0.8] * 10
    labels = [False] * 10 + [True] + [False] * 9 + [True] * 10
    found = agreement(scores, labels, range(30))
    assert found.best.threshold == pytest.approx(0.6)
    assert found.best.balanced_accuracy.value == pytest.approx((10 / 11 + 1) / 2)
    assert [(held.score, held.share, held.n) for held in found.bins] == [
        (pytest.approx(0.1), 0.0, 10),
        (pytest.approx(0.4), 0.1, 10),
        (pytest.approx(0.8), 1.0, 10),
    ]


def test_intervals_draw_whole_clusters() -> None:
    rng = np.random.default_rng(3)
    labels = rng.random(80) < 0.5
    scores = labels * 0.5 + rng.random(80)
    alone = agreement(scores.tolist(), labels.tolist(), range(80)).auroc
    # Each answer four times over: no more is known, and the interval is as wide.
    many = agreement(
        np.repeat(scores, 4).tolist(), np.repeat(labels, 4).tolist(), np.repeat(np.arange(80), 4).tolist()
    ).auroc
    assert alone.value == pytest.approx(many.value)
    assert many.high - many.low == pytest.approx(alone.high - alone.low, rel=0.02)


def test_answers_about_one_document_have_an_interval() -> None:
    scores, labels = [0.1, 0.4, 0.35, 0.8, 0.2, 0.9], [False, False, True, True, False, True]
    found = agreement(scores, labels, ["one page"] * 6)
    assert found.clusters == 1
    assert found.auroc == agreement(scores, labels, range(6)).auroc
    assert found.auroc.low < found.auroc.value < found.auroc.high


def test_the_interval_covers() -> None:
    """95 % intervals of normal scores one standard deviation apart, AUROC 0.7602, 90 answers a time."""
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(200):
        labels = np.arange(90) < 45
        scores = rng.normal(size=90) + labels
        found = agreement(scores.tolist(), labels.tolist(), range(90), seed=seed).auroc
        held += found.low <= 0.76025 <= found.high
    assert 0.89 <= held / 200 <= 0.99


def test_logistic_regression_is_statsmodels() -> None:
    rng = np.random.default_rng(5)
    signs = rng.random((300, 3))
    labels = rng.random(300) < 1 / (1 + np.exp(1 - signs @ [2.0, -1.0, 0.5]))
    weights = rng.random(300) + 0.5
    model = sm.GLM(labels, sm.add_constant(signs), family=sm.families.Binomial(), freq_weights=weights)
    assert fit_logistic(signs, labels, weights, penalty=0.0) == pytest.approx(model.fit().params, abs=1e-5)


def test_no_cluster_is_in_two_folds() -> None:
    clusters = [f"c{n % 40}" for n in range(200)]
    folds = folds_of(clusters, 10)
    assert all(len({folds[i] for i in range(200) if clusters[i] == c}) == 1 for c in set(clusters))
    assert len({*folds}) == 10


# ---------------------------------------------------------------- data


def test_wice_and_halueval_are_read_as_they_come(tmp_path: Path) -> None:
    wice = {
        "claim": "Keys expire.",
        "evidence": ["s"] * 31,
        "label": "partially_supported",
        "meta": {"claim_title": "K"},
    }
    qa = {
        "knowledge": "Keys expire.After 90 days.",
        "question": "When?",
        "right_answer": "After 90 days",
        "hallucinated_answer": "Never",
    }
    general = {"user_query": "Hi", "chatgpt_response": "Hello there", "hallucination": "no"}
    path = tmp_path / "mixed.jsonl"
    path.write_text("\n".join(map(json.dumps, (wice, qa, general))), encoding="utf-8")
    items = read_labelled(path).items
    assert [item.label for item in items] == [False, True, False, True]
    assert [len(item.item[2]) for item in items] == [3, 1, 1, 0]
    assert items[0].cluster == "K"
    assert items[1].item[2][0].text == "Keys expire. After 90 days."
    assert items[1].cluster == items[2].cluster


def test_bad_rows_are_named(tmp_path: Path) -> None:
    path = labelled(tmp_path, [*ROWS * 4, ("Keys expire.", "perhaps")])
    loaded = read_labelled(path)
    assert len(loaded.items) == 24
    assert "labelled.jsonl line 25: the label 'perhaps' is neither true nor false" in loaded.warnings[0]
    with pytest.raises(LoadError, match="no usable row"):
        read_labelled(labelled(tmp_path, [("", True)]))
    with pytest.raises(ConfigError, match="give labelled answers as JSONL"):
        read_labelled(tmp_path / "none.jsonl")


def test_altered_sentences_change_what_they_say() -> None:
    passage = (
        "The bridge of Mostar was built by Mimar Hayruddin in 1566. It was not rebuilt until 2004, in June."
    )
    found = [*altered_sentences([passage, "short"], seed=2)]
    assert [item.label for item in found] == [True, False]
    kept, changed = (item.item[1].answer for item in found)
    assert changed not in passage
    assert kept not in passage
    probabilities = [support(text, [passage]) for text in (kept, changed)]
    assert probabilities[0] is not None
    assert probabilities[1] is not None
    assert probabilities[0] > 0.5 > probabilities[1]


# ---------------------------------------------------------------- command


def test_the_command_shows_keeps_and_draws(tmp_path: Path) -> None:
    done = calibrate("faithfulness_lexical", labelled(tmp_path), "--plot", tmp_path / "plot.svg")
    assert done.exit_code == 0, done.output
    assert "30 labelled answers, 15 of them true, 30 clusters" in done.output
    assert "Cohen's kappa at the given threshold, 0.5" in done.output
    assert (tmp_path / "plot.svg").read_text(encoding="utf-8").count("<svg") == 1
    (kept,) = [c for c in known_calibrations("faithfulness_lexical", Config()) if not c.shipped]
    assert (kept.scored, kept.figures["auroc"]["value"]) == (30, 1.0)
    notes = calibration_notes(["faithfulness_lexical", "faithfulness_nli", "token_f1"], Config())
    assert notes["faithfulness_lexical"][0].startswith("AUROC 1.00 [1.00, 1.00], balanced accuracy")
    assert any("cross-validated" in line for line in notes["faithfulness_lexical"])
    assert notes["faithfulness_nli"] == (
        "none yet; 'ragassay eval calibrate faithfulness_nli DATASET' compares it with people's labels",
    )
    assert "token_f1" not in notes


def test_the_same_again_takes_the_old_ones_place(tmp_path: Path) -> None:
    path = labelled(tmp_path)
    first, again = (json.loads(calibrate("k_precision", path, "--json").stdout) for _ in range(2))
    assert first["kept"] == again["kept"]
    assert first["figures"] == again["figures"]
    assert len([*Path(first["kept"]).parent.glob("*.json")]) == 1
    Path(first["kept"]).write_text("{", encoding="utf-8")
    assert known_calibrations("k_precision", Config()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("faithfulness_lexica", "x"), "did you mean 'faithfulness_lexical'?"),
        (("k_precision", "none.jsonl"), "no file none.jsonl"),
        (("k_precision", "{rows}", "--plot", "plot.pdf"), "its name should end in .svg or .png"),
        (("faithfulness_nli", "{rows}"), "scoring: {nli_model"),
    ],
)
def test_mistakes_are_named_before_anything_is_scored(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    path = labelled(tmp_path)
    done = calibrate(*(str(path) if word == "{rows}" else word for word in arguments))
    assert done.exit_code == 2
    assert message in done.stderr


def test_one_label_alone_says_nothing(tmp_path: Path) -> None:
    done = calibrate("k_precision", labelled(tmp_path, ROWS[:3]))
    assert done.exit_code == 1
    assert "3 of them labelled true: both labels are needed" in done.stderr


def test_a_judge_is_asked_once(tmp_path: Path) -> None:
    with FakeServer(Behaviour(text=json.dumps({"explanation": "fine", "rating": 7}))) as server:
        config = tmp_path / "judge.yaml"
        provider = f"{{base_url: '{server.base_url}', models: [judge]}}"
        config.write_text(
            f"providers: {{lab: {provider}}}\njudge: {{provider: 'lab:judge'}}\n", encoding="utf-8"
        )
        path = labelled(tmp_path, ROWS)
        first = calibrate("judge_rating", path, "--config", config, "--json")
        assert first.exit_code == 0, first.output
        asked = server.counters.requests
        again = calibrate("judge_rating", path, "--config", config, "--json")
        assert server.counters.requests == asked == len(ROWS)
    found = json.loads(first.stdout)
    assert (found["model"], found["scored"], found["figures"]["auroc"]["value"]) == ("lab:judge", 6, 0.5)
    assert json.loads(again.stdout)["figures"] == found["figures"]


def test_a_judge_is_told_what_is_right_only_where_that_is_known(tmp_path: Path) -> None:
    known: tuple[list[str] | None, ...] = (None, [], ["50,000"])
    rows = [
        {"question": f"Q{n}?", "answer": f"A{n}", "label": n % 2 == 0, "answers": known[n % 3]}
        for n in range(6)
    ]
    path = tmp_path / "labelled.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with FakeServer(Behaviour(text=json.dumps({"explanation": "fine", "rating": 7}))) as server:
        config = judged_config(tmp_path, server.base_url, server.base_url, "m")
        judged = judge_labelled("judge_rating", read_labelled(path), config)
    assert [score.value for score in judged.scores] == [0.7] * 6
    told = {s.id: reference_of(s) for s in RunFolder.open(judged.result.folder).samples()}
    assert [told[str(n)] for n in range(6)] == ["", render("judge.refusal"), "50,000"] * 2


def test_reports_show_it_beside_the_scores_of_that_judge_only(tmp_path: Path) -> None:
    with FakeServer(Behaviour(text=json.dumps({"explanation": "fine", "rating": 7}))) as server:
        written = judged_config(tmp_path, server.base_url, server.base_url, "m")
        (tmp_path / "judge.yaml").write_text(
            json.dumps(written.model_dump(mode="json", exclude_none=True)), encoding="utf-8"
        )
        done = calibrate("judge_rating", labelled(tmp_path, ROWS), "--config", tmp_path / "judge.yaml")
        assert done.exit_code == 0, done.output
        shown = []
        for judge in (JUDGE, "bench:other"):
            data = {**written.model_dump(mode="json", exclude_none=True), "judge": [{"provider": judge}]}
            folder = run(parse_config(data, folder=tmp_path), out=tmp_path / judge.partition(":")[2]).folder
            shown.append(json.loads(report(folder, format="json"))["calibration"]["judge_rating"])
    assert len(shown[0]) == len(shown[1]) == 1
    assert shown[0][0].startswith("AUROC 0.50 ")
    assert shown[0][0].endswith("/labelled.jsonl, by the standard rubric")
    assert shown[1][0].startswith("none yet; 'ragassay eval calibrate judge_rating DATASET'")
