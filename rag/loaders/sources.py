"""What the user names (files, folders, globs, URLs) to a list of files, each found once."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["Failure", "Source", "discover"]

_WILDCARD = re.compile(r"[*?\[]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One file or URL to load.

    `name` is what citations show: the path relative to the SOURCE given, with `/` on every system, or the
    whole URL. `data` holds the bytes where they have been read already.
    """

    name: str
    locator: Path | str
    data: bytes | None = None

    @property
    def is_url(self) -> bool:
        """True where the locator is a URL."""
        return isinstance(self.locator, str)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A source that could not be found or read, and why, with the cure."""

    source: str
    error: str


def discover(sources: Sequence[str]) -> tuple[list[Source], list[Failure]]:
    """Return the files and URLs that SOURCEs stand for, in order, and what is wrong with the others.

    A folder is walked in sorted order without hidden entries; a glob (with `**`) matches files below its
    part without wildcards. A link is followed as long as it stays inside the folder. A file reached twice is
    returned once. Where two SOURCEs have a file of the same relative name, the later one's carries the
    names of its folders in front.
    """
    found: list[Source] = []
    failures: list[Failure] = []
    seen: set[str] = set()
    names: set[str] = set()
    for given in dict.fromkeys(sources):
        for item, path in _expand(given):
            if isinstance(item, Failure):
                failures.append(Failure(source=_name(item.source), error=_name(item.error)))
                continue
            key = item.locator if isinstance(item.locator, str) else os.path.realpath(item.locator)
            if key in seen:
                continue
            seen.add(key)
            name = item.name if path is None or item.name not in names else _longer(path, names)
            names.add(name)
            found.append(item if name == item.name else Source(name=name, locator=item.locator))
    return found, failures


def _expand(given: str) -> Iterator[tuple[Source | Failure, Path | None]]:
    """Return what one SOURCE stands for; whatever is wrong with it is its own failure, not the others'."""
    try:
        yield from _found(given)
    except OSError as exc:
        error = f"it cannot be looked up ({exc.strerror or exc}); check the spelling and the permissions."
        yield Failure(source=given, error=error), None
    except RuntimeError as exc:  # of expanduser
        yield Failure(source=given, error=f"{exc}; give the whole path."), None


def _found(given: str) -> Iterator[tuple[Source | Failure, Path | None]]:
    scheme = _SCHEME.match(given)
    if scheme:
        yield _url(given, scheme[1].lower()), None
        return
    path = Path(given).expanduser()
    if not given or "\0" in given:
        yield (
            Failure(source=given, error="the name is empty or holds a NUL; name a file, folder or URL."),
            None,
        )
    elif path.is_dir():
        yield from _folder(given, path)
    elif os.path.lexists(path):
        error = _not_a_file(path)
        item = Failure(source=given, error=error) if error else Source(name=_name(path.name), locator=path)
        yield item, path
    elif _WILDCARD.search(given):
        yield from _glob(given, path)
    else:
        where = path.absolute().parent
        near = "" if where.is_dir() else f" (there is no folder {where})"
        yield Failure(source=given, error=f"no such file or folder{near}; check the spelling."), None


def _url(given: str, scheme: str) -> Source | Failure:
    if scheme not in {"http", "https"}:
        cure = "give the path itself" if scheme == "file" else "download it and give the file"
        return Failure(source=given, error=f"only http and https URLs are fetched, not {scheme}; {cure}.")
    try:
        parts = urlsplit(given)
    except ValueError as exc:
        return Failure(source=given, error=f"not a valid URL ({exc}); check the spelling.")
    if parts.username or parts.password:
        shown = f"{scheme}://...@{parts.hostname}{parts.path}"
        return Failure(
            source=shown, error="URLs with a user name or password are refused; download it yourself."
        )
    return Source(name=_name(given), locator=given)


def _folder(given: str, root: Path) -> Iterator[tuple[Source | Failure, Path | None]]:
    empty = True
    for relative, item in _walk(root):
        empty = False
        if isinstance(item, str):
            yield Failure(source=f"{given.rstrip('/')}/{relative}", error=item), None
        else:
            yield Source(name=relative, locator=item), item
    if empty:
        yield Failure(source=given, error="the folder holds no files (hidden ones are skipped)."), None


def _glob(given: str, path: Path) -> Iterator[tuple[Source | Failure, Path | None]]:
    parts = path.parts
    first = next(i for i, part in enumerate(parts) if _WILDCARD.search(part))
    root = Path(*parts[:first]) if first else Path()
    try:
        pattern = _translate("/".join(parts[first:]))
    except re.error as exc:
        error = f"not a pattern ({exc}); a set is written such as [a-z], with the lower end first."
        yield Failure(source=given, error=error), None
        return
    depth = None if "**" in given else len(parts) - first
    empty = True
    for relative, item in _walk(root, depth) if root.is_dir() else ():
        if pattern.fullmatch(relative):
            empty = False
            if isinstance(item, str):
                yield Failure(source=relative, error=item), None
            else:
                yield Source(name=relative, locator=item), item
    if empty:
        yield Failure(source=given, error="no file matches; '**' crosses folders, '*' does not."), None


def _translate(pattern: str) -> re.Pattern[str]:
    """Compile a glob to a regular expression: `*` and `?` stay inside a folder, `**` crosses folders."""
    out = []
    for sign in re.findall(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", pattern, re.DOTALL):
        if sign == "**/":
            out.append("(?:.*/)?")
        elif sign == "**":
            out.append(".*")
        elif sign == "*":
            out.append("[^/]*")
        elif sign == "?":
            out.append("[^/]")
        elif len(sign) > 2 and sign[0] == "[":
            body = sign[1:-1].replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]")
            out.append(f"[^/{body[1:]}]" if body.startswith("!") else f"[{body.replace('^', chr(92) + '^')}]")
        else:
            out.append(re.escape(sign))
    return re.compile("".join(out), re.DOTALL)


def _walk(root: Path, depth: int | None = None) -> Iterator[tuple[str, Path | str]]:
    """Return (relative name, path or what is wrong with it) of each file; links are looked at last.

    Files in `root` itself are at depth 1; folders that hold only files deeper than `depth` are not opened.
    """
    home = os.path.realpath(root)
    visited = {home}
    files: list[tuple[str, Path | str]] = []
    links: list[tuple[str, Path]] = []
    folders: list[tuple[str, Path]] = [("", root)]
    while folders or links:
        if not folders:
            relative, path = links.pop()
            target = os.path.realpath(path)
            if not _is_folder(path) or _leaves(path, home):
                files.append((relative, _leaves(path, home) or _not_a_file(path) or path))
            elif target not in visited and _holds(relative, depth):
                visited.add(target)
                folders.append((f"{relative}/", path))
            continue
        prefix, folder = folders.pop()
        for entry in _entries(folder, prefix, files):
            path = folder / entry.name
            relative = prefix + _name(entry.name)
            if entry.is_symlink():
                links.append((relative, path))
            elif entry.is_dir():
                if not _holds(relative, depth):
                    continue
                visited.add(os.path.realpath(path))
                folders.append((f"{relative}/", path))
            else:
                files.append((relative, _not_a_file(path) or path))
    return _each_once(files)


def _holds(folder: str, depth: int | None) -> bool:
    """Whether the files in `folder`, named from the root, are at most so deep."""
    return depth is None or folder.count("/") + 2 <= depth


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _each_once(files: list[tuple[str, Path | str]]) -> Iterator[tuple[str, Path | str]]:
    """Yield the entries sorted by name, links to files that are there themselves left out."""
    targets = [(relative, item, isinstance(item, Path) and item.is_symlink()) for relative, item in files]
    real = {os.path.realpath(item) for _, item, linked in targets if isinstance(item, Path) and not linked}
    for relative, item, linked in sorted(targets, key=lambda entry: entry[0]):
        if not (linked and os.path.realpath(item) in real):
            yield relative, item


def _entries(folder: Path, prefix: str, files: list[tuple[str, Path | str]]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as scan:
            return [entry for entry in scan if not entry.name.startswith(".")]
    except OSError as exc:
        files.append(
            (prefix.rstrip("/"), f"the folder cannot be read ({exc.strerror}); check its permissions.")
        )
        return []


def _leaves(path: Path, home: str) -> str:
    target = os.path.realpath(path)
    if not os.path.exists(target):  # noqa: PTH110 - realpath gives a string
        return "the link points to nothing; remove it or mend it."
    if os.path.commonpath([home, target]) != home:
        return "the link leads out of the folder and is not followed; name its target as a SOURCE of its own."
    return ""


def _not_a_file(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        return f"the file cannot be reached ({exc.strerror}); check the link and its permissions."
    if stat.S_ISREG(mode):
        return ""
    kinds = ((stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"))
    kind = next((words for test, words in kinds if test(mode)), "a device")
    return f"it is {kind}, not a regular file; save its content to a file."


def _name(name: str) -> str:
    """Return a file name without lone surrogates, which stand for bytes that are not UTF-8."""
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return name.encode("utf-8", "backslashreplace").decode()


def _longer(path: Path, names: set[str]) -> str:
    """Put folder names in front of a path's last part until no other source has that name."""
    parts = [_name(part) for part in path.absolute().parts]
    for take in range(2, len(parts) + 1):
        name = "/".join(parts[-take:]).lstrip("/")
        if name not in names:
            return name
    return "/".join(parts)
