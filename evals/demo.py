"""`ragassay demo`: the bundled handbook to an index, answers on screen, an evaluation, a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import evals
from evals.folder import RunFolder
from evals.runner.progress import Progress
from rag.bundled import bundled_path
from rag.config import Config, RagConfig, SettingsConfig, SystemConfig, load_config

__all__ = ["QUESTIONS", "DemoResult", "demo_config", "evaluate", "keyed_systems"]

# (question, provider): the baseline shows verified citations in both languages, the small model what it is.
QUESTIONS = (
    ("When was Groq founded?", "extractive"),
    ("Qual era a mensalidade do ChatGPT Plus em 2024?", "extractive"),
    ("What is Groq's chip called?", "local:smollm2-135m"),
)


_LEFT_OFF = {"running", "interrupted"}


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoResult:
    """Where the demo left its run and report."""

    run: evals.RunResult
    report: Path


def demo_config() -> Config:
    """Return the bundled `configs/demo.yaml`."""
    return load_config(bundled_path("configs/demo.yaml"))


def keyed_systems(config: Config) -> tuple[SystemConfig, ...]:
    """Return a RAG system for each provider of the catalog whose key is in the environment."""
    from rag.providers import provider_refs

    return tuple(
        SystemConfig(
            name=f"{ref.name}-rag",
            provider=f"{ref.name}:{ref.small_model}",
            rag=RagConfig(collection="handbook", k=3),
            settings=SettingsConfig(max_tokens=96),
        )
        for ref in provider_refs(config)
        if ref.key_env and ref.key_set and ref.small_model
    )


def evaluate(
    config: Config, out: Path, *, extra: Sequence[SystemConfig] = (), progress: Progress | None = None
) -> DemoResult:
    """Run the demo's evaluation under `out` and write `out/report.html`.

    An unfinished run of an earlier demo there is resumed; otherwise a new one begins.
    """
    config = config.model_copy(update={"systems": (*config.systems, *extra)})
    unfinished = _unfinished(out)
    if unfinished is not None:
        result = evals.resume(unfinished, progress=progress)
    else:
        name = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
        result = evals.run(config, out=out / "runs" / name, progress=progress)
    report = out / "report.html"
    evals.report(result.folder, format="html", output=report)
    return DemoResult(run=result, report=report)


def _unfinished(out: Path) -> Path | None:
    runs = sorted((out / "runs").glob("*/run.json"), reverse=True)
    return next((p.parent for p in runs if RunFolder.open(p.parent).read()["state"] in _LEFT_OFF), None)
