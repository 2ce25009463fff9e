"""What a collection holds is what was put in, whatever path a search takes."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import chromadb
import numpy as np
import pytest
from chromadb.config import Settings
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.core import Chunk
from rag.errors import CollectionError, LoadError, UnknownNameError
from rag.index import FileState, Index, Where
from rag.index.catalog import repair_collection, verify_collection
from rag.index.exact import scan
from rag.index.manifest import Manifest
from tests.rag.index.making import DIMENSION, add, create, document, state, vector
from tests.rag.index.making import settings as index_settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "collections" / "demo"


@pytest.fixture
def index(folder: Path):
    with contextlib.closing(create(folder)) as opened:
        with opened.writer() as writer:
            add(writer, "a.md", ["The quick fox jumps", "Foxes are jumping over dogs"], "en", topic="animals")
            add(
                writer,
                "b.md",
                ["As raposas correm no campo", "A cotação da moeda subiu"],
                "pt",
                topic="misto",
                year=2024,
            )
            add(writer, "c.txt", ["Der schnelle Fuchs"], None, draft=True)
        yield opened


def texts(index: Index, found: list[tuple[str, float]]) -> list[str]:
    return [chunk.text for chunk in index.chunks([id_ for id_, _ in found])]


def test_dense_finds_each_passage_by_its_own_vector(index: Index) -> None:
    for chunk in (c for row in index.documents() for c in index.chunks_of(row.source)):
        best = index.dense(vector(chunk.text), 3)
        assert best[0][0] == chunk.id
        assert best[0][1] == pytest.approx(1.0, abs=1e-5)
        assert [score for _, score in best] == sorted((score for _, score in best), reverse=True)


def test_words_are_found_however_their_accents_and_hyphens_are_written(index: Index) -> None:
    with index.writer() as writer:
        add(writer, "d.md", [unicodedata.normalize("NFD", "A reunião começou"), "um exem\u00ad\nplo"], "pt")
    for query in ("reunião", unicodedata.normalize("NFD", "Reunião")):
        assert [len(text) for text in texts(index, index.lexical(query, 5))] == [19]
    assert texts(index, index.lexical("exemplo", 5)) == ["um exem\u00ad\nplo"]


def test_metadata_under_any_name_is_taken_and_filtered_by(index: Index) -> None:
    names = ["$schema", "#tag", "chroma:document", "a.b", "", " ", "é", "k" * 5_000]
    with index.writer() as writer:
        add(writer, "odd.jsonl", ["an odd row"], **dict.fromkeys(names, "v"))
    for name in names:
        assert texts(index, index.lexical("odd", 5, {name: "v"})) == ["an odd row"]


def test_more_are_asked_for_than_any_memory_holds(index: Index) -> None:
    assert len(index.lexical("jump fox", 10**15)) == 2
    assert len(index.dense(vector("jump"), 10**15)) == 5


def test_stems_of_each_language_meet(index: Index) -> None:
    assert set(texts(index, index.lexical("jump fox", 5))) == {
        "The quick fox jumps",
        "Foxes are jumping over dogs",
    }
    assert texts(index, index.lexical("raposa correndo", 5)) == ["As raposas correm no campo"]
    assert texts(index, index.lexical("COTAÇÕES moedas", 5)) == ["A cotação da moeda subiu"]
    assert texts(index, index.lexical("cotacao", 5)) == ["A cotação da moeda subiu"]
    assert texts(index, index.lexical("fuchs", 5)) == ["Der schnelle Fuchs"]


def test_title_is_searched_too(index: Index) -> None:
    assert set(texts(index, index.lexical("about c.txt", 1))) == {"Der schnelle Fuchs"}


@pytest.mark.parametrize(
    "query",
    ["", " ", "AND OR NOT", '"unclosed', "a:b", "field:(x", "*", "~", "[1 TO", "\\", "\0", "x" * 100_000,
     "漢字 🦊", "fox " * 25_000, "\ud800 fox", "-fox +", "''", "^2"],
)  # fmt: skip
def test_any_text_is_a_query(index: Index, query: str) -> None:
    assert isinstance(index.lexical(query, 5), list)


@settings(max_examples=60, deadline=None)
@given(query=st.text(max_size=80))
def test_any_unicode_is_a_query(tmp_path_factory: pytest.TempPathFactory, query: str) -> None:
    shared = tmp_path_factory.getbasetemp() / "any-unicode"
    fresh = not shared.exists()
    with contextlib.closing(create(shared)) as index:
        if fresh:
            with index.writer() as writer:
                add(writer, "a", ["one two three"])
        assert len(index.lexical(query, 5)) <= 1


@pytest.mark.parametrize(
    ("where", "sources"),
    [
        ({"source": "a.md"}, {"a.md"}),
        ({"language": "pt"}, {"b.md"}),
        ({"language": "pt", "page": 2}, {"b.md"}),
        ({"page": "1"}, {"a.md", "b.md", "c.txt"}),
        ({"year": 2024.0}, {"b.md"}),
        ({"draft": "true"}, {"c.txt"}),
        ({"draft": True, "language": "pt"}, set()),
        ({"topic": "none such"}, set()),
    ],
)
def test_filters_mean_the_same_everywhere(folder: Path, index: Index, where, sources: set[str]) -> None:
    with contextlib.closing(Index.open(folder, exact_chunks=0)) as large:
        for found in (
            index.dense(vector("x"), 10, where),
            large.dense(vector("x"), 10, where),
            index.lexical("fox foxes raposas cotação fuchs", 10, where),
        ):
            assert {chunk.source for chunk in index.chunks([id_ for id_, _ in found])} == sources
    exact = {c.id for c in index.chunks([i for i, _ in index.dense(vector("x"), 10, where)])}
    if "page" in where:
        assert {c.page for c in index.chunks(list(exact))} <= {int(where["page"])}


def test_unknown_filter_key_names_the_nearest(index: Index) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'language'"):
        index.dense(vector("x"), 5, {"langage": "en"})
    with pytest.raises(UnknownNameError, match="did you mean 'source'"):
        index.lexical("x", 5, {"sourc": "en"})


def test_hnsw_agrees_with_exact_search(folder: Path, index: Index) -> None:
    with contextlib.closing(Index.open(folder, exact_chunks=0)) as large:
        for word in ("fox", "moeda", "x"):
            near = large.dense(vector(word), 5)
            exact = index.dense(vector(word), 5)
            assert [i for i, _ in near] == [i for i, _ in exact]
            assert [s for _, s in near] == pytest.approx([s for _, s in exact], abs=1e-5)


def test_large_collection_without_its_vector_store_is_scored_exactly(folder: Path, index: Index) -> None:
    exact = index.dense(vector("fox"), 5)
    import shutil

    shutil.rmtree(folder / "chroma")
    with contextlib.closing(Index.open(folder, exact_chunks=0)) as large:
        near = large.dense(vector("fox"), 5)
    assert [id_ for id_, _ in near] == [id_ for id_, _ in exact]
    assert dict(near) == pytest.approx(dict(exact))


def test_replaced_and_removed_are_gone_at_once(folder: Path, index: Index) -> None:
    before = index.fingerprint
    reader_sees = texts(index, index.lexical("fox", 5))
    assert reader_sees
    with index.writer() as writer:
        add(writer, "a.md", ["The quick fox jumps", "Now it is about whales"], topic="animals")
        writer.remove(["c.txt", "no such"])
        writer.commit()
        assert texts(index, index.lexical("dogs", 5)) == []
    assert [row.source for row in index.documents()] == ["a.md", "b.md"]
    assert texts(index, index.lexical("whale", 5)) == ["Now it is about whales"]
    assert index.lexical("fuchs", 5) == []
    assert {c.source for c in index.chunks([i for i, _ in index.dense(vector("x"), 50)])} == {"a.md", "b.md"}
    assert index.fingerprint != before
    report = verify_collection(folder.parents[1], "demo")
    assert (report.vectors, report.lexical, report.problems) == (4, 4, ())


def test_fingerprint_depends_on_content_not_on_order(tmp_path: Path) -> None:
    prints = []
    for number, order in enumerate((["a", "b", "c"], ["c", "a", "b"])):
        with contextlib.closing(create(tmp_path / str(number))) as index:
            with index.writer() as writer:
                add(writer, "gone", ["temporary"])
                for source in order:
                    add(writer, source, [f"passage of {source}"])
                    writer.commit()
                writer.remove(["gone"])
            prints.append(index.fingerprint)
    assert prints[0] == prints[1]


def test_chunks_come_back_whole_in_the_order_asked(index: Index) -> None:
    _, chunks = document(
        "b.md", ["As raposas correm no campo", "A cotação da moeda subiu"], "pt", topic="misto", year=2024
    )
    ids = [chunk.id for chunk in chunks]
    assert index.chunks([ids[1], "unknown", ids[0]]) == [chunks[1], chunks[0]]
    assert index.chunks_of("b.md") == chunks


def test_stats(index: Index) -> None:
    stats = index.stats()
    assert (stats.documents, stats.chunks, stats.languages) == (3, 5, {"en": 2, "pt": 2})
    assert stats.bytes > 10_000
    assert stats.updated is not None


def test_file_states(index: Index) -> None:
    content = "The quick fox jumps\nFoxes are jumping over dogs"
    with index.writer() as writer:
        assert writer.unchanged("a.md", size=len(content), mtime_ns=1, recipe="r1")
        assert not writer.unchanged("a.md", size=len(content), mtime_ns=2, recipe="r1")
        assert not writer.unchanged("a.md", size=len(content), mtime_ns=1, recipe="r2")
        assert not writer.unchanged("new.md", size=1, mtime_ns=1)
        row = writer.known("a.md")
        assert row is not None
        assert (row.chunks, row.title, row.file.sha256) == (2, "About a.md", state("a.md", content).sha256)
        assert writer.known("new.md") is None


def test_file_of_many_documents_counts_only_when_complete(index: Index) -> None:
    rows = FileState(origin="rows.jsonl", sha256="s", size=10, mtime_ns=5, recipe="r")
    with index.writer() as writer:
        for name in ("rows.jsonl#1", "rows.jsonl#2", "rows.jsonl#3"):
            whole, chunks = document(name, [f"text of {name}"])
            writer.add(whole, rows, chunks, np.ones((1, DIMENSION), dtype=np.float32))
        writer.commit()
        assert not writer.unchanged("rows.jsonl", size=10, mtime_ns=5, recipe="r")
        assert writer.complete(rows, ["rows.jsonl#1", "rows.jsonl#3"]) == ["rows.jsonl#2"]
        assert writer.unchanged("rows.jsonl", size=10, mtime_ns=5, recipe="r")
    with index.writer() as writer:
        assert writer.unchanged("rows.jsonl", size=10, mtime_ns=5, recipe="r")
        writer.remove(["rows.jsonl#1"])
        writer.commit()
        assert not writer.unchanged("rows.jsonl", size=10, mtime_ns=5, recipe="r")


def test_touched_file_takes_the_new_state_without_new_passages(index: Index) -> None:
    before = index.fingerprint
    with index.writer() as writer:
        known = writer.known_file("a.md")
        assert known is not None
        touched = FileState(
            origin="a.md", sha256=known.sha256, size=known.size, mtime_ns=99, recipe=known.recipe
        )
        writer.complete(touched, ["a.md"])
    with index.writer() as writer:
        assert writer.unchanged("a.md", size=known.size, mtime_ns=99, recipe=known.recipe)
    assert index.fingerprint == before


def test_document_without_passages_is_known(index: Index) -> None:
    with index.writer() as writer:
        add(writer, "empty.txt", [])
    assert {row.source: row.chunks for row in index.documents()}["empty.txt"] == 0


def test_exception_drops_the_group_in_hand_only(index: Index) -> None:
    def interrupted() -> None:
        with index.writer() as writer:
            add(writer, "kept", ["kept passage"])
            writer.commit()
            add(writer, "dropped", ["dropped passage"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert {"kept"} == {row.source for row in index.documents()} - {"a.md", "b.md", "c.txt"}
    with index.writer() as writer:
        add(writer, "dropped", ["dropped passage"])
    assert texts(index, index.lexical("dropped", 5)) == ["dropped passage"]


def test_bad_vectors_and_text_are_refused(index: Index) -> None:
    whole, chunks = document("bad", ["one"])
    with index.writer() as writer:
        with pytest.raises(CollectionError, match="do not fit"):
            writer.add(whole, state("bad"), chunks, np.ones((1, 3), dtype=np.float32))
        with pytest.raises(CollectionError, match="finite"):
            writer.add(whole, state("bad"), chunks, np.full((1, DIMENSION), np.nan, dtype=np.float32))
        whole, chunks = document("bad", ["one \ud800"])
        with pytest.raises(LoadError, match="surrogate"):
            writer.add(whole, state("bad"), chunks, np.ones((1, DIMENSION), dtype=np.float32))
    assert "bad" not in {row.source for row in index.documents()}


def test_other_settings_are_refused(folder: Path, index: Index) -> None:
    with pytest.raises(CollectionError, match="dimension 16, not 8"):
        Index.create(folder, index_settings(dimension=8))
    Index.create(folder, index_settings()).close()


def test_any_chroma_client_reads_it(folder: Path, index: Index) -> None:
    with chromadb.PersistentClient(str(folder / "chroma"), Settings(anonymized_telemetry=False)) as client:
        collection = client.get_collection("demo", embedding_function=None)
        found = collection.query(query_embeddings=[vector("The quick fox jumps")], n_results=1)
        assert found["documents"] == [["The quick fox jumps"]]
        assert found["metadatas"][0][0]["source"] == "a.md"
        assert found["metadatas"][0][0]["topic"] == "animals"
        assert collection.configuration["hnsw"]["space"] == "cosine"


def test_more_passages_than_a_chroma_batch(folder: Path) -> None:
    count = 5_600
    with contextlib.closing(create(folder)) as index:
        whole, chunks = document("big", [f"passage {n}" for n in range(count)])
        vectors = np.random.default_rng(1).standard_normal((count, DIMENSION)).astype(np.float32)
        with index.writer() as writer:
            writer.add(whole, state("big"), chunks, vectors)
        assert index.stats().chunks == count
    report = verify_collection(folder.parents[1], "demo")
    assert (report.vectors, report.lexical, report.problems) == (count, count, ())


@pytest.mark.parametrize("broken", ["chroma", "tantivy", "both", "garbage"])
def test_destroyed_caches_are_built_anew(folder: Path, index: Index, broken: str) -> None:
    import shutil

    home = folder.parents[1]
    expected = texts(index, index.lexical("fox", 5))
    index.close()
    if broken == "garbage":
        (folder / "chroma" / "chroma.sqlite3").write_bytes(b"not a database" * 500)
        (folder / "tantivy" / "meta.json").write_text("{")
    else:
        for name in ("chroma", "tantivy") if broken == "both" else (broken,):
            shutil.rmtree(folder / name)
    with contextlib.closing(Index.open(folder)) as reader:
        assert len(reader.dense(vector("x"), 10)) == 5
        if broken != "chroma":
            with pytest.raises(CollectionError, match="collections repair demo"):
                reader.lexical("fox", 5)
    assert not verify_collection(home, "demo").ok
    assert repair_collection(home, "demo").ok
    with contextlib.closing(Index.open(folder)) as reader:
        assert texts(reader, reader.lexical("fox", 5)) == expected


def test_next_write_repairs_destroyed_caches(folder: Path, index: Index) -> None:
    import shutil

    for name in ("chroma", "tantivy"):
        shutil.rmtree(folder / name)
    with index.writer() as writer:
        add(writer, "d", ["A new one"])
    assert verify_collection(folder.parents[1], "demo").ok
    assert index.stats().chunks == 6


def test_no_collection_there(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="ragassay ingest"):
        Index.open(tmp_path / "none")


def test_damaged_manifest_says_what_helps(folder: Path, index: Index) -> None:
    index.close()
    (folder / "manifest.sqlite3").write_bytes(b"x" * 40_000)
    with pytest.raises(CollectionError, match="damaged"):
        Index.open(folder)


def test_equal_scores_come_in_order_of_id(folder: Path) -> None:
    with contextlib.closing(create(folder)) as index:
        whole, chunks = document("same", ["same words"] * 40)
        with index.writer() as writer:
            writer.add(whole, state("same"), chunks, np.ones((40, DIMENSION), dtype=np.float32))
        for found in (index.dense(np.ones(DIMENSION, dtype=np.float32), 40), index.lexical("same", 40)):
            assert [i for i, _ in found] == sorted(c.id for c in chunks)
    assert isinstance(chunks[0], Chunk)


@pytest.mark.parametrize("exact_chunks", [50_000, 0])
def test_what_is_removed_while_a_filter_is_obeyed_lets_nothing_else_in(
    folder: Path, index: Index, monkeypatch: pytest.MonkeyPatch, exact_chunks: int
) -> None:
    rows_where = Manifest.rows_where

    def then_removed(manifest: Manifest, where: Where) -> list[int]:
        rows = rows_where(manifest, where)
        with index.writer() as writer:
            writer.remove(["a.md"])
        return rows

    monkeypatch.setattr(Manifest, "rows_where", then_removed)
    with contextlib.closing(Index.open(folder, exact_chunks=exact_chunks)) as opened:
        assert opened.dense(vector("As raposas correm no campo"), 3, {"topic": "animals"}) == []


def test_a_passage_that_goes_while_all_are_scored_leaves_the_others_their_scores(
    folder: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids_of = Manifest.ids_of

    def after_a_removal(manifest: Manifest, rows: Iterable[int]) -> dict[int, str]:
        if len(index.documents()) == 2:
            with index.writer() as writer:
                writer.remove(["b.md"])
        return ids_of(manifest, rows)

    with contextlib.closing(Index.open(folder, exact_chunks=0)) as opened:
        with index.writer() as writer:
            writer.remove(["a.md"])
        monkeypatch.setattr(Manifest, "ids_of", after_a_removal)
        # The moment between two reads cannot be met from outside.
        found = dict(scan(opened._manifest, vector("Der schnelle Fuchs"), 5, [1, 2, 3, 4, 5]))
    assert found[5] == pytest.approx(1.0, abs=1e-5)
