"""Importing OpenVINO without its telemetry."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

__all__ = ["import_openvino"]


def import_openvino() -> Any:
    """Return the `openvino` module, imported so that it reports to nobody.

    It reports each import and conversion to an analytics service unless a file in the user's home declines.
    Where its telemetry package cannot be imported a stub stands in for it, so that package is hidden.
    """
    hidden: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]  # None marks "not importable"
    hidden.setdefault("openvino_telemetry", None)
    import openvino

    return openvino
