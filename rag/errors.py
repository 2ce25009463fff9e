"""The error tree: everything this software raises on purpose.

    RagassayError                 exit 1   something failed, said plainly
    ├── UsageError                exit 2   the user can fix it before trying again
    │   ├── ConfigError                    a config file or option is wrong
    │   ├── UnknownNameError               no such collection, provider, metric, ...; names the nearest
    │   ├── MissingKeyError                the environment variable with a key is not set
    │   ├── MissingDependencyError         an optional package or system tool is absent
    │   └── RunFolderError                 a folder that is no run, or that cannot take one; a RunError too
    ├── LoadError                          one document could not be read; the others go on
    ├── ModelFileError                     a local model file could not be fetched or verified
    ├── CollectionError                    an index is broken, incompatible or busy
    │   ├── CollectionLockedError          another process writes to it; names the holder
    │   └── FingerprintError               the embedding model is not the one it was built with
    ├── StorageError                       no disk space, read-only folder, I/O error
    ├── RunError                           a run folder is broken, busy or not one
    ├── ProviderFailedError                a call ended in an outcome that carries no answer
    └── StoppedError              exit 4   stopped early by budget, quota or authentication; resumable

A message says what failed, the value seen, and the cure. Failures of single calls and samples are not
exceptions but data: `rag.core.Outcome`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

__all__ = [
    "CollectionError",
    "CollectionLockedError",
    "ConfigError",
    "FingerprintError",
    "LoadError",
    "MissingDependencyError",
    "MissingKeyError",
    "ModelFileError",
    "ProviderFailedError",
    "RagassayError",
    "RunError",
    "RunFolderError",
    "StoppedError",
    "StorageError",
    "UnknownNameError",
    "UsageError",
]


class RagassayError(Exception):
    """Base of all errors raised on purpose; `str()` is one or two plain lines for a person."""

    exit_code: ClassVar[int] = 1


class UsageError(RagassayError):
    """The call cannot work as given; correcting it is up to the user."""

    exit_code: ClassVar[int] = 2


class ConfigError(UsageError):
    """A config file, environment variable or option holds something that cannot be used."""


class UnknownNameError(UsageError):
    """A name is not among the known ones; the message suggests the nearest.

    Args:
        kind: what the name should have been, such as `"collection"`.
        name: the name given.
        known: the names that exist.
        hint: how to list or create them, added at the end.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        if near:
            help_text = f"did you mean {near[0]!r}?"
        elif names:
            listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            help_text = f"known: {listed}."
        else:
            help_text = "there is none yet."
        super().__init__(f"no {kind} named {name[:80]!r}; {help_text}{' ' + hint if hint else ''}")


class MissingKeyError(UsageError):
    """The environment variable that should hold a provider's key is not set."""


class MissingDependencyError(UsageError):
    """An optional package or a system tool is needed and absent."""


class LoadError(RagassayError):
    """One document could not be read; the message says why and what helps."""


class ModelFileError(RagassayError):
    """A local model file could not be fetched, or is not the file it should be."""


class CollectionError(RagassayError):
    """An index is broken, incompatible with the request, or in use."""


class CollectionLockedError(CollectionError):
    """Another process owns the index for writing; the message names it."""


class FingerprintError(CollectionError):
    """The collection was built with another embedding model than the one asked for."""


class StorageError(RagassayError):
    """The file system refused: no space, read-only, input/output error."""


class RunError(RagassayError):
    """A run folder is missing a part, in use by another process, or not a run folder."""


class RunFolderError(RunError, UsageError):
    """The folder named is not a run, or holds something and cannot take a new one."""


class ProviderFailedError(RagassayError):
    """A call to a provider ended without an answer that could be shown."""


class StoppedError(RagassayError):
    """Work stopped early by budget, quota or authentication; what was done is kept."""

    exit_code: ClassVar[int] = 4
