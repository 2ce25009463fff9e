"""`ragassay doctor`: what is here, what is wrong, and the command that mends it."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

from rag.config import Config, cache_dir

__all__ = ["Finding", "examine"]

_PACKAGES = (
    "chromadb",
    "tantivy",
    "openvino",
    "torch",
    "sentence-transformers",
    "langchain-core",
    "xllamacpp",
    "datasets",
    "genai-prices",
)
_LOW_DISK = 2 * 10**9
_HERE = ("127.0.0.1", "localhost", "::1")
_CONNECT_S = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing looked at; `ok` is None where absence is no fault."""

    topic: str
    ok: bool | None
    what: str
    fix: str = ""


def examine(config: Config) -> list[Finding]:
    """Look at everything that can be wrong on this machine. Never shows a key's value."""
    return [
        _python(),
        *_packages(),
        *_models(),
        *_folders(config),
        *_caches(config),
        _isolation(),
        *_keys(config),
        *_servers(config),
        *_collections(config),
    ]


def _python() -> Finding:
    what = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return Finding(topic="python", ok=sys.version_info >= (3, 11), what=what)


def _packages() -> Iterator[Finding]:
    for name in _PACKAGES:
        try:
            yield Finding(topic="package", ok=True, what=f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Finding(topic="package", ok=False, what=f"{name} is missing", fix=f"pip install {name}")


def _models() -> Iterator[Finding]:
    from rag.models import model_status

    for row in model_status():
        size = f"{row.name} ({row.kind}, {row.size / 1e6:.0f} MB)"
        if row.present:
            yield Finding(topic="model", ok=True, what=size)
        else:
            yield Finding(
                topic="model", ok=None, what=f"{size} is not here yet", fix=f"ragassay models pull {row.name}"
            )


def _folders(config: Config) -> Iterator[Finding]:
    for topic, folder, variable in (
        ("home", config.home_dir(), "RAGASSAY_HOME"),
        ("cache", cache_dir(), "RAGASSAY_CACHE"),
    ):
        place = _existing(folder)
        free = shutil.disk_usage(place).free
        what = f"{folder} ({free / 1e9:.0f} GB free)"
        if not place.is_dir():
            yield Finding(
                topic=topic, ok=False, what=f"{place} is no folder", fix=f"set {variable} to a folder"
            )
        elif not os.access(place, os.W_OK):
            yield Finding(
                topic=topic, ok=False, what=f"{what}: not writable", fix=f"set {variable} to another folder"
            )
        elif free < _LOW_DISK:
            yield Finding(topic=topic, ok=False, what=what, fix=f"free some space, or set {variable}")
        else:
            yield Finding(topic=topic, ok=True, what=what)


def _caches(config: Config) -> Iterator[Finding]:
    named = config.reply_cache()
    stored = {*config.home_dir().glob("*.sqlite3"), *([named] if named and named.is_file() else [])}
    for path in sorted(stored):
        what = f"{path} ({path.stat().st_size / 1e6:.1f} MB): spares repeated work; it may be deleted"
        yield Finding(topic="stored", ok=True, what=what)


def _isolation() -> Finding:
    """Look for the tool that keeps model-written code apart: no other work needs it."""
    if found := shutil.which("bwrap"):
        return Finding(topic="sandbox", ok=True, what=f"bubblewrap at {found}")
    what = "bubblewrap is not here: only benchmarks that run model-written code need it"
    return Finding(topic="sandbox", ok=None, what=what, fix="apt install bubblewrap")


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _keys(config: Config) -> Iterator[Finding]:
    from rag.providers import provider_refs

    for ref in provider_refs(config):
        is_set = bool(os.environ.get(ref.key_env or ""))
        if ref.key_env and (is_set or not ref.local):  # a server of one's own needs none
            state = "set" if is_set else "not set"
            yield Finding(topic="key", ok=is_set or None, what=f"{ref.name}: {ref.key_env} is {state}")
        if is_set and ref.lacks:
            yield Finding(
                topic="key",
                ok=False,
                what=f"{ref.name}: {ref.lacks} is not set",
                fix=f"export {ref.lacks}=https://...",
            )


def _servers(config: Config) -> Iterator[Finding]:
    """Look which model servers on this machine answer; that none does is no fault."""
    from rag.providers import provider_refs

    silent = []
    for ref in provider_refs(config):
        try:
            parts = urlsplit(ref.base_url or "")
            port = parts.port or 80
        except ValueError as exc:
            fix = "write it in the config as http://HOST:PORT/v1"
            yield Finding(topic="server", ok=False, what=f"{ref.name}: {ref.base_url}: {exc}", fix=fix)
            continue
        if parts.hostname not in _HERE:
            continue
        if _listens(parts.hostname, port):
            what = f"{ref.name}: something listens at {ref.base_url}; 'ragassay providers check {ref.name}'"
            yield Finding(topic="server", ok=True, what=what)
        else:
            silent.append(ref.name)
    if silent:
        yield Finding(topic="server", ok=None, what=f"not running here: {', '.join(silent)}")


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_S):
            return True
    except OSError:
        return False


def _collections(config: Config) -> Iterator[Finding]:
    from rag.index.catalog import list_collections, show_collection

    home = config.home_dir()
    for info in [show_collection(home, name) for name in list_collections(home)]:
        if info.problem or info.stats is None:
            yield Finding(topic="collection", ok=False, what=f"{info.name}: {info.problem}")
        else:
            what = f"{info.name}: {info.stats.documents} documents, {info.stats.chunks} passages"
            yield Finding(topic="collection", ok=True, what=what)
