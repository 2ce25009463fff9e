"""How far a metric agrees with people: labelled data, agreement with intervals, what is known of each metric.

`evals.calibration.data` reads, `evals.calibration.measure` measures, `save` keeps the result in
RAGASSAY_HOME. `calibration_notes` says for reports what is known of the judges and faithfulness scores that
they show, or that nothing is.
"""

from __future__ import annotations

from evals.calibration.known import (
    Calibration,
    calibration_notes,
    known_calibrations,
    save,
    wants_calibration,
)

__all__ = ["Calibration", "calibration_notes", "known_calibrations", "save", "wants_calibration"]
