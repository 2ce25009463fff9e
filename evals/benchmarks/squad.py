"""Extractive question answering in SQuAD's layout: SQuAD, XQuAD, FaQuAD and the like."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from evals.benchmarks.data import HUB_KEYS, open_data
from evals.benchmarks.rows import BadRows, files_sha256, read_text, refuse_keys, stratified
from evals.core import Sample, SampleSet
from evals.prompts import prompt_hash, render
from rag.answering import numbered_passages
from rag.config import BenchmarkConfig, Config
from rag.core import Chunk, Message, Request, Settings
from rag.errors import LoadError
from rag.language import document_languages, language_among
from rag.loaders.squad import is_squad, paragraph_key, paragraphs
from rag.refusals import REFUSALS, refusal

__all__ = ["SQuAD"]

_LANGUAGE_PROBES = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class _Question:
    """A question as the data has it, with its paragraph; `source` is None where that has no name."""

    place: str
    row: Mapping[str, Any]
    context: str
    source: str | None
    cluster: str


class SQuAD:
    """Questions whose answer is a span of a paragraph, over a collection of the paragraphs or closed book.

    `ragassay ingest FILE` makes that collection of the same file: a document a paragraph, without the
    questions. `data` is a JSON file in SQuAD's nested layout, a JSONL or Parquet file of the hub's rows, or a
    hub id (`google/xquad` with `subset: xquad.en`; its paragraphs have no place in a collection, so retrieval
    is not measured: write the rows to a JSONL file for that). Questions of one article are a cluster.
    Questions without an answer ask for a refusal, as in SQuAD 2.0. Offsets of answers are not used, so that
    wrong ones (FaQuAD has 30) do no harm; an answer that its paragraph does not hold is named in a warning.
    The prompt asks for the shortest words alone. `extractive` cannot follow it and answers with a sentence:
    its exact match is about 0 by construction, and its F1 says how short the sentence is.
    """

    licence = "CC BY-SA 4.0 (SQuAD, XQuAD), CC BY 4.0 (FaQuAD)"
    citation = (
        "Rajpurkar et al. 2016, arXiv:1606.05250; XQuAD: Artetxe et al. 2020, arXiv:1910.11856; "
        "FaQuAD: Sayama et al. 2019, BRACIS"
    )
    default_metrics = ("exact_match", "token_f1", "retrieval")
    revisions: ClassVar[Mapping[str, str]] = {
        "google/xquad": "51adfef1c1287aab1d2d91b5bead9bcfb9c68583",
        "rajpurkar/squad": "7b6d24c440a36b6815f21b70d25016731768db1f",
    }

    def load(self, spec: BenchmarkConfig, config: Config) -> SampleSet:
        """Read the questions; `limit` draws from every article by its size.

        Raises:
            ConfigError: no such data, or a key that this benchmark does not use.
            LoadError: no usable question, or more bad ones than `limits.max_error_rate`.
        """
        refuse_keys(spec, HUB_KEYS)
        path = config.path(spec.data) if spec.data else Path()
        if path.is_file() and path.suffix.lower() == ".json":
            bad = BadRows(str(path), config.limits.max_error_rate)
            name, sha256, found = str(path), files_sha256([path]), _nested(path)
        else:
            data = open_data(spec, config, self.revisions)
            bad = BadRows(data.name, config.limits.max_error_rate)
            split = data.read(spec.split or data.default_split, bad)
            name = f"{data.name}, split {split.name!r}" if split.name else data.name
            sha256, found = split.sha256, _flat(split.rows, bad, path)
        samples, foreign = _samples(found, bad, spec.name)
        warnings = [*bad.settle(len(samples))]
        if foreign:
            warnings.append(
                f"answers that do not stand in their paragraph: {', '.join(foreign[:5])}"
                + (f" and {len(foreign) - 5} more" if len(foreign) > 5 else "")
            )
        chosen = stratified(samples, spec.limit, seed=config.seed, stratum=lambda sample: sample.cluster)
        return SampleSet(samples=chosen, data=name, sha256=sha256, warnings=tuple(warnings))

    def request(self, sample: Sample, passages: Sequence[Chunk] | None, settings: Settings) -> Request:
        """Ask for the shortest words of the passages that answer; without passages, for what is known."""
        language = sample.language or language_among(sample.question, REFUSALS)
        if passages is None:
            system, user = render("squad.closed", refusal=refusal(language)), sample.question.strip()
        else:
            system = render("squad.system", refusal=refusal(language))
            shown = numbered_passages(passages)
            user = render("squad.user", passages=shown, question=sample.question.strip())
        return Request(
            messages=(Message(role="system", content=system), Message(role="user", content=user)),
            settings=settings,
            question=sample.question,
            passages=tuple(passages or ()),
        )

    def prompt_hashes(self) -> Mapping[str, str]:
        """Return the hash of the templates for each way of asking."""
        return {
            "rag": prompt_hash("squad.system", "squad.user"),
            "closed_book": prompt_hash("squad.closed"),
        }


def _nested(path: Path) -> Iterator[_Question]:
    """Yield the questions of a file in the nested layout.

    Raises:
        LoadError: it is not JSON, or not in that layout.
    """
    try:
        value = json.loads(read_text(path))
    except ValueError as exc:
        raise LoadError(f"{path} is not valid JSON ({exc}); correct it there.") from exc
    if not is_squad(value):
        raise LoadError(
            f'{path} is not in SQuAD\'s layout: {{"data": [{{"paragraphs": [...]}}]}}. '
            "Rows with a 'context' each go into a .jsonl file."
        )
    for paragraph in paragraphs(value):
        article = paragraph.key.partition("/")[0]
        for number, row in enumerate(paragraph.questions):
            yield _Question(
                place=f"{path.name} paragraph {paragraph.key} question {number}",
                row=row,
                context=paragraph.context,
                source=f"{path.name}#{paragraph.key}",
                cluster=f"{article}: {paragraph.title}" if paragraph.title else article,
            )


def _flat(rows: Any, bad: BadRows, path: Path) -> Iterator[_Question]:
    """Yield the questions of rows; those of a JSONL file name their paragraph as `ingest` does."""
    ingested = path.is_file() and path.suffix.lower() == ".jsonl"
    for _, place, row in rows:
        if not isinstance(row, Mapping) or not isinstance(row.get("context"), str):
            bad.add(place, "no 'context'")
            continue
        key = paragraph_key(row["context"])
        yield _Question(
            place=place,
            row=row,
            context=row["context"],
            source=f"{path.name}#{key}" if ingested else None,
            cluster=str(row.get("title") or key),
        )


def _samples(found: Iterator[_Question], bad: BadRows, benchmark: str) -> tuple[list[Sample], list[str]]:
    """Return the samples, and the ids of those with an answer that their paragraph does not hold."""
    samples: dict[str, Sample] = {}
    foreign: list[str] = []
    contexts: dict[str, None] = {}
    for question in found:
        row = question.row
        identity = "" if row.get("id") is None else str(row["id"])
        text, answers = row.get("question"), _answers(row)
        if not identity or not isinstance(text, str) or not text.strip():
            bad.add(question.place, "no 'id'" if not identity else "no 'question'")
        elif answers is None:
            bad.add(question.place, "no 'answers' as SQuAD has them, of an empty list where there is none")
        elif identity in samples:
            bad.add(question.place, f"id {identity!r} was used before")
        else:
            contexts.setdefault(question.context)
            if any(" ".join(answer.split()) not in " ".join(question.context.split()) for answer in answers):
                foreign.append(identity)
            samples[identity] = Sample(
                id=identity,
                benchmark=benchmark,
                question=text.strip(),
                targets=answers,
                relevant=() if question.source is None else (question.source,),
                cluster=question.cluster,
            )
    language = _language([*contexts])
    return [replace(sample, language=language) for sample in samples.values()], foreign


def _answers(row: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the accepted answers of either layout, each once: () without an answer, None without the key."""
    if row.get("is_impossible"):
        return ()
    given = row.get("answers")
    texts = given.get("text") if isinstance(given, Mapping) else given
    if not isinstance(texts, list):
        return None
    plain: list[object] = [text.get("text") if isinstance(text, Mapping) else text for text in texts]
    stripped = [text.strip() for text in plain if isinstance(text, str)]
    return tuple(dict.fromkeys(filter(None, stripped))) if len(stripped) == len(plain) else None


def _language(contexts: Sequence[str]) -> str | None:
    """Return the language of the paragraphs, by those spread over the data."""
    some = contexts[:: max(1, len(contexts) // _LANGUAGE_PROBES)]
    told = Counter(code for code in document_languages(some) if code is not None)
    return told.most_common(1)[0][0] if told else None
