"""Five metrics of ragas 0.4.3 over our own judges: the only file that knows ragas.

ragas asks its model inside coroutines. Here its model hands each request to whoever drives the coroutine and
takes the reply from it, so that a coroutine of ragas becomes a judgement of ours: no event loop, no client of
its own, every call counted, priced, journalled and replayed like any other.

What ragas turns into NaN is a reason here, and what it takes for a verdict without looking (a 7 counts as
true) is unreadable. Its telemetry is switched off before it is imported.
"""

from __future__ import annotations

import os
from collections.abc import Coroutine, Generator, Mapping
from functools import cache
from typing import Any, ClassVar

from evals.core import Case, Judgement, Record, Sample, Score
from evals.metrics.judging import UnreadableError, read_object
from evals.metrics.text import is_refusal, without_markers
from evals.metrics.vectors import TextVectors
from rag.config import Config
from rag.core import Completion, Message, Request, Settings
from rag.errors import MissingDependencyError

__all__ = [
    "AnswerRelevancyRagas",
    "ContextPrecisionRagas",
    "ContextRecallRagas",
    "FactualCorrectnessRagas",
    "FaithfulnessRagas",
]

_YES_OR_NO = frozenset({"verdict", "attributed", "noncommittal"})
_SPLITTERS = frozenset({"StatementGeneratorOutput", "ClaimDecompositionOutput"})
_PACKAGE = "ragas"


class _NothingToJudgeError(Exception):
    """The judge found no statement: ragas scores NaN or 0, we say that there is nothing to score."""


class _RagasMetric:
    """One metric of `ragas.metrics.collections`, made anew for each case."""

    name: ClassVar[str]
    kind: ClassVar[str]
    needs_answer = True
    needs_passages = False
    takes: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        self._parts = _ragas()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def judge(self, case: Case) -> Judgement:
        """Hand on what ragas asks; a refusal and a missing reference are settled without a call."""
        settled = self.settled(case.sample, case.record)
        if settled is not None:
            return [settled]
        values = {
            "user_input": case.sample.question,
            "response": without_markers(case.record.answer).strip(),
            "reference": next(iter(case.sample.targets), ""),
            "retrieved_contexts": [passage.text for passage in case.passages if passage.text.strip()],
        }
        taken = {name: values[name] for name in self.takes}
        empty = next((name for name, value in taken.items() if not value), None)
        if empty is not None:
            return [self.no_value(_EMPTY[empty])]
        try:
            value = yield from _driven(self.metric().ascore(**taken))
        except _NothingToJudgeError as exc:
            return [self.no_value(str(exc))]
        # In this order NaN stays NaN, which is no value: turned round, Python makes 0 of it.
        return [Score(metric=self.name, value=min(max(value, 0.0), 1.0))]

    def inapplicable(self, sample: Sample) -> str | None:
        """Return that there is nothing to compare with, where the metric needs an accepted answer."""
        return _EMPTY["reference"] if "reference" in self.takes and not sample.targets else None

    def metric(self) -> Any:
        """Return the metric of ragas."""
        return getattr(self._parts["collections"], self.kind)(llm=self._parts["llm"]())

    def settled(self, sample: Sample, record: Record) -> Score | None:
        """Return the score of an answer that refuses: it makes no claims."""
        del sample
        return self.no_value("refused") if self.needs_answer and is_refusal(record) else None

    def no_value(self, reason: str) -> Score:
        """Return a score without a value."""
        return Score(metric=self.name, value=None, reason=reason)


_EMPTY = {
    "user_input": "empty question",
    "response": "empty answer",
    "reference": "no accepted answer",
    "retrieved_contexts": "no passage",
}


class FaithfulnessRagas(_RagasMetric):
    """Share of the statements of an answer that follow from the passages; two calls."""

    name = "faithfulness_ragas"
    kind = "Faithfulness"
    needs_passages = True
    takes = ("user_input", "response", "retrieved_contexts")


class ContextPrecisionRagas(_RagasMetric):
    """Average precision of the passages that are useful for the first accepted answer; a call a passage."""

    name = "context_precision_ragas"
    kind = "ContextPrecision"
    needs_answer = False
    needs_passages = True
    takes = ("user_input", "reference", "retrieved_contexts")


class ContextRecallRagas(_RagasMetric):
    """Share of the statements of the first accepted answer that the passages hold; one call."""

    name = "context_recall_ragas"
    kind = "ContextRecall"
    needs_answer = False
    needs_passages = True
    takes = ("user_input", "reference", "retrieved_contexts")


class _OfAnswers(_RagasMetric):
    """A metric of the answer's use: a refusal where there is an accepted answer is worth 0."""

    def settled(self, sample: Sample, record: Record) -> Score | None:
        """Return the score of a refusal, right or wrong."""
        if not is_refusal(record):
            return None
        return Score(metric=self.name, value=0.0 if sample.targets else None, reason="refused")


class FactualCorrectnessRagas(_OfAnswers):
    """F1 of the claims of the answer and of the first accepted answer; four calls."""

    name = "factual_correctness_ragas"
    kind = "FactualCorrectness"
    takes = ("response", "reference")


class AnswerRelevancyRagas(_OfAnswers):
    """Mean cosine of the question and three that the judge makes of the answer; 0 where all are evasive.

    The embedder is that of `scoring: {embedder: ...}`.
    """

    name = "answer_relevancy_ragas"
    kind = "AnswerRelevancy"
    takes = ("user_input", "response")

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._vectors = TextVectors(config)

    def metric(self) -> Any:
        """Return the metric of ragas with our embedder."""
        embeddings = self._parts["embeddings"](self._vectors)
        return self._parts["collections"].AnswerRelevancy(llm=self._parts["llm"](), embeddings=embeddings)


# ---------------------------------------------------------------- the coroutine as a judgement


class _Asked:
    """Awaiting it hands `request` to the driver, which sends the reply."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def __await__(self) -> Generator[Request, Completion, Completion]:
        return (yield self._request)


def _driven(coroutine: Coroutine[Request, Completion, Any]) -> Generator[Request, Completion, float]:
    """Run a coroutine of ragas to its result, yielding what it asks."""
    try:
        request = coroutine.send(None)  # type: ignore[arg-type]  # nothing is sent to begin with
        while True:
            request = coroutine.send((yield request))
    except StopIteration as end:
        return float(end.value.value)
    finally:
        coroutine.close()


def _request(prompt: str, model: Any) -> Request:
    schema = _strict(model.model_json_schema())
    return Request(
        messages=(Message(role="user", content=prompt),), settings=Settings(response_schema=schema)
    )


def _read(reply: Completion, model: Any) -> Any:
    """Return the reply as the pydantic model that ragas expects."""
    plain = read_object(reply)
    lists = [value for value in plain.values() if isinstance(value, list)]
    if lists and not any(lists):
        if model.__name__ in _SPLITTERS:
            raise _NothingToJudgeError("no statement")
        raise UnreadableError("an empty list of verdicts")
    _check_verdicts(plain)
    if not str(plain.get("question", "?")).strip():
        raise UnreadableError("an empty question")
    try:
        return model.model_validate(plain)
    except ValueError as exc:
        raise UnreadableError(f"not {model.__name__}: {exc}"[:200]) from exc


def _check_verdicts(value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _check_verdicts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in _YES_OR_NO and (isinstance(item, bool) or item not in (0, 1)):
                raise UnreadableError(f"{key} is neither 0 nor 1: {item!r:.40}")
            _check_verdicts(item)


def _strict(schema: Any) -> Any:
    """Return a schema of pydantic as providers take it: closed objects, verdicts of 0 or 1, no ornaments."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    plain = {key: _strict(value) for key, value in schema.items() if key not in {"title", "default"}}
    properties = plain.get("properties")
    if isinstance(properties, dict):
        # An attribute may be called title: the names of properties are no ornaments.
        properties = {name: _strict(part) for name, part in schema["properties"].items()}
        for name in _YES_OR_NO & properties.keys():
            properties[name] = {"type": "integer", "enum": [0, 1]}
        plain |= {"properties": properties, "required": [*properties], "additionalProperties": False}
    return plain


@cache
def _ragas() -> dict[str, Any]:
    """Import ragas and make of its base classes what hands calls to us.

    Raises:
        MissingDependencyError: it is not installed.
    """
    os.environ["RAGAS_DO_NOT_TRACK"] = "true"  # read once, at the import
    try:
        from ragas import _analytics
        from ragas.embeddings.base import BaseRagasEmbedding
        from ragas.llms.base import InstructorBaseRagasLLM
        from ragas.metrics import collections
    except ImportError as exc:
        raise MissingDependencyError(
            f"{_PACKAGE} cannot be imported ({exc}); install it with 'pip install ragas==0.4.3'."
        ) from exc

    _analytics._analytics_batcher.shutdown()  # noqa: SLF001  # its thread would wake every second for nothing

    class Judge(InstructorBaseRagasLLM):  # type: ignore[misc]  # ragas is untyped here
        async def agenerate(self, prompt: str, response_model: Any) -> Any:
            return _read(await _Asked(_request(prompt, response_model)), response_model)

        def generate(self, prompt: str, response_model: Any) -> Any:
            raise NotImplementedError("ragas asks through agenerate")

    class Embeddings(BaseRagasEmbedding):  # type: ignore[misc]
        def __init__(self, vectors: TextVectors) -> None:
            super().__init__()
            self._vectors = vectors

        def embed_text(self, text: str, **_: Any) -> Any:
            return self._vectors.of([text])[0]

        async def aembed_text(self, text: str, **_: Any) -> Any:
            return self.embed_text(text)

        async def aembed_texts(self, texts: list[str], **_: Any) -> Any:
            return list(self._vectors.of(texts))

    return {"collections": collections, "llm": Judge, "embeddings": Embeddings}
