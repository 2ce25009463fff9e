"""Where the bundled corpora and example configs are: in a checkout, or inside an installed wheel."""

from __future__ import annotations

from pathlib import Path

import rag
from rag.errors import UsageError

__all__ = ["bundled_path"]


def bundled_path(name: str) -> Path:
    """Return the path of a bundled file or folder, such as `"corpora/handbook/docs"`.

    Raises:
        UsageError: it is not in this installation.
    """
    package = Path(rag.__file__).parent
    for root in (package / "_bundled", package.parent):
        if (root / name).exists():
            return root / name
    raise UsageError(f"{name} is not part of this installation; install ragassay again.")
