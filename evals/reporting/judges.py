"""What the judges of a run did: calls, verdicts, money, and how far several of them agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from evals.agreement import krippendorff_alpha
from evals.codec import Key
from evals.core import JudgeReply, Score
from evals.metrics.judging import NO_VERDICT, UNREADABLE
from rag.core import Completion, Outcome

__all__ = [
    "Agreement",
    "JudgeSummary",
    "agreements",
    "judge_caveats",
    "judge_change",
    "judge_summaries",
    "judges_to_json",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeSummary:
    """A judge over the whole run.

    `calls` are the replies received, failures included, and `outcomes` how they ended. `verdicts` counts the
    scores that it gave, `unreadable` those lost because its reply was not what was asked for, `missing` those
    that it has yet to give. `cost` is what the run paid it, in USD, None where unknown.
    """

    name: str
    provider: str
    model: str
    calls: int
    outcomes: Mapping[str, int]
    verdicts: int
    unreadable: int
    missing: int
    input_tokens: int | None
    output_tokens: int | None
    cost: Decimal | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Krippendorff's alpha (interval) of the judges in a metric, over the answers that two or more scored."""

    metric: str
    judges: int
    answers: int
    alpha: float | None


def judge_summaries(
    facts: Sequence[Mapping[str, Any]],
    replies: Sequence[JudgeReply],
    scores: Mapping[Key, Sequence[Score]],
) -> tuple[JudgeSummary, ...]:
    """Return each judge that `run.json` names, in its order."""
    said: dict[str, Counter[str]] = defaultdict(Counter)
    for of_reply in scores.values():
        for score in of_reply:
            for name, value in (score.by_judge or {}).items():
                said[name]["value" if isinstance(value, float | int) else value] += 1
    found = []
    for judge in facts:
        own = [reply.completion for reply in replies if reply.judge == judge["name"]]
        counts = said[judge["name"]]
        found.append(
            JudgeSummary(
                name=judge["name"],
                provider=str(judge.get("provider") or ""),
                model=str(judge.get("model") or ""),
                calls=len(own),
                outcomes=dict(Counter(str(completion.outcome) for completion in own).most_common()),
                verdicts=counts["value"],
                unreadable=counts[UNREADABLE],
                missing=counts[NO_VERDICT],
                input_tokens=_total([completion.usage.input_tokens for completion in own]),
                output_tokens=_total([completion.usage.output_tokens for completion in own]),
                cost=_cost(own),
            )
        )
    return tuple(found)


def agreements(scores: Mapping[Key, Sequence[Score]]) -> tuple[Agreement, ...]:
    """Return how far the judges agree in each metric; nothing where there is one judge."""
    units: dict[str, list[list[float]]] = defaultdict(list)
    judges: dict[str, int] = defaultdict(int)
    for key, of_reply in scores.items():
        for score in of_reply:
            if score.by_judge is not None and len(score.by_judge) > 1:
                name = f"{key.benchmark}/{score.metric}"
                values = [value for value in score.by_judge.values() if not isinstance(value, str)]
                judges[name] = max(judges[name], len(score.by_judge))
                if len(values) > 1:
                    units[name].append(values)
    return tuple(
        Agreement(metric=name, judges=n, answers=len(units[name]), alpha=krippendorff_alpha(units[name]))
        for name, n in judges.items()
    )


def judge_caveats(judges: Sequence[JudgeSummary]) -> list[str]:
    """Return what a reader must know of the judges before believing their scores."""
    found = []
    for judge in judges:
        asked = judge.verdicts + judge.unreadable + judge.missing
        if judge.missing:
            found.append(
                f"judge {judge.name}: {judge.missing:,} of {asked:,} verdicts are missing; "
                "'ragassay eval resume' asks for them."
            )
        if judge.unreadable:
            found.append(
                f"judge {judge.name}: {judge.unreadable:,} of {asked:,} verdicts cannot be read; "
                "they count as missing, never as 0."
            )
        if judge.calls and judge.cost is None:
            found.append(f"judge {judge.name}: its price is unknown, and so is what it cost.")
    return found


def judge_change(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> str:
    """Return that two runs had other judges, so that their judged scores do not compare; else nothing.

    Args:
        before: the judges of the earlier run, as `run.json` holds them.
        after: those of the later one.
    """
    old, new = (
        [f"{judge.get('provider') or ''}:{judge.get('model') or ''}" for judge in judges]
        for judges in (before, after)
    )
    if not old or not new or sorted(old) == sorted(new):
        return ""
    return f"judged by {', '.join(old)} before, by {', '.join(new)} after: judged scores do not compare."


def judges_to_json(
    judges: Sequence[JudgeSummary], agreement: Sequence[Agreement]
) -> dict[str, list[dict[str, Any]]]:
    """Return judges and their agreement as plain values, money as decimal strings."""
    return {
        "judges": [
            {
                "name": judge.name,
                "provider": judge.provider,
                "model": judge.model,
                "calls": judge.calls,
                "outcomes": dict(judge.outcomes),
                "verdicts": judge.verdicts,
                "unreadable": judge.unreadable,
                "missing": judge.missing,
                "input_tokens": judge.input_tokens,
                "output_tokens": judge.output_tokens,
                "cost": {"total_usd": None if judge.cost is None else f"{judge.cost:f}"},
            }
            for judge in judges
        ],
        "agreement": [
            {
                "metric": one.metric,
                "judges": one.judges,
                "answers": one.answers,
                "krippendorff_alpha": one.alpha,
            }
            for one in agreement
        ],
    }


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _cost(completions: Sequence[Completion]) -> Decimal | None:
    """Return the sum, None where a reply that came has no known price."""
    priced = [completion.cost for completion in completions if completion.cost is not None]
    unknown = any(c.cost is None and Outcome(c.outcome).answered for c in completions)
    return None if unknown or (completions and not priced) else sum(priced, Decimal(0))
