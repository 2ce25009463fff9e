from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from rag.loaders import Failure, Source, discover


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    return root


def names(sources: list[Source]) -> list[str]:
    return [source.name for source in sources]


def test_a_folder_is_walked_sorted_and_without_hidden_entries(tmp_path: Path) -> None:
    root = tree(tmp_path / ".root", "b.md", "a/z.md", "a/b/c.txt", ".hidden", ".git/config", "a/.x/y.md")
    found, failures = discover([str(root)])
    assert names(found) == ["a/b/c.txt", "a/z.md", "b.md"]
    assert failures == []
    assert found[0].locator == root / "a/b/c.txt"


def test_a_file_has_its_own_name_and_globs_names_below_their_fixed_part(tmp_path: Path) -> None:
    root = tree(tmp_path, "d/a.md", "d/s/b.md", "d/s/t/c.md", "d/s/x.txt", "d/[1].md")
    assert names(discover([str(root / "d/a.md")])[0]) == ["a.md"]
    assert names(discover([f"{root}/d/*.md"])[0]) == ["[1].md", "a.md"]
    assert names(discover([f"{root}/d/**/*.md"])[0]) == ["[1].md", "a.md", "s/b.md", "s/t/c.md"]
    assert names(discover([f"{root}/d/s/?.*"])[0]) == ["b.md", "x.txt"]
    assert names(discover([f"{root}/d/s/[!b].*"])[0]) == ["x.txt"]
    assert names(discover([f"{root}/d/[1].md"])[0]) == ["[1].md"]  # a name that exists is no pattern
    assert names(discover([f"{root}/d/**"])[0]) == ["[1].md", "a.md", "s/b.md", "s/t/c.md", "s/x.txt"]


def test_the_same_file_is_found_once_and_equal_names_are_told_apart(tmp_path: Path) -> None:
    root = tree(tmp_path, "one/a.md", "two/a.md", "two/b.md")
    found, failures = discover(
        [str(root / "one"), str(root / "two"), str(root / "two/a.md"), str(root / "one")]
    )
    assert names(found) == ["a.md", "two/a.md", "b.md"]
    assert failures == []


def test_links_inside_are_followed_once_and_links_out_are_named(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "real/a.md", ".data/hidden.md")
    outside = tree(tmp_path / "out", "secret.md")
    (root / "loop").symlink_to(root)
    (root / "again").symlink_to(root / "real")
    (root / "copy.md").symlink_to(root / "real/a.md")
    (root / "shown.md").symlink_to(root / ".data/hidden.md")
    (root / "passwd").symlink_to(outside / "secret.md")
    (root / "folder").symlink_to(outside)
    (root / "dead").symlink_to(root / "nothing")
    (root / "self").symlink_to(root / "self")
    found, failures = discover([str(root)])
    assert names(found) == ["real/a.md", "shown.md"]
    assert [failure.source.rsplit("/", 1)[-1] for failure in failures] == ["dead", "folder", "passwd", "self"]
    assert "leads out of the folder" in failures[1].error


def test_what_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "sock"))
        found, failures = discover([str(tmp_path), "/dev/null"])
    assert found == []
    assert "named pipe" in failures[0].error
    assert "socket" in failures[1].error
    assert failures[2] == Failure(
        source="/dev/null", error="it is a device, not a regular file; save its content to a file."
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("/no/such/folder/x.md", "there is no folder /no/such/folder"),
        ("nothing-here.md", "no such file or folder; check"),
        ("nothing-*.md", "no file matches"),
        ("", "empty"),
        ("a\0b", "NUL"),
        ("ftp://host/x", "only http and https"),
        ("file:///etc/passwd", "give the path itself"),
        ("https://user:hunter2@host/x", "user name or password"),
        ("http://[::1", "not a valid URL"),
        ("x" * 300, "File name too long"),
        ("x[z-a].md", "not a pattern"),
        ("~nobody-of-this-name/x", "home directory"),
        ("a\udce9.md", "no such file"),
        ("\ud800.md", "no such file or folder"),
    ],
)
def test_what_cannot_be_found_is_named_with_its_cure(given: str, words: str) -> None:
    found, (failure,) = discover([given])
    assert found == []
    (failure.source + failure.error).encode()
    assert words in failure.error
    assert "hunter2" not in failure.source + failure.error


def test_a_source_that_cannot_be_looked_up_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, "a.md")
    looked_up = Path.is_dir

    def is_dir(path: Path) -> bool:  # root may read everything, so the refusal is played
        if "closed" in path.parts:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return looked_up(path)

    monkeypatch.setattr(Path, "is_dir", is_dir)
    found, failures = discover(["x" * 300, "/closed/b.md", "x[z-a]", str(tmp_path / "a.md")])
    assert names(found) == ["a.md"]
    assert [failure.source for failure in failures] == ["x" * 300, "/closed/b.md", "x[z-a]"]
    assert "Permission denied" in failures[1].error


def test_a_glob_looks_no_deeper_than_its_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path, "d/a.md", "d/s/b.md", "d/s/t/c.md")
    (root / "d/link").symlink_to(root / "d/s")
    opened: list[str] = []
    scandir = os.scandir

    def watched(path: Path) -> object:
        opened.append(path.name)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watched)
    assert names(discover([f"{root}/d/*.md"])[0]) == ["a.md"]
    assert opened == ["d"]
    assert names(discover([f"{root}/d/*/*.md"])[0]) == ["s/b.md"]
    assert "t" not in opened


def test_an_empty_folder_is_named_and_urls_are_kept_whole(tmp_path: Path) -> None:
    found, (failure,) = discover([str(tmp_path), "https://example.org/a?b=1"])
    assert "holds no files" in failure.error
    assert found == [Source(name="https://example.org/a?b=1", locator="https://example.org/a?b=1")]


def test_names_that_are_not_utf8_become_storable(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.md")).write_text("x")
    except OSError:
        pytest.skip("this file system refuses such names")
    (source,) = discover([str(tmp_path)])[0]
    assert source.name == r"caf\xe9.md"
    source.name.encode()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    closed = tree(tmp_path, "a.md", "closed/b.md") / "closed"
    closed.chmod(0)
    try:
        found, (failure,) = discover([str(tmp_path)])
    finally:
        closed.chmod(0o755)
    assert names(found) == ["a.md"]
    assert "Permission denied" in failure.error
