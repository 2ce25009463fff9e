"""A load test as one HTML file that asks the network for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evals.load.figures import Figures, Spread, figures_of
from evals.load.notes import notes_of
from evals.load.plot import Curves, Line, curves_svg
from evals.load.run import LevelResult, LoadResult
from evals.load.tables import head_of, latency_table, rate_table
from evals.reporting.svg import NARROW, WIDE
from evals.reporting.webpage import page_template

__all__ = ["render_page"]

Pairs = Sequence[tuple[LevelResult, Figures]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Picture:
    """A plot in both sizes."""

    title: str
    wide: str
    narrow: str


def render_page(result: LoadResult) -> str:
    """Return the page. Everything that came from outside is escaped."""
    figures = [figures_of(one.shots) for one in result.levels]
    name = result.provider if result.provider == result.model else f"{result.provider}:{result.model}"
    return page_template("load.html", "evals.load").render(
        name=name,
        head=head_of(result),
        created=result.created.strftime("%Y-%m-%d %H:%M UTC"),
        warnings=notes_of(result, figures),
        pictures=_pictures(list(zip(result.levels, figures, strict=True))),
        rates=rate_table(result, figures),
        latency=latency_table(result, figures, repeat_load=True),
        price=result.price,
    )


def _pictures(pairs: Pairs) -> list[_Picture]:
    """Draw closed and open levels apart; a curve needs two of a kind."""
    pictures = []
    for kind, label in (("concurrency", "requests in flight"), ("rate", "requests per second offered")):
        chosen = sorted(
            (pair for pair in pairs if getattr(pair[0].level, kind) is not None),
            key=lambda pair: float(getattr(pair[0].level, kind)),
        )
        if len(chosen) < 2:
            continue
        at = [float(getattr(one.level, kind)) for one, _ in chosen]
        pictures += [
            _picture(curves, f"{kind}{number}") for number, curves in enumerate(_curves(chosen, at, label))
        ]
    return pictures


def _curves(pairs: Pairs, at: Sequence[float], label: str) -> list[Curves]:
    figures = [numbers for _, numbers in pairs]
    latencies = [
        (name, values)
        for name, values in (
            ("Time to first token", [numbers.ttft_ms for numbers in figures]),
            ("Time to the whole answer", [numbers.total_ms for numbers in figures]),
        )
        if any(values)
    ]
    found = [
        Curves(
            title=f"{name} over {label}",
            x_label=label,
            y_label="percentiles",
            at=at,
            lines=[_line(share, values) for share in ("p50", "p95", "p99")],
        )
        for name, values in latencies
    ]
    tokens = [numbers.output_tokens_per_s for numbers in figures]
    if any(tokens):
        found.append(_throughput("Output tokens per second", tokens, at, label))
    else:
        found.append(_throughput("Requests per second", [n.requests_per_s for n in figures], at, label))
    return found


def _throughput(name: str, values: Sequence[float | None], at: Sequence[float], label: str) -> Curves:
    return Curves(
        title=f"{name} over {label}",
        x_label=label,
        y_label="all requests together",
        at=at,
        lines=[Line(name=name, values=values)],
        tick=lambda value: f"{value:,.0f}" if value >= 10 else f"{value:.2g}",
    )


def _line(share: str, spreads: Sequence[Spread | None]) -> Line:
    ends = [None if spread is None else getattr(spread, share) for spread in spreads]
    return Line(
        name=share,
        values=[None if one is None else one.value for one in ends],
        lows=[None if one is None else one.low for one in ends],
        highs=[None if one is None else one.high for one in ends],
    )


def _picture(curves: Curves, prefix: str) -> _Picture:
    wide, narrow = (
        curves_svg(curves, size, f"{prefix}{short}") for size, short in ((WIDE, "w"), (NARROW, "n"))
    )
    return _Picture(title=curves.title, wide=wide, narrow=narrow)
