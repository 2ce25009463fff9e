"""The command `demo`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli.app import app

if TYPE_CHECKING:
    from rag.config import Config, SystemConfig

__all__: list[str] = []


@app.command(epilog="Takes a few minutes on two cores; needs no key and no account.")
def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the run and the report go.")
    ] = Path("ragassay-demo"),
) -> None:
    """Show all of it at work on the bundled handbook.

    Index it, answer three questions, compare the systems that run here, write a report.
    """
    from evals.cli.runs import finish, run_progress
    from evals.demo import demo_config, evaluate, unfinished_run

    config = demo_config()
    _ingest(config)
    _ask(config)
    unfinished = unfinished_run(config, out)
    extra = () if unfinished else _keyed(config)
    print("\n== Evaluation: every system answers the same questions from the same passages\n")
    if unfinished:
        print(f"resuming {unfinished}\n")
    with run_progress() as progress:
        result = evaluate(config, out, unfinished=unfinished, extra=extra, progress=progress)
    finish(result.run, page=result.report)


def _ingest(config: Config) -> None:
    from rag.cli.documents import ingest_with_bar
    from rag.cli.show import note

    print("== Index: the handbook, 26 documents in English and Portuguese\n")
    sources = [str(config.path(source)) for source in config.collections["handbook"].sources]
    report = ingest_with_bar(sources, "handbook", config, prune=True)
    for failure in report.failures:
        note(f"ragassay: {failure.source}: {failure.error}")
    print(report.summary())


def _ask(config: Config) -> None:
    from evals.demo import QUESTIONS
    from rag.cli.show import print_answer_notes
    from rag.collection import Collection
    from rag.pipeline import ask_collection

    with Collection.open("handbook", config) as collection:
        for question, provider in QUESTIONS:
            print(f"\n== {question}  (-p {provider})\n")
            answer = ask_collection(question, collection, config=config, provider=provider, k=3)
            print(answer.text + "\n")
            print_answer_notes(answer)


def _keyed(config: Config) -> tuple[SystemConfig, ...]:
    """Return systems for the providers whose key is set, if a person at the terminal agrees to the cost."""
    import evals
    from evals.cli.runs import print_forecast
    from evals.demo import keyed_systems

    systems = keyed_systems(config)
    if not systems or not sys.stdin.isatty():
        return ()
    forecast = evals.plan(config.model_copy(update={"systems": systems}))
    print("\n== Keys are set for these providers; asking them would cost about:\n")
    print_forecast(forecast)
    return systems if typer.confirm("Include them?", default=False) else ()
