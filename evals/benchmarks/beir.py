"""Retrieval in BEIR's layout: queries, and which documents of a corpus answer them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from evals.benchmarks.rows import (
    BadRows,
    data_path,
    files_sha256,
    read_rows,
    read_text,
    refuse_keys,
    stratified,
)
from evals.core import OPEN, Sample, SampleSet
from rag.answering import answer_prompt_hash, answer_request
from rag.config import BenchmarkConfig, Config
from rag.core import Chunk, Request, Settings
from rag.errors import ConfigError, LoadError, UnknownNameError

__all__ = ["BEIR"]

_CORPUS = "corpus.jsonl"
_MORE = 2  # times as many passages are looked at, until enough are left without the query itself


class BEIR:
    """Queries over a corpus with graded judgements; only the retrieval is measured, no provider is asked.

    `data` is a folder with `corpus.jsonl`, `queries.jsonl` and `qrels/SPLIT.tsv`. Make the collection with
    `ragassay ingest FOLDER/corpus.jsonl`, `chunk_tokens: whole` for the documents as published figures take
    them, and give the system `k: 10` or more and a `context_tokens` that never cuts. With
    `ignore_identical_ids: true` a document that is the query itself is passed over, as ArguAna and Quora ask.
    """

    licence = "that of the data set; see its page"
    citation = "Thakur et al. 2021, BEIR, arXiv:2104.08663"
    default_metrics = ("ndcg@10", "recall@10", "mrr")

    def load(self, spec: BenchmarkConfig, config: Config) -> SampleSet:
        """Read the queries that `qrels/SPLIT.tsv` judges, by default those of `test`.

        Raises:
            ConfigError: no such folder, or a key that this benchmark does not use.
            UnknownNameError: no such split.
            LoadError: the folder is not in BEIR's layout, or too many rows are bad.
        """
        refuse_keys(spec, ("split", "ignore_identical_ids"))
        folder = data_path(spec, config)
        qrels, queries = _qrels(folder, spec.split), folder / "queries.jsonl"
        if not queries.is_file():
            raise LoadError(f"{folder} has no queries.jsonl; a retrieval folder is in BEIR's layout.")
        bad = BadRows(str(folder), config.limits.max_error_rate)
        judged = _judgements(qrels, bad)
        samples: dict[str, Sample] = {}
        unasked: set[str] = set()
        for place, row in read_rows(queries, bad):
            identity, text = str(row.get("_id", row.get("id", ""))), row.get("text")
            if identity not in judged:
                continue  # a query of another split
            if not isinstance(text, str) or not text.strip():
                bad.add(place, "no 'text'")
                unasked.add(identity)
            elif identity in samples:
                bad.add(place, f"id {identity!r} was used before")
            elif not judged[identity]:
                bad.exclude("no relevant document")
            else:
                samples[identity] = _sample(identity, text, judged[identity], spec)
        for identity, relevant in judged.items():
            if relevant and identity not in samples and identity not in unasked:
                bad.add(qrels.name, f"query {identity!r} is not in queries.jsonl")
        warnings = bad.settle(len(samples))
        chosen = stratified([*samples.values()], spec.limit, seed=config.seed, stratum=lambda _: "")
        return SampleSet(
            samples=chosen,
            data=f"{folder}, split {qrels.stem!r}",
            sha256=files_sha256([queries, qrels]),
            warnings=warnings,
        )

    def select(self, sample: Sample, ranked: Callable[[int], Sequence[Chunk]], k: int) -> Sequence[Chunk]:
        """Return the `k` best passages, without the query's own document where it is to be ignored."""
        own = sample.metadata.get("ignore")
        if own is None:
            return ranked(k)
        wanted = k + 1
        while True:
            found = ranked(wanted)
            others = [passage for passage in found if passage.source != own]
            if len(others) >= k or len(found) < wanted:
                return others[:k]
            wanted *= _MORE

    def request(self, sample: Sample, passages: Sequence[Chunk] | None, settings: Settings) -> Request:
        """Ask as `ragassay ask` does, where metrics of answers are wanted too."""
        return answer_request(sample.question, passages or (), settings, language=sample.language)

    def prompt_hashes(self) -> Mapping[str, str]:
        """Return the hash of the templates of the one way of asking."""
        return {"rag": answer_prompt_hash()}


def _qrels(folder: Path, split: str | None) -> Path:
    found = {path.stem: path for path in sorted((folder / "qrels").glob("*.tsv"))}
    if not found:
        raise ConfigError(f"{folder} has no qrels/SPLIT.tsv; a retrieval folder is in BEIR's layout.")
    name = split or ("test" if "test" in found else next(iter(found)))
    if name not in found:
        raise UnknownNameError("split", name, found, f"(in {folder})")
    return found[name]


def _judgements(path: Path, bad: BadRows) -> dict[str, dict[str, int]]:
    """Return the grade of each relevant document by query; a query with none but zeros has an empty one."""
    judged: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        cells = line.split("\t")
        if not line.strip() or (number == 1 and not cells[-1].strip().lstrip("-").isdecimal()):
            continue  # BEIR's header
        try:
            query, document, grade = cells[0], cells[-2], int(cells[-1])
        except (ValueError, IndexError):
            bad.add(f"{path.name} line {number}", f"not query, document, grade between tabs: {line[:60]!r}")
            continue
        relevant = judged[query]
        if grade > 0:
            relevant[document] = grade
    if not judged:
        bad.add(path.name, "no judgement")
    return dict(judged)


def _sample(identity: str, text: str, relevant: Mapping[str, int], spec: BenchmarkConfig) -> Sample:
    graded = set(relevant.values()) != {1}
    return Sample(
        id=identity,
        benchmark=spec.name,
        question=text.strip(),
        relevant=tuple(f"{_CORPUS}#{document}" for document in relevant),
        gains=tuple(relevant.values()) if graded else (),
        metadata={OPEN: "true"} | ({"ignore": f"{_CORPUS}#{identity}"} if spec.ignore_identical_ids else {}),
    )
