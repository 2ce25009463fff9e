"""Why a system is the one to take, in plain words."""

from __future__ import annotations

from evals.reporting import text
from evals.reporting.verdicts import Candidate, Choice

__all__ = ["why"]


def why(choice: Choice) -> str:
    """Return the reasons for a choice, or why nothing can be chosen."""
    if choice.chosen is None:
        return _none(choice)
    taken = choice.ranking[0]
    qualified = [c for c in choice.ranking if c.qualifies]
    measured = text.listed(choice.metrics)
    if len(qualified) == 1:
        only = "the only system" if len(choice.ranking) == 1 else "the only system that qualifies"
        return f"{taken.name} is {only}: {_standing(taken)} in {measured}{_others(choice)}."
    if taken.name != choice.best:
        return _cheaper(choice, taken, qualified)
    beaten = [c for c in qualified if c.from_best is not None and c.from_best.significant]
    apart = [c for c in qualified if c.from_best is None and c.name != taken.name]
    tied = [c for c in qualified if c.tied and c.name != taken.name]
    lines = [f"{taken.name} has the highest {measured}: {_standing(taken)}"]
    if beaten:
        lines[0] += f", beyond chance ahead of {text.listed([c.name for c in beaten])}"
    if tied:
        names = text.listed([c.name for c in tied])
        lines.append(f"Chance explains its lead over {names}{_blind(tied)}, {_no_cheaper(taken, tied)}")
    if apart:
        lines.append(f"It was not measured on the same samples as {text.listed([c.name for c in apart])}")
    return ". ".join(lines) + f"{_others(choice)}."


def _cheaper(choice: Choice, taken: Candidate, qualified: list[Candidate]) -> str:
    best = next(c for c in qualified if c.name == choice.best)
    found = taken.from_best
    assert found is not None
    difference = text.difference(found.difference, found.low, found.high)
    first = (
        f"{best.name} has the highest {text.listed(choice.metrics)}, {_standing(best)}, but its lead over "
        f"{taken.name} ({_standing(taken)}) is {difference}, which chance explains "
        f"(p {text.p_equals(found.p_adjusted)}){_blind([taken])}"
    )
    if best.usd_per_1k == taken.usd_per_1k:
        pace = f"{text.duration(taken.total_p50_ms)} against {text.duration(best.total_p50_ms)}"
        second = f"They cost the same, {_money(taken)}; {taken.name} is faster: {pace} at the median"
    elif best.usd_per_1k is None:
        second = f"{taken.name} costs {_money(taken)}, while the price of {best.name} is unknown"
    else:
        second = f"{taken.name} is the cheaper: {_money(taken)} against {text.money(best.usd_per_1k)}"
    return f"{first}. {second}{_others(choice)}."


def _none(choice: Choice) -> str:
    if not choice.ranking:
        return "The run has no systems."
    reasons = "; ".join(f"{c.name}: {', '.join(c.reasons)}" for c in choice.ranking)
    return f"No system qualifies. {reasons}."


def _standing(candidate: Candidate) -> str:
    bound, mean = text.score(candidate.quality), text.score(candidate.mean)
    if candidate.n == candidate.total:
        return bound
    covered = f"{mean} on the {candidate.n:,} of {candidate.total:,} measured"
    return f"{bound} if all that is missing were wrong ({covered})"


def _money(candidate: Candidate) -> str:
    return f"{text.money(candidate.usd_per_1k)} per 1,000 samples"


def _no_cheaper(taken: Candidate, tied: list[Candidate]) -> str:
    if taken.usd_per_1k is None:
        return "and no price is known"
    if any(c.usd_per_1k == taken.usd_per_1k for c in tied):
        return f"and none of them is cheaper ({_money(taken)}) and faster"
    known = "of them at" if all(c.usd_per_1k is not None for c in tied) else "whose price is known,"
    return f"but it is the cheapest {known} {_money(taken)}"


def _blind(tied: list[Candidate]) -> str:
    """Say how large a difference these samples would have shown."""
    found = [c.from_best.minimum_detectable for c in tied if c.from_best and c.from_best.minimum_detectable]
    if not found:
        return ""
    most = max(found)
    if most >= 1:
        return "; with so few samples no difference would be found reliably"
    return f"; on these samples a difference below {most:.2f} would often be missed"


def _others(choice: Choice) -> str:
    out = [f"{c.name} ({', '.join(c.reasons)})" for c in choice.ranking if not c.qualifies]
    return f". Not considered: {'; '.join(out)}" if out else ""
