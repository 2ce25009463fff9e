"""Asking, over real sockets to the fake provider."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag import ask, ingest
from rag.config import parse_config
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        ('[1] "Groq was founded in 2016."', "Groq was founded in 2016. [1]"),
        ('In 2016 [1].\n[1] "Groq was founded in 2016."', "In 2016 [1]."),
    ],
)
def test_what_is_streamed_is_the_answer(tmp_path: Path, reply: str, shown: str) -> None:
    (tmp_path / "a.md").write_text("# Groq\n\nGroq was founded in 2016.\n", encoding="utf-8")
    pieces: list[str] = []
    with FakeServer() as server:
        server.script(default=Behaviour(text=reply))
        provider = {"base_url": server.base_url, "models": ["mock"]}
        data = {"providers": {"lab": provider}, "default_provider": "lab:mock"}
        config = parse_config(data, folder=tmp_path)
        ingest([str(tmp_path / "a.md")], "groq", config=config)
        answer = ask("When was Groq founded?", "groq", on_text=pieces.append, config=config)
    assert answer.text == "".join(pieces).strip() == shown
    assert [citation.verified for citation in answer.citations] == [True]
