"""The Typer application, its errors and exit codes.

Only the standard library and Typer are imported here and in the command modules; everything else is imported
by the command that runs, so that `--help` answers at once.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from rag.errors import RagassayError, StorageError
from rag.progress import ProgressSink, show_progress_with, show_waits_with

if TYPE_CHECKING:
    from rag.config import Config

__all__ = ["CacheOption", "ConfigOption", "JsonOption", "app", "read_config"]

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG}


class ErrorGroup(TyperGroup):
    """Turns errors into one or two plain lines on stderr and the documented exit code."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Read the options that stand before the command."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except Exception as error:
            _refuse(error)
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command; with `--debug` what goes wrong is shown with its traceback."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            _fail(str(error) or "interrupted; what was finished is kept: the same command goes on.")
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except BrokenPipeError:
            # The reader of our output left, as `head` does; the interpreter must not complain on exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except RagassayError as error:
            _fail(str(error), error)
            raise typer.Exit(error.exit_code) from None
        except OSError as error:
            _fail(_said(error), error)
            raise typer.Exit(StorageError.exit_code) from None
        except Exception as error:
            if hasattr(error, "exit_code"):  # Typer's own: usage errors, Exit, Abort
                _refuse(error)
                raise
            what = f"internal error, {type(error).__name__}: {error}"
            _fail(f"{what}\nPlease report it with the output of --debug.", error)
            raise typer.Exit(EXIT_FAILED) from None


def _refuse(error: Any) -> None:
    """Say a usage error in one line, where `error` is one: what is wrong, the value seen, where help is."""
    said = error.format_message() if hasattr(error, "format_message") else ""
    if not said or "\n" in said:  # lines: the help that a group without a command shows
        return
    said = said.replace("Value error, ", "").rstrip(".")
    if hasattr(error.__cause__, "errors"):  # pydantic's
        value = repr(error.__cause__.errors()[0]["input"])
        said = said if value in said else f"{said.partition(', unable')[0]}, not {value}"
    help_of = "" if said.endswith("?") else f"; '{error.ctx.command_path} -h' shows what it takes."
    _fail(f"{said}{help_of}")
    raise typer.Exit(error.exit_code) from None


def _said(error: OSError) -> str:
    if error.errno in _NO_SPACE:
        return (
            f"{error.strerror}: {error.filename or 'the disk'}; free space or permissions, then run it again."
        )
    what = f"{error.strerror or error or type(error).__name__}"
    where = f": {error.filename}" if error.filename else ""
    return f"{what}{where}; check the paths given and RAGASSAY_HOME; --debug shows where it happened."


def _fail(message: str, error: BaseException | None = None) -> None:
    if error is not None and os.environ.get("RAGASSAY_DEBUG"):
        traceback.print_exception(error)
    print(f"ragassay: {message}", file=sys.stderr)


app = typer.Typer(
    cls=ErrorGroup,
    name="ragassay",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Ask your documents, with citations that are checked, and measure which LLM provider answers best "
    "per dollar and per second.",
    epilog="First steps: ragassay demo, or ragassay ingest FOLDER -c NAME and ragassay ask QUESTION -c NAME.",
)


def _version(show: bool) -> None:
    if show:
        print(f"ragassay {version('ragassay')}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    log: Annotated[
        Path | None,
        typer.Option("--log", metavar="FILE", help="Append a line of JSON for each call to a provider."),
    ] = None,
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if debug:
        os.environ["RAGASSAY_DEBUG"] = "1"
    if log is not None:
        os.environ["RAGASSAY_LOG"] = str(log)
    if os.environ.get("RAGASSAY_LOG") or os.environ.get("RAGASSAY_OTEL"):
        from rag.attempts import start_recording

        start_recording()
    show_progress_with(_fetch_shown)
    show_waits_with(_wait_shown)


def _wait_shown(line: str) -> None:
    from rag.cli.show import note

    note(f"ragassay: {line}")


def _fetch_shown(name: str, size: int) -> AbstractContextManager[ProgressSink]:
    from rag.cli.show import byte_progress

    return byte_progress(name, size)


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="A config file; by default the one RAGASSAY_CONFIG names."),
]
CacheOption = Annotated[
    bool | None,
    typer.Option("--cache/--no-cache", help="Keep replies and give them again; by default as in the config."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout.")]


def read_config(path: Path | None) -> Config:
    """Return the config of a command."""
    from rag.config import load_config

    return load_config(path)
