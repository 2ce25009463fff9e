"""Where a benchmark's rows come from: a folder of splits, one file, or a hub id through `datasets`."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from evals.benchmarks.rows import BadRows, files_sha256, read_rows
from rag.config import BenchmarkConfig, Config
from rag.errors import ConfigError, LoadError, UnknownNameError

__all__ = ["HUB_KEYS", "Data", "Split", "open_data"]

HUB_KEYS = ("split", "subset", "revision")
"""The keys of a benchmark's config that `open_data` and `Data.read` go by."""

_SUFFIXES = (".csv", ".json", ".jsonl", ".parquet")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_HUB_TIMEOUT_S = 3.0
_PREFERRED = ("test", "validation", "val")


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Rows as (subject or None, place, row), to be read once."""

    name: str
    rows: Iterable[tuple[str | None, str, Any]]
    sha256: str


class Data(Protocol):
    """Splits of rows, wherever they are."""

    @property
    def name(self) -> str: ...

    @property
    def default_split(self) -> str: ...

    def has(self, split: str) -> bool:
        """Return whether there is such a split."""
        ...

    def read(self, split: str, bad: BadRows) -> Split:
        """Return the rows of a split.

        Raises:
            UnknownNameError: there is no such split.
        """
        ...


def open_data(spec: BenchmarkConfig, config: Config, revisions: Mapping[str, str] | None = None) -> Data:
    """Return the data that `data:` names: a folder, a file, or else a hub id such as `cais/mmlu`.

    Args:
        spec: whose `data`; `subset` and `revision` choose among what a hub id holds.
        config: whose folder relative paths start from.
        revisions: the revision of each hub id that the benchmark was checked with, taken unless `spec` says
            otherwise; another hub id is taken as it stands.

    Raises:
        ConfigError: it is none of these.
    """
    pinned = revisions or {}
    if not spec.data:
        example = next(iter(pinned), "cais/mmlu")
        raise ConfigError(f"benchmark {spec.name!r} needs 'data:', a path or a hub id such as {example}.")
    path = config.path(spec.data)
    if path.is_dir():
        return _Folder(path)
    if path.is_file():
        return _File(path)
    if _HUB_ID.fullmatch(spec.data) and not spec.data.startswith("."):
        return _Hub(spec.data, spec.subset, spec.revision or pinned.get(spec.data))
    raise ConfigError(f"benchmark {spec.name!r}: no such file or folder: {path}, and it is no hub id.")


class _Folder:
    """`DATA/SPLIT/SUBJECT_*.csv`, or `DATA/SPLIT.csv`, or the hub's files, `SPLIT-00000-of-00001.parquet`.

    A file that is named as the hub's is of the split in its name, in a folder of DATA too.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._files: dict[str, list[Path]] = {}
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in _SUFFIXES and len(file.relative_to(path).parts) <= 2:
                own = _SHARD.sub("", file.stem)
                split = own if file.parent == path or own != file.stem else file.parent.name
                self._files.setdefault(split, []).append(file)
        if not self._files:
            raise ConfigError(f"{path} holds no file that ends in {', '.join(_SUFFIXES)}.")
        self.default_split = _default_split(self._files)

    def has(self, split: str) -> bool:
        return split in self._files

    def read(self, split: str, bad: BadRows) -> Split:
        if split not in self._files:
            raise UnknownNameError("split", split, self._files, f"(in {self.name})")
        files = self._files[split]
        folders = [folder.name for folder in dict.fromkeys(file.parent for file in files)]
        if len(folders) > 1:
            raise ConfigError(
                f"{self.name} holds split {split!r} in several folders: {', '.join(folders[:5])}"
                f"{', ...' if len(folders) > 5 else ''}; give one of them as 'data:'."
            )
        rows = ((_subject(file, split), place, row) for file in files for place, row in read_rows(file, bad))
        return Split(name=split, rows=rows, sha256=files_sha256(files))


class _File:
    """One file, whose rows may name their subject; it has no other split to take shots from."""

    default_split = ""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path

    def has(self, split: str) -> bool:
        return split == ""

    def read(self, split: str, bad: BadRows) -> Split:
        if split:
            raise ConfigError(
                f"{self.name} is one file and has no split {split!r}; "
                "remove 'split' and set 'shots: 0', or give a folder of splits."
            )
        rows = ((None, place, row) for place, row in read_rows(self._path, bad))
        return Split(name=split, rows=rows, sha256=files_sha256([self._path]))


class _Hub:
    """A hub id at a revision, read through `datasets`."""

    def __init__(self, name: str, subset: str | None, revision: str | None) -> None:
        self.name = f"{name}{f' ({subset})' if subset else ''}@{revision or 'main'}"
        self._id = name
        self._subset = subset
        self._revision = revision
        self._splits: Any = None
        self._told = False

    @property
    def default_split(self) -> str:
        return _default_split(self._load())

    def has(self, split: str) -> bool:
        return split in self._load()

    def read(self, split: str, bad: BadRows) -> Split:
        splits = self._load()
        if split not in splits:
            raise UnknownNameError("split", split, splits, f"(in {self.name})")
        if self._revision is None and not self._told:
            bad.warn(f"{self._id} was taken as it is today; pin what is asked with 'revision:'")
            self._told = True
        table = splits[split]
        rows = ((None, f"{self.name} {split} row {n}", row) for n, row in enumerate(table))
        return Split(name=split, rows=rows, sha256=f"fingerprint:{table._fingerprint}")  # noqa: SLF001

    def _load(self) -> Any:
        if self._splits is None:
            self._splits = _load_from_hub(self._id, self._subset, self._revision)
        return self._splits


def _load_from_hub(name: str, subset: str | None, revision: str | None) -> Any:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    problem = _hub_problem(name)
    import datasets
    from huggingface_hub import constants

    before = (constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE)
    if problem:  # what was fetched before may still be in the cache
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    datasets.disable_progress_bars()
    try:
        if subset is None:
            subsets = datasets.get_dataset_config_names(name, revision=revision)
            subset = "all" if "all" in subsets else subsets[0]
        return datasets.load_dataset(name, subset, revision=revision)
    except Exception as exc:
        reason = problem or f"{type(exc).__name__}: {str(exc)[:200]}".replace("\n", " ")
        raise LoadError(
            f"cannot get {name!r} from the hub: {reason}. Download it elsewhere and give its place instead: "
            "'data: PATH', a Parquet, CSV, JSON or JSONL file, or a folder of splits such as test.parquet."
        ) from exc
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _hub_problem(name: str) -> str | None:
    """Return why the hub cannot be asked, in a few seconds; `datasets` itself would retry for minutes."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return "HF_HUB_OFFLINE is set and it is not in the cache"
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    if not endpoint.startswith(("https://", "http://")):
        return f"HF_ENDPOINT {endpoint!r} is not a web address"
    request = urllib.request.Request(f"{endpoint}/api/datasets/{name}", method="HEAD")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_HUB_TIMEOUT_S):  # noqa: S310
            return None
    except urllib.error.HTTPError as exc:
        return f"{endpoint} answers {exc.code} for it" if exc.code in {401, 403, 404} else None
    except OSError as exc:
        return f"{endpoint} cannot be reached ({getattr(exc, 'reason', exc)})"


def _subject(file: Path, split: str) -> str | None:
    """Return the subject that `anatomy_val.csv` is named for; None for a file named for its split."""
    stem = _SHARD.sub("", file.stem)
    if stem == split:
        return None
    return re.sub(r"_(test|val|validation|dev|train)$", "", stem)


def _default_split(splits: Iterable[str]) -> str:
    known: Sequence[str] = [*splits]
    for name in _PREFERRED:
        if name in known:
            return name
    return next((name for name in known if name != "dev"), "test")
