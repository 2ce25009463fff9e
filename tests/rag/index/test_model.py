"""Whatever is added, replaced, removed and reopened, a collection equals a plain dict."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rag.index import Index
from rag.index.catalog import verify_collection
from tests.rag.index.making import add, create, vector

SOURCES = st.sampled_from(["a", "b", "c", "d"])
PASSAGES = st.lists(st.sampled_from(["red fish", "blue fish", "one tree", "two trees"]), max_size=4)


class CollectionMachine(RuleBasedStateMachine):
    """`held` is what was committed, `pending` what the open writer was told since."""

    @initialize()
    def make(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="model-"))
        self.folder = self.home / "collections" / "demo"
        self.index = create(self.folder)
        self.writer = self.index.writer()
        self.held: dict[str, list[str]] = {}
        self.pending: dict[str, list[str]] = {}

    @rule(source=SOURCES, passages=PASSAGES)
    def add(self, source: str, passages: list[str]) -> None:
        add(self.writer, source, passages)
        self.pending[source] = passages

    @rule(source=SOURCES)
    def remove(self, source: str) -> None:
        self.writer.remove([source])
        self.pending.pop(source, None)

    @rule()
    def commit(self) -> None:
        self.writer.commit()
        self.held = dict(self.pending)

    @rule()
    def abandon(self) -> None:
        self.writer.close()
        self.writer = self.index.writer()
        self.pending = dict(self.held)

    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.index = Index.open(self.folder)

    @invariant()
    def equals_the_model(self) -> None:
        if not hasattr(self, "index"):
            return
        found = self.index.chunks([id_ for id_, _ in self.index.dense(vector("x"), 100)])
        expected = sorted((source, text) for source, texts in self.held.items() for text in texts)
        assert sorted((chunk.source, chunk.text) for chunk in found) == expected
        fish = self.index.chunks([id_ for id_, _ in self.index.lexical("fish", 100)])
        expected_fish = [pair for pair in expected if "fish" in pair[1]]
        assert sorted((chunk.source, chunk.text) for chunk in fish) == expected_fish
        assert {row.source: row.chunks for row in self.index.documents()} == {
            source: len(texts) for source, texts in self.held.items()
        }

    def teardown(self) -> None:
        if not hasattr(self, "index"):
            return
        self.writer.close()
        self.index.close()
        try:
            assert verify_collection(self.home, "demo").problems == ()
        finally:
            shutil.rmtree(self.home)


CollectionMachine.TestCase.settings = settings(max_examples=8, stateful_step_count=12, deadline=None)
TestCollection = CollectionMachine.TestCase
