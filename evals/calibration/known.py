"""What is known of a metric's agreement with people, kept in RAGASSAY_HOME: a file a metric, model, data."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evals.metrics.support_weights import fitted
from rag.config import Config
from rag.errors import StorageError

__all__ = [
    "Calibration",
    "calibration_notes",
    "fitted_on",
    "known_calibrations",
    "model_of",
    "save",
    "wants_calibration",
]

_FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Agreement of a metric with labels of a data set.

    `model` is what judged: a provider, a cross-encoder, an embedder; None for a metric without. `figures` has
    the shape of `evals.calibration.agreement.Agreement`. `shipped` ones were cross-validated by this project.
    """

    metric: str
    model: str | None
    data: str
    sha256: str
    created: str
    scored: int
    unscored: int
    figures: dict[str, Any]
    shipped: bool = False

    @property
    def sentence(self) -> str:
        """The calibration in one line, for people."""
        auroc, given = self.figures["auroc"], self.figures["given"]
        return (
            f"AUROC {_with_interval(auroc)}, balanced accuracy {_with_interval(given['balanced_accuracy'])} "
            f"at {given['threshold']:g} on {self.figures['n']:,} labelled answers of {self.data}"
            + (", cross-validated" if self.shipped else "")
            + (", by the standard rubric" if self.metric.startswith("judge_") else "")
        )


def wants_calibration(metric: str) -> bool:
    """True for scores that stand for a person's judgement: faithfulness, judges, ragas."""
    return metric.startswith(("faithfulness", "judge")) or metric.endswith(("_judge", "_ragas"))


def model_of(metric: str, config: Config) -> str | None:
    """Return which model a metric judges with under `config`; None for a metric without one."""
    if metric == "faithfulness_nli":
        return config.scoring.nli_model
    if metric in {"faithfulness_hybrid", "semantic_similarity"}:
        return config.scoring.embedder
    if metric.startswith("judge") or metric.endswith(("_judge", "_ragas")):
        return ", ".join(judge.provider for judge in config.judge) or None
    return None


def fitted_on(metric: str, sha256: str) -> bool:
    """True where the metric's weights were fitted on these very data: agreement with them proves nothing."""
    held = fitted()
    return metric in held["weights"] and any(data["sha256"] == sha256 for data in held["data"].values())


def save(calibration: Calibration, config: Config) -> Path:
    """Keep a calibration; one of the same metric, model and data takes the old one's place.

    Raises:
        StorageError: the folder cannot be written to.
    """
    key = "\0".join((calibration.metric, calibration.model or "", calibration.sha256))
    name = f"{calibration.metric}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.json"
    folder = _folder(config)
    held = {"format": _FORMAT, **asdict(calibration)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=".json")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(held, file, ensure_ascii=False, indent=1)
        return Path(temporary).replace(folder / name)
    except OSError as exc:
        raise StorageError(
            f"cannot write to {folder}: {exc.strerror or exc}; is RAGASSAY_HOME right?"
        ) from exc


def known_calibrations(metric: str, config: Config, model: str | None = None) -> list[Calibration]:
    """Return the calibrations of a metric, the latest first; the shipped ones last.

    Args:
        metric: its name.
        config: where the home is.
        model: only those of this judge, cross-encoder or embedder; None: those of a metric without.
    """
    found = [
        calibration
        for path in sorted(_folder(config).glob(f"{metric}-*.json"))
        if (calibration := _read(path)) and (calibration.metric, calibration.model) == (metric, model)
    ]
    found.sort(key=lambda calibration: calibration.created, reverse=True)
    return [*found, *_shipped(metric, model)]


def calibration_notes(metrics: Iterable[str], config: Config) -> dict[str, tuple[str, ...]]:
    """Return what is known of the agreement of `metrics` with people, one line a data set.

    Where nothing is known of one that stands for a person's judgement, its one line says so and how to change
    it; of others nothing is said. Reads a few small files under RAGASSAY_HOME; a damaged one counts as
    absent.
    """
    notes: dict[str, tuple[str, ...]] = {}
    for metric in metrics:
        known = known_calibrations(metric, config, model_of(metric, config))
        lines = tuple(dict.fromkeys(calibration.sentence for calibration in known))
        if lines or wants_calibration(metric):
            command = f"ragassay eval calibrate {metric} DATASET"
            notes[metric] = lines or (f"none yet; '{command}' compares it with people's labels",)
    return notes


def _shipped(metric: str, model: str | None) -> Sequence[Calibration]:
    held = fitted()
    # What was altered by us is labelled by construction: no person's judgement.
    if metric not in held["checked"] or held["embedder"].get(metric) != model:
        return []
    return [
        Calibration(
            metric=metric,
            model=model,
            data=data,
            sha256=held["data"].get(data, {}).get("sha256", ""),
            created=held["fitted"],
            scored=figures["n"],
            unscored=0,
            figures=figures,
            shipped=True,
        )
        for data, figures in held["checked"][metric].items()
        if data != "altered"
    ]


def _read(path: Path) -> Calibration | None:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return Calibration(**held) if held.pop("format") == _FORMAT else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # a note that cannot be read is no reason to withhold a report


def _folder(config: Config) -> Path:
    return config.home_dir() / "calibrations"


def _with_interval(figure: dict[str, float]) -> str:
    return f"{figure['value']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]"
