"""The command line as a user meets it: output, errors in one or two lines, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import evals.cli  # noqa: F401  adds its commands
from rag.cli.app import app
from tests.fakes.server import FakeServer


def in_process(*arguments: str, stdin: str = "") -> Result:
    """Run the command in this process: quicker, for what does not depend on a process of its own."""
    return CliRunner().invoke(app, arguments, input=stdin)


def ragassay(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a child process with the test's own home."""
    return subprocess.run(
        [sys.executable, "-c", "from evals.cli import main; main()", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a small collection `notes`."""
    folder = tmp_path_factory.mktemp("cli")
    docs = folder / "docs"
    docs.mkdir()
    (docs / "groq.md").write_text("# Groq\n\nGroq, Inc. was founded in 2016. Its chip is called the LPU.\n")
    (docs / "grok.md").write_text("# Grok\n\nO Grok é o chatbot da xAI, a empresa de Elon Musk.\n")
    done = ragassay("ingest", str(docs), "-c", "notes", "--json", RAGASSAY_HOME=str(folder / "home"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["documents"]["added"] == 2
    return folder / "home"


@pytest.fixture
def in_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process has the home with the collection `notes`."""
    monkeypatch.setenv("RAGASSAY_HOME", str(home))
    return home


def test_search_prints_one_json_document(in_home: Path) -> None:
    done = in_process("search", "founded in 2016", "-c", "notes", "-k", "2", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["query"], found["collection"], found["mode"]) == ("founded in 2016", "notes", "hybrid")
    first = found["hits"][0]
    assert (first["rank"], first["source"], first["title"], first["page"]) == (1, "groq.md", "Groq", None)
    assert first["end"] - first["start"] == len(first["text"])
    assert set(found["timing"]) == {"embed_ms", "dense_ms", "lexical_ms", "total_ms"}


def test_a_long_passage_is_shown_indented_and_cut_between_words(
    in_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "long.md").write_text("tokenization matters " * 40)
    assert in_process("ingest", str(tmp_path / "long.md"), "-c", "long").exit_code == 0
    place, *snippet = in_process("search", "tokenization", "-c", "long").stdout.splitlines()
    assert place.startswith(" 1  long.md")
    assert len(snippet) > 2
    assert all(line.startswith(("    t", "    m")) for line in snippet)
    assert snippet[-1].rstrip().endswith(("tokenization ...", "matters ..."))
    assert in_process("collections", "drop", "long", "--yes").exit_code == 0


def test_search_filters_by_metadata(in_home: Path) -> None:
    done = in_process("search", "Groq", "-c", "notes", "--where", "source=grok.md", "--json")
    assert [hit["source"] for hit in json.loads(done.stdout)["hits"]] == ["grok.md"]


def test_ask_verifies_its_citation(in_home: Path) -> None:
    done = in_process("ask", "When was Groq founded?", "-c", "notes", "-p", "extractive", "--json")
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["answer"].startswith("Groq, Inc. was founded in 2016.")
    assert [c["verified"] for c in answer["citations"]] == [True]
    assert (answer["cost_usd"], answer["outcome"], answer["refused"]) == ("0", "ok", False)


def test_ask_reads_the_question_from_standard_input_and_prints_for_people(in_home: Path) -> None:
    done = in_process("ask", "-", "-c", "notes", "-p", "extractive", stdin="When was Groq founded?")
    assert done.exit_code == 0
    assert "[1] groq.md (verified)" in done.stdout
    done = in_process("ask", "-", "-c", "notes", "-p", "extractive", "--json", stdin="Who makes Grok?\n")
    assert json.loads(done.stdout)["question"] == "Who makes Grok?"


def test_a_terminal_is_told_who_is_asked_until_the_answer_comes(in_home: Path) -> None:
    ours, theirs = os.openpty()
    asked = ("ask", "When was Groq founded?", "-c", "notes", "-p", "extractive")
    try:
        done = subprocess.run(
            [sys.executable, "-c", "from evals.cli import main; main()", *asked],
            stdout=subprocess.PIPE,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"},
            timeout=100,
            check=True,
            text=True,
        )
        shown = os.read(ours, 100_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "asking extractive ..." in shown
    assert done.stdout.startswith("Groq, Inc. was founded in 2016. [1]\n")


def test_a_refusal_is_shown_though_it_is_no_part_of_the_stream(in_home: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    with FakeServer() as server:
        config.write_text(f"providers: {{lab: {{base_url: '{server.base_url}'}}}}")
        done = in_process("ask", "x", "-c", "notes", "-p", "lab:fault:refusal", "--config", str(config))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("I cannot help with that.\n\n")


def test_ask_refuses_in_the_language_of_the_question(in_home: Path) -> None:
    done = in_process("ask", "Quem venceu a copa do mundo?", "-c", "notes", "-p", "extractive")
    assert "Os documentos não respondem a esta pergunta." in done.stdout


def test_a_collection_is_shown_verified_and_dropped(in_home: Path, tmp_path: Path) -> None:
    listed = in_process("collections", "list", "--json")
    assert [row["name"] for row in json.loads(listed.stdout)] == ["notes"]
    shown = in_process("collections", "show", "notes")
    assert "groq.md" in shown.stdout
    assert "all-MiniLM-L6-v2" in shown.stdout
    verified = in_process("collections", "verify", "notes", "--json")
    assert json.loads(verified.stdout)["ok"] is True
    assert in_process("collections", "drop", "notes").exit_code == 2
    note = tmp_path / "a.md"
    note.write_text("Some words about models.")
    assert in_process("ingest", str(note), "-c", "other").exit_code == 0
    assert in_process("collections", "drop", "other", "--yes").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("ask", "x", "-c", "noets"), 2, "did you mean 'notes'"),
        (("ask", "x", "-c", "notes", "-p", "grok:x"), 2, "did you mean 'groq'"),
        (("ask", "x", "-c", "notes", "-p", "local:smollm"), 2, "did you mean 'smollm2-135m'"),
        (("ask", "x", "-c", "notes", "-p", "groq:openai/gpt-oss-20b"), 2, "GROQ_API_KEY"),
        (
            ("ask", "x", "-c", "notes", "-p", "vllm:any"),
            1,
            "no answer (connection): cannot connect to http://127.0.0.1:8000: Connection refused; 'ragassay",
        ),
        (("ask", "x", "-c", "notes", "-p", "gpt-4o-mini"), 2, "Write vendor:model"),
        (("ask", "q" * 100_000, "-c", "notes", "-p", "extractive"), 2, "100,000 characters"),
        (("ask", " ", "-c", "notes"), 2, "empty"),
        (("ask", "x"), 2, "-c NAME"),
        (("search", "", "-c", "notes"), 2, "empty"),
        (("search", "x", "-c", "notes", "--where", "lang"), 2, "KEY=VALUE"),
        (("search", "x", "-c", "notes", "--where", "sorce=a"), 2, "did you mean 'source'"),
        (("search", "x", "-c", "../etc"), 2, "cannot name a collection"),
        (("ingest", "/nowhere/at-all", "-c", "notes"), 2, "no such file"),
        (("ingest", "-c", "notes"), 2, "SOURCE"),
        (("eval", "run", "nowhere.yaml"), 2, "no config file"),
        (("models", "pull", "smollm"), 2, "did you mean 'smollm2-135m'"),
        (("collections", "show", "nots"), 2, "did you mean 'notes'"),
        (
            ("search", "x", "-c", "notes", "-k", "0"),
            2,
            "'-k': Input should be greater than or equal to 1, not '0'",
        ),
        (
            ("search", "x", "-c", "notes", "--mode", "dens"),
            2,
            "'--mode': 'dens' is not one of 'hybrid', 'dense'",
        ),
        (("search",), 2, "Missing argument 'query'"),
        (("search", "x", "--wher", "a=b"), 2, "--where"),
        (("serch", "x"), 2, "Did you mean 'search'?"),
        (("--nope",), 2, "No such option: --nope"),
    ],
)
def test_a_mistake_costs_a_line_and_names_the_cure(
    in_home: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, words: str
) -> None:
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    done = in_process(*arguments)
    assert (done.exit_code, done.stdout) == (code, ""), done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sytems: []", "unknown key 'sytems'; did you mean 'systems'"),
        ("limits: {concurency: 3}", "did you mean 'concurrency'"),
        ("systems: [{name: a, provder: extractive}]", "did you mean 'provider'"),
        ("systems: [", "not valid YAML"),
        ("- a", "holds a list"),
        (
            "limits: {concurrency: 0}",
            "limits.concurrency: Input should be greater than or equal to 1, not 0.",
        ),
        ("limits: {timeout_s: soon}", 'limits.timeout_s: Input should be a valid number, not "soon".'),
        (
            "collections: {a: {chunk_tokens: hole}}",
            """collections.a.chunk_tokens: Input should be a valid integer or 'whole', not "hole".""",
        ),
        ("fallback: groq:x", 'fallback: Input should be a list, not "groq:x".'),
        ("gates: {docqa/token_f1: 0.3}", "gates.docqa/token_f1: Input should be keys with values, not 0.3."),
        ("systems: [{provider: extractive}]", "systems.0.name: Field required."),
        (
            "seed: 1\nsystems: [{name: a, provider: x}, {name: a, provider: y}]",
            "system 'a' is defined twice.",
        ),
        (
            "providers: {lab: {base_url: 'http://x', api_key_env: sk-canary-1}}",
            "NAME of the environment variable",
        ),
        ("systems: [{name: a, provider: extractive, price: {input_per_mtok: 1, usd_per_hour: 2}}]", "either"),
    ],
)
def test_a_mistake_in_a_config_is_named(tmp_path: Path, text: str, words: str) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(text)
    done = in_process("eval", "run", str(config))
    assert done.exit_code == 2
    assert words in done.stderr
    assert "canary" not in done.stderr


def test_debug_shows_the_traceback_in_any_place(home: Path) -> None:
    done = ragassay("ask", "x", "-c", "noets", "--debug", RAGASSAY_HOME=str(home))
    assert "Traceback" in done.stderr
    assert done.returncode == 2


def test_a_reader_that_leaves_is_no_error(home: Path) -> None:
    script = f"{sys.executable} -c 'from evals.cli import main; main()' search groq -c notes | head -c 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {script}"],
        capture_output=True,
        env={**os.environ, "RAGASSAY_HOME": str(home)},
        timeout=60,
        check=False,
    )
    assert b"Traceback" not in done.stderr
    assert b"Broken pipe" not in done.stderr


def test_doctor_never_shows_a_key(in_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-1234")
    done = in_process("doctor")
    assert "OPENAI_API_KEY is set" in done.stdout
    assert "sk-canary" not in done.stdout + done.stderr
    assert "notes: 2 documents" in done.stdout


def test_help_has_examples() -> None:
    for command in ("ingest", "search", "ask"):
        assert "Example" in in_process(command, "--help").stdout
    assert in_process("--version").stdout.startswith("ragassay 0.")
