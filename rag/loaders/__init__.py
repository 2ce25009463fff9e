"""Files, folders, globs and URLs to Documents, each file read in a child process with limits.

`discover` finds what there is, `load_many` reads it. A file that cannot be read is a `LoadError` or a
`Failure` with its cure, and the others go on.
"""

from __future__ import annotations

from contextlib import closing

from rag.core import Document
from rag.errors import LoadError
from rag.loaders.pool import DEFAULT_LIMITS, Limits, load_many, read
from rag.loaders.sources import Failure, Source, discover

__all__ = ["DEFAULT_LIMITS", "Failure", "Limits", "Source", "discover", "load", "load_many", "read"]


def load(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> list[Document]:
    """Return the documents of one source; for several, `load_many` shares child processes.

    Raises:
        LoadError: why it cannot be read, and what helps.
    """
    with closing(iter(load_many([source], workers=1, limits=limits))) as results:  # type: ignore[type-var]
        _, loaded = next(results)
    if isinstance(loaded, LoadError):
        raise loaded
    return loaded
