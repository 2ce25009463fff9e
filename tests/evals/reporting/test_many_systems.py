"""Pages of many systems: numbered points on narrow plots, one row for those that share passages."""

from __future__ import annotations

import re
from dataclasses import replace

from evals.reporting import render
from evals.reporting.numbers import build_report
from tests.evals.reporting.runs import PROFILES, make_run

MANY = [replace(PROFILES[3 + n % 2], name=f"vendor-{n}", skill=0.3 + n / 20, rag=n > 0) for n in range(8)]


def test_narrow_plots_of_many_systems_have_numbers_and_a_legend() -> None:
    page = render(build_report(make_run(MANY, questions=8, choices=0)), "html")
    wide, narrow = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)[:2]
    names = [f"vendor-{n}" for n in range(8)]
    shown = [
        {text.strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)} for svg in (wide, narrow)
    ]
    assert set(names) <= shown[0]
    assert not set(names) & shown[1]
    assert {str(n) for n in range(1, 9)} <= shown[1]
    (ranking,) = re.findall(r'<table class="grid">\n<thead>(.*?)</thead>', page, flags=re.DOTALL)[:1]
    order = re.findall(r'<span class="wide">(vendor-\d)</span>', ranking)
    legend = re.findall(r"</span>(\d) (vendor-\d)</span>", page)
    assert legend[:8] == [(str(place), name) for place, name in enumerate(order, start=1)]


def test_systems_with_the_same_passages_are_one_row() -> None:
    page = render(build_report(make_run(MANY, questions=8, choices=0)), "html")
    assert "</span>the other 7 systems</span>" in page
    alike = render(build_report(make_run(MANY[1:], questions=8, choices=0)), "html")
    assert "</span>all 7 systems</span>" in alike
