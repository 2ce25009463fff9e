"""The command `eval calibrate`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evals.cli.runs import evaluation, run_progress
from rag.cli.app import ConfigOption, JsonOption, read_config

if TYPE_CHECKING:
    from evals.calibration import Calibration
    from evals.calibration.data import LabelledSet
    from evals.core import Score
    from rag.config import Config

__all__: list[str] = []


@evaluation.command(
    epilog="Examples: ragassay eval calibrate faithfulness_lexical labelled.jsonl; "
    "ragassay eval calibrate faithfulness_judge labelled.jsonl --config my.yaml --budget 1 --plot judge.svg"
)
def calibrate(
    metric: Annotated[str, typer.Argument(metavar="METRIC", help="A metric of 'ragassay eval list'.")],
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="JSONL of question, answer, passages and label; or a file of WiCE or HaluEval.",
        ),
    ],
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="From which score an answer counts as supported.")
    ] = 0.5,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the calibration plot: .svg or .png.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0, metavar="USD", help="Stop a judge before spending more.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how far a metric agrees with people's labels. Reports show it beside the metric."""
    from evals.calibration.data import read_labelled
    from evals.calibration.measure import calibration_of
    from evals.calibration.plot import check_plot_path, draw
    from evals.metrics import check_metrics, expand_metrics
    from rag.cli.show import note, print_json

    settings = read_config(config)
    check_metrics(expand_metrics([metric]), settings)
    if plot is not None:
        check_plot_path(plot)
    data = read_labelled(dataset, max_bad=settings.limits.max_error_rate)
    for line in data.warnings:
        note(f"ragassay: {line}")
    scores, exit_code = _scores(metric, data, settings, budget)
    found = calibration_of(metric, data, scores, settings, threshold=threshold)
    kept = _keep(found, settings) if exit_code == 0 else None
    drawn = draw(found, plot) if plot is not None else None
    if as_json:
        print_json({**asdict(found), "kept": kept and str(kept), "plot": drawn and str(drawn)})
    else:
        _show(found, kept, drawn)
    raise typer.Exit(exit_code)


def _scores(metric: str, data: LabelledSet, config: Config, budget: float | None) -> tuple[list[Score], int]:
    """Return the scores of all answers, and the exit code of the run that a judge needs."""
    from evals.metrics import metric_info
    from rag.cli.show import note, progress_bar

    if metric_info(metric).judged:
        from evals.cli.judged import judge_labelled

        with run_progress() as progress:
            judged = judge_labelled(metric, data, config, budget=budget, progress=progress)
        for line in judged.result.messages:
            note(f"ragassay: {line}")
        if judged.result.exit_code:
            note("ragassay: not kept, since verdicts are missing; the same command asks for them again.")
        return judged.scores, judged.result.exit_code
    from evals.calibration.measure import score_labelled

    with progress_bar() as bar:
        task = bar.add_task(metric, total=len(data.items), info="")
        return score_labelled(metric, data, config, lambda done: bar.update(task, completed=done)), 0


def _keep(found: Calibration, config: Config) -> Path | None:
    from evals.calibration.known import fitted_on, save
    from rag.cli.show import note

    if fitted_on(found.metric, found.sha256):
        note(
            f"ragassay: the weights of {found.metric} were fitted on these answers, so the figures flatter "
            "and are not kept; reports show the cross-validated ones."
        )
        return None
    return save(found, config)


def _show(found: Calibration, kept: Path | None, plot: Path | None) -> None:
    from rag.cli.show import print_table

    figures = found.figures
    judge = f" by {found.model}" if found.model else ""
    labelled = f"{found.scored:,} labelled answers, {figures['positives']:,} of them true"
    print(f"{found.metric}{judge} against {found.data}: {labelled}, {figures['clusters']:,} clusters")
    if found.unscored:
        print(f"{found.unscored:,} answers have no score and are left out")
    print_table(
        ("agreement", "value", "95 % interval"),
        [
            ("AUROC", *_cells(figures["auroc"])),
            *_at("given", figures["given"]),
            *_at("best", figures["best"]),
        ],
        right=(1,),
    )
    print("The best threshold was chosen on these answers, and flatters. Intervals: bootstrap of clusters.")
    if kept is not None:
        print(f"kept: {kept}")
    if plot is not None:
        print(f"plot: {plot.resolve()}")


def _at(which: str, figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    where = f"at the {which} threshold, {figures['threshold']:.3g}"
    return [
        (f"balanced accuracy {where}", *_cells(figures["balanced_accuracy"])),
        (f"Cohen's kappa {where}", *_cells(figures["kappa"])),
    ]


def _cells(figure: dict[str, float]) -> tuple[str, str]:
    return f"{figure['value']:.3f}", f"{figure['low']:.3f} to {figure['high']:.3f}"
