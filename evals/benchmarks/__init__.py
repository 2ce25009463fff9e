"""Benchmarks: data to Samples, how they are asked, which metrics. One file each, imported when used."""

from __future__ import annotations

from dataclasses import dataclass

from evals.core import Benchmark
from rag.config import BenchmarkConfig
from rag.registry import Registry

__all__ = ["BENCHMARKS", "BenchmarkInfo", "list_benchmarks", "load_benchmark"]

BENCHMARKS = Registry(
    "benchmark",
    {
        "beir": "evals.benchmarks.beir:BEIR",
        "custom": "evals.benchmarks.custom:Custom",
        "docqa": "evals.benchmarks.docqa:DocQA",
        "enem": "evals.benchmarks.enem:ENEM",
        "humaneval": "evals.benchmarks.humaneval:HumanEval",
        "humaneval_plus": "evals.benchmarks.humaneval:HumanEvalPlus",
        "mmlu": "evals.benchmarks.mmlu:MMLU",
        "mmlu_pro": "evals.benchmarks.mmlu_pro:MMLUPro",
        "mt_bench": "evals.benchmarks.mt_bench:MTBench",
        "noise": "evals.benchmarks.noise:Noise",
        "oab": "evals.benchmarks.oab:OAB",
        "squad": "evals.benchmarks.squad:SQuAD",
    },
    "Under a name of your own say which it is, such as 'benchmark: docqa'; 'ragassay eval list' shows them.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkInfo:
    """What `ragassay eval list` shows of a benchmark."""

    name: str
    what: str
    licence: str
    citation: str
    default_metrics: tuple[str, ...]


def load_benchmark(spec: BenchmarkConfig) -> Benchmark:
    """Return the benchmark that `spec` asks for by `benchmark:`, or by its name.

    Raises:
        UnknownNameError: there is none; the message suggests the nearest.
    """
    benchmark: Benchmark = BENCHMARKS.load(spec.benchmark or spec.name)()
    return benchmark


def list_benchmarks() -> list[BenchmarkInfo]:
    """Return what is known of every benchmark, in the order of their names."""
    infos = []
    for name in sorted(BENCHMARKS):
        kind = BENCHMARKS.load(name)
        benchmark: Benchmark = kind()
        infos.append(
            BenchmarkInfo(
                name=name,
                what=(kind.__doc__ or "").strip().splitlines()[0].rstrip("."),
                licence=benchmark.licence,
                citation=benchmark.citation,
                default_metrics=tuple(benchmark.default_metrics),
            )
        )
    return infos
