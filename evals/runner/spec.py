"""From a config to a RunSpec: every name, key, file and collection checked before the first call."""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from evals.benchmarks import load_benchmark
from evals.core import Benchmark, Sample
from evals.folder import RunFolder
from evals.metrics import check_metrics, expand_metrics, load_judged, metric_info
from evals.metrics.catalog import of_retrieval
from evals.runner.gates import check_gates
from rag.config import BenchmarkConfig, Config, RagConfig, SystemConfig, load_config, parse_config
from rag.core import Settings
from rag.errors import ConfigError

__all__ = [
    "BenchmarkSpec",
    "RunSpec",
    "given_config",
    "rag_label",
    "resolve_spec",
    "settings_of",
    "stored_spec",
]

RUBRIC_METRICS = frozenset({"judge_rating", "judge_preference"})
_PACKAGES = (
    "ragassay",
    "aiohttp",
    "chromadb",
    "datasets",
    "genai-prices",
    "langchain-core",
    "openvino",
    "ragas",
    "sentence-transformers",
    "tantivy",
    "xllamacpp",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkSpec:
    """A benchmark of a run with its samples; `facts` is what `run.json` says of it."""

    config: BenchmarkConfig
    benchmark: Benchmark
    metrics: tuple[str, ...]
    samples: tuple[Sample, ...]
    facts: Mapping[str, Any]

    @property
    def retrieval_only(self) -> bool:
        """True where only the retrieval is measured: then no provider is asked."""
        return bool(self.metrics) and all(of_retrieval(name) for name in self.metrics)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSpec:
    """Systems x benchmarks with seeds, limits, versions and hashes: all that makes a run repeatable."""

    config: Config
    benchmarks: tuple[BenchmarkSpec, ...]
    warnings: tuple[str, ...] = ()
    spec_yaml: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def judged(self) -> bool:
        """Whether a metric needs a judge."""
        return any(metric_info(name).judged for benchmark in self.benchmarks for name in benchmark.metrics)

    def to_json(self) -> dict[str, Any]:
        """Return what `run.json` holds of the spec."""
        config = self.config
        return {
            "config": config.model_dump(mode="json", exclude_none=True),
            "config_folder": str(config.folder),
            "seed": config.seed,
            "repeats": config.repeats,
            "limits": config.limits.model_dump(mode="json"),
            "benchmarks": {spec.config.name: dict(spec.facts) for spec in self.benchmarks},
            "versions": dict(self.versions),
            "warnings": list(self.warnings),
        }


def given_config(config: Path | str | Config, *, limit: int | None, budget: Any) -> tuple[Config, str]:
    """Return the config with the options of the command line applied, and its text as given.

    Raises:
        ConfigError: the file or an option cannot be used.
    """
    if isinstance(config, Config):
        text = yaml.safe_dump(config.model_dump(mode="json", exclude_none=True), sort_keys=False)
    else:
        path = Path(config).expanduser()
        config = load_config(path)
        text = path.read_text(encoding="utf-8")
    if limit is None and budget is None:
        return config, text
    data = config.model_dump(mode="json", exclude_none=True)
    if limit is not None:
        for benchmark in data["benchmarks"]:
            benchmark["limit"] = min(limit, benchmark.get("limit") or limit)
    if budget is not None:
        data["limits"]["budget_usd"] = str(budget)
    return parse_config(data, folder=config.folder, where="--limit or --budget"), text


def resolve_spec(config: Config, spec_yaml: str) -> RunSpec:
    """Load the benchmarks that `config` names and check their metrics.

    Raises:
        UsageError: something is named that does not exist, or is missing; says what.
        LoadError: data cannot be read.
    """
    if not config.systems:
        raise ConfigError("the config names no systems; add 'systems:' (see configs/ for examples).")
    if not config.benchmarks:
        raise ConfigError("the config names no benchmarks; add 'benchmarks:' (see configs/ for examples).")
    kinds = [(spec, load_benchmark(spec)) for spec in config.benchmarks]
    chosen = [expand_metrics(spec.metrics or kind.default_metrics) for spec, kind in kinds]
    names = {spec.name: metrics for (spec, _), metrics in zip(kinds, chosen, strict=True)}
    check_gates(config, names)
    for spec, metrics in zip(config.benchmarks, chosen, strict=True):
        check_metrics(metrics, config)
        load_judged(metrics, config)  # a package that is absent is said before anything is paid for
        if spec.rubric and not RUBRIC_METRICS & {*metrics}:
            raise ConfigError(
                f"benchmark {spec.name!r} has a 'rubric' that no metric uses; "
                f"add one of {', '.join(sorted(RUBRIC_METRICS))}, or remove it."
            )
    benchmarks = []
    warnings: list[str] = []
    if config.judge and not any(metric_info(name).judged for metrics in chosen for name in metrics):
        warnings.append("the judge is not asked: no metric of this run needs one")
    for (spec, kind), metrics in zip(kinds, chosen, strict=True):
        loaded = kind.load(spec, config)
        warnings.extend(f"{spec.name}: {warning}" for warning in loaded.warnings)
        facts = {
            "benchmark": spec.benchmark or spec.name,
            "data": loaded.data,
            "sha256": loaded.sha256,
            "samples": len(loaded.samples),
            "clusters": len({sample.cluster for sample in loaded.samples if sample.cluster}),
            "metrics": list(metrics),
            "licence": kind.licence,
            "citation": kind.citation,
            "prompts": dict(kind.prompt_hashes()),
        }
        benchmarks.append(
            BenchmarkSpec(config=spec, benchmark=kind, metrics=metrics, samples=loaded.samples, facts=facts)
        )
    return RunSpec(
        config=config,
        benchmarks=tuple(benchmarks),
        warnings=tuple(warnings),
        spec_yaml=spec_yaml,
        versions=_versions(),
    )


def stored_spec(folder: RunFolder, state: Mapping[str, Any]) -> RunSpec:
    """Return the spec that a run folder holds: the config file may have changed since, the run has not.

    Args:
        folder: has the samples.
        state: the content of its `run.json`.
    """
    samples: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in folder.samples():
        samples[sample.benchmark].append(sample)
    config = parse_config(state["config"], folder=Path(state["config_folder"]), where="run.json")
    benchmarks = tuple(
        BenchmarkSpec(
            config=spec,
            benchmark=load_benchmark(spec),
            metrics=tuple(state["benchmarks"][spec.name]["metrics"]),
            samples=tuple(samples[spec.name]),
            facts=state["benchmarks"][spec.name],
        )
        for spec in config.benchmarks
    )
    return RunSpec(
        config=config,
        benchmarks=benchmarks,
        warnings=tuple(state["warnings"]),
        versions=state["versions"],
    )


def settings_of(system: SystemConfig, benchmark: BenchmarkConfig) -> Settings:
    """Return the sampling settings of a system; the lower `max_tokens` of system and benchmark counts."""
    given = system.settings
    most = [n for n in (given.max_tokens, benchmark.max_tokens) if n is not None]
    return Settings(
        temperature=given.temperature,
        max_tokens=min(most, default=None),
        top_p=given.top_p,
        stop=given.stop,
        seed=given.seed,
    )


def rag_label(rag: RagConfig) -> str:
    """Return the name of a retrieval setting, the part of a context's key that the config decides."""
    budget = f"/{rag.context_tokens}t" if rag.context_tokens is not None else ""
    return f"{rag.collection}/{rag.mode}/k{rag.k}{budget}"


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
