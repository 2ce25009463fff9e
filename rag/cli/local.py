"""Commands about this machine: `models`, `doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from rag.cli.app import ConfigOption, JsonOption, app, read_config

__all__: list[str] = []

models = typer.Typer(no_args_is_help=True, help="The embedding model and the small LLM.")
app.add_typer(models, name="models")


@models.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """Show the local models, and which are here."""
    from rag.cli.show import print_json, print_table
    from rag.models import model_status

    rows = model_status()
    if as_json:
        print_json(
            [
                {
                    "name": row.name,
                    "kind": row.kind,
                    "licence": row.licence,
                    "bytes": row.size,
                    "present": row.present,
                    "path": str(row.path),
                }
                for row in rows
            ]
        )
        return
    print_table(
        ("model", "kind", "size", "licence", "here"),
        [(r.name, r.kind, f"{r.size / 1e6:.0f} MB", r.licence, "yes" if r.present else "no") for r in rows],
        right=(2,),
    )


@models.command("pull", epilog="Example: ragassay models pull smollm2-135m")
def pull_models(
    names: Annotated[
        list[str], typer.Argument(help="Names as 'ragassay models list' shows them.", metavar="NAME...")
    ],
) -> None:
    """Fetch local models and verify them; those already here are checked. Embedding models are made ready."""
    from rag.cli.show import note
    from rag.embedders import load_embedder
    from rag.errors import UnknownNameError
    from rag.models import LOCAL_MODELS, model_status, pull

    for name in names:
        if name not in LOCAL_MODELS:
            raise UnknownNameError("local model", name, LOCAL_MODELS, "'ragassay models list' shows them.")
    for name in names:
        path = pull(name)
        size = next(row.size for row in model_status() if row.name == name)
        print(f"{name}: {size / 1e6:.0f} MB, verified, {path}")
        if LOCAL_MODELS[name].kind == "embedding":
            note(f"preparing {name} for this machine ...")
            load_embedder(name)


@app.command()
def doctor(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show what is here, what is wrong and its cure."""
    from rag.cli.show import print_json
    from rag.doctor import examine

    findings = examine(read_config(config))
    if as_json:
        print_json([{"topic": f.topic, "ok": f.ok, "what": f.what, "fix": f.fix} for f in findings])
    else:
        for finding in findings:
            mark = {True: "ok", False: "!!", None: "--"}[finding.ok]
            print(f"{mark}  {finding.topic:<14} {finding.what}")
            if finding.fix:
                print(f"{'':<18} fix: {finding.fix}")
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(1)
