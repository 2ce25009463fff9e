"""Noise robustness and refusal: the same questions with irrelevant passages mixed in, or nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from evals.benchmarks.docqa import DocQA, load_questions
from evals.benchmarks.rows import refuse_keys
from evals.core import Sample, SampleSet
from evals.metrics.text import normalise
from rag.config import BenchmarkConfig, Config
from rag.core import Chunk
from rag.errors import ConfigError

__all__ = ["Noise"]

_MODES = ("robustness", "rejection")
_DEPTHS = (100, 1000)  # how far down the ranking the passages are taken from
_LINE = "\n"
_SETTINGS = frozenset({"answers", "mode", "noise", "seed", "sources"})


class Noise(DocQA):
    """Questions over a collection, with `noise` irrelevant passages among those that a system is shown.

    Rows are those of `docqa`, of which the answerable ones are asked. Mode `robustness`: of the `k` passages
    of the system's setting, `noise` are irrelevant and the others hold the answer: one at least, so that a
    `noise` of `k` or more shows one passage more than that. A benchmark entry for each amount of noise shows
    how answers change. Mode `rejection`: all are irrelevant (`noise` of them, by default `k`), and the right
    reply is a refusal.

    A passage is relevant where it comes from a document or page that the row names and holds an accepted
    answer (either is enough where none does both). Irrelevant are the best ranked of the others that hold no
    accepted answer: near the question, as in the paper. They are shown in an order drawn with the run's seed.
    Where no relevant passage is among the first 1,000, there is none to show: `recall@10` tells how often.
    """

    citation = "after Chen et al. 2024, Benchmarking LLMs in Retrieval-Augmented Generation, arXiv:2309.01431"
    default_metrics = (
        "token_f1",
        "refusal_accuracy",
        "k_precision",
        "faithfulness_lexical",
        "citation_precision",
        "recall@10",
    )

    def load(self, spec: BenchmarkConfig, config: Config) -> SampleSet:
        """Read the answerable questions of `spec.data`.

        Raises:
            ConfigError: no such file or mode, no `noise`, or a key that this benchmark does not use.
            LoadError: no usable row, or more bad ones than `limits.max_error_rate`.
        """
        refuse_keys(spec, ("mode", "noise"))
        mode = spec.mode or _MODES[0]
        if mode not in _MODES:
            raise ConfigError(f"benchmark {spec.name!r} has no mode {mode!r}; it has: {', '.join(_MODES)}.")
        if mode == "robustness" and spec.noise is None:
            raise ConfigError(
                f"benchmark {spec.name!r} needs 'noise:', how many irrelevant passages to mix in."
            )

        def noisy(sample: Sample) -> Sample | None:
            if not sample.targets:
                return None
            # A column of the user's that is named as a setting of ours is none.
            kept = {key: value for key, value in sample.metadata.items() if key not in _SETTINGS}
            metadata = {**kept, "mode": mode, "seed": str(config.seed)}
            if spec.noise is not None:
                metadata["noise"] = str(spec.noise)
            if mode == "robustness":
                return replace(sample, metadata=metadata)
            # What makes a passage relevant is kept beside: the sample itself is unanswerable now.
            metadata["answers"] = _LINE.join(sample.targets)
            metadata["sources"] = _LINE.join(sample.relevant)
            return replace(sample, targets=(), relevant=(), metadata=metadata)

        return load_questions(spec, config, noisy)

    def select(self, sample: Sample, ranked: Callable[[int], Sequence[Chunk]], k: int) -> Sequence[Chunk]:
        """Return relevant and irrelevant passages, in an order that the sample's id and the seed decide."""
        metadata = sample.metadata
        rejection = metadata["mode"] == "rejection"
        noise = int(metadata.get("noise", k))
        relevant: list[Chunk] = []
        irrelevant: list[Chunk] = []
        for depth in _DEPTHS:
            pool = ranked(depth)
            relevant, irrelevant = _divided(sample, pool)
            if (relevant or rejection) and len(irrelevant) >= noise:
                break
        kept = [] if rejection else relevant[: max(1, k - noise)]
        shown = [*kept, *irrelevant[:noise]]
        random.Random(f"{metadata['seed']}/{sample.id}").shuffle(shown)  # noqa: S311  # to be repeated
        return shown


def _divided(sample: Sample, pool: Sequence[Chunk]) -> tuple[list[Chunk], list[Chunk]]:
    """Return the relevant passages of `pool` and the irrelevant ones, each best first."""
    answers = sample.targets or tuple(sample.metadata["answers"].split(_LINE))
    sources = frozenset(sample.relevant or sample.metadata.get("sources", "").split(_LINE)) - {""}
    wanted = [text for text in (_padded(answer, sample.language) for answer in answers) if text.strip()]
    named = [_is_of(passage, sources) for passage in pool]
    holding = [any(text in _padded(passage.text, sample.language) for text in wanted) for passage in pool]
    either = [a or b for a, b in zip(named, holding, strict=True)]
    both = [a and b for a, b in zip(named, holding, strict=True)]
    right = both if any(both) else named if any(named) else holding
    return (
        [passage for passage, is_right in zip(pool, right, strict=True) if is_right],
        [passage for passage, some in zip(pool, either, strict=True) if not some],
    )


def _is_of(passage: Chunk, sources: frozenset[str]) -> bool:
    return passage.source in sources or f"{passage.source}#{passage.page}" in sources


def _padded(text: str, language: str | None) -> str:
    return f" {normalise(text, language)} "
