"""Two runs side by side, and many in a row, with known answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats as sp

from evals.reporting.diff_views import diff_to_json, render_diff
from evals.reporting.history import history_of, history_to_json, render_history
from evals.reporting.rundiff import compare_runs
from rag.errors import UnknownNameError, UsageError
from tests.evals.reporting.known import Known, known_run
from tests.evals.reporting.runs import COMPARED, make_run

BEFORE = known_run(
    {"a": Known(scores=[1.0] * 40 + [0.0] * 10), "b": Known(scores=[0.0] * 25 + [1.0] * 25)}, name="old"
)
AFTER = known_run(
    {
        "a": Known(scores=[0.0] * 20 + [1.0] * 20 + [0.0] * 8 + [1.0] * 2),
        "b": Known(scores=[1.0] * 50),
        "c": Known(scores=[1.0] * 50),
    },
    name="new",
    created="2026-11-21",
)


def test_regressions_come_first_with_their_samples() -> None:
    diff = compare_runs(BEFORE, AFTER)
    first, second = diff.changes
    assert (first.system, second.system) == ("a", "b")
    assert (first.before, first.after, first.comparison.difference) == pytest.approx((0.8, 0.44, -0.36))
    # 20 samples fell, 2 rose: McNemar's exact test, the larger of two p-values under Holm.
    assert first.comparison.p_value == pytest.approx(sp.binomtest(2, 22).pvalue, abs=1e-9)
    assert first.comparison.p_adjusted == pytest.approx(sp.binomtest(2, 22).pvalue, abs=1e-9)
    assert second.comparison.p_adjusted == pytest.approx(2 * 0.5**24, abs=1e-9)
    assert [change.sample_id for change in first.regressed] == [f"q{n}" for n in range(20)]
    assert [change.sample_id for change in first.improved] == ["q48", "q49"]
    assert diff.notes == ("only in the second run: system c.",)
    text = render_diff(diff, width=80)
    assert "Worse beyond chance: a in qa/exact_match. Better beyond chance: b in qa/exact_match." in " ".join(
        text.split()
    )
    assert "Samples that got worse" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_shape() -> None:
    first = diff_to_json(compare_runs(BEFORE, AFTER))[0]
    assert first.keys() >= COMPARED
    assert (first["a"], first["b"], first["system"]) == ("a@new", "a@old", "a")
    assert first["regressed"][:2] == ["q0", "q1"]


def test_less_is_better_where_it_is() -> None:
    before = known_run({"a": Known(scores=[0.0] * 40)}, metric="unparsed_rate", name="old")
    after = known_run({"a": Known(scores=[1.0] * 20 + [0.0] * 20)}, metric="unparsed_rate", name="new")
    (change,) = compare_runs(before, after).changes
    assert len(change.regressed) == 20
    assert "Worse beyond chance: a" in render_diff(compare_runs(before, after))


def test_only_the_same_questions_are_compared() -> None:
    changed = [replace(s, question="Another?") if s.id in {"q0", "q1"} else s for s in AFTER.samples]
    diff = compare_runs(BEFORE, replace(AFTER, samples=changed[:45]))
    assert {change.comparison.n for change in diff.changes} == {43}
    assert diff.notes[1:] == (
        "2 samples changed between the runs and left out.",
        "5 samples in one run only and left out.",
    )


def test_what_is_missing_in_one_run_is_compared_in_neither() -> None:
    holes = known_run({"a": Known(scores=[None] * 10 + [1.0] * 40)}, name="new")
    (change,) = compare_runs(BEFORE, holes).changes
    assert change.comparison.n == 40
    assert change.before == pytest.approx(30 / 40)


def test_other_grades_make_another_sample() -> None:
    graded = [replace(sample, gains=(2,)) for sample in AFTER.samples[:10]]
    diff = compare_runs(BEFORE, replace(AFTER, samples=[*graded, *AFTER.samples[10:]]))
    assert diff.changes[0].comparison.n == 40
    assert "10 samples changed between the runs and left out." in diff.notes


def test_another_first_turn_makes_another_second_turn() -> None:
    first, *rest = AFTER.samples
    old = [first, replace(rest[0], follows=first.id), *rest[1:]]
    new = [replace(first, question="Another?"), *old[1:]]
    diff = compare_runs(replace(BEFORE, samples=old), replace(AFTER, samples=new))
    assert "2 samples changed between the runs and left out." in diff.notes


def test_runs_that_share_nothing() -> None:
    with pytest.raises(UsageError, match="share no system: a, b in the first, z in the second"):
        compare_runs(BEFORE, known_run({"z": Known(scores=[1.0])}))
    with pytest.raises(UsageError, match="share no sample"):
        compare_runs(BEFORE, replace(AFTER, samples=[replace(s, id=f"x{s.id}") for s in AFTER.samples]))
    alike = compare_runs(BEFORE, BEFORE)
    assert (alike.before, alike.after) == ("old (first)", "old (second)")
    assert "No change is beyond chance." in render_diff(alike)


def test_history_is_oldest_first_with_a_plot() -> None:
    found = history_of([AFTER, BEFORE])
    assert [run for run, _ in found.runs] == ["old", "new"]
    a, _, c = found.series
    assert [result.estimate.mean for result in a.results if result and result.estimate] == [0.8, 0.44]
    assert c.results[0] is None
    text = render_history(found, width=80)
    assert max(map(len, text.splitlines())) <= 80
    rows = [line for line in text.splitlines() if "├" in line]
    assert len(rows) == 5
    assert rows[0].index("●") > rows[1].index("●"), "the plot falls as the value does"
    plain = history_to_json(found)
    assert [point["mean"] for point in plain["series"][0]["points"]] == [0.8, 0.44]
    assert plain["runs"][0]["run"] == "old"


def test_history_of_thin_runs() -> None:
    assert "No run has a score." in render_history(history_of([known_run({})]))
    failed = known_run({"x": Known(scores=[None] * 3)})
    assert "timeout" in render_history(history_of([failed]))
    with pytest.raises(UnknownNameError, match="did you mean 'docqa/token_f1'"):
        history_of([make_run()], metric="docqa/f1")
    assert {one.metric for one in history_of([make_run()], metric="mcq/accuracy").series} == {"mcq/accuracy"}
