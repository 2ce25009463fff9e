"""Commands that judge runs: `eval compare|choose|history`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evals.cli.runs import evaluation
from rag.cli.app import JsonOption

__all__: list[str] = []

_NONE_QUALIFIES = 3

RunsArgument = Annotated[list[Path], typer.Argument(help="Run folders.", metavar="RUN...")]
MetricOption = Annotated[
    str | None, typer.Option(metavar="BENCHMARK/METRIC", help="One metric, such as docqa/token_f1.")
]


@evaluation.command(
    epilog="Examples: ragassay eval compare runs/tonight; ragassay eval compare runs/yesterday runs/today"
)
def compare(runs: RunsArgument, as_json: JsonOption = False) -> None:
    """Compare the systems of a run in pairs, or two runs. Give the older first; regressions come first."""
    import evals
    from evals.reporting import build
    from evals.reporting.as_json import comparison_to_json
    from evals.reporting.diff_views import diff_to_json, render_comparisons, render_diff
    from rag.cli.show import note, print_json
    from rag.errors import UsageError

    if len(runs) > 2:
        raise UsageError(
            f"{len(runs)} runs were given: compare takes one or two; 'ragassay eval history' shows more."
        )
    if len(runs) == 1:
        report = build(runs[0])
        if as_json:
            print_json([comparison_to_json(comparison) for comparison in report.comparisons])
        else:
            sys.stdout.write(render_comparisons(report))
        return
    diff = evals.compare(runs[0], runs[1])
    if as_json:
        for line in diff.notes:
            note(f"ragassay: {line}")
        print_json(diff_to_json(diff))
    else:
        sys.stdout.write(render_diff(diff))


@evaluation.command(
    epilog="Example: ragassay eval choose runs/tonight --min-quality 0.6 --max-usd-per-1k 2 --max-p95-ms 3000"
)
def choose(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    metric: MetricOption = None,
    min_quality: Annotated[
        float | None,
        typer.Option(min=0, max=1, metavar="Q", help="Least quality if all that is missing were wrong."),
    ] = None,
    max_usd_per_1k: Annotated[
        float | None, typer.Option(min=0, metavar="X", help="Most to pay for 1,000 samples, in USD.")
    ] = None,
    max_p95_ms: Annotated[
        float | None,
        typer.Option(min=0, metavar="T", help="Longest time to a whole answer, 95th percentile."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Name the system to take, and why. It is the best, or the cheapest that chance cannot tell from it.

    Exits with 3 where none qualifies.
    """
    import evals
    from evals.folder import RunFolder
    from evals.reporting.choice_views import choice_to_json, render_choice
    from rag.cli.show import note, print_json

    choice = evals.choose(
        run, metric=metric, min_quality=min_quality, max_usd_per_1k=max_usd_per_1k, max_p95_ms=max_p95_ms
    )
    state = RunFolder.open(run).read().get("state")
    if state != "finished":
        note(f"ragassay: the run is {state or 'not finished'}; what is missing counts as wrong.")
    if as_json:
        print_json(choice_to_json(choice))
    else:
        sys.stdout.write(render_choice(choice))
    if choice.chosen is None:
        raise typer.Exit(_NONE_QUALIFIES)


@evaluation.command(
    epilog="Examples: ragassay eval history runs/* --metric docqa/token_f1; "
    "ragassay eval history runs/* -o history.html"
)
def history(
    runs: RunsArgument,
    metric: MetricOption = None,
    page: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write a page with plots, as HTML.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show each metric over runs, with intervals. The oldest run comes first, as table and plot."""
    import evals
    from evals.reporting import write_text
    from evals.reporting.history import history_to_json, render_history
    from evals.reporting.history_page import render_history_page
    from rag.cli.show import print_json

    found = evals.history(*runs, metric=metric)
    if page is not None:
        write_text(page, render_history_page(found))
    if as_json:
        print_json(history_to_json(found))
    elif page is None:
        sys.stdout.write(render_history(found))
    else:
        print(page)
