"""Answers that people have labelled: our own JSONL, and WiCE's and HaluEval's files as they come.

The label says whether the passages support the answer; where there are none, whether it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.benchmarks.rows import BadRows, files_sha256, read_rows
from evals.core import OPEN, Record, Sample, ScoreItem
from rag.citations import read_answer
from rag.core import Chunk, Completion, Outcome, Timing
from rag.errors import ConfigError

__all__ = ["Labelled", "LabelledSet", "labelled_item", "read_labelled"]

_YES = frozenset({"1", "true", "yes", "supported", "faithful", "correct"})
_NO = frozenset(
    {
        "0",
        "false",
        "no",
        "not_supported",
        "partially_supported",
        "unsupported",
        "unfaithful",
        "hallucinated",
        "incorrect",
    }
)
_EVIDENCE_SENTENCES = 15
_JOINED = re.compile(r"(?<=[a-z)\"”\d][.!?])(?=[A-Z\"“])")
_WANTED = '{"question", "answer", "passages": ["..."], "label": true | false}'


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """One labelled answer. `cluster` names what it shares with others: its passages, its document."""

    item: ScoreItem
    label: bool
    cluster: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledSet:
    """Labelled answers with their provenance, and which rows were left out."""

    items: tuple[Labelled, ...]
    name: str
    sha256: str
    warnings: tuple[str, ...] = ()


def read_labelled(path: Path, *, max_bad: float = 0.1) -> LabelledSet:
    """Read labelled answers from JSONL, CSV or Parquet.

    Rows are `{"question", "answer", "passages", "label", "answers", "cluster"}`, of which `answer` and
    `label` are needed; or WiCE's claims (Kamoi et al. 2023, arXiv:2303.01432), of which those supported in
    part count as not supported; or HaluEval's (Li et al. 2023, arXiv:2305.11747): of `qa` both answers, of
    `general` the reply.

    Args:
        path: the file.
        max_bad: the largest share of unusable rows that is put up with.

    Raises:
        ConfigError: there is no such file.
        LoadError: no usable row, or too many that are not.
    """
    if not path.is_file():
        raise ConfigError(f"no file {path}; give labelled answers as JSONL: {_WANTED}.")
    bad = BadRows(str(path), max_bad)
    items: list[Labelled] = []
    for place, row in read_rows(path, bad):
        try:
            items.extend(_labelled(row, place))
        except ValueError as exc:
            bad.add(place, str(exc))
    warnings = bad.settle(len(items))
    name = f"{path.resolve().parent.name}/{path.name}"
    return LabelledSet(items=tuple(items), name=name, sha256=files_sha256([path]), warnings=warnings)


def labelled_item(
    answer: str,
    passages: Sequence[str],
    *,
    label: bool,
    place: str,
    question: str = "",
    targets: Sequence[str] | None = None,
    cluster: str = "",
) -> Labelled:
    """Return an answer as if a system had given it over these passages.

    Citation lines and refusals are read as those of any system. Without a cluster it is one of its own,
    without `targets` the question is open; where these are empty a refusal is right.
    """
    chunks = tuple(_chunk(text, f"{place}#{number}") for number, text in enumerate(passages, start=1))
    read = read_answer(answer, chunks)
    completion = Completion(
        text=answer, outcome=Outcome.OK, provider="labelled", model="", timing=Timing(sent=0.0, last=0.0)
    )
    record = Record(
        benchmark="labelled",
        sample_id=place,
        system="labelled",
        repeat=0,
        completion=completion,
        answer=read.text,
        citations=read.citations,
        refused=read.refused,
        context_key="labelled" if chunks else None,
    )
    sample = Sample(
        id=place,
        benchmark="labelled",
        question=question,
        targets=tuple(targets or ()),
        metadata={OPEN: "true"} if targets is None else {},
    )
    return Labelled(item=(sample, record, chunks), label=label, cluster=cluster or place)


def _labelled(row: Any, place: str) -> Iterator[Labelled]:
    if not isinstance(row, Mapping):
        raise ValueError(f"no names of columns; wanted: {_WANTED}")  # noqa: TRY004  # a bad row as any
    if "claim" in row and "evidence" in row:
        yield _wice(row, place)
    elif "hallucinated_answer" in row:
        yield from _halueval_qa(row, place)
    elif "chatgpt_response" in row:
        label = not _label(row.get("hallucination"))
        query = _text(row, "user_query")
        yield labelled_item(_text(row, "chatgpt_response"), (), label=label, place=place, question=query)
    else:
        yield _own(row, place)


def _own(row: Mapping[str, Any], place: str) -> Labelled:
    passages = row.get("passages", row.get("contexts")) or ()
    passages = [passages] if isinstance(passages, str) else passages
    answers = row.get("answers")
    if not all(isinstance(text, str) for text in (*passages, *(answers or ()))):
        raise ValueError("'passages' and 'answers' are lists of texts")
    return labelled_item(
        _text(row, "answer"),
        passages,
        label=_label(row.get("label")),
        place=place,
        question=str(row.get("question") or ""),
        targets=answers,
        cluster=str(row.get("cluster") or "\n".join(passages)),
    )


def _wice(row: Mapping[str, Any], place: str) -> Labelled:
    evidence = row["evidence"]
    starts = range(0, len(evidence), _EVIDENCE_SENTENCES)
    return labelled_item(
        _text(row, "claim"),
        ["\n\n".join(evidence[start : start + _EVIDENCE_SENTENCES]) for start in starts],
        label=_label(row.get("label")),
        place=place,
        cluster=str((row.get("meta") or {}).get("claim_title") or ""),
    )


def _halueval_qa(row: Mapping[str, Any], place: str) -> Iterator[Labelled]:
    # Its passages are put together without a space between the sentences.
    passage = _JOINED.sub(" ", _text(row, "knowledge"))
    for column, label in (("right_answer", True), ("hallucinated_answer", False)):
        yield labelled_item(
            _text(row, column),
            [passage],
            label=label,
            place=f"{place} {column}",
            question=_text(row, "question"),
            cluster=passage,
        )


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"no text in {column!r}")
    return value


def _label(value: Any) -> bool:
    word = str(value).strip().lower().removesuffix(".0")
    if word not in _YES | _NO:
        raise ValueError(f"the label {value!r} is neither true nor false")
    return word in _YES


def _chunk(text: str, name: str) -> Chunk:
    end = len(text)
    return Chunk(id=name, document_id=name, source=name, title="", text=text, start=0, end=end, page=None)
