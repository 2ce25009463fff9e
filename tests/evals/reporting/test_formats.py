"""Golden table and Markdown, the JSON shape, a page that asks for nothing and trusts nobody."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import evals.reporting
from evals.reporting import build, render, report
from evals.reporting.data import RunData
from evals.reporting.markdown import escape
from evals.reporting.numbers import build_report
from evals.reporting.table import render_table
from rag.errors import RunError, UnknownNameError
from tests.conftest import assert_golden
from tests.evals.reporting.runs import COMPARED, PROFILES, make_run

NASTY = "</style><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)> | **b** `c` [l](http://e)"


@pytest.fixture(scope="module")
def three() -> RunData:
    return make_run(PROFILES[:4], choices=8)


@pytest.mark.parametrize("name", ["report.txt", "report.md"])
def test_golden(name: str, three: RunData) -> None:
    built = build_report(three)
    assert_golden(name, render_table(built, width=80) if name.endswith("txt") else render(built, "md"))


def test_the_table_fits_80_columns() -> None:
    lines = render_table(build_report(make_run()), width=80).splitlines()
    assert max(map(len, lines)) <= 80


def _keys(value: Any) -> Any:
    return {key: _keys(inner) for key, inner in value.items()} if isinstance(value, dict) else ...


def test_json_shape(three: RunData) -> None:
    found = json.loads(render(build_report(three), "json"))
    assert {"run", "created", "spec", "benchmarks", "systems", "comparisons", "warnings"} <= found.keys()
    assert [*found["benchmarks"]] == ["docqa", "mcq"]
    system = next(s for s in found["systems"] if s["name"] == "groq-llama-70b")
    assert {
        "name",
        "provider",
        "model",
        "samples",
        "scored",
        "outcomes",
        "metrics",
        "cost",
        "latency",
        "pareto",
    } <= (system.keys())
    metric = system["metrics"]["docqa/token_f1"]
    assert {"mean", "ci_low", "ci_high", "n", "total", "mean_if_missing_wrong"} <= metric.keys()
    assert metric["mean_if_missing_wrong"] < metric["mean"]
    assert re.fullmatch(r"0\.\d+", system["cost"]["total_usd"])
    assert system["cost"]["blended_per_mtok_usd"] == "0.64"
    assert {"mean", "ci_low", "ci_high"} == system["cost"]["per_correct_usd"].keys()
    latency = system["latency"]
    assert _keys(latency["ttft_ms"]) == _keys(latency["total_ms"]) == {"p50": ..., "p95": ...}
    assert latency["output_tokens_per_s"]["p50"] > 0
    comparison = found["comparisons"][0]
    assert comparison.keys() >= COMPARED
    assert isinstance(system["pareto"], bool)
    assert all(isinstance(warning, str) for warning in found["warnings"])


def test_unknown_price_is_null_in_json() -> None:
    found = json.loads(render(build_report(make_run(PROFILES[-1:])), "json"))
    assert found["systems"][0]["cost"]["total_usd"] is None
    assert found["systems"][0]["cost"]["per_correct_usd"] is None


def test_a_page_can_be_written_whatever_was_answered() -> None:
    run = make_run(PROFILES[:1], questions=2, choices=0)
    report = build_report(
        replace(run, records=[replace(r, answer="half \ud800 a pair") for r in run.records])
    )
    assert "half ? a pair" in render(report, "html").encode().decode()


def test_what_is_unknown_of_an_answer_says_what_it_is() -> None:
    page = render(build_report(make_run(PROFILES[-1:])), "html")
    assert "<span>cost unknown</span>" in page
    assert "<span>unknown</span>" not in page


def test_of_an_open_question_no_page_says_what_is_right() -> None:
    run = make_run(PROFILES[:1], questions=1, choices=0)
    for metadata, times in (({}, 1), ({"open": "true"}, 0)):
        asked = [replace(sample, targets=(), metadata=metadata) for sample in run.samples]
        page = render(build_report(replace(run, samples=asked)), "html")
        assert page.count("a refusal; the documents do not answer this") == times


def _hostile() -> RunData:
    run = make_run(PROFILES[:2], questions=6, choices=2)
    samples = [
        replace(s, question=NASTY, targets=(NASTY,), id=f"{NASTY}{n}") for n, s in enumerate(run.samples)
    ]
    ids = {old.id: new.id for old, new in zip(run.samples, samples, strict=True)}
    records = [
        replace(
            r,
            answer=NASTY,
            sample_id=ids[r.sample_id],
            citations=tuple(replace(c, quote=NASTY, source=NASTY) for c in r.citations),
            completion=replace(r.completion, error=NASTY),
        )
        for r in run.records
    ]
    scores = {key._replace(sample_id=ids[key.sample_id]): value for key, value in run.scores.items()}
    return replace(
        run,
        samples=samples,
        records=records,
        scores=scores,
        run=NASTY,
        spec={NASTY: NASTY},
        versions={NASTY: NASTY},
        warnings=[NASTY],
        systems=[replace(s, model=NASTY, collection=NASTY) for s in run.systems],
    )


class _Page(HTMLParser):
    """Collects what a browser would run or fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in {"src", "href", "srcset", "action", "data", "poster"}:
                self.fetched.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)


def _read(page: str) -> _Page:
    parser = _Page()
    parser.feed(page)
    return parser


@pytest.mark.parametrize("run", [make_run(PROFILES[:3]), _hostile()], ids=["plain", "hostile"])
def test_the_page_asks_for_nothing_and_runs_only_its_own_script(run: RunData) -> None:
    page = render(build_report(run), "html")
    found = _read(page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert script == (Path(evals.reporting.__file__).parent / "page.js").read_text(encoding="utf-8")
    assert page.count("<script") == 1
    assert not found.tags & {"img", "iframe", "object", "embed", "form", "base"}
    assert not found.handlers
    assert all(target.startswith(("#", "data:,")) for target in found.fetched)
    assert "url(http" not in page
    assert "@import" not in page
    assert page.count("</style>") == page.count("<style")
    assert "default-src 'none'" in page


def test_plots_come_wide_and_narrow_with_a_name() -> None:
    page = render(build_report(make_run(PROFILES[:3])), "html")
    assert page.count("<svg") == 8  # two benchmarks, cost and time, two widths
    assert page.count('<svg role="img"') == 8
    assert "docqa/token_f1 against cost: " in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_markdown_stays_text() -> None:
    assert escape("a|b\n<i>") == "a\\|b<br>&lt;i&gt;"
    text = render(build_report(_hostile()), "md")
    assert "<script" not in text
    assert not re.search(r"(?<!\\)\[l\]", text)


def test_an_unknown_format_names_the_nearest(three: RunData) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'html'"):
        render(build_report(three), "htm")


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        build(tmp_path)
    with pytest.raises(RunError, match="not a run folder"):
        report(tmp_path / "absent")
