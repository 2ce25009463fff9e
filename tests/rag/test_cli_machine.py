"""The machine under the command line: paths that are no folders, bytes that are no text, first fetches."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from rag.cli import show
from rag.config import Config, parse_config
from rag.doctor import Finding, examine
from rag.index.catalog import create_collection
from rag.models import LOCAL_MODELS
from tests.fakes.hub import FakeHub
from tests.fakes.server import FakeServer
from tests.rag.index.making import settings
from tests.rag.test_cli import in_process
from tests.rag.test_models import CONTENT, tiny


def test_a_home_that_is_a_file_costs_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").write_text("a file is in the way")
    (tmp_path / "a.md").write_text("some words")
    done = in_process("ingest", str(tmp_path / "a.md"), "-c", "notes")
    assert done.exit_code == 1
    assert "Not a directory" in done.stderr
    assert "RAGASSAY_HOME" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    homes = [finding for finding in examine(Config()) if finding.topic == "home"]
    assert [(home.ok, "is no folder" in home.what) for home in homes] == [(False, True)]


def test_a_home_of_no_user_costs_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGASSAY_HOME", "~no-such-user/home")
    done = in_process("collections", "list")
    assert done.exit_code == 2
    assert "~no-such-user/home: there is no such user" in done.stderr


@pytest.mark.parametrize("url", ["http://localhost:abc/v1", "http://[::1/v1"])
def test_the_doctor_names_an_address_that_is_none(url: str) -> None:
    config = parse_config({"providers": {"lab": {"base_url": url}}}, folder=Path())
    (found,) = [finding for finding in examine(config) if "lab: http" in finding.what]
    assert found.ok is False
    assert url in found.what
    assert "http://HOST:PORT" in found.fix


@pytest.mark.parametrize("error", [OSError("odd"), TimeoutError(), ConnectionResetError(104, "reset")])
def test_any_error_of_the_system_costs_a_line(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("rag.models.model_status", fail)
    done = in_process("models", "list")
    assert done.exit_code == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_documents_do_not_command_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGASSAY_HOME", str(tmp_path / "home"))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "log\x1b[2J.txt").write_text("The duck \x1b[31m costs five dollars \x9b today.")
    (tmp_path / "docs" / "bad\x1b[2J.pdf").write_text("no PDF")
    shown = [
        in_process("ingest", str(tmp_path / "docs"), "-c", "notes"),
        in_process("search", "duck", "-c", "notes"),
        in_process("collections", "show", "notes"),
        in_process("ask", "What does the duck cost?", "-c", "notes", "-p", "extractive"),
        in_process("ask", "What does the duck cost?", "-c", "notes", "-p", "extractive", "--no-stream"),
    ]
    for done in shown:
        assert "\ufffd[" in done.output
        assert not set("\x1b\x9b") & set(done.output)


def test_json_replaces_what_is_not_utf8(capsys: pytest.CaptureFixture[str]) -> None:
    show.print_json({"caf\udce9": ["\udce9", ("é", 1, None)]})
    assert json.loads(capsys.readouterr().out) == {"caf?": ["?", ["é", 1, None]]}


def test_arguments_that_are_not_utf8_are_named() -> None:
    script = "from evals.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "ingest", b"caf\xe9.md", "-c", "notes", "--json"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert b"no such file" in done.stderr
    assert b"Traceback" not in done.stderr


# ---------------------------------------------------------------- first fetches


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    monkeypatch.setenv("RAGASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RAGASSAY_MODEL_SOURCE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setitem(LOCAL_MODELS, "tiny", tiny("llm"))
    return FakeHub(dict(CONTENT))


def test_a_fetch_says_so_in_a_log_and_pull_names_the_file(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        first, second = in_process("models", "pull", "tiny"), in_process("models", "pull", "tiny")
    assert first.exit_code == 0, first.stderr
    assert first.stderr == "fetching tiny, 1 MB ...\n"
    assert first.stdout.startswith("tiny: 1 MB, verified, ")
    assert (second.stderr, second.stdout) == ("", first.stdout)


def test_a_bar_gives_way_to_the_bar_of_a_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)
    with show.progress_bar() as bar:
        task = bar.add_task("reading", total=2, info="")
        with show.byte_progress("tiny", 100) as fetched:
            assert not bar.live.is_started
            fetched(50, 100)
        assert bar.live.is_started
        bar.update(task, completed=2)
    assert "fetching tiny" in screen.getvalue()


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from evals.cli import main; sys.argv = ['ragassay', '--help']\n"
        "try: main()\n"
        "except SystemExit: print({'rich', 'pydantic', 'orjson', 'rag.models'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


# ---------------------------------------------------------------- doctor


def topics(topic: str, config: Config | None = None) -> list[Finding]:
    return [finding for finding in examine(config or Config()) if finding.topic == topic]


def test_doctor_tells_keys_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    said = [finding.what for finding in topics("key")]
    assert not any("VLLM_API_KEY" in what for what in said)
    assert "groq: GROQ_API_KEY is not set" in said
    monkeypatch.setenv("VLLM_API_KEY", "k")
    assert "vllm: VLLM_API_KEY is set" in [finding.what for finding in topics("key")]


def test_a_damaged_manifest_is_not_sent_to_repair(tmp_path: Path) -> None:
    home = Config().home_dir()
    for name in ("broken", "whole"):
        create_collection(home, settings(name)).close()
    (home / "collections" / "broken" / "manifest.sqlite3").write_bytes(b"broken" * 4000)
    (found, whole) = topics("collection")
    assert (found.ok, whole.ok) == (False, True)
    assert "collections drop broken" in found.what
    assert "repair" not in found.what + found.fix
    listed = in_process("collections", "list", "--json")
    assert [row["problem"] is None for row in json.loads(listed.stdout)] == [False, True]
    verified = in_process("collections", "verify", "broken")
    assert verified.exit_code == 1
    assert "collections drop broken" in verified.stderr
    assert "repair" not in verified.stdout + verified.stderr


def test_doctor_tells_which_local_servers_answer(tmp_path: Path) -> None:
    with FakeServer() as server:
        config = parse_config({"providers": {"lab": {"base_url": server.base_url}}}, folder=tmp_path)
        first, *others = topics("server", config)
    assert (first.ok, first.what.startswith("lab: something listens at ")) == (True, True)
    stopped = topics("server", config)[-1]
    assert stopped.ok is None
    assert "lab" in stopped.what
    assert all(finding.ok is not False for finding in others)


def test_doctor_names_what_an_address_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_OPENAI_ENDPOINT", raising=False)
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "canary")
    wrong = [finding for finding in topics("key") if finding.ok is False]
    assert [finding.what for finding in wrong] == ["azure: AZURE_OPENAI_ENDPOINT is not set"]
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://mine.openai.azure.com")
    assert not [finding for finding in topics("key") if finding.ok is False]


def test_doctor_tells_what_may_be_deleted(tmp_path: Path) -> None:
    home = Config().home_dir()
    home.mkdir(parents=True, exist_ok=True)
    (home / "embeddings.sqlite3").write_bytes(b"x" * 2_000_000)
    named = tmp_path / "mine.sqlite3"
    named.write_bytes(b"")
    said = [
        finding.what for finding in topics("stored", parse_config({"cache": str(named)}, folder=tmp_path))
    ]
    assert any("embeddings.sqlite3 (2.0 MB)" in what for what in said)
    assert any("mine.sqlite3" in what for what in said)


def test_doctor_names_the_tool_that_keeps_programs_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    (found,) = topics("sandbox")
    assert (found.ok, found.fix) == (None, "apt install bubblewrap")
