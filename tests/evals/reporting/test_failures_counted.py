"""How failed calls are counted, figure by figure, against what the server was told to say.

Of 100 replies of the system `rough` the server filters 10, tears 10 off and cuts 10 at max_tokens. Every
figure that a report shows is worked out here from that list alone.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import binomtest

import evals
from evals.folder import RunFolder
from evals.reporting import build
from evals.reporting.choosing import choose_system
from evals.reporting.load import load_run
from evals.reporting.panels import outcome_bars
from rag.config import parse_config
from tests.evals.runs import MOCK_PRICE, write_questions
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer

N = 100
USAGE = {"prompt_tokens": 100, "completion_tokens": 10}
# 100 tokens in at $0.50 and 10 out at $1.50 a million; what is filtered has used 7.
ANSWERED_USD, FILTERED_USD = Decimal("0.000065"), Decimal("0.0000605")
# 16 words of which one is right: precision 1/16, recall 1.
CUT_F1 = 2 / 17


@dataclass(frozen=True)
class Said:
    """A scripted reply and what follows from it: None is a score that cannot be known."""

    behaviour: Behaviour
    outcome: str
    exact: float | None
    f1: float | None
    usd: Decimal | None


def _subject(sample_id: str) -> str:
    return str(int(sample_id[1:]) % 4)


def _said(text: str, fault: str | None = None) -> Behaviour:
    return Behaviour(text=text, fault=fault, usage=USAGE)


RIGHT = Said(_said("yes"), "ok", 1.0, 1.0, ANSWERED_USD)
WRONG = Said(_said("no"), "ok", 0.0, 0.0, ANSWERED_USD)
CUT = Said(_said("yes " + "but " * 40), "length", 0.0, CUT_F1, ANSWERED_USD)
FILTERED = Said(_said("yes", "content_filter"), "content_filter", 0.0, 0.0, FILTERED_USD)
TORN = Said(_said("yes", "clean_close"), "stream_truncated", None, None, None)
# Ten times: four right, three wrong, one of each mishap, so that none comes in a row.
ROUGH = [RIGHT, TORN, RIGHT, WRONG, FILTERED, RIGHT, WRONG, CUT, RIGHT, WRONG] * (N // 10)
STEADY = [WRONG, RIGHT] * (N // 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One call at a time: the n-th request of a system is its n-th line in the journal."""
    home = tmp_path_factory.mktemp("failures")
    write_questions(home / "questions.jsonl", N)
    rows = [json.loads(line) for line in (home / "questions.jsonl").read_text().splitlines()]
    (home / "questions.jsonl").write_text(
        "".join(json.dumps({**r, "answer": "yes", "cluster": _subject(r["id"])}) + "\n" for r in rows)
    )
    with FakeServer() as rough, FakeServer() as steady:
        rough.script(*(said.behaviour for said in ROUGH))
        steady.script(*(said.behaviour for said in STEADY))
        servers = {"rough": rough, "steady": steady}
        config = {
            "home": str(home / "home"),
            "providers": {
                name: {"base_url": server.base_url, "models": ["m"], "price": MOCK_PRICE}
                for name, server in servers.items()
            },
            "systems": [
                {"name": name, "provider": f"{name}:m", "settings": {"max_tokens": 16}} for name in servers
            ],
            "benchmarks": [
                {
                    "name": "qa",
                    "benchmark": "docqa",
                    "data": "questions.jsonl",
                    "metrics": ["exact_match", "token_f1"],
                }
            ],
            "gates": {"qa/exact_match": {"system": "rough", "min": 0.42}},
            "limits": {"concurrency": 1, "max_attempts": 1, "timeout_s": 5},
        }
        result = evals.run(parse_config(config, folder=home), out=home / "run")
    # The mean of what was scored, 0.444, is above the gate; it is judged by what if all missing were wrong.
    assert result.exit_code == 3
    assert any("0.4, if the 10 missing of 100 were wrong, below 0.42" in line for line in result.messages)
    return home / "run"


@pytest.fixture(scope="module")
def plan(folder: Path) -> dict[str, dict[str, Said]]:
    """What each system was told to say to each sample."""
    asked: dict[str, list[str]] = {"rough": [], "steady": []}
    for record in RunFolder.open(folder).replies():
        asked[record.system].append(record.sample_id)
    scripts = {"rough": ROUGH, "steady": STEADY}
    return {name: dict(zip(ids, scripts[name], strict=True)) for name, ids in asked.items()}


@pytest.fixture(scope="module")
def plain(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(evals.report(folder, format="json"))
    return found


def _system(plain: dict[str, Any], name: str = "rough") -> dict[str, Any]:
    found: dict[str, Any] = next(system for system in plain["systems"] if system["name"] == name)
    return found


def test_the_server_said_what_it_was_told(folder: Path, plan: dict[str, dict[str, Said]]) -> None:
    for record in RunFolder.open(folder).records():
        assert record.completion.outcome == plan[record.system][record.sample_id].outcome


def test_outcomes_are_counted_and_infrastructure_alone_is_unscored(plain: dict[str, Any]) -> None:
    rough = _system(plain)
    assert rough["outcomes"] == {"ok": 70, "content_filter": 10, "length": 10, "stream_truncated": 10}
    assert (rough["samples"], rough["received"], rough["scored"]) == (100, 100, 90)


def test_means_coverage_bounds_and_intervals(plain: dict[str, Any]) -> None:
    metrics = _system(plain)["metrics"]
    exact, f1 = metrics["qa/exact_match"], metrics["qa/token_f1"]
    for one, right in ((exact, 40.0), (f1, 40 + 10 * CUT_F1)):
        assert (one["n"], one["total"], one["not_applicable"]) == (90, 100, 0)
        assert one["mean"] == pytest.approx(right / 90, abs=1e-12)
        assert one["mean_if_missing_wrong"] == pytest.approx(right / 100, abs=1e-12)
        assert one["reasons"] == {"stream_truncated": 10}
    # Wilson 1927: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)
    z, n, p = 1.959963984540054, 90, 40 / 90
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    assert exact["ci_low"] == pytest.approx(middle - half, abs=1e-9)
    assert exact["ci_high"] == pytest.approx(middle + half, abs=1e-9)
    quality = _system(plain)["quality"]
    assert (quality["mean"], quality["mean_if_missing_wrong"]) == pytest.approx((40 / 90, 0.4), abs=1e-12)


def test_costs_hold_what_is_billed_and_say_what_is_unknown(plain: dict[str, Any]) -> None:
    cost = _system(plain)["cost"]
    total = 80 * ANSWERED_USD + 10 * FILTERED_USD
    assert Decimal(cost["total_usd"]) == total
    assert Decimal(cost["per_1k_samples_usd"]) == pytest.approx(total * 1000 / 90)
    assert (cost["priced_replies"], cost["unpriced_replies"]) == (90, 10)
    assert float(cost["per_correct_usd"]["mean"]) == pytest.approx(float(total) / 40)
    assert any("rough: its cost leaves out 10 failed calls" in line for line in plain["warnings"])


def test_only_answered_replies_are_timed(
    folder: Path, plan: dict[str, dict[str, Said]], plain: dict[str, Any]
) -> None:
    timed = [
        record.completion.timing
        for record in RunFolder.open(folder).records()
        if record.system == "rough" and plan["rough"][record.sample_id] in (RIGHT, WRONG, CUT)
    ]
    latency = _system(plain)["latency"]
    assert latency["n"] == len(timed) == 80
    for name, seconds in (
        ("ttft_ms", [t.first_content - t.sent for t in timed if t.first_content is not None]),
        ("total_ms", [t.last - t.sent for t in timed if t.last is not None]),
    ):
        expected = np.percentile(np.array(seconds) * 1000, [50, 95])
        assert [latency[name]["p50"], latency[name]["p95"]] == pytest.approx([*expected], rel=1e-9)


def test_pairs_are_compared_on_what_both_were_scored_on(
    plan: dict[str, dict[str, Said]], plain: dict[str, Any]
) -> None:
    pairs = [
        (said.exact, plan["steady"][sample].exact)
        for sample, said in plan["rough"].items()
        if said.exact is not None
    ]
    wins, losses = pairs.count((1.0, 0.0)), pairs.count((0.0, 1.0))
    (found,) = [c for c in plain["comparisons"] if c["metric"] == "qa/exact_match"]
    assert (found["a"], found["b"], found["n"], found["test"]) == ("rough", "steady", 90, "mcnemar")
    assert found["difference"] == pytest.approx((wins - losses) / 90, abs=1e-12)
    assert found["p_value"] == pytest.approx(binomtest(wins, wins + losses).pvalue, abs=1e-12)


def test_a_choice_counts_what_is_missing_as_wrong(folder: Path) -> None:
    choice = choose_system(load_run(folder), metric="qa/exact_match")
    by_name = {candidate.name: candidate for candidate in choice.ranking}
    assert choice.best == "steady"
    rough = by_name["rough"]
    assert (rough.quality, rough.mean) == pytest.approx((0.4, 40 / 90), abs=1e-12)
    assert (rough.n, rough.total, rough.timed) == (90, 100, 80)


def test_rows_of_the_exports(folder: Path, plan: dict[str, dict[str, Said]], tmp_path: Path) -> None:
    evals.report(folder, format="parquet", output=tmp_path / "rows.parquet")
    typed = pq.read_table(tmp_path / "rows.parquet").to_pylist()
    plain_rows = [*csv.DictReader(io.StringIO(evals.report(folder, format="csv")))]
    assert len(typed) == len(plain_rows) == 2 * N
    for row, cells in zip(typed, plain_rows, strict=True):
        said = plan[row["system"]][row["sample_id"]]
        assert row["outcome"] == cells["outcome"] == said.outcome
        assert row["exact_match"] == said.exact
        assert row["token_f1"] == (None if said.f1 is None else pytest.approx(said.f1, abs=1e-12))
        assert row["cost_usd"] == (None if said.usd is None else pytest.approx(float(said.usd), abs=1e-15))
        for name in ("exact_match", "token_f1", "cost_usd"):
            assert cells[name] == ("" if row[name] is None else str(row[name]))


def test_groups_have_their_bounds(plan: dict[str, dict[str, Said]], plain: dict[str, Any]) -> None:
    groups = plain["benchmarks"]["qa"]["by_cluster"]
    for subject in "0123":
        said = [one.exact for sample, one in plan["rough"].items() if _subject(sample) == subject]
        known = [value for value in said if value is not None]
        assert groups["clusters"][subject] == len(said) == 25
        assert groups["means"]["rough"][subject] == pytest.approx(sum(known) / len(known))
        assert groups["means_if_missing_wrong"]["rough"][subject] == pytest.approx(sum(known) / 25)


def test_what_people_read_says_it(folder: Path) -> None:
    (bar,) = [bar for bar in outcome_bars(build(folder).systems) if bar.name == "rough"]
    assert {label: (count, share) for label, count, share, _ in bar.parts} == {
        "ok": (70, 70.0),
        "content_filter": (10, 10.0),
        "length": (10, 10.0),
        "stream_truncated": (10, 10.0),
    }
    for form in ("table", "md", "html"):
        text = " ".join(evals.report(folder, format=form).replace("\\", "").split())
        assert "90/100 ≥ 0.400" in text
        assert re.search(r"0\.444.{1,40}0\.346–0\.547", text), form
        assert "rough: 10 calls failed and are not scored (stream_truncated 10)." in text
        assert (
            "rough: 10 replies count as wrong, the system's own failure (content_filter 10)."
            in text.replace("&#39;", "'")
        )
        assert "rough: 10 answers reached max_tokens and were scored as they stand." in text
