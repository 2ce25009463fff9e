"""Commands over runs: `eval list|run|resume|rescore|report`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag.cli.app import CacheOption, JsonOption, app

if TYPE_CHECKING:
    from evals import Forecast, RunResult
    from evals.runner.progress import Progress, ProgressState

__all__ = ["finish", "print_forecast", "run_progress"]

evaluation = typer.Typer(
    no_args_is_help=True, help="Compare providers and systems: run, resume, score, report."
)
app.add_typer(evaluation, name="eval")

RunArgument = Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")]
UnsafeOption = Annotated[
    bool,
    typer.Option(
        "--unsafe-local-code", help="Run model-written code without isolation, where there is none here."
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", help="The run folder to make; by default one in RAGASSAY_HOME/runs."
    ),
]


_NAMED_FAILURES = 20
_PHASES = {"contexts": "retrieving", "calls": "asking", "verdicts": "judging", "scores": "scoring"}


class Format(StrEnum):
    """How a report is written."""

    TABLE = "table"
    JSON = "json"
    MD = "md"
    HTML = "html"
    CSV = "csv"
    PARQUET = "parquet"
    DATASET = "dataset"


@evaluation.command("list")
def list_all(as_json: JsonOption = False) -> None:
    """Show the benchmarks and metrics, with licence and source."""
    from evals.benchmarks import list_benchmarks
    from evals.metrics.catalog import METRICS
    from rag.cli.show import print_json, print_table

    benchmarks = list_benchmarks()
    if as_json:
        metrics = {
            name: {"measures": info.what, "source": info.source, "higher_is_better": info.higher_is_better}
            for name, info in METRICS.items()
        }
        print_json({"benchmarks": [asdict(benchmark) for benchmark in benchmarks], "metrics": metrics})
        return
    print_table(
        ("benchmark", "holds", "licence; source"),
        [(b.name, b.what, f"{b.licence}; {b.citation}") for b in benchmarks],
    )
    print_table(("metric", "measures", "source"), [(n, m.what, m.source) for n, m in METRICS.items()])


@evaluation.command(
    epilog="Examples: ragassay eval run configs/demo.yaml; ragassay eval run my.yaml --limit 20 --dry-run"
)
def run(
    config: Annotated[Path, typer.Argument(help="A config file; configs/ holds examples.", metavar="CONFIG")],
    out: OutOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most N samples of each benchmark.")] = None,
    budget: Annotated[
        float | None, typer.Option(min=0, metavar="USD", help="Stop before spending more.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print calls, tokens and cost expected.")
    ] = False,
    cache: CacheOption = None,
    unsafe: UnsafeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Ask every sample of every system and score the replies. Each is journalled before it is scored."""
    import evals
    from evals.sandbox import unsafe_local_code
    from rag.cli.show import print_json

    if dry_run:
        with unsafe_local_code(unsafe):
            forecast = evals.plan(config, limit=limit, budget=budget, cache=cache)
        if as_json:
            print_json(forecast.to_json())
        else:
            print_forecast(forecast)
        return
    with run_progress() as progress, unsafe_local_code(unsafe):
        result = evals.run(config, out=out, limit=limit, budget=budget, cache=cache, progress=progress)
    finish(result, as_json=as_json)


@evaluation.command()
def resume(
    run: RunArgument,
    budget: Annotated[
        float | None,
        typer.Option(min=0, metavar="USD", help="A new cap on the whole run, what was spent included."),
    ] = None,
    unsafe: UnsafeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Go on with an interrupted run. No call whose reply is journalled is repeated."""
    import evals
    from evals.sandbox import unsafe_local_code

    with run_progress() as progress, unsafe_local_code(unsafe):
        result = evals.resume(run, budget=budget, progress=progress)
    finish(result, as_json=as_json)


@evaluation.command()
def rescore(run: RunArgument, unsafe: UnsafeOption = False, as_json: JsonOption = False) -> None:
    """Score a run again without calling a provider."""
    import evals
    from evals.sandbox import unsafe_local_code

    with unsafe_local_code(unsafe):
        result = evals.rescore(run)
    finish(result, as_json=as_json)


@evaluation.command(epilog="Example: ragassay eval report runs/2026-11-21 --format html -o report.html")
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.", metavar="RUN...")],
    output_format: Annotated[
        Format, typer.Option("--format", "-f", help="How it is written.")
    ] = Format.TABLE,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it to FILE; for a dataset, a folder."),
    ] = None,
) -> None:
    """Show what a run found. Quality with intervals, cost, latency, differences between systems."""
    import evals

    text = evals.report(*runs, format=output_format.value, output=output)
    if output is None:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
    else:
        print(output)


def finish(result: RunResult, *, as_json: bool = False, page: Path | None = None) -> None:
    """Print what a run came to, what failed and how to get its HTML report; exit with its code."""
    import evals

    for line in result.messages:
        print(f"ragassay: {line}", file=sys.stderr)
    for failure in result.failures[:_NAMED_FAILURES]:
        key = failure.key
        again = f", repeat {key.repeat}" if key.repeat else ""
        item = f"{key.benchmark}/{key.sample_id}{again}, {key.system}"
        print(f"ragassay: failed: {item}: {failure.outcome}: {failure.error or 'no detail'}", file=sys.stderr)
    if len(result.failures) > _NAMED_FAILURES:
        print(f"ragassay: and {len(result.failures) - _NAMED_FAILURES} more failures", file=sys.stderr)
    sys.stdout.write(evals.report(result.folder, format="json" if as_json else "table"))
    if not as_json:
        print(f"\nrun folder: {result.folder}")
        if result.gates:
            kept = sum(verdict.passed for verdict in result.gates)
            print(f"gates:      {kept} of {len(result.gates)} kept, {result.folder / 'junit.xml'}")
        if any(totals.missing for totals in result.systems.values()):
            print(f"resume:     ragassay eval resume {result.folder}")
        how = f"ragassay eval report {result.folder} --format html -o report.html"
        print(f"report:     {page.resolve() if page else how}")
    if result.exit_code:
        raise typer.Exit(result.exit_code)


@contextmanager
def run_progress() -> Iterator[Progress]:
    """Show a bar for each phase and system on stderr; in a log, a line now and then."""
    from rag.cli.show import progress_bar

    with progress_bar() as bar:
        tasks: dict[str, Any] = {}

        def show(state: ProgressState) -> None:
            label = _PHASES[state.phase]
            lines = {label: (state.done, state.total, "")}
            for name, system in state.systems.items():
                info = system.stopped or (
                    f"{system.failed} failed" if system.failed else f"${system.cost_usd:.4f}"
                )
                lines[f"  {name}"] = (system.done, system.total, info)
            for line, (done, total, info) in lines.items():
                if line not in tasks:
                    tasks[line] = bar.add_task(line, total=total, info="")
                bar.update(tasks[line], completed=done, total=total, info=info)

        yield show


def print_forecast(forecast: Forecast) -> None:
    """Print what a run will take, system by system."""
    from rag.cli.show import print_table

    print_table(
        ("system", "calls", "input tokens", "output tokens, at most", "cost (USD)"),
        [
            *(row.cells() for row in forecast.systems),
            *([forecast.total_cells()] if len(forecast.systems) > 1 else []),
        ],
        right=(1, 2, 3, 4),
    )
    for line in forecast.notes:
        print(line)
