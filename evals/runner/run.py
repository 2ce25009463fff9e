"""run, resume, rescore: a config to a run folder, on from where it was left, and scored again."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from evals.codec import Key
from evals.folder import RunFolder, utc_now
from evals.runner.contexts import (
    Collections,
    ContextStore,
    context_keys,
    is_lost,
    is_own,
    retrieve_contexts,
)
from evals.runner.execute import Executor, unasked
from evals.runner.gates import judge_gates
from evals.runner.health import Stop
from evals.runner.judges import Judge, ask_judges, build_judges, verdicts_missing
from evals.runner.progress import Progress, Tally
from evals.runner.recorded import recorded_replies
from evals.runner.result import RunResult, run_result
from evals.runner.scoring import Scored, score_run
from evals.runner.spec import RunSpec, given_config, resolve_spec, stored_spec
from evals.runner.spending import spent_usd
from evals.runner.systems import System, build_systems, check_modes, uncovered
from rag import aio
from rag.config import Config
from rag.errors import RagassayError, StoppedError
from rag.providers.budget import Budget

__all__ = ["RunResult", "rescore", "resume", "run"]


def run(
    config: Path | str | Config,
    *,
    out: Path | str | None = None,
    limit: int | None = None,
    budget: Decimal | float | None = None,
    cache: bool | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Run every system on every benchmark of a config and score the replies.

    Everything is checked before the first call. Each reply is on disk before it counts; after an interruption
    `resume(folder)` repeats none of them.

    Args:
        config: a YAML file, or a Config.
        out: the run folder, new or empty; by default one in `<home>/runs` named for the time and the config.
        limit: at most this many samples of each benchmark.
        budget: a cap in USD, in place of `limits.budget_usd`.
        cache: whether replies are kept and given again, in place of `cache:`; a file named there stays.
        progress: told how far it is.

    Raises:
        UsageError: the config names something that does not exist or is missing; says what.
        RunError: `out` cannot take a new run.
        StorageError: the disk refused; what was received is safe.
        KeyboardInterrupt: Ctrl-C; the message names the command that goes on.
    """
    resolved, text = given_config(config, limit=limit, budget=budget)
    resolved = resolved.with_cache(cache)
    name = "run" if isinstance(config, Config) else Path(config).stem
    path = Path(out).expanduser().resolve() if out is not None else _new_path(resolved, name)
    RunFolder(path).check_free()
    spec = resolve_spec(resolved, text)
    cap = resolved.limits.budget_usd
    purse = None if cap is None else Budget(cap)
    systems = build_systems(resolved, purse)
    check_modes(spec, systems)
    judges = build_judges(resolved, purse) if spec.judged else ()
    with closing(Collections(spec)) as collections:
        keys = context_keys(collections.rags, collections.fingerprints())
        facts = {
            "systems": [s.facts(None if s.rag is None else keys[s.rag]) for s in systems],
            "judges": [judge.facts() for judge in judges],
            "collections": collections.fingerprints(),
            "context_keys": dict(keys),
        }
        folder = _create(path, spec, facts)
        with folder.locked():
            return _Run(folder, spec, systems, judges, keys, purse, progress).carry_out(collections)


def resume(
    run_folder: Path | str, *, budget: Decimal | float | None = None, progress: Progress | None = None
) -> RunResult:
    """Go on with a run: make the calls that are missing or failed for reasons of infrastructure, score all.

    Calls to judges are made in the same way.

    The spec comes from the run folder, not from the config file, which may have changed. No call is repeated
    whose reply is in the journal, and money spent counts towards the budget. A run that misses nothing is
    only scored again.

    Args:
        run_folder: the run.
        budget: a new cap in USD for the whole run, what was spent included; kept in the run folder.
        progress: told how far it is.

    Raises:
        RunError: it is not a run folder, another process works on it, or its collection changed.
        UsageError, StorageError, KeyboardInterrupt: as `run`.
    """
    folder = RunFolder.open(run_folder)
    with folder.locked():
        state = folder.read()
        spec = stored_spec(folder, state)
        if budget is not None:
            spec = _recapped(folder, spec, budget)
        run = _Run(folder, spec, (), (), state["context_keys"], None, progress)
        complete = _complete(folder, spec)
        if complete and not verdicts_missing(folder, spec):
            return run.carry_out(None)
        cap = spec.config.limits.budget_usd
        purse = None if cap is None else Budget(cap, spent_usd=spent_usd(folder, state))
        systems = () if complete else build_systems(spec.config, purse)
        judges = build_judges(spec.config, purse) if spec.judged else ()
        return replace(run, systems=systems, judges=judges, purse=purse).carry_out(None)


def rescore(run_folder: Path | str, *, progress: Progress | None = None) -> RunResult:
    """Score the replies of a run again, with the metrics of this version; no provider is called.

    Raises:
        RunError: it is not a run folder, or another process works on it.
    """
    folder = RunFolder.open(run_folder)
    with folder.locked():
        state = folder.read()
        spec = stored_spec(folder, state)
        stops = {name: Stop(**stop) for name, stop in state.get("stops", {}).items()}
        return _scored_again(folder, spec, stops, progress)


@dataclass(frozen=True, slots=True)
class _Run:
    """The parts of a run that `run` and `resume` carry out alike.

    There are no `systems` where no call of theirs is left, and no `judges` where no verdict is missing.
    """

    folder: RunFolder
    spec: RunSpec
    systems: tuple[System, ...]
    judges: tuple[Judge, ...]
    keys: Mapping[str, str]
    purse: Budget | None
    progress: Progress | None

    def carry_out(self, collections: Collections | None) -> RunResult:
        """Retrieve, call, judge, score; note in `run.json` how it ended, whatever that is."""
        stops: dict[str, Stop] = {}
        notes = [*uncovered(self.spec.config, self.systems)]
        self.folder.update(state="running")
        try:
            scored = self._steps(collections, stops, notes)
        except KeyboardInterrupt:
            self._ended("interrupted", 130)
            again = f"interrupted; go on with 'ragassay eval resume {self.folder.path}'"
            raise KeyboardInterrupt(again) from None
        except RagassayError as exc:
            self._ended("failed", exc.exit_code, reason=str(exc))
            raise
        except Exception as exc:
            self._ended("failed", 1, reason=f"{type(exc).__name__}: {exc}")
            raise
        result = judge_gates(self.folder, self.spec, run_result(self.folder.path, self.spec, scored, stops))
        self._ended(
            "stopped" if result.exit_code == StoppedError.exit_code else "finished",
            result.exit_code,
            stops={name: {"reason": s.reason, "exit_code": s.exit_code} for name, s in stops.items()},
            warnings=[*dict.fromkeys((*self.spec.warnings, *notes))],
        )
        return result

    def _steps(self, collections: Collections | None, stops: dict[str, Stop], notes: list[str]) -> Scored:
        wanted = sum(len(benchmark.samples) for benchmark in self.spec.benchmarks) * self.spec.config.repeats
        tally = Tally(self.progress, dict.fromkeys((s.name for s in self.spec.config.systems), wanted))
        retrieve_contexts(
            self.folder,
            self.spec,
            keys=self.keys,
            open_collections=lambda: collections or Collections(self.spec),
            tell=lambda done, total: tally.step("contexts", done, total),
        )
        if self.systems:
            self._call(tally, stops, notes)
        if self.judges:
            ask_judges(
                self.folder,
                self.spec,
                self.judges,
                tell=lambda done, total: tally.step("verdicts", done, total),
                stops=stops,
            )
        total = wanted * len(self.spec.config.systems)
        return score_run(self.folder, self.spec, lambda done: tally.step("scores", done, total))

    def _call(self, tally: Tally, stops: dict[str, Stop], notes: list[str]) -> None:
        executor = Executor(
            folder=self.folder,
            spec=self.spec,
            systems=self.systems,
            keys=self.keys,
            done=_final(self.folder, tally),
            tally=tally,
            stops=stops,
        )
        for system in self.systems:
            if system.recorded is not None:
                replies, warnings = recorded_replies(system, self.spec)
                notes.extend(warnings)
                executor.add(replies)
        executor.add(unasked(self.spec, self.systems, self.keys))
        aio.run(executor.run())

    def _ended(self, state: str, exit_code: int, **more: Any) -> None:
        spent = {} if self.purse is None else {"spent_usd": str(self.purse.spent_usd)}
        self.folder.update(state=state, exit_code=exit_code, finished=utc_now(), **spent, **more)


def _create(path: Path, spec: RunSpec, facts: Mapping[str, Any]) -> RunFolder:
    state = {"created": utc_now(), "state": "running", **spec.to_json(), **facts}
    samples = [sample for benchmark in spec.benchmarks for sample in benchmark.samples]
    return RunFolder.create(path, spec_yaml=spec.spec_yaml, samples=samples, state=state)


def _scored_again(
    folder: RunFolder, spec: RunSpec, stops: Mapping[str, Stop], progress: Progress | None
) -> RunResult:
    tally = Tally(progress, {})
    scored = score_run(folder, spec, lambda done: tally.step("scores", done, done))
    return judge_gates(folder, spec, run_result(folder.path, spec, scored, stops))


def _complete(folder: RunFolder, spec: RunSpec) -> bool:
    """Return whether every sample of every system has a reply that stands: then no key is needed to go on."""
    samples = sum(len(benchmark.samples) for benchmark in spec.benchmarks)
    return len(_final(folder, None)) == samples * len(spec.config.systems) * spec.config.repeats


def _final(folder: RunFolder, tally: Tally | None) -> frozenset[Key]:
    """Return the keys whose reply is in the journal with an outcome that stands."""
    final = set()
    contexts = ContextStore(folder)
    for record in folder.records():
        # The passages that a system told by itself come back only with another reply.
        lost = is_own(record.context_key) and is_lost(record, contexts)
        if not lost and not record.completion.outcome.infrastructure:
            final.add(Key.of(record))
            if tally is not None:
                tally.restore(record.system, record.completion)
    return frozenset(final)


def _recapped(folder: RunFolder, spec: RunSpec, budget: Decimal | float) -> RunSpec:
    """Return `spec` with another cap, which the run folder keeps."""
    config, _ = given_config(spec.config, limit=None, budget=budget)
    capped = replace(spec, config=config)
    plain = capped.to_json()
    folder.update(config=plain["config"], limits=plain["limits"])
    return capped


def _new_path(config: Config, name: str) -> Path:
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    runs = config.home_dir() / "runs"
    path = runs / f"{stamp}-{name}"
    number = 2
    while path.exists():
        path = runs / f"{stamp}-{name}-{number}"
        number += 1
    return path
