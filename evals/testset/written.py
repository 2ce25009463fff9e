"""Questions that a language model writes: asked for wave by wave, checked, dropped with a reason or kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from evals.testset.asking import (
    Asked,
    Unanswered,
    Verdict,
    closed_book_request,
    question_request,
    read_reply,
    verdict_request,
)
from evals.testset.calls import Asker
from evals.testset.candidates import Candidate, judge_asked, judge_unanswered, same_answer
from evals.testset.choice import Chooser, shares
from evals.testset.duplicates import Seen
from evals.testset.store import Reply
from evals.testset.values import Drop, Item, Kind
from rag.collection import Collection
from rag.core import Request
from rag.errors import ProviderFailedError, RagassayError, StoppedError
from rag.refusals import refuses

__all__ = ["RETRIEVED", "TRIES", "Told", "Writer"]

TRIES = 3
"""Candidates of a kind for each question wanted of it, and of all kinds for each question, at most."""
RETRIEVED = 8
"""Passages that are looked through for an answer to a question meant to have none."""
_WAVE = 48


class Told(Protocol):
    """Is told what is done, how much of it, and how many questions are kept."""

    def __call__(self, step: str, done: int, total: int, kept: int) -> None: ...


@dataclass(kw_only=True)
class Writer:
    """Builds the questions of a test set with a model.

    Waves depend on nothing but the seed, the documents and the replies, so that a build that was interrupted
    makes the same requests again and finds their replies stored. `stopped` holds what ended it early; the
    questions checked until then are kept.
    """

    collection: Collection
    chooser: Chooser
    asker: Asker
    wanted: int
    seed: int
    tell: Told
    items: list[Item] = field(default_factory=list)
    dropped: Counter[Drop] = field(default_factory=Counter)
    stopped: RagassayError | None = None

    def write(self) -> None:
        """Ask for questions until there are as many as wanted, or no candidates are left."""
        self._seen = Seen(self.collection.embedder)
        self._tried: Counter[Kind] = Counter()
        self._goal = shares(self.wanted)
        try:
            while wave := self._wave():
                self._judge(wave)
        except (StoppedError, ProviderFailedError) as exc:
            self.stopped = exc

    def _wave(self) -> list[Candidate]:
        """Return the next candidates: as many of each kind as are lacking, facts where it gives no more."""
        wave: list[Candidate] = []
        held = Counter(item.kind for item in self.items)
        for kind in sorted(self._goal, key=lambda kind: kind is Kind.FACT):
            lack = self._goal[kind] - held[kind]
            tries = min(
                self._goal[kind] * TRIES - self._tried[kind], self.wanted * TRIES - self._tried.total()
            )
            room = min(lack, tries, _WAVE - len(wave))
            taken = self.chooser.take(kind, max(room, 0))
            self._tried[kind] += len(taken)
            wave += taken
            spent = lack > 0 and not taken and len(wave) < _WAVE
            if spent and kind is not Kind.FACT:
                self._goal[kind] -= lack
                self._goal[Kind.FACT] += lack
        return wave

    def _judge(self, wave: Sequence[Candidate]) -> None:
        replies = self._ask(
            "writing questions",
            [question_request(c.kind, c.passages, c.language, seed=self.seed) for c in wave],
        )
        items = [*self._read(wave, replies)]
        taken = self._seen.add(items)
        self.dropped[Drop.DUPLICATE] += taken.count(False)
        fresh = [item for item, new in zip(items, taken, strict=True) if new]
        checks = self._ask("checking them", [self._check(item) for item in fresh])
        for item, reply in zip(fresh, checks, strict=True):
            wrong = _found_wanting(item, reply)
            if wrong is None:
                self.items.append(item)
            else:
                self.dropped[wrong] += 1

    def _ask(self, step: str, requests: Sequence[Request]) -> list[Reply | None]:
        kept = len(self.items)
        return self.asker.ask(requests, lambda done: self.tell(step, done, len(requests), kept))

    def _read(self, wave: Sequence[Candidate], replies: Sequence[Reply | None]) -> Iterator[Item]:
        for candidate, reply in zip(wave, replies, strict=True):
            judged = _judged(candidate, reply)
            if isinstance(judged, Drop):
                self.dropped[judged] += 1
            else:
                yield judged

    def _check(self, item: Item) -> Request:
        if item.kind is not Kind.UNANSWERABLE:
            return closed_book_request(item.question, item.language)
        hits = self.collection.search(item.question, k=RETRIEVED).hits
        return verdict_request(item.question, [hit.chunk for hit in self.collection.within_budget(hits)])


def _judged(candidate: Candidate, reply: Reply | None) -> Item | Drop:
    if reply is None or not reply.outcome.answered:
        return Drop.FAILED
    if candidate.kind is Kind.UNANSWERABLE:
        left_open = read_reply(reply.text, Unanswered)
        return Drop.UNREADABLE if left_open is None else judge_unanswered(left_open, candidate)
    asked = read_reply(reply.text, Asked)
    return Drop.UNREADABLE if asked is None else judge_asked(asked, candidate)


def _found_wanting(item: Item, reply: Reply | None) -> Drop | None:
    """Return why an item is dropped after its check; one that could not be checked is."""
    if reply is None or not reply.outcome.answered:
        return Drop.FAILED
    if item.kind is Kind.UNANSWERABLE:
        verdict = read_reply(reply.text, Verdict)
        if verdict is None:
            return Drop.UNREADABLE
        return Drop.ANSWERED if verdict.answered else None
    known = not refuses(reply.text) and same_answer(reply.text, item.answers, item.language)
    return Drop.CLOSED_BOOK if known else None
