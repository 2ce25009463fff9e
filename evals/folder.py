"""The run folder: everything about a run, so that a report needs nothing else.

spec.yaml       the config file as it was given
run.json        the resolved spec (`evals.runner.spec.RunSpec`), versions, hashes, state, calibrations;
                replaced atomically
samples.jsonl   a Sample a line
contexts.jsonl  checked lines: the passages retrieved once a sample and retrieval setting
journal.jsonl   checked lines: every received reply; the truth about what was answered
scores.jsonl    the scores of each reply; made again by `rescore`
lock            held by the one process that writes; names it
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evals.codec import (
    Key,
    ScoredRecord,
    dumps,
    judge_reply_from_json,
    key_from_json,
    loads,
    record_from_json,
    record_to_json,
    sample_from_json,
    sample_to_json,
    scored_from_json,
    scored_to_json,
)
from evals.core import JudgeReply, Record, Sample
from evals.journal import JournalWriter
from evals.lines import Damage, entry_at, read_entries
from rag.core import Outcome
from rag.errors import RunError, RunFolderError, StorageError

__all__ = ["FORMAT", "RunFolder", "utc_now"]

FORMAT = 1
OnDamage = Callable[[Damage], None]


def utc_now() -> str:
    """Return the wall-clock time in ISO 8601, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class RunFolder:
    """A run on disk. Reading needs no lock; whoever writes holds `locked()`.

    Args:
        path: the folder; `RunFolder.open` checks that it holds a run, `RunFolder.create` makes one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """Return the run in `path`.

        Raises:
            RunError: there is no such folder, it holds no run, or a newer version wrote it.
        """
        folder = cls(Path(path).expanduser().resolve())
        state = folder.read()
        if state.get("format") != FORMAT:
            raise RunError(
                f"{folder.path} has run format {state.get('format')!r}, this version reads {FORMAT}; "
                "use the version of ragassay that wrote it."
            )
        return folder

    @classmethod
    def create(
        cls, path: Path, *, spec_yaml: str, samples: Iterable[Sample], state: Mapping[str, Any]
    ) -> RunFolder:
        """Make a run folder at `path`, which must be new or empty; `run.json` comes last.

        Raises:
            RunFolderError: it holds a run already, or something else.
            StorageError: it cannot be written.
        """
        folder = cls(path)
        folder.check_free()
        try:
            path.mkdir(parents=True, exist_ok=True)
            _replace(path / "spec.yaml", [spec_yaml.encode()])
            _replace_lines(path / "samples.jsonl", (dumps(sample_to_json(s)) for s in samples))
            folder.write({"format": FORMAT, **state})
        except OSError as exc:
            raise StorageError(f"cannot write the run folder {path}: {exc.strerror or exc}.") from exc
        return folder

    def check_free(self) -> None:
        """Raise RunFolderError where a new run cannot go here."""
        if (self.path / "run.json").exists():
            raise RunFolderError(
                f"{self.path} holds a run already; resume it with 'ragassay eval resume {self.path}', "
                "or give another folder with --out."
            )
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise RunFolderError(
                f"{self.path} exists and is not a run; give a new or empty folder with --out."
            )

    # ------------------------------------------------------------ run.json

    def read(self) -> dict[str, Any]:
        """Return the content of `run.json`.

        Raises:
            RunError: it is missing or not valid.
        """
        path = self.path / "run.json"
        try:
            state = loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise RunFolderError(f"{self.path} is not a run folder: it has no run.json.") from exc
        except (OSError, ValueError) as exc:
            raise RunError(f"cannot read {path}: {exc}.") from exc
        if not isinstance(state, dict):
            raise RunError(f"{path} does not hold a JSON object.")
        return state

    def write(self, state: Mapping[str, Any]) -> None:
        """Replace `run.json` in one step.

        Raises:
            StorageError: the file system refused; the old content stays.
        """
        _replace_lines(self.path / "run.json", [json.dumps(state, indent=2).encode()])

    def update(self, **changes: Any) -> None:
        """Change some keys of `run.json`."""
        self.write({**self.read(), **changes})

    # ------------------------------------------------------------ samples

    def samples(self) -> Iterator[Sample]:
        """Yield the samples in their order."""
        for entry in _plain_lines(self.path / "samples.jsonl"):
            yield sample_from_json(entry)

    # ------------------------------------------------------------ replies

    def journal(self, encode: Callable[[Any], Mapping[str, Any]] = record_to_json) -> JournalWriter:
        """Open the journal for appending Records, or what `encode` makes plain; cuts a torn tail first."""
        return JournalWriter(self.path / "journal.jsonl", encode)

    def records(self, on_damage: OnDamage | None = None) -> Iterator[Record]:
        """Yield the valid reply of each key, in the order received, one at a time.

        A key with several lines was tried again: the last line counts, but never an infrastructure failure
        over a reply.
        """
        chosen = self._chosen(on_damage).places
        for offset, entry in read_entries(self.path / "journal.jsonl"):
            if offset in chosen:
                yield record_from_json(entry)

    def standing_and_replaced(self, on_damage: OnDamage | None = None) -> tuple[list[Record], list[Record]]:
        """Return the valid reply of each key, as `records`, and those that a later one stands in for."""
        records: list[Record] = []
        choice = _Choice()
        for _, entry in read_entries(self.path / "journal.jsonl", on_damage):
            if entry.get("kind") == "reply":
                choice.see(entry, len(records))
                records.append(record_from_json(entry))
        chosen = choice.places
        return (
            [record for place, record in enumerate(records) if place in chosen],
            [record for place, record in enumerate(records) if place not in chosen],
        )

    def replies(self) -> Iterator[Record]:
        """Yield every reply in the journal, also those that a later one of the same key stands in for."""
        for _, entry in read_entries(self.path / "journal.jsonl"):
            if entry.get("kind") == "reply":
                yield record_from_json(entry)

    def places(self) -> dict[Key, int]:
        """Return where the valid reply of each key is, for `record_at`; in the order received."""
        chosen = self._chosen(None).by_key
        return dict(sorted(chosen.items(), key=lambda item: item[1]))

    def record_at(self, place: int) -> Record:
        """Return the reply at one of `places`."""
        return record_from_json(entry_at(self.path / "journal.jsonl", place))

    def judge_replies(self) -> Iterator[tuple[int, JudgeReply]]:
        """Yield (place, reply) of every judge's reply in the journal, in the order received."""
        for place, entry in read_entries(self.path / "journal.jsonl"):
            if entry.get("kind") == "judge":
                yield place, judge_reply_from_json(entry)

    def _chosen(self, on_damage: OnDamage | None) -> _Choice:
        choice = _Choice()
        for offset, entry in read_entries(self.path / "journal.jsonl", on_damage):
            if entry.get("kind") == "reply":
                choice.see(entry, offset)
        return choice

    # ------------------------------------------------------------ scores

    def write_scores(self, scored: Iterable[ScoredRecord]) -> None:
        """Write `scores.jsonl` in one step."""
        _replace_lines(self.path / "scores.jsonl", (dumps(scored_to_json(s)) for s in scored))

    def scores(self) -> Iterator[ScoredRecord]:
        """Yield the scores of each reply; none before the run was scored."""
        if (self.path / "scores.jsonl").exists():
            for entry in _plain_lines(self.path / "scores.jsonl"):
                yield scored_from_json(entry)

    # ------------------------------------------------------------ lock

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for writing; the lock falls with the process that holds it, however that ends.

        Raises:
            RunError: another process holds it; the message names that process.
        """
        path = self.path / "lock"
        try:
            fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as exc:
            raise StorageError(f"cannot open {path}: {exc.strerror or exc}.") from exc
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:
                holder = os.read(fd, 4096).decode("utf-8", "replace").strip() or "an unknown process"
                raise RunError(f"{self.path} is in use by {holder}; wait for it to end or stop it.") from exc
            os.ftruncate(fd, 0)
            os.write(fd, f"process {os.getpid()} on {socket.gethostname()} since {utc_now()}\n".encode())
            yield
            os.ftruncate(fd, 0)
        finally:
            os.close(fd)


class _Choice:
    """Which reply of a key is valid: the last, but never a failure of infrastructure over a reply."""

    def __init__(self) -> None:
        self.by_key: dict[Key, int] = {}
        self._final: set[Key] = set()

    def see(self, entry: Mapping[str, Any], place: int) -> None:
        """Learn of the reply at `place`, the next in the order received."""
        key = key_from_json(entry)
        if not Outcome(entry["completion"]["outcome"]).infrastructure:
            self._final.add(key)
            self.by_key[key] = place
        elif key not in self._final:
            self.by_key[key] = place

    @property
    def places(self) -> frozenset[int]:
        """The places of the valid replies."""
        return frozenset(self.by_key.values())


def _plain_lines(path: Path) -> Iterator[Any]:
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield loads(line)
                except ValueError as exc:
                    raise RunError(f"{path} line {number} is not JSON: {exc}.") from exc
    except OSError as exc:
        raise RunError(f"cannot read {path}: {exc.strerror or exc}.") from exc


def _replace_lines(path: Path, lines: Iterable[bytes]) -> None:
    _replace(path, (line + b"\n" for line in lines))


def _replace(path: Path, pieces: Iterable[bytes]) -> None:
    """Write the whole file beside `path` first, so that a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        with temporary.open("wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as exc:
        raise StorageError(f"cannot write {path}: {exc.strerror or exc}.") from exc
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
