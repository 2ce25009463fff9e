"""`ragassay demo`: the bundled handbook to an index, answers on screen, an evaluation, a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import evals
from evals.folder import RunFolder
from evals.runner.progress import Progress
from rag.bundled import bundled_path
from rag.config import Config, RagConfig, SettingsConfig, SystemConfig, load_config
from rag.errors import RunError

__all__ = ["QUESTIONS", "DemoResult", "demo_config", "evaluate", "keyed_systems", "unfinished_run"]

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
    config: Config,
    out: Path,
    *,
    unfinished: Path | None = None,
    extra: Sequence[SystemConfig] = (),
    progress: Progress | None = None,
) -> DemoResult:
    """Run the demo's evaluation under `out` and write `out/report.html`.

    Args:
        config: from `demo_config`.
        out: where the run and the report go.
        unfinished: a run to go on with, from `unfinished_run`; without one a new run begins.
        extra: systems of a new run besides those of `config`.
        progress: told how far it is.
    """
    config = config.model_copy(update={"systems": (*config.systems, *extra)})
    if unfinished is not None:
        result = evals.resume(unfinished, progress=progress)
    else:
        name = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
        result = evals.run(config, out=out / "runs" / name, progress=progress)
    report = out / "report.html"
    evals.report(result.folder, format="html", output=report)
    return DemoResult(run=result, report=report)


def unfinished_run(config: Config, out: Path) -> Path | None:
    """Return the newest run under `out` that was left off and has the systems of `config`, None without one.

    It may have systems from `keyed_systems` besides, which were agreed to when it began.
    """
    wanted, more = (_plain(systems) for systems in (config.systems, keyed_systems(config)))
    for path in sorted((out / "runs").glob("*/run.json"), reverse=True):
        try:
            state = RunFolder.open(path.parent).read()
        except RunError:
            continue  # another version's run, or no run at all
        systems = state.get("config", {}).get("systems", [])
        same = systems[: len(wanted)] == wanted and all(one in more for one in systems[len(wanted) :])
        if same and state.get("state") in _LEFT_OFF:
            return path.parent
    return None


def _plain(systems: Sequence[SystemConfig]) -> list[dict[str, Any]]:
    return [system.model_dump(mode="json", exclude_none=True) for system in systems]
