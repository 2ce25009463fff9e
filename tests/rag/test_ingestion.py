"""Ingest: only what changed, nothing lost, every failed file named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rag.collection import Collection
from rag.config import parse_config
from rag.errors import ConfigError, FingerprintError, UnknownNameError, UsageError
from rag.pipeline import ingest, search


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "sub").mkdir(parents=True)
    (folder / "groq.md").write_text("# Groq\n\nGroq, Inc. sells inference on its own chip, the LPU.\n")
    (folder / "grok.md").write_text("# Grok\n\nGrok is the chatbot of xAI, named after a verb.\n")
    (folder / "sub" / "prices.txt").write_text("Llama 3 70B averaged USD 0.90 per million tokens.\n")
    return folder


def sources(name: str) -> set[str]:
    from rag.config import load_config

    with Collection.open(name, load_config()) as collection:
        return {row.source for row in collection.index.documents()}


def test_a_second_ingest_does_nothing(docs: Path) -> None:
    first = ingest([str(docs)], "notes")
    assert (first.added, first.unchanged, first.failures) == (3, 0, ())
    assert first.chunks_added == first.chunks_total == 3
    second = ingest([str(docs)], "notes")
    assert (second.added, second.updated, second.unchanged, second.chunks_added) == (0, 0, 3, 0)


def test_one_source_may_stand_alone(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(docs)
    assert ingest("groq.md", "notes").added == 1  # a text is no list of its letters, of which "." is a folder
    assert ingest(docs / "grok.md", "notes").added == 1
    assert ingest([docs / "sub"], "notes").added == 1
    assert sources("notes") == {"groq.md", "grok.md", "prices.txt"}


def test_a_touched_file_is_unchanged_and_a_changed_one_replaces_its_passages(docs: Path) -> None:
    ingest([str(docs)], "notes")
    os.utime(docs / "grok.md", ns=(1, 1))
    assert ingest([str(docs)], "notes").unchanged == 3
    (docs / "groq.md").write_text("# Groq\n\nThe company was founded in 2016.\n")
    report = ingest([str(docs)], "notes")
    assert (report.updated, report.unchanged, report.chunks_total) == (1, 2, 3)
    texts = " ".join(hit.chunk.text for hit in search("chip LPU", "notes", mode="lexical").hits)
    assert "LPU" not in texts


def test_prune_removes_what_the_sources_no_longer_hold(docs: Path) -> None:
    ingest([str(docs)], "notes")
    (docs / "grok.md").unlink()
    assert ingest([str(docs)], "notes").removed == 0
    report = ingest([str(docs)], "notes", prune=True)
    assert (report.removed, report.chunks_removed, report.chunks_total) == (1, 1, 2)
    assert sources("notes") == {"groq.md", "sub/prices.txt"}


def test_prune_spares_what_may_only_be_out_of_reach(docs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "note.md").write_text("A note on batch prices.\n")
    ingest([str(docs), str(other)], "notes")
    other.rename(tmp_path / "unmounted")
    report = ingest([str(docs), str(other)], "notes", prune=True)
    assert report.removed == 0
    assert "Nothing was pruned" in report.failures[0].error
    assert "note.md" in sources("notes")


def test_passages_longer_than_the_model_reads_are_refused(docs: Path, tmp_path: Path) -> None:
    config = parse_config({"collections": {"notes": {"chunk_tokens": 512}}}, folder=tmp_path)
    with pytest.raises(ConfigError, match="at most 254"):
        ingest([str(docs)], "notes", config=config)


def test_bad_files_are_named_and_the_others_go_in(docs: Path) -> None:
    (docs / "empty.md").write_text("")
    (docs / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing more")
    (docs / "binary.txt").write_bytes(bytes(range(256)) * 40)
    report = ingest([str(docs), "missing.md"], "notes")
    assert report.added == 3
    assert {failure.source for failure in report.failures} == {
        "empty.md",
        "broken.pdf",
        "binary.txt",
        "missing.md",
    }
    again = ingest([str(docs)], "notes")
    assert (again.unchanged, len(again.failures)) == (3, 3)


def test_a_file_that_breaks_keeps_its_indexed_version(docs: Path) -> None:
    ingest([str(docs)], "notes")
    (docs / "grok.md").write_bytes(b"")
    report = ingest([str(docs)], "notes")
    assert [failure.source for failure in report.failures] == ["grok.md"]
    assert "grok.md" in sources("notes")


def test_rows_of_a_jsonl_are_documents_that_follow_their_file(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        '{"_id": "a", "title": "A", "text": "alpha one"}\n{"_id": "b", "title": "B", "text": "beta two"}\n'
    )
    assert ingest([str(rows)], "notes").added == 2
    rows.write_text(
        '{"_id": "b", "title": "B", "text": "beta two"}\n{"_id": "c", "title": "C", "text": "gamma"}\n'
    )
    report = ingest([str(rows)], "notes")
    assert (report.added, report.updated, report.removed, report.chunks_total) == (1, 1, 1, 2)
    assert sources("notes") == {"rows.jsonl#b", "rows.jsonl#c"}


def test_sources_that_do_not_exist_make_no_collection(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        ingest([str(tmp_path / "nowhere")], "notes")
    with pytest.raises(UnknownNameError):
        search("anything", "notes")


def test_other_settings_for_an_existing_collection_are_refused(docs: Path, tmp_path: Path) -> None:
    ingest([str(docs)], "notes")
    config = parse_config(
        {"collections": {"notes": {"chunk_tokens": 64, "overlap_tokens": 0}}}, folder=tmp_path
    )
    with pytest.raises(FingerprintError, match="64 tokens"):
        ingest([str(docs)], "notes", config=config)


def test_progress_ends_at_the_number_of_files(docs: Path) -> None:
    (docs / "empty.md").write_text("")
    seen: list[tuple[int, int]] = []
    ingest([str(docs)], "notes", progress=lambda done, total, *_: seen.append((done, total)))
    assert seen[-1] == (4, 4)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


_MANY = 700  # files of a passage each: more than a group of the writer


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from evals.cli import main; main()", *arguments]


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_an_interrupted_ingest_goes_on_and_loses_nothing(
    tmp_path: Path, sign: signal.Signals, code: int
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(_MANY):
        (folder / f"{number:03}.txt").write_text(f"Fact {number} says {number * 7}.")
    child = subprocess.Popen(_command("ingest", str(folder), "-c", "many"), stderr=subprocess.PIPE)
    manifest = Path(os.environ["RAGASSAY_HOME"]) / "collections" / "many" / "manifest.sqlite3"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and child.poll() is None:
        if manifest.exists() and _documents(manifest) > 0:
            break
        time.sleep(0.02)
    child.send_signal(sign)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == code, errors.decode()
    if sign is signal.SIGINT:
        assert b"Traceback" not in errors
    before = _documents(manifest)
    assert 0 < before < _MANY
    report = ingest([str(folder)], "many")
    assert report.unchanged == before
    assert report.added + report.unchanged == _MANY
    assert len(sources("many")) == _MANY


def _documents(manifest: Path) -> int:
    import sqlite3

    try:
        db = sqlite3.connect(f"file:{manifest}?mode=ro", uri=True)
        try:
            return int(db.execute("SELECT COUNT(*) FROM documents").fetchone()[0])
        finally:
            db.close()
    except sqlite3.OperationalError:
        return 0
