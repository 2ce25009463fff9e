"""What multiple-choice benchmarks share: shots, other orders of the options, ways of asking."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from evals.benchmarks.data import HUB_KEYS, Data, Split, open_data
from evals.benchmarks.rows import BadRows, refuse_keys, stratified
from evals.benchmarks.variants import rotated, with_shots
from evals.core import Sample, SampleSet
from evals.metrics.choices import letters
from evals.prompts import prompt_hash, render
from rag.config import BenchmarkConfig, Config
from rag.core import Chunk, Message, Request, Settings
from rag.errors import ConfigError, UnknownNameError

__all__ = ["MAX_OPTIONS", "Excluded", "Item", "MultipleChoice", "item_text", "letter_of", "options_of"]

MAX_OPTIONS = 10
_SHOTS = 5
_KEYS = (*HUB_KEYS, "shots", "shots_split", "subjects", "mode", "rotations")
# The most that any provider gives: the letters must be among them.
_TOP_LOGPROBS = 20


class Excluded(Exception):  # noqa: N818  # no error: the row is sound, but cannot be asked
    """A row that is as it should be and cannot be asked; says why (`"needs an image"`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A row of a data set: `letter` is the right one.

    `solution` is the worked answer that a shot shows, where the data set has one; else shots show the letter.
    """

    question: str
    choices: tuple[str, ...]
    letter: str
    id: str | None = None
    subject: str | None = None
    solution: str | None = None


class MultipleChoice(ABC):
    """A benchmark of items with lettered options, as chat: solved examples first, then the item.

    Modes: `generate` reads the letter from the reply; `logprob` asks for one token and takes the letter with
    most probability among the likeliest, which needs a provider that gives log probabilities. Where a
    benchmark has them, and for `local:` models alone, without a chat template: `letters` takes the letter,
    and `cloze` the option's text, that is likeliest to follow the item.

    Shots are the first rows of the same subject in `shots_split`; an item that occurs among them is left out
    of its own shots, and a warning says so. `limit` draws from every subject by its size. With `rotations: n`
    each item is asked in n orders, the options turned by one place each (the item's own order is the first).
    """

    licence: str
    citation: str
    default_metrics = ("accuracy", "unparsed_rate")
    revisions: ClassVar[Mapping[str, str]] = {}
    modes: ClassVar[Sequence[str]] = ("generate", "logprob")
    language: ClassVar[str | None] = None
    general: ClassVar[str] = "general knowledge"
    answer: ClassVar[str] = "Answer:"
    shots_split: ClassVar[str] = "dev"
    categories: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def item(self, row: Any) -> Item:
        """Return the item in a row, a mapping or the cells of headerless CSV.

        Raises:
            ValueError: it is none; says what is wrong.
            Excluded: it cannot be asked.
        """

    @abstractmethod
    def templates(self, mode: str) -> Sequence[str]:
        """Return the names of the templates: the user's message, the passages, and the system's if any."""

    def show(self, sample: Sample, mode: str) -> str:  # noqa: ARG002  # some show it otherwise by mode
        """Return an item as a prompt shows it."""
        return item_text(sample)

    def load(self, spec: BenchmarkConfig, config: Config) -> SampleSet:
        """Read the items of `spec.split` and their shots.

        Raises:
            ConfigError: no such data or split, a key or mode that this benchmark does not use.
            UnknownNameError: no such subject.
            LoadError: the data cannot be read or the hub not be reached; says what to do.
        """
        refuse_keys(spec, _KEYS)
        mode = spec.mode or self.modes[0]
        if mode not in self.modes:
            raise ConfigError(
                f"benchmark {spec.name!r} has no mode {mode!r}; it has: {', '.join(self.modes)}."
            )
        data = open_data(spec, config, self.revisions)
        bad = BadRows(data.name, config.limits.max_error_rate)
        split = data.read(spec.split or data.default_split, bad)
        found = self._samples(split, bad, spec.name)
        warnings = list(bad.settle(len(found)))
        items = _of_subjects(found, spec.subjects)
        chosen = stratified(items, spec.limit, seed=config.seed, stratum=lambda sample: sample.cluster)
        chosen, sha256 = self._with_shots(chosen, data, spec, config, warnings)
        return SampleSet(
            samples=tuple(_in_mode(sample, mode) for sample in rotated(chosen, spec.rotations or 1)),
            data=f"{data.name}, split {split.name!r}" if split.name else data.name,
            sha256="+".join([split.sha256, *sha256]),
            warnings=tuple(warnings),
        )

    def request(self, sample: Sample, passages: Sequence[Chunk] | None, settings: Settings) -> Request:
        """Show the shots, then the passages if there are any, then the item."""
        mode = sample.metadata.get("mode", "generate")
        user, with_passages, *system = self.templates(mode)
        shown = ""
        if passages:
            numbered = "\n\n".join(f"[{n}] {chunk.text}" for n, chunk in enumerate(passages, start=1))
            shown = render(with_passages, passages=numbered) + "\n\n"
        text = render(
            user,
            subject=_subject(sample, self.general),
            shots="".join(f"{text}\n{self.answer} {answer}\n\n" for text, answer in sample.shots),
            passages=shown,
            item=self.show(sample, mode),
        )
        continuations: tuple[str, ...] = ()
        if mode == "logprob":
            settings = replace(settings, max_tokens=1, top_logprobs=_TOP_LOGPROBS)
        elif mode in {"cloze", "letters"}:
            endings = sample.choices if mode == "cloze" else letters(len(sample.choices))
            continuations = tuple(f" {ending.strip()}" for ending in endings)
        return Request(
            messages=(
                *(Message(role="system", content=render(name)) for name in system),
                Message(role="user", content=text),
            ),
            settings=settings,
            question=sample.question,
            passages=tuple(passages or ()),
            choices=sample.choices,
            continuations=continuations,
        )

    def prompt_hashes(self) -> Mapping[str, str]:
        """Return the hash of the templates for each mode."""
        return {mode: prompt_hash(*self.templates(mode)) for mode in self.modes}

    def _with_shots(
        self,
        chosen: Sequence[Sample],
        data: Data,
        spec: BenchmarkConfig,
        config: Config,
        warnings: list[str],
    ) -> tuple[tuple[Sample, ...], list[str]]:
        """Return the samples with their shots, and the digest of the split that these are from."""
        name = spec.shots_split or self.shots_split
        wanted = spec.shots if spec.shots is not None else (_SHOTS if data.has(name) else 0)
        if not wanted:
            return tuple(chosen), []
        bad = BadRows(f"{data.name}, split {name!r}", config.limits.max_error_rate)
        split = data.read(name, bad)
        pool = self._samples(split, bad, spec.name)
        warnings.extend(bad.settle(len(pool)))
        mode = spec.mode or self.modes[0]

        def example(sample: Sample) -> tuple[str, str]:
            letter = sample.targets[0]
            answer = sample.metadata.get("solution", letter) if mode == "generate" else letter
            if mode == "cloze":
                answer = sample.choices[letters(len(sample.choices)).index(letter)]
            return self.show(sample, mode), answer

        shown, notes = with_shots(chosen, pool, wanted, example)
        warnings.extend(notes)
        return shown, [split.sha256]

    def _samples(self, split: Split, bad: BadRows, benchmark: str) -> list[Sample]:
        """Return the items of a split; an id is the row's own, else the subject and its number there, from 0.

        An item used as a shot carries its solution, if there is one, in its metadata.
        """
        counts: defaultdict[str, int] = defaultdict(int)
        samples: dict[str, Sample] = {}
        for subject, place, row in split.rows:
            try:
                item = self.item(row)
            except Excluded as exc:
                bad.exclude(str(exc))
                continue
            except ValueError as exc:
                bad.add(place, str(exc))
                continue
            name = item.subject or subject or "all"
            identity = item.id or f"{name}/{counts[name]}"
            if identity in samples:
                bad.add(place, f"id {identity!r} was used before")
                continue
            counts[name] += 1
            samples[identity] = Sample(
                id=identity,
                benchmark=benchmark,
                question=item.question,
                targets=(item.letter,),
                choices=item.choices,
                cluster=name,
                language=self.language,
                metadata=self._metadata(item, name),
            )
        return [*samples.values()]

    def _metadata(self, item: Item, subject: str) -> dict[str, str]:
        found = {"solution": item.solution, "category": self.categories.get(subject)}
        return {key: value for key, value in found.items() if value}


def item_text(sample: Sample) -> str:
    """Return the question with its options, each on a line after its letter."""
    lettered = zip(letters(len(sample.choices)), sample.choices, strict=True)
    return "\n".join([sample.question.strip(), *(f"{letter}. {choice}" for letter, choice in lettered)])


def options_of(value: Any) -> Sequence[Any]:
    """Return the options that a row holds: a list, or the JSON list in a cell of CSV.

    Raises:
        ValueError: it is none; the letters of a text are no options.
    """
    found = value
    if isinstance(value, str):
        with suppress(ValueError):
            found = json.loads(value)
    if not isinstance(found, list | tuple):
        raise ValueError(f"the options should be a list, not {str(value)[:40]!r}")  # noqa: TRY004  # a bad row, not a bad argument
    return found


def letter_of(answer: Any, options: int) -> str:
    """Return the letter that `answer` means: a letter of either case, or a number from 0.

    Raises:
        ValueError: it is none of the options.
    """
    text = "" if answer is None else str(answer).strip()
    if not text:
        raise ValueError("no answer")
    known = letters(options)
    place = int(text) if text.isdecimal() else known.find(text.upper()) if len(text) == 1 else -1
    if not 0 <= place < options:
        raise ValueError(f"answer {text[:20]!r} is none of the {options} options")
    return known[place]


def _in_mode(sample: Sample, mode: str) -> Sample:
    return sample if mode == "generate" else replace(sample, metadata={**sample.metadata, "mode": mode})


def _subject(sample: Sample, general: str) -> str:
    name = sample.metadata.get("subject") or sample.cluster
    return general if name in {None, "all"} else str(name).replace("_", " ")


def _of_subjects(items: list[Sample], subjects: Sequence[str]) -> list[Sample]:
    if not subjects:
        return items
    known = {item.cluster or "" for item in items}
    for subject in subjects:
        if subject not in known:
            raise UnknownNameError("subject", subject, known)
    return [item for item in items if item.cluster in set(subjects)]
