"""The console script `ragassay`: the toolkit's commands, and `eval` and `demo` on top."""

from __future__ import annotations

import os
import sys

import evals.cli.demo
import evals.cli.runs
import rag.cli.collections
import rag.cli.documents
import rag.cli.local  # noqa: F401  imported for its commands, as the three above
from rag.cli.app import app

__all__ = ["main"]


def main() -> None:
    """Run the command line; `--debug` is understood in any place."""
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    if "--debug" in sys.argv[1:end]:
        os.environ["RAGASSAY_DEBUG"] = "1"
        sys.argv[1:end] = [word for word in sys.argv[1:end] if word != "--debug"]
    app(prog_name="ragassay")
