"""Commands over documents: `ingest`, `search`, `ask`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli.app import CacheOption, ConfigOption, JsonOption, app, read_config
from rag.errors import UsageError

if TYPE_CHECKING:
    from rag.config import Config
    from rag.core import Completion
    from rag.ingestion import IngestReport

__all__ = ["ingest_with_bar"]

CollectionOption = Annotated[str, typer.Option("--collection", "-c", metavar="NAME", help="The collection.")]
KOption = Annotated[int, typer.Option("-k", min=1, max=100, help="How many passages.")]


class ModeChoice(StrEnum):
    """How passages are found."""

    HYBRID = "hybrid"
    DENSE = "dense"
    LEXICAL = "lexical"


@app.command(
    epilog="Examples: ragassay ingest docs/ -c manual; "
    "ragassay ingest 'notes/**/*.md' https://example.org/a.pdf -c notes --prune"
)
def ingest(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders, globs, URLs: text, Markdown, HTML, PDF, DOCX, CSV, JSON, JSONL.",
            metavar="SOURCE...",
        ),
    ] = None,
    collection: CollectionOption = "",
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove documents that SOURCE no longer holds.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Read documents into a collection. What has not changed is not done again."""
    from rag.cli.show import note, print_json

    settings = read_config(config)
    name = _need(collection)
    given = sources or _configured_sources(settings, name)
    report = ingest_with_bar(given, name, settings, prune=prune, quiet=as_json)
    for failure in report.failures:
        note(f"ragassay: {failure.source}: {failure.error}")
    if as_json:
        print_json(report.shape())
    else:
        print(report.summary())
    if report.failures:
        raise typer.Exit(1)


def ingest_with_bar(
    sources: Sequence[str], name: str, config: Config, *, prune: bool = False, quiet: bool = False
) -> IngestReport:
    """Ingest with a progress bar on stderr."""
    from rag.cli.show import progress_bar, visible
    from rag.ingestion import ingest as run_ingest

    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task("reading", total=None, info="")

        def show(done: int, total: int, source: str, chunks: int) -> None:
            info = f"{chunks} passages  {visible(source[-40:])}"
            bar.update(task, completed=done, total=total, info=info)

        return run_ingest(sources, name, prune=prune, config=config, progress=show)


@app.command(epilog="Example: ragassay search 'price of Llama 3 70B' -c handbook --where language=pt")
def search(
    query: Annotated[str, typer.Argument(help="Words or a question.")],
    collection: CollectionOption = "",
    k: KOption = 8,
    mode: Annotated[ModeChoice, typer.Option(help="How passages are found.")] = ModeChoice.HYBRID,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="KEY=VALUE",
            help="Only passages with this metadata, such as language, source or format; may be repeated.",
        ),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Find the passages that fit a query best.

    A hybrid score is made of the dense and the lexical rank (reciprocal rank fusion): it orders the passages
    of one query and says nothing across queries.
    """
    from rag.cli.show import print_hits, print_json
    from rag.pipeline import search as run_search
    from rag.shapes import search_shape

    result = run_search(
        query,
        _need(collection),
        k=k,
        mode=mode.value,
        where=_conditions(where or ()),
        config=read_config(config),
    )
    if as_json:
        print_json(search_shape(result))
    else:
        print_hits(result)


@app.command(
    epilog="Examples: ragassay ask 'Who makes Grok?' -c handbook; ragassay ask - -c handbook -p extractive"
)
def ask(
    question: Annotated[
        str, typer.Argument(help="The question, in any language; - reads it from standard input.")
    ],
    collection: CollectionOption = "",
    provider: Annotated[
        str | None,
        typer.Option(
            "--provider",
            "-p",
            metavar="REF",
            help="vendor:model, local:smollm2-135m, extractive; by default the config's default_provider, "
            "else local:smollm2-135m.",
        ),
    ] = None,
    k: KOption = 8,
    as_json: JsonOption = False,
    no_stream: Annotated[
        bool, typer.Option("--no-stream", help="Print the answer when it is complete.")
    ] = False,
    cache: CacheOption = None,
    config: ConfigOption = None,
) -> None:
    """Answer a question with checked citations."""
    from rag.cli.show import print_answer_notes, print_json, visible, waiting_for
    from rag.pipeline import ask as run_ask
    from rag.shapes import answer_shape

    text = sys.stdin.read().strip() if question == "-" else question
    stream = not (as_json or no_stream)
    settings = read_config(config).with_cache(cache)
    streamed: list[str] = []  # nothing where a provider refuses in a field of its own
    with waiting_for(f"asking {provider or settings.default_provider}") as stop_waiting:

        def show(piece: str) -> None:
            stop_waiting()
            streamed.append(piece)
            _write(visible(piece))

        answer = run_ask(
            text,
            _need(collection),
            provider=provider,
            k=k,
            on_text=show if stream else None,
            config=settings,
        )
    if as_json:
        print_json(answer_shape(answer))
    elif answer.completion.outcome.answered:
        print("\n" if streamed else visible(answer.text) + "\n")
        print_answer_notes(answer)
    _exit_for(answer.completion)


def _exit_for(completion: Completion) -> None:
    outcome = completion.outcome
    if not outcome.answered:
        reason = completion.error or "no reason given"
        if outcome.infrastructure:
            asked = f"{completion.provider}:{completion.model}"
            reason = f"{reason.rstrip('.')}; 'ragassay providers check {asked}' tells more."
        print(f"ragassay: no answer ({outcome.value}): {reason}", file=sys.stderr)
        raise typer.Exit(4 if outcome.terminal else 1)


def _write(piece: str) -> None:
    sys.stdout.write(piece)
    sys.stdout.flush()


def _need(collection: str) -> str:
    if not collection:
        raise UsageError(
            "name the collection with -c NAME; 'ragassay collections list' shows those there are."
        )
    return collection


def _configured_sources(config: Config, name: str) -> list[str]:
    if name not in config.collections or not config.collections[name].sources:
        raise UsageError(f"name a SOURCE, or give collection {name!r} its sources in the config.")
    sources = config.collections[name].sources
    return [source if "://" in source else str(config.path(source)) for source in sources]


def _conditions(pairs: Iterable[str]) -> dict[str, str]:
    where: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(
                f"--where takes KEY=VALUE, such as --where language=pt; {pair!r} is not of that form."
            )
        where[key] = value
    return where
