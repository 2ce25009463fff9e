"""The command `testset build`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evals.cli.runs import print_forecast
from rag.cli.app import ConfigOption, JsonOption, app, read_config
from rag.errors import UsageError

if TYPE_CHECKING:
    from evals.testset import BuildResult
    from evals.testset.written import Told
    from rag.config import Config

__all__: list[str] = []

testset = typer.Typer(no_args_is_help=True, help="Questions from your own documents, to evaluate with.")
app.add_typer(testset, name="testset")

_INTERRUPTED = "interrupted; what was answered is kept: the same command goes on."


@testset.callback()
def _group() -> None:
    """Make `build` a command of its own: Typer runs the only command of a group without its name."""


@testset.command(
    epilog="Examples: ragassay testset build -c handbook -n 50 -o questions.jsonl; "
    "ragassay testset build -c handbook -n 100 -p openai:gpt-4o-mini --budget 0.50 -o questions.jsonl"
)
def build(
    collection: Annotated[
        str, typer.Option("--collection", "-c", metavar="NAME", help="The collection.")
    ] = "",
    count: Annotated[
        int, typer.Option("--count", "-n", "--n", min=1, max=100_000, metavar="N", help="How many questions.")
    ] = 100,
    provider: Annotated[
        str,
        typer.Option(
            "--provider",
            "-p",
            metavar="REF",
            help="Who writes them; extractive makes cloze questions without a model.",
        ),
    ] = "extractive",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The question file, .jsonl.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0, metavar="USD", help="Stop before spending more.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the choice of passages; by default the config's.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE, whatever it holds.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print calls, tokens and cost expected.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write questions about a collection's documents. Each has a quote that was checked to stand there."""
    from rag.cli.show import print_json

    settings = _settings(read_config(config), budget, seed)
    if not collection:
        raise UsageError(
            "name the collection with -c NAME; 'ragassay collections list' shows those there are."
        )
    if dry_run:
        import evals.testset

        expected = evals.testset.forecast(collection, count=count, config=settings, provider=provider)
        if as_json:
            print_json(expected.to_json())
        else:
            print_forecast(expected)
        return
    if output is None:
        raise UsageError("name the question file with -o FILE, such as -o questions.jsonl.")
    result = _built(collection, output, count, provider, settings, overwrite=overwrite, quiet=as_json)
    _show(result, as_json=as_json)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def _settings(config: Config, budget: float | None, seed: int | None) -> Config:
    update: dict[str, Any] = {} if seed is None else {"seed": seed}
    if budget is not None:
        update["limits"] = config.limits.model_copy(update={"budget_usd": Decimal(str(budget))})
    return config.model_copy(update=update)


def _built(
    collection: str, output: Path, count: int, provider: str, config: Config, *, overwrite: bool, quiet: bool
) -> BuildResult:
    import evals.testset

    try:
        with _bar(count, quiet=quiet) as tell:
            return evals.testset.build(
                collection,
                output,
                count=count,
                config=config,
                provider=provider,
                overwrite=overwrite,
                tell=tell,
            )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_INTERRUPTED) from None


def _show(result: BuildResult, *, as_json: bool) -> None:
    from rag.cli.show import note, print_json

    for outcome, number in result.failed.items():
        note(f"ragassay: {number} calls failed: {outcome}")
    if result.stopped:
        note(f"ragassay: {result.stopped}")
    elif len(result.items) < result.wanted:
        note(f"ragassay: {len(result.items)} questions instead of {result.wanted}: {_shortfall(result)}")
    if as_json:
        print_json(result.shape())
    else:
        _print(result)


def _shortfall(result: BuildResult) -> str:
    if result.work_file is None:
        return f"the documents of {result.collection!r} have no more sentences that make one."
    tried = len(result.items) + sum(result.dropped.values())
    return (
        f"the others of {tried} candidates did not pass the checks; a larger model writes more that do, and "
        "without -p there are cloze questions."
    )


def _print(result: BuildResult) -> None:
    from rag.cli.show import print_table

    kinds = ", ".join(f"{number} {kind.replace('_', '-')}" for kind, number in result.kinds.items())
    documents = len({item.cluster for item in result.items})
    from_where = f"{documents} documents of {result.collection!r}"
    print(f"{len(result.items)} questions from {from_where}: {kinds or 'none'}")
    print(f"made by: {result.made_by}")
    if result.dropped:
        rows = [(number, reason) for reason, number in result.dropped.items()]
        print_table(("dropped", "because"), rows, right=(0,))
    for line in result.notes:
        print(f"note: {line}")
    if result.work_file is not None:
        cost = "unknown" if result.cost_usd is None else f"${result.cost_usd:.4f}"
        print(f"calls: {result.calls} in this build; cost of all replies kept: {cost}")
        print(f"replies: {result.work_file} (a build of the same file asks none of them again)")
    if result.items:
        print(f"questions: {result.path}")


@contextmanager
def _bar(count: int, *, quiet: bool) -> Iterator[Told]:
    """Show how many questions are kept, and what is being done, on stderr."""
    from rag.cli.show import progress_bar

    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task("questions", total=count, info="")

        def show(step: str, done: int, total: int, kept: int) -> None:
            bar.update(task, completed=min(kept, count), info=f"{step}: {done} of {total}")

        yield show
