"""The bundled handbook is what its README says: documents, questions with quotes from them, options."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from rag.bundled import bundled_path
from rag.core import Document
from rag.loaders import discover, load_many
from rag.quotes import find_quote

HANDBOOK = bundled_path("corpora/handbook")


@pytest.fixture(scope="module")
def documents() -> dict[str, Document]:
    sources, failures = discover([str(HANDBOOK / "docs")])
    assert failures == []
    loaded = {}
    for source, found in load_many(sources):
        assert isinstance(found, list), f"{source.name}: {found}"
        loaded[source.name] = found[0]
    return loaded


@pytest.fixture(scope="module")
def questions() -> list[dict[str, object]]:
    lines = (HANDBOOK / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def rows(split: str) -> list[dict[str, str]]:
    found = []
    for path in sorted((HANDBOOK / "mcq" / split).glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            found += list(csv.DictReader(file))
    return found


def test_there_are_enough_documents_in_both_languages_and_four_formats(
    documents: dict[str, Document],
) -> None:
    assert len(documents) >= 24
    assert sum(len(document.text.split()) for document in documents.values()) >= 30_000
    assert {Path(name).suffix for name in documents} == {".md", ".html", ".pdf", ".docx"}
    assert {document.language for document in documents.values()} == {"en", "pt"}
    for name, document in documents.items():
        assert document.language == name.split("/")[0], name
    assert sum(len(document.pages) >= 6 for document in documents.values()) >= 2


def test_every_question_has_a_quote_that_stands_where_it_says(
    documents: dict[str, Document], questions: list[dict[str, object]]
) -> None:
    missing = []
    for row in questions:
        if row["kind"] == "unanswerable":
            assert row["answers"] == []
            assert "support" not in row
            continue
        source, _, page = str(row["relevant"][0]).partition("#")  # type: ignore[index]
        text = documents[source].text
        if page:
            place = next(p for p in documents[source].pages if p.number == int(page))
            text = text[place.start : place.end]
        if find_quote(str(row["support"]), text) is None:
            missing.append((row["id"], row["relevant"]))
    assert missing == []


def test_questions_are_many_mixed_and_not_copied(questions: list[dict[str, object]]) -> None:
    assert len(questions) >= 80
    assert len({row["id"] for row in questions}) == len(questions)
    assert set(Counter(row["language"] for row in questions)) == {"en", "pt"}
    kinds = Counter(row["kind"] for row in questions)
    assert kinds["unanswerable"] >= 10
    assert kinds["inference"] <= len(questions) / 4
    for row in questions:
        if "support" in row:
            asked = {word.strip(".,;:?!").casefold() for word in str(row["question"]).split()}
            quoted = {word.strip(".,;:?!").casefold() for word in str(row["support"]).split()}
            assert len(asked & quoted) / len(asked) < 0.75, row["id"]


def test_every_relevant_source_exists(
    documents: dict[str, Document], questions: list[dict[str, object]]
) -> None:
    for row in questions:
        for place in row["relevant"]:  # type: ignore[attr-defined]
            source, _, page = place.partition("#")
            assert source in documents, place
            assert bool(page) == bool(documents[source].pages), place


def test_options_are_balanced_and_shots_are_not_test_items() -> None:
    test, dev = rows("test"), rows("dev")
    assert len(test) == 60
    assert Counter(row["answer"] for row in test) == {"0": 15, "1": 15, "2": 15, "3": 15}
    assert not {row["question"] for row in test} & {row["question"] for row in dev}
    for row in test:
        assert len({row[f"choice{i}"] for i in range(4)}) == 4, row["question"]
