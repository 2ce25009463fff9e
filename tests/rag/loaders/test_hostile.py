from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.errors import LoadError
from rag.loaders import Limits, Source, discover, load, load_many
from rag.loaders.archive import Archive
from rag.loaders.pool import Worker, read
from tests.rag.loaders.files import docx_bytes, pdf_bytes, zip_bytes

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
TIGHT = Limits(cpu_s=3, wall_s=50, memory_bytes=256 << 20)
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="address space limits hold on Linux only")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def wait_until_gone(pid: int, seconds: float = 60) -> bool:
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive(pid)


def docx_with(xml: str) -> bytes:
    return zip_bytes({"word/document.xml": xml.encode()})


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
BOMBS: dict[str, tuple[bytes, str]] = {
    "zip bomb": (docx_with(f"<w:document {W}><w:body>{' ' * 30_000_000}</w:body></w:document>"), "zip bomb"),
    "many parts": (zip_bytes({f"word/{i}": b"" for i in range(10_001)}), "10,001 parts"),
    "billion laughs": (
        docx_with(f'<!DOCTYPE x [<!ENTITY l0 "lol">{LAUGHS}]><w:document {W}>&l9;</w:document>'),
        "DTD",
    ),
    "outside entity": (
        docx_with(f'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><w:document {W}>&f;</w:document>'),
        "DTD",
    ),
    "deep docx": (
        docx_with(f"<w:document {W}><w:body>{'<w:sdt>' * 5000}{'</w:sdt>' * 5000}</w:body></w:document>"),
        "document.xml",
    ),
    "deep json": (b"[" * 2_000_000, "JSON"),
    "broken pdf": (pdf_bytes(["x"])[:-200].replace(b"/Pages", b"/Pagez"), "broken"),
    "page loop": (pdf_bytes(["x"]).replace(b"/Kids [", b"/Kids [2 0 R "), ""),
}


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with contextlib.closing(Worker(TIGHT)) as worker:
        yield worker


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_are_refused_in_the_child(worker: Worker, kind: str) -> None:
    data, words = BOMBS[kind]
    name = "a.json" if "json" in kind else "a.docx"
    began = time.monotonic()
    with pytest.raises(LoadError) if words else contextlib.suppress(LoadError) as caught:
        worker.parse(data, name)
    if words:
        assert words in str(caught.value)
        assert "root:" not in str(caught.value)
    assert time.monotonic() - began < 60
    assert worker.parse(b"still here", "a.txt")[0].text == "still here"


def test_a_zip_without_its_beginning_is_damaged() -> None:
    data = zip_bytes({"a": b"x" * 200, "b": b"y"})
    archive = Archive(data[:4] + data[20:])
    assert archive.read("b") == b"y"
    with pytest.raises(LoadError, match="'a' is damaged"):
        archive.read("a")


@needs_linux
@pytest.mark.parametrize("kind", ["deep html", "wide html", "memory", "csv"])
def test_what_takes_too_much_is_ended_or_read(worker: Worker, kind: str) -> None:
    data, name = {
        "deep html": (b"<html><body>" + b"<div>" * 50_000 + b"deep", "a.html"),
        "wide html": (b"<html><body>" + b"<p>x<table><tr><td>" * 30_000, "a.html"),
        "memory": (("\U0001f600" * 20_000_000).encode(), "a.txt"),
        "csv": (b"a,b\n" + b'"' + b"x" * 22_000_000, "a.csv"),
    }[kind]
    began = time.monotonic()
    with contextlib.suppress(LoadError):
        worker.parse(data, name)
    assert time.monotonic() - began < 60
    assert worker.parse(b"still here", "a.txt")[0].text == "still here"


def test_past_its_cpu_time_a_file_is_ended_and_the_limit_named() -> None:
    slow = Worker(Limits(cpu_s=0.5, wall_s=30))
    rows = b"\n".join(b'{"k%d": [{"a": 1}, {"b": [2, {"c": 3}]}]}' % i for i in range(500_000))
    try:
        with pytest.raises(LoadError, match=r"0\.5 s of CPU"):
            slow.parse(rows, "a.jsonl")
        assert slow.parse(b"next", "a.txt")[0].text == "next"
    finally:
        slow.close()


def test_past_its_wall_time_a_file_is_ended_and_the_limit_named() -> None:
    worker = Worker(Limits(wall_s=2))
    try:
        worker.parse(b"start", "a.txt")
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGSTOP)
        with pytest.raises(LoadError, match="longer than 2 s"):
            worker.parse(b"hangs", "a.txt")
        assert worker.parse(b"next", "a.txt")[0].text == "next"
    finally:
        worker.close()


def test_a_killed_child_costs_no_file() -> None:
    worker = Worker()
    try:
        worker.parse(b"start", "a.txt")
        first = worker.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_until_gone(first)
        assert worker.parse(b"next", "a.txt")[0].text == "next"
        assert worker.pid != first
        os.kill(worker.pid or 0, signal.SIGSTOP)
        threading.Timer(0.3, os.kill, (worker.pid, signal.SIGKILL)).start()
        assert worker.parse(b"read again", "a.txt")[0].text == "read again"
    finally:
        worker.close()


def test_reading_on_gives_all_in_order_and_leaves_no_child(tmp_path: Path) -> None:
    for index in range(30):
        (tmp_path / f"{index:02}.txt").write_text(f"text {index}" if index % 3 else "")
    sources, _ = discover([str(tmp_path)])
    results = load_many(sources, workers=2)
    loaded = list(results)
    assert [source.name for source, _ in loaded] == [f"{index:02}.txt" for index in range(30)]
    assert [isinstance(result, LoadError) for _, result in loaded] == [index % 3 == 0 for index in range(30)]


def test_sources_are_taken_only_as_needed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    taken = 0

    def endless() -> object:
        nonlocal taken
        while True:
            taken += 1
            yield Source(name=f"{taken}", locator=tmp_path / "a.txt")

    results = load_many(endless(), workers=2)  # type: ignore[arg-type]
    next(results)
    assert taken <= 4
    results.close()  # type: ignore[attr-defined]


SCRIPT = """
import sys, pathlib
from rag.loaders import Source, load_many
source = Source(name="a.txt", locator=pathlib.Path(sys.argv[1]))
def sources():
    yield from [source] * 100_000  # far more than the test waits for, yet an end
import rag.loaders.pool as pool
start = pool._start
def told(limits):
    child = start(limits)
    sys.stdout.write(f"{child.pid}\\n")
    sys.stdout.flush()
    return child
pool._start = told
for _ in load_many(sources(), workers=2):
    pass
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_whatever_ends_the_parent_ends_the_children(tmp_path: Path, sign: signal.Signals) -> None:
    file = tmp_path / "a.txt"
    file.write_text("x" * 100_000)
    parent = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    try:
        pids = [int(parent.stdout.readline()) for _ in range(2)]
        time.sleep(0.3)
        parent.send_signal(sign)
        parent.communicate(timeout=60)
    finally:
        parent.kill()
    assert all(wait_until_gone(pid) for pid in pids)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    big = tmp_path / "big.txt"
    with big.open("wb") as file:
        file.truncate(200_000_001)
    with pytest.raises(LoadError, match="more than the 200 MB limit"):
        read(Source(name="big.txt", locator=big))
    with pytest.raises(LoadError, match="is gone"):
        read(Source(name="x", locator=tmp_path / "x"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LoadError):
        load(Source(name="pipe", locator=tmp_path / "pipe"))
    with pytest.raises(LoadError, match="cannot be read"):
        read(Source(name="d", locator=tmp_path))
    if os.geteuid():
        big.chmod(0)
        with pytest.raises(LoadError, match="no permission"):
            read(Source(name="big.txt", locator=big))


def test_bytes_already_read_are_not_read_again() -> None:
    (document,) = load(Source(name="a.docx", locator=Path("/nowhere"), data=docx_bytes()))
    assert document.title == "Returns policy"


def test_the_working_folder_lends_no_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "orjson.py").write_text("open('planted', 'w').close()\nraise SystemExit(3)\n")
    (tmp_path / "a.txt").write_text("some words")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep)  # its empty parts mean the working folder
    (document,) = load(Source(name="a.txt", locator=tmp_path / "a.txt"))
    assert "some words" in document.text
    assert not (tmp_path / "planted").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_child_gets_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-1234")
    worker = Worker()
    try:
        worker.parse(b"some words", "a.txt")
        held = Path(f"/proc/{worker.pid}/environ").read_bytes()
    finally:
        worker.close()
    assert b"PYTHONPATH=" in held
    assert b"sk-canary" not in held
