"""How a run ended: its exit code, and why in plain lines."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

from evals.runner.gates import GateVerdict
from evals.runner.health import Stop
from evals.runner.scoring import Failure, Scored, SystemTotals
from evals.runner.spec import RunSpec
from rag.errors import StoppedError

__all__ = ["RunResult", "run_result"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """How a run ended.

    `exit_code` is 0 when done; 1 when a sample of any system has no usable reply for reasons of
    infrastructure, or a reply no verdict of its judge; 3 when a gate failed; 4 when a system or judge was
    stopped by budget, quota or authentication.
    `messages` says why in plain lines, and which system misses more of its samples than
    `limits.max_error_rate`; `failures` names every call without a usable reply. Whatever is missing, `resume`
    goes on.
    """

    folder: Path
    exit_code: int
    messages: tuple[str, ...]
    failures: tuple[Failure, ...]
    systems: Mapping[str, SystemTotals]
    gates: tuple[GateVerdict, ...] = ()


def run_result(folder: Path, spec: RunSpec, scored: Scored, stops: Mapping[str, Stop]) -> RunResult:
    """Return the result of the run in `folder` from its scores and the systems that were stopped."""
    limit = spec.config.limits.max_error_rate
    messages = [f"{name} was stopped: {stop.reason}" for name, stop in stops.items()]
    missing = {name: totals for name, totals in scored.totals.items() if totals.missing}
    messages.extend(_missing(name, totals, limit) for name, totals in missing.items())
    called = {name for name, totals in missing.items() if any(o.infrastructure for o in totals.outcomes)}
    if called or not missing.keys() <= stops.keys():  # a budget's stop says itself how to go on
        messages.append(_cure(folder, spec, called))
    if scored.lost_contexts:
        again = f"'ragassay eval resume {folder}' gets them again"
        messages.append(f"the passages of {scored.lost_contexts} replies are lost; {again}")
    if scored.missing_verdicts:
        again = f"'ragassay eval resume {folder}' asks for them"
        messages.append(f"{scored.missing_verdicts} verdicts of judges are missing; {again}")
    messages.extend(str(damage) for damage in scored.damage)
    codes = [stop.exit_code for stop in stops.values()]
    failed = bool(codes or missing or scored.lost_contexts or scored.missing_verdicts)
    return RunResult(
        folder=folder,
        exit_code=StoppedError.exit_code if StoppedError.exit_code in codes else int(failed),
        messages=tuple(messages),
        failures=scored.failures,
        systems=scored.totals,
    )


def _missing(name: str, totals: SystemTotals, limit: float) -> str:
    counts = [f"{n} {outcome}" for outcome, n in totals.outcomes.items() if outcome.infrastructure]
    untried = totals.wanted - sum(totals.outcomes.values())
    counts += [f"{untried} without any reply"] if untried else []
    over = ", more than max_error_rate allows" if totals.too_many_missing(limit) else ""
    what = f"{totals.missing} of {totals.wanted} samples have no usable reply"
    return f"{name}: {what} ({', '.join(counts)}){over}"


def _cure(folder: Path, spec: RunSpec, called: Container[str]) -> str:
    refs = [system.provider for system in spec.config.systems if system.provider and system.name in called]
    tells = f"; 'ragassay providers check {refs[0]}' tells what is wrong there" if refs else ""
    return f"'ragassay eval resume {folder}' asks for what is missing{tells}"
