"""Any rows with a prompt template of one's own and the metrics one names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from string import Template
from typing import Any

from evals.benchmarks.data import HUB_KEYS, open_data
from evals.benchmarks.multiple_choice import letter_of, options_of
from evals.benchmarks.rows import BadRows, kept_columns, refuse_keys, stratified
from evals.core import OPEN, Sample, SampleSet
from evals.metrics.choices import letters
from rag.answering import numbered_passages
from rag.config import BenchmarkConfig, Config
from rag.core import Chunk, Message, Request, Settings
from rag.errors import ConfigError

__all__ = ["Custom"]

_DEFAULT = "$question"
_PASSAGES = "$passages"
_TARGETS = ("answers", "answer", "targets", "target", "label")
_FILLED = ("before", "after")  # the template around the passages, in a sample's metadata
_OWN = frozenset({"id", "_id", "question", "choices", "relevant", "cluster", "language", *_TARGETS, *_FILLED})


class Custom:
    """Rows of any columns, asked with `prompt:`, scored by `metrics:`.

    `prompt` is a template: `$name` stands for the column `name`, `$options` for the lettered `choices`,
    `$passages` for what was retrieved (it comes first where the template has no place for it), `$$` for a
    dollar sign. A value that ends in `.txt` is the path of one. Columns with a meaning, all optional: `id`
    (else the row's number, from 1), `question` (what is searched for; else the whole prompt), `answers` or
    `answer` (a text or a list; none: a refusal is right, but where no row has any, nothing is right or
    wrong), `choices`, `relevant`, `cluster`, `language`. The other columns are kept as metadata. With choices
    the answer is a letter, a number from 0, or an option's text.
    """

    licence = "that of your own data"
    citation = "your own"
    default_metrics = ("exact_match", "token_f1")

    def __init__(self) -> None:
        self._template = _DEFAULT

    def load(self, spec: BenchmarkConfig, config: Config) -> SampleSet:
        """Read the rows and fill the template with each.

        Raises:
            ConfigError: no such data or template, or a key that this benchmark does not use.
            LoadError: no usable row, or more bad ones than `limits.max_error_rate`.
        """
        refuse_keys(spec, (*HUB_KEYS, "prompt"))
        self._template = _template(spec, config)
        data = open_data(spec, config)
        bad = BadRows(data.name, config.limits.max_error_rate)
        split = data.read(spec.split or data.default_split, bad)
        samples: dict[str, Sample] = {}
        unanswered = 0
        for number, (_, place, row) in enumerate(split.rows, start=1):
            try:
                sample = _sample(row, number, self._template, spec.name)
            except ValueError as exc:
                bad.add(place, str(exc))
                continue
            if sample.id in samples:
                bad.add(place, f"id {sample.id!r} was used before")
            else:
                samples[sample.id] = sample
                unanswered += all(row.get(key) is None for key in _TARGETS)
        warnings = bad.settle(len(samples))
        if unanswered == len(samples):
            opened = {OPEN: "true"}
            samples = {s.id: replace(s, metadata={**s.metadata, **opened}) for s in samples.values()}
        elif unanswered:
            of_all = f"{unanswered} of {len(samples)} rows of {data.name}"
            warnings += (f"{of_all} have no answer: there a refusal counts as right",)
        chosen = stratified([*samples.values()], spec.limit, seed=config.seed, stratum=lambda s: s.cluster)
        name = f"{data.name}, split {split.name!r}" if split.name else data.name
        return SampleSet(samples=chosen, data=name, sha256=split.sha256, warnings=warnings)

    def request(self, sample: Sample, passages: Sequence[Chunk] | None, settings: Settings) -> Request:
        """Ask with the filled template, the passages in their place."""
        before, after = sample.metadata["before"], sample.metadata.get("after")
        shown = numbered_passages(passages) if passages else ""
        parts = (before, shown, after) if after is not None else (shown, "\n\n", before)
        return Request(
            messages=(Message(role="user", content="".join(parts).strip()),),
            settings=settings,
            question=sample.question,
            passages=tuple(passages or ()),
            choices=sample.choices,
        )

    def prompt_hashes(self) -> Mapping[str, str]:
        """Return the hash of the template that `load` read last."""
        return {"custom": hashlib.sha256(self._template.encode()).hexdigest()[:16]}


def _template(spec: BenchmarkConfig, config: Config) -> str:
    given = spec.prompt or _DEFAULT
    text = given
    if given.strip().endswith(".txt"):
        path = config.path(given.strip())
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError(f"benchmark {spec.name!r}: cannot read the prompt {path}: {exc}.") from exc
    if not Template(text).is_valid():
        raise ConfigError(
            f"benchmark {spec.name!r}: a '$' of the prompt names no column; write '$$' for a dollar sign."
        )
    return text


def _sample(row: Any, number: int, template: str, benchmark: str) -> Sample:
    """Return the sample in `row`; ValueError says what is wrong with it."""
    if not isinstance(row, Mapping):
        raise ValueError("no columns with names; CSV needs a header row with 'question'")  # noqa: TRY004  # a bad row, not a bad argument
    choices = tuple(str(choice) for choice in options_of(row.get("choices") or ()))
    if len(choices) > len(letters(len(choices))):
        raise ValueError(f"{len(choices)} choices, more than there are letters")
    lettered = "\n".join(f"{a}. {b}" for a, b in zip(letters(len(choices)), choices, strict=True))
    columns = {**{str(key): _shown(value) for key, value in row.items()}, "options": lettered}
    before, place, after = template.partition(_PASSAGES)
    filled = {"before": _filled(before, columns)}
    if place:
        filled["after"] = _filled(after, columns)
    question = str(row.get("question") or "").strip() or "".join(filled.values()).strip()
    if not question:
        raise ValueError("the prompt is empty")
    others = {key: _shown(value) for key, value in kept_columns(row, _OWN).items()}
    return Sample(
        id=_optional(row, "id") or _optional(row, "_id") or str(number),
        benchmark=benchmark,
        question=question,
        targets=_targets(row, choices),
        choices=choices,
        relevant=tuple(str(name) for name in _list(row.get("relevant"))),
        cluster=_optional(row, "cluster"),
        language=_optional(row, "language"),
        metadata={**others, **filled},
    )


def _filled(template: str, columns: Mapping[str, str]) -> str:
    try:
        return Template(template).substitute(columns)
    except KeyError as exc:
        raise ValueError(f"the prompt names {exc.args[0]!r}, a column that is not there") from exc


def _targets(row: Mapping[str, Any], choices: Sequence[str]) -> tuple[str, ...]:
    given = _list(next((row[key] for key in _TARGETS if row.get(key) is not None), None))
    texts = tuple(str(text).strip() for text in given if str(text).strip())
    if not choices:
        return texts
    if len(texts) != 1:
        raise ValueError(f"{len(texts)} answers where one of the choices is expected")
    # Options may be numbers too, written as texts: a number that is none of them is a place.
    number = given[0] if type(given[0]) is int and given[0] not in _list(row["choices"]) else -1
    place = 0 <= number < len(choices)
    if texts[0] in choices and not place:
        return (letters(len(choices))[choices.index(texts[0])],)
    return (letter_of(texts[0], len(choices)),)


def _list(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return "" if value is None else str(value)


def _optional(row: Mapping[str, Any], key: str) -> str | None:
    value = row.get(key)
    return None if value in (None, "") else str(value)
