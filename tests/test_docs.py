"""The documentation runs: marked blocks of README.md, examples in docstrings, every command that is shown.

Between `<!-- test: NAME -->` and `<!-- /test -->` every fenced block marked `bash` or `python` is run, all in
their order in one folder that holds `corpora` and `configs` as a checkout does.
"""

from __future__ import annotations

import doctest
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import evals.cli
from rag import ingest
from rag.cli.app import app
from tests.test_packaging import MODULES, REPO

README = REPO / "README.md"
_SECTION = re.compile(r"<!-- test: ([\w-]+) -->\n(.*?)<!-- /test -->", re.DOTALL)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")
_EXAMPLES_NEED = ("corpora/handbook/docs/en/groq-vs-grok.md", "corpora/handbook/docs/en/faq.md")
WITH_EXAMPLES = tuple(
    name for name in MODULES if ">>> " in Path(str(find_spec(name).origin)).read_text(encoding="utf-8")
)
_RUNNERS = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line it starts in."""

    language: str
    text: str
    line: int


def blocks(text: str, first_line: int = 1) -> list[Block]:
    return [Block(m[1], m[2], first_line + text.count("\n", 0, m.start()) + 1) for m in _BLOCK.finditer(text)]


def marked_blocks() -> Iterator[Block]:
    text = README.read_text(encoding="utf-8")
    for section in _SECTION.finditer(text):
        yield from blocks(section[2], 1 + text.count("\n", 0, section.start(2)))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the parts of a checkout that documentation names, as the current one."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("corpora", "configs"):
        (folder / name).symlink_to(REPO / name, target_is_directory=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.timeout(900)
def test_the_tour_of_the_readme_runs(checkout: Path) -> None:
    tour = list(marked_blocks())
    assert {block.language for block in tour} <= {*_RUNNERS, "text"}
    assert any(block.language == "bash" for block in tour), (
        "README.md has no ```bash block between '<!-- test: tour -->' and '<!-- /test -->'"
    )
    scripts = sysconfig.get_path("scripts")
    env = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    for block in tour:
        if block.language in _RUNNERS:
            done = subprocess.run(
                [*_RUNNERS[block.language], block.text],
                cwd=checkout,
                env=env,
                capture_output=True,
                check=False,  # the assertion below shows more
                text=True,
                stdin=subprocess.DEVNULL,
            )
            report = f"README.md line {block.line} exits {done.returncode}\n{done.stdout}\n{done.stderr}"
            assert done.returncode == 0, report


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the collection that the examples use."""
    home = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAGASSAY_HOME", str(home))
        patch.chdir(REPO)
        ingest(list(_EXAMPLES_NEED), "handbook")
    return home


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings_run(
    name: str, checkout: Path, ingested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGASSAY_HOME", str(shutil.copytree(ingested, tmp_path / "own")))
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    output: list[str] = []
    for test in doctest.DocTestFinder().find(importlib.import_module(name), name):
        runner.run(test, out=output.append)
    assert runner.tries
    assert not runner.failures, "".join(output)


def test_the_python_surface_has_examples() -> None:
    text = "\n".join(block.text for block in marked_blocks() if block.language == "python")
    for name in WITH_EXAMPLES:
        tests = doctest.DocTestFinder().find(importlib.import_module(name), name)
        text += "".join(example.source for test in tests for example in test.examples)
    used = set(re.findall(r"\w+", text))
    names = {"ingest", "search", "ask", "Index", "rag_chain"}
    names |= {"run", "resume", "report", "compare", "choose", "history"}
    assert names <= used, f"no example uses {sorted(names - used)}"


def shown_commands() -> Iterator[tuple[str, list[str]]]:
    for path in (README, REPO / "CONTRIBUTING.md"):
        for block in blocks(path.read_text(encoding="utf-8")):
            if block.language in {"bash", "console", "sh"}:
                for line in block.text.replace("\\\n", " ").splitlines():
                    words = shlex.split(line.removeprefix("$ "), comments=True)
                    if words[:1] == ["ragassay"] or words[:1] == ["make"]:
                        yield f"{path.name}: {line}", words


def test_commands_that_are_shown_exist() -> None:
    assert evals.cli.COMMAND_MODULES
    targets = set(re.findall(r"^(\w+):", (REPO / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for where, words in shown_commands():
        if words[0] == "make":
            named = {word for word in words[1:] if "=" not in word and not word.startswith("-")}
            assert named <= targets, where
            continue
        command = get_command(app)
        for word in words[1:]:
            if word.startswith("-") or not hasattr(command, "commands"):
                break
            assert word in command.commands, f"{where}: no command {word!r}"
            command = command.commands[word]
        known = {option for parameter in command.params for option in parameter.opts}
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        unknown = given - known - {"--help", "-h"}
        assert not unknown, f"{where}: no option {sorted(unknown)}"


@pytest.mark.parametrize("group", ["", "eval", "testset", "collections", "providers", "models"])
def test_lists_of_commands_are_not_cut_off(group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, [*group.split(), "--help"]).stdout.partition("\nCommands:")[2]
    assert shown
    assert "..." not in shown


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_to_files_lead_somewhere(name: str) -> None:
    links = _LINK.findall((REPO / name).read_text(encoding="utf-8"))
    broken = [link for link in links if not (REPO / link).exists()]
    assert not broken
