"""Zip containers opened with limits, so that a small file cannot unpack to a large one."""

from __future__ import annotations

import io
import zipfile
import zlib

from rag.errors import LoadError

__all__ = ["MAX_RATIO", "MAX_UNPACKED_BYTES", "Archive"]

MAX_ENTRIES = 10_000
MAX_RATIO = 100
MAX_UNPACKED_BYTES = 200_000_000
_RATIO_FROM_BYTES = 1_000_000


class Archive:
    """A zip file in memory; reading more than the limits allow raises.

    Raises:
        LoadError: not a whole zip file, or more than 10,000 entries.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OSError) as exc:
            raise LoadError("the file is a broken zip container; save or copy it again.") from exc
        self._entries = {info.filename: info for info in self._zip.infolist()}
        self._read = 0
        if len(self._entries) > MAX_ENTRIES:
            raise LoadError(
                f"the file holds {len(self._entries):,} parts, more than {MAX_ENTRIES:,} are refused."
            )

    @property
    def names(self) -> frozenset[str]:
        """The names of the entries."""
        return frozenset(self._entries)

    def read(self, name: str) -> bytes:
        """Return an entry's bytes; empty where there is no such entry.

        Raises:
            LoadError: packed more than 100:1, more than 200 MB in all, encrypted or damaged.
        """
        info = self._entries.get(name)
        if info is None:
            return b""
        if info.flag_bits & 0x1:
            raise LoadError("the file is password-protected; save it without a password.")
        size = info.file_size
        if size > _RATIO_FROM_BYTES and size > MAX_RATIO * max(1, info.compress_size):
            raise LoadError(
                f"its part {name!r} unpacks {size // max(1, info.compress_size):,}:1, "
                f"more than {MAX_RATIO}:1 is refused as a zip bomb; save it again with its own program."
            )
        self._read += size
        if self._read > MAX_UNPACKED_BYTES:
            raise LoadError(
                f"it unpacks to more than {MAX_UNPACKED_BYTES // 1_000_000} MB; split it into smaller files."
            )
        try:
            return self._zip.read(info)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as exc:
            raise LoadError(f"its part {name!r} is damaged; save or copy the file again.") from exc
