"""Commands over the indexes: `collections list|show|verify|repair|drop`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag.cli.app import ConfigOption, JsonOption, app, read_config
from rag.errors import UsageError

if TYPE_CHECKING:
    from rag.index.catalog import CollectionInfo, Verification

__all__: list[str] = []

collections = typer.Typer(no_args_is_help=True, help="The indexes: list, show, verify, repair, drop.")
app.add_typer(collections, name="collections")

NameArgument = Annotated[str, typer.Argument(help="The collection.", metavar="NAME")]


@collections.command("list")
def list_all(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show all collections with their size."""
    from rag.cli.show import print_json, print_table
    from rag.index.catalog import list_collections, show_collection

    home = read_config(config).home_dir()
    infos = [show_collection(home, name) for name in list_collections(home)]
    if as_json:
        print_json([_shape(info) for info in infos])
    elif not infos:
        print("No collection yet; make one with 'ragassay ingest SOURCE -c NAME'.")
    else:
        print_table(
            ("collection", "documents", "passages", "size", "updated"),
            [_row(i) for i in infos],
            right=(1, 2, 3),
        )


@collections.command()
def show(name: NameArgument, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show its settings and documents."""
    from rag.cli.show import print_json, print_table
    from rag.index.catalog import open_collection, show_collection

    home = read_config(config).home_dir()
    info = show_collection(home, name)
    index = open_collection(home, name)
    documents = index.documents()
    index.close()
    if as_json:
        rows = [
            {
                "source": row.source,
                "title": row.title,
                "media_type": row.media_type,
                "language": row.language,
                "pages": row.pages,
                "chunks": row.chunks,
            }
            for row in documents
        ]
        print_json({**_shape(info), "documents_list": rows})
        return
    for label, value in _facts(info):
        print(f"{label:<12} {value}")
    print_table(
        ("source", "title", "language", "pages", "passages"),
        [(row.source, row.title, row.language, row.pages, row.chunks) for row in documents],
        right=(3, 4),
    )


@collections.command()
def verify(name: NameArgument, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Check that all parts agree. The manifest is the truth."""
    from rag.index.catalog import verify_collection

    found = verify_collection(read_config(config).home_dir(), name)
    _report(found, as_json=as_json, fix=f"ragassay collections repair {name}")


@collections.command()
def repair(name: NameArgument, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Build the search indexes anew. Nothing is embedded again."""
    from rag.index.catalog import repair_collection

    found = repair_collection(read_config(config).home_dir(), name)
    _report(found, as_json=as_json, fix=f"ragassay collections drop {name}, and ingest again")


@collections.command()
def drop(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = None,
) -> None:
    """Delete a collection. The documents stay where they are."""
    import sys

    from rag.index.catalog import drop_collection, show_collection

    home = read_config(config).home_dir()
    info = show_collection(home, name)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"dropping {name!r} cannot be undone; say --yes where nobody can be asked.")
        size = f"{info.stats.documents} documents" if info.stats else "all it holds"
        typer.confirm(f"Delete collection {name!r} with {size}?", abort=True)
    drop_collection(home, name)
    print(f"{name}: dropped")


def _report(found: Verification, *, as_json: bool, fix: str) -> None:
    from rag.cli.show import print_json

    counts = {"manifest": found.manifest, "vectors": found.vectors, "lexical": found.lexical}
    if as_json:
        print_json({"collection": found.name, "ok": found.ok, **counts, "problems": list(found.problems)})
    else:
        print(f"{found.name}: {'all agree' if found.ok else 'not in order'}, {counts['manifest']} passages")
        for problem in found.problems:
            print(f"  {problem}")
        if not found.ok:
            print(f"  fix: {fix}")
    if not found.ok:
        raise typer.Exit(1)


def _shape(info: CollectionInfo) -> dict[str, Any]:
    settings, stats = info.settings, info.stats
    return {
        "name": info.name,
        "documents": stats.documents if stats else None,
        "chunks": stats.chunks if stats else None,
        "bytes": stats.bytes if stats else None,
        "languages": stats.languages if stats else None,
        "updated": stats.updated if stats else None,
        "embedder": settings.embedder if settings else None,
        "chunk_tokens": (settings.chunk_tokens or "whole") if settings else None,
        "overlap_tokens": settings.overlap_tokens if settings else None,
        "fingerprint": info.fingerprint,
        "problem": info.problem,
    }


def _row(info: CollectionInfo) -> tuple[object, ...]:
    if info.stats is None:
        return info.name, None, None, None, info.problem
    return (
        info.name,
        info.stats.documents,
        info.stats.chunks,
        f"{info.stats.bytes / 1e6:.1f} MB",
        info.stats.updated,
    )


def _facts(info: CollectionInfo) -> list[tuple[str, object]]:
    facts: list[tuple[str, object]] = [("collection", info.name), ("folder", info.folder)]
    if info.settings and info.stats:
        tokens = info.settings.chunk_tokens
        cut = f"{tokens} tokens, {info.settings.overlap_tokens} overlapping" if tokens else "documents whole"
        languages = ", ".join(f"{code} {count}" for code, count in info.stats.languages.items())
        facts += [
            ("embedder", info.settings.embedder),
            ("passages", f"{info.stats.chunks} ({cut})"),
            ("languages", languages or "unknown"),
            ("updated", info.stats.updated),
            ("fingerprint", info.fingerprint),
        ]
    if info.writer:
        facts.append(("writer", info.writer))
    if info.problem:
        facts.append(("problem", info.problem))
    return facts
