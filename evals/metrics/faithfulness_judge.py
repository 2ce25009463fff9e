"""Faithfulness by a judge: the answer's statements, each held against the passages."""

from __future__ import annotations

from collections.abc import Sequence

from evals.core import Case, Judgement, Score
from evals.metrics.judging import UnreadableError, bordered, object_schema, read_object
from evals.metrics.text import is_refusal, without_markers
from evals.prompts import render
from rag.core import Completion, Message, Request, Settings

__all__ = ["FaithfulnessJudge"]

_STATEMENTS = object_schema(statements={"type": "array", "items": {"type": "string"}})
_VERDICT = object_schema(reason={"type": "string"}, supported={"type": "boolean"})


class FaithfulnessJudge:
    """Share of the answer's statements that the passages support, as a judge sees it; two calls.

    The first splits the answer into statements that can be understood alone, the second gives a verdict on
    each; the schema has one place for every statement, so that none is left out. A judge that runs here
    lists five statements at most. Refusals and answers that state nothing have no value.

    Source:
        Es et al. 2023, RAGAS: Automated Evaluation of Retrieval Augmented Generation, arXiv:2309.15217.
    """

    names = ("faithfulness_judge",)
    needs_answer = True
    needs_passages = True

    def judge(self, case: Case) -> Judgement:
        """Ask for the statements, then for a verdict on each."""
        answer = without_markers(case.record.answer).strip()
        if is_refusal(case.record) or not answer:
            return [_score(None, "refused" if answer else "empty answer")]
        question = bordered("question", case.sample.question)
        split = _request("statements", _STATEMENTS, question=question, answer=bordered("answer", answer))
        statements = _read_statements((yield split))
        if not statements:
            return [_score(None, "no statement")]
        passages = "\n\n".join(bordered("passage", passage.text) for passage in case.passages)
        numbered = "\n\n".join(
            f"Statement {n}:\n{bordered('statement', s)}" for n, s in _numbered(statements)
        )
        schema = object_schema(**{n: _VERDICT for n, _ in _numbered(statements)})
        verdicts = _request("verdicts", schema, passages=passages or "(no passage)", statements=numbered)
        supported = _read_verdicts((yield verdicts), len(statements))
        return [_score(supported / len(statements), f"{supported} of {len(statements)} statements supported")]


def _score(value: float | None, reason: str) -> Score:
    return Score(metric="faithfulness_judge", value=value, reason=reason)


def _numbered(statements: Sequence[str]) -> list[tuple[str, str]]:
    return [(str(number), statement) for number, statement in enumerate(statements, start=1)]


def _request(step: str, schema: dict[str, object], **values: str) -> Request:
    system = render(f"faithfulness_judge.{step}.system", data=render("judge.data"))
    user = render(f"faithfulness_judge.{step}.user", **values)
    return Request(
        messages=(Message(role="system", content=system), Message(role="user", content=user)),
        settings=Settings(response_schema=schema),
    )


def _read_statements(reply: Completion) -> list[str]:
    found = read_object(reply, "statements")["statements"]
    if not isinstance(found, list) or not all(isinstance(statement, str) for statement in found):
        raise UnreadableError(f"no list of statements: {found!r:.80}")
    # A small model repeats itself: the same words are one statement.
    return [*dict.fromkeys(statement.strip() for statement in found if statement.strip())]


def _read_verdicts(reply: Completion, number: int) -> int:
    """Return how many statements are supported; every one must have its verdict."""
    found = read_object(reply, *(str(n) for n in range(1, number + 1)))
    verdicts = [found[str(n)] for n in range(1, number + 1)]
    if not all(isinstance(v, dict) and isinstance(v.get("supported"), bool) for v in verdicts):
        raise UnreadableError(f"no verdict on every statement: {verdicts!r:.80}")
    return sum(verdict["supported"] for verdict in verdicts)
