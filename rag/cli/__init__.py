"""The command line of the toolkit: parse, call, print. `evals.cli` mounts it and adds the evaluation."""

from __future__ import annotations

from rag.cli.app import app

__all__ = ["app"]
