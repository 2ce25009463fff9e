"""Printing: results to stdout, progress and notes to stderr."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rag.core import Answer, Citation, SearchResult

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.status import Status

    from rag.progress import ProgressSink

__all__ = [
    "byte_progress",
    "console",
    "note",
    "print_answer_notes",
    "print_hits",
    "print_json",
    "print_table",
    "progress_bar",
    "visible",
    "waiting_for",
]

_SNIPPET, _INDENT = 240, 4
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_running: list[Progress | Status] = []


def print_json(value: Any) -> None:
    """Print `value` as one JSON document."""
    import orjson

    try:
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str)
    except orjson.JSONEncodeError:  # an argument that was not UTF-8 came through
        text = orjson.dumps(_utf8(value), option=orjson.OPT_INDENT_2, default=str)
    sys.stdout.write(text.decode() + "\n")


def _utf8(value: Any) -> Any:
    """Return `value` with `?` in place of whatever UTF-8 cannot say."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_utf8(key): _utf8(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_utf8(item) for item in value]
    return value


def visible(text: str) -> str:
    """Return `text` with control characters replaced: a document or a model must not command the terminal."""
    return _CONTROL.sub("\ufffd", text)


def console(*, stderr: bool = False) -> Console:
    """Return a console that neither marks up nor highlights text it is given."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=False)


def note(message: str) -> None:
    """Print a remark to stderr."""
    print(visible(message), file=sys.stderr)


@contextmanager
def progress_bar(*, quiet: bool = False) -> Iterator[Progress]:
    """Show a progress bar on stderr while the block runs; nothing when stderr is not a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    out = console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[info]}", markup=False),
    )
    with Progress(*columns, console=out, transient=True, disable=quiet or not out.is_terminal) as bar:
        _running.append(bar)
        try:
            yield bar
        finally:
            _running.remove(bar)


@contextmanager
def waiting_for(what: str) -> Iterator[Callable[[], None]]:
    """Show on stderr what is waited for, if it is a terminal, until the yielded function is called."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield lambda: None
        return
    status = out.status(f"{what} ...")
    _running.append(status)
    status.start()
    try:
        yield status.stop
    finally:
        _running.remove(status)
        status.stop()


@contextmanager
def byte_progress(label: str, size: int) -> Iterator[ProgressSink]:
    """Show a bar of bytes fetched on stderr, a line where it is no terminal; other bars wait meanwhile."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    out = console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    if not out.is_terminal:
        note(f"fetching {label}, {size / 1e6:.0f} MB ...")
    waiting = list(_running)
    for other in waiting:  # two bars at a time would write over each other
        other.stop()
    try:
        with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
            task = bar.add_task(f"fetching {label}", total=size)

            def show(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total or None)

            yield show
    finally:
        for other in waiting:
            other.start()


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = ()
) -> None:
    """Print a table; the columns numbered in `right` are right-aligned."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for at, column in enumerate(columns):
        table.add_column(column, justify="right" if at in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("-" if cell is None else visible(str(cell))) for cell in row))
    console().print(table)


def print_hits(result: SearchResult) -> None:
    """Print the hits of a search, best first, each with its place and a snippet."""
    from rich.padding import Padding
    from rich.text import Text

    out = console()
    if not result.hits:
        out.print("Nothing found.")
    for rank, hit in enumerate(result.hits, start=1):
        chunk = hit.chunk
        ranks = ", ".join(
            f"{name} {value}"
            for name, value in (("dense", hit.dense_rank), ("lexical", hit.lexical_rank))
            if value
        )
        place = f"{chunk.source}{f', page {chunk.page}' if chunk.page is not None else ''}"
        out.print(
            Text.assemble(
                (f"{rank:>2}  ", "bold"), (visible(place), "cyan"), (f"  {hit.score:.3f} ({ranks})", "dim")
            )
        )
        snippet = visible(" ".join(chunk.text.split()))
        if len(snippet) > _SNIPPET:
            snippet = snippet[:_SNIPPET].rsplit(" ", 1)[0] + " ..."
        out.print(Padding(Text(snippet), (0, 0, 0, _INDENT), expand=False))


def print_answer_notes(answer: Answer) -> None:
    """Print what stands under an answer: its citations, then who answered, how fast and for how much."""
    from rich.text import Text

    out = console()
    for citation in answer.citations:
        out.print(_citation_line(citation))
    if not answer.citations and not answer.refused and answer.hits:
        read = dict.fromkeys(hit.chunk.source for hit in answer.hits)
        out.print(Text(f"no citation given; passages read: {visible(', '.join(read))}", style="yellow"))
    completion = answer.completion
    seconds = completion.timing.total_s
    parts = [
        f"{completion.provider}:{completion.model}"
        if completion.model != completion.provider
        else completion.model,
        None if seconds is None else f"{seconds:.2f} s",
        "a stored reply" if completion.cached else None,
        None if not completion.usage.output_tokens else f"{completion.usage.output_tokens} tokens",
        "cost unknown" if completion.cost is None else f"${completion.cost:f}",
        None if completion.outcome.value == "ok" else completion.outcome.value,
    ]
    out.print(Text("  ".join(part for part in parts if part), style="dim"))


def _citation_line(citation: Citation) -> Any:
    from rich.text import Text

    label = {
        "exact": "verified",
        "near": "unverified: similar words",
        "aligned": "unverified: no quote given",
    }
    verdict = label.get(citation.match, "unverified: not found in the passage")
    place = citation.source or "no such passage"
    page = f", page {citation.page}" if citation.page is not None else ""
    quote = f' "{" ".join(citation.quote.split())}"' if citation.quote else ""
    return Text.assemble(
        (f"[{citation.marker}] ", "bold"),
        (visible(f"{place}{page}"), "cyan"),
        (f" ({verdict})", "green" if citation.verified else "yellow"),
        visible(quote),
    )
