"""The command `load`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag.cli.app import ConfigOption, JsonOption, app, read_config

if TYPE_CHECKING:
    from evals.load.plan import Level, LoadPlan
    from evals.load.run import LoadProgress, LoadResult

__all__: list[str] = []

_DEFAULT_CONCURRENCY = "1,4,16"


class Arrival(StrEnum):
    """How requests of an open loop are spread over time."""

    POISSON = "poisson"
    CONSTANT = "constant"


@app.command(
    epilog="Examples: ragassay load local:smollm2-135m --concurrency 1,2; "
    "ragassay load groq:openai/gpt-oss-20b --rate 2,5 --budget 0.50 -o speed"
)
def load(
    ref: Annotated[str, typer.Argument(metavar="REF", help="The provider, such as local:smollm2-135m.")],
    concurrency: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="Requests in flight, level by level; 1,4,16 where no rate is given."
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Requests per second, sent whether or not answers come."),
    ] = None,
    requests: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Requests a level; 5 for each in flight, at least 20."),
    ] = None,
    warmup: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Requests before each level, in no figure.")
    ] = None,
    prompt_tokens: Annotated[int, typer.Option(min=32, max=1_000_000, help="Size of a prompt.")] = 256,
    output_tokens: Annotated[int, typer.Option(min=1, max=1_000_000, help="Longest reply.")] = 128,
    arrivals: Annotated[Arrival, typer.Option(help="How --rate spreads requests.")] = Arrival.POISSON,
    processes: Annotated[
        str, typer.Option(metavar="auto|N", help="Client processes; auto adds some where one is too slow.")
    ] = "auto",
    budget: Annotated[
        float | None, typer.Option(min=0, metavar="USD", help="Stop before spending more.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="S", help="Longest wait for a reply.")] = 120.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the arrivals.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Write requests.jsonl, load.json and load.html."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a provider's speed under load. Time to first token, tokens per second, percentiles."""
    from evals.load.plan import LoadPlan, parse_concurrencies, parse_processes, parse_rates

    if concurrency is None and rate is None:
        concurrency = _DEFAULT_CONCURRENCY
    plan = LoadPlan.of(
        ref,
        concurrencies=parse_concurrencies(concurrency) if concurrency is not None else (),
        rates=parse_rates(rate) if rate is not None else (),
        requests=requests,
        warmup=warmup,
        arrivals=arrivals.value,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        timeout_s=timeout,
        processes=parse_processes(processes),
        budget_usd=budget,
        seed=seed,
    )
    _execute(plan, config, lambda result: _show(result, output, as_json=as_json))


def _execute(plan: LoadPlan, config: Path | None, show: Callable[[LoadResult], None]) -> None:
    """Run `plan` and show its result, also what an interruption left of it."""
    from evals.load.forecast import forecast_line
    from evals.load.run import Run
    from rag.cli.show import note

    with _bars() as progress:
        run = Run(plan, read_config(config), progress)
        if line := forecast_line(plan, run.price):
            note(line)
        try:
            result = run.execute()
        except KeyboardInterrupt:
            result = run.result
    if result.levels:
        show(result)
    if result.interrupted:
        raise KeyboardInterrupt(_left_off(result))
    raise typer.Exit(_exit_code(result))


def _show(result: LoadResult, output: Path | None, *, as_json: bool) -> None:
    from evals.load.as_json import result_json
    from evals.load.tables import render_table
    from rag.cli.show import note, print_json

    if as_json:
        print_json(result_json(result))
    else:
        sys.stdout.write(render_table(result))
    if output is not None:
        from evals.load.folder import save

        note(f"page: {save(result, output)}")


def _exit_code(result: LoadResult) -> int:
    if any(one.stopped for one in result.levels):
        return 4
    return int(any(not shot.outcome.answered for one in result.levels for shot in one.shots))


def _left_off(result: LoadResult) -> str:
    done = sum(len(one.shots) for one in result.levels)
    wanted = sum(level.requests for level in result.plan.levels)
    return f"interrupted after {done} of {wanted} measured requests; what is shown is what was measured."


@contextmanager
def _bars() -> Iterator[LoadProgress]:
    """Show a bar for each level on stderr."""
    from rag.cli.show import progress_bar

    with progress_bar() as bar:
        tasks: dict[int, Any] = {}

        def show(level: Level, done: int, *, warming: bool) -> None:
            key = id(level)
            if key not in tasks:
                tasks[key] = bar.add_task(level.phrase, total=level.requests, info="")
            if warming:
                bar.update(tasks[key], info=f"warming up, {done} of {level.warmup}")
            else:
                bar.update(tasks[key], completed=done, info="")

        yield show
