"""What benchmarks share: rows of a file, bad rows counted and named, a limit that keeps the mixture."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import json
import random
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson

from evals.benchmarks.csv_rows import csv_rows
from evals.core import OPEN, Sample
from rag.config import BenchmarkConfig, Config
from rag.errors import ConfigError, LoadError

__all__ = [
    "BadRows",
    "data_path",
    "files_sha256",
    "kept_columns",
    "read_rows",
    "read_text",
    "refuse_keys",
    "stratified",
]

_NAMED = 10
# What metrics and reports go by in a sample's metadata; a user's column of that name means something else.
_METADATA = frozenset({"entry_point", "item", "mode", OPEN, "rotation", "turn"})
_LONG_INTEGER = re.compile(rb"\d{19}")
Row = tuple[str, Any]
Note = Callable[[str, str], None]


class BadRows:
    """Rows that could not be used: the others go on, unless too many are bad.

    Args:
        what: what the rows are read from, for messages.
        max_share: the largest share of bad rows that is put up with (`limits.max_error_rate`).
    """

    def __init__(self, what: str, max_share: float) -> None:
        self._what = what
        self._max_share = max_share
        self._problems: list[str] = []
        self._excluded: Counter[str] = Counter()
        self._warnings: list[str] = []

    @property
    def total(self) -> int:
        """How many bad rows were noted."""
        return len(self._problems)

    def add(self, place: str, problem: str) -> None:
        """Note the row at `place` (`"questions.jsonl line 3"`)."""
        self._problems.append(f"{place}: {problem}")

    def exclude(self, reason: str) -> None:
        """Count a row that is as it should be, but cannot be asked: `"needs an image"`."""
        self._excluded[reason] += 1

    def warn(self, text: str) -> None:
        """Note what is to be known of the data as a whole."""
        self._warnings.append(text)

    def settle(self, good: int) -> tuple[str, ...]:
        """Return warnings that name the bad rows and count the excluded ones, then what else was noted.

        Raises:
            LoadError: too many rows are bad, or none is good; names the first of them.
        """
        bad = len(self._problems)
        excluded = tuple(
            f"{n} of {good + bad + self._excluded.total()} rows of {self._what} are not asked: {reason}"
            for reason, n in self._excluded.items()
        )
        others = (*excluded, *self._warnings)
        if not bad and good:
            return others
        named = "; ".join(self._problems[:_NAMED]) + ("; ..." if bad > _NAMED else "")
        if not good:
            raise LoadError(
                f"{self._what} has no usable row. {'; '.join(filter(None, [named, *excluded]))}".strip()
            )
        if Fraction(bad, bad + good) > Fraction(str(self._max_share)):
            raise LoadError(
                f"{bad} of {bad + good} rows of {self._what} cannot be used, more than "
                f"limits.max_error_rate {self._max_share:g} allows; correct them, or raise it: {named}"
            )
        return (f"{bad} of {bad + good} rows of {self._what} were left out: {named}", *others)


def kept_columns(row: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Return the columns of a user's row that are kept as metadata: not those `known`, nor empty ones."""
    return {
        str(key): value
        for key, value in row.items()
        if value not in (None, "") and key not in known and key not in _METADATA
    }


def refuse_keys(spec: BenchmarkConfig, allowed: Iterable[str]) -> None:
    """Raise ConfigError where `spec` sets a key that the benchmark does not use."""
    usable = {"name", "benchmark", "data", "limit", "max_tokens", "metrics", "rubric", *allowed}
    unused = sorted(key for key in spec.model_fields_set - usable if getattr(spec, key) not in (None, ()))
    if unused:
        raise ConfigError(
            f"benchmark {spec.name!r} does not use {unused[0]!r}; remove it. "
            f"It uses: {', '.join(sorted(usable))}."
        )


def data_path(spec: BenchmarkConfig, config: Config) -> Path:
    """Return the path that `data:` names.

    Raises:
        ConfigError: there is no `data:` or no such path.
    """
    if not spec.data:
        raise ConfigError(f"benchmark {spec.name!r} needs 'data:', the path of its questions.")
    path = config.path(spec.data)
    if not path.exists():
        raise ConfigError(f"benchmark {spec.name!r}: no such file or folder: {path}.")
    return path


def files_sha256(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of the names and contents of `paths`, in their order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def read_rows(path: Path, bad: BadRows) -> Iterator[Row]:
    """Yield (place, row) of a JSONL(.gz), CSV or Parquet file; a row is a mapping, of headerless CSV a list.

    Raises:
        LoadError: the file cannot be read at all.
    """
    readers: dict[str, Callable[[Path, Note], Iterator[Row]]] = {
        ".jsonl": _jsonl_rows,
        ".json": _json_rows,
        ".csv": csv_rows,
        ".parquet": _parquet_rows,
    }
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    reader = _jsonl_rows if suffixes == [".jsonl", ".gz"] else readers.get(path.suffix.lower())
    if path.is_dir():
        raise LoadError(f"cannot read {path}: it is a folder; name one file in it.")
    if reader is None:
        raise LoadError(f"cannot read {path}: its name should end in {', '.join(readers)} or .jsonl.gz.")
    known, empty = bad.total, True
    try:
        _refuse_utf16(path)
        for row in reader(path, bad.add):
            empty = False
            yield row
    except (OSError, EOFError, zlib.error) as exc:
        raise LoadError(f"cannot read {path}: {exc}.") from exc
    if empty and bad.total == known:
        bad.add(path.name, "no rows")


def _refuse_utf16(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(2) in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
            raise LoadError(f"{path} is UTF-16; save it as UTF-8.")


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        LoadError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as exc:
        raise LoadError(f"cannot read {path}: {exc}.") from exc
    except UnicodeDecodeError as exc:
        line = bytes(exc.object[: exc.start]).count(b"\n") + 1
        raise LoadError(f"{path} is not UTF-8 (line {line}); save it as UTF-8.") from exc


def _jsonl_rows(path: Path, note: Note) -> Iterator[Row]:
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            place = f"{path.name} line {number}"
            if not line.strip():
                continue
            try:
                row = _loads(line.removeprefix(b"\xef\xbb\xbf"))
            except ValueError as exc:
                note(place, f"not JSON ({getattr(exc, 'msg', exc)})" if _is_utf8(line) else "not UTF-8")
                continue
            if isinstance(row, dict):
                yield place, row
            else:
                note(place, f"a {type(row).__name__} where an object is expected")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _loads(line: bytes) -> Any:
    # orjson makes floats of integers beyond 64 bits.
    return json.loads(line) if _LONG_INTEGER.search(line) else orjson.loads(line)


def _json_rows(path: Path, note: Note) -> Iterator[Row]:
    """Yield the objects of one JSON list; a file that is no list is read as JSONL."""
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if not content.lstrip().startswith(b"["):
        yield from _jsonl_rows(path, note)
        return
    try:
        rows = _loads(read_text(path).encode())
    except ValueError as exc:
        raise LoadError(f"{path} is not valid JSON ({exc}); correct it there.") from exc
    for number, row in enumerate(rows, start=1):
        place = f"{path.name} item {number}"
        if isinstance(row, dict):
            yield place, row
        else:
            note(place, f"a {type(row).__name__} where an object is expected")


def _parquet_rows(path: Path, note: Note) -> Iterator[Row]:  # noqa: ARG001  # its rows are typed already
    from pyarrow import ArrowException, parquet

    try:
        file = parquet.ParquetFile(path)
    except ArrowException as exc:
        raise LoadError(f"{path} is not Parquet: {str(exc).rstrip('.')}.") from exc
    rows = (row for batch in file.iter_batches() for row in batch.to_pylist())
    for number, row in enumerate(rows, start=1):
        yield f"{path.name} row {number}", row


def stratified(
    samples: Sequence[Sample], limit: int | None, *, seed: int, stratum: Callable[[Sample], object]
) -> tuple[Sample, ...]:
    """Return `limit` samples that mirror the mixture of strata, in their order.

    Each stratum gets its share by the largest remainder; which samples stand for it is drawn with `seed`,
    so that the same limit, seed and data give the same samples.
    """
    if limit is None or limit >= len(samples):
        return tuple(samples)
    strata: dict[object, list[int]] = defaultdict(list)
    for place, sample in enumerate(samples):
        strata[stratum(sample)].append(place)
    rng = random.Random(f"{seed}:{limit}")  # noqa: S311  # a draw to be repeated, not a secret
    names = list(strata)
    rng.shuffle(names)  # equal remainders are settled by the seed, not by the alphabet
    exact = {name: Fraction(len(strata[name]) * limit, len(samples)) for name in names}
    counts = {name: int(exact[name]) for name in names}
    for name in sorted(names, key=lambda n: counts[n] - exact[n])[: limit - sum(counts.values())]:
        counts[name] += 1
    chosen = [place for name in names for place in rng.sample(strata[name], counts[name])]
    return tuple(samples[place] for place in sorted(chosen))
