"""Ingest speed and memory, side by side with LangChain's usual path, and the cold start of the command line.

The documents are SciFact's first 1,000 abstracts where they are beside the checkout, else as many texts of
like length made from the bundled handbook. Each side runs in a process of its own, on the same passages.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rag.bundled import bundled_path
from rag.loaders import discover, load_many
from rag.text import sentence_spans
from tests.conftest import SHARED_DATA

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

DOCUMENTS = 1_000

OURS = """
import json, resource, sys, time
from rag import ingest
started = time.perf_counter()
report = ingest([sys.argv[1]], "bench")
seconds = time.perf_counter() - started
peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
from rag import Collection, load_config
with Collection.open("bench", load_config()) as opened:
    texts = [c.text for row in opened.index.documents() for c in opened.index.chunks_of(row.source)]
json.dump(texts, open(sys.argv[2], "w"))
print(json.dumps({"chunks": report.chunks_added, "seconds": seconds, "peak_mb": peak / 1024}))
"""

LANGCHAIN = """
import json, resource, sys, time
texts = json.load(open(sys.argv[1]))
started = time.perf_counter()
from langchain_chroma import Chroma
from langchain_core.documents import Document
from langchain_huggingface import HuggingFaceEmbeddings
embeddings = HuggingFaceEmbeddings(model_name=sys.argv[3])
embeddings.embed_query("loaded")
loaded = time.perf_counter()
documents = [Document(page_content=text) for text in texts]
Chroma.from_documents(documents, embeddings, persist_directory=sys.argv[2])
seconds = time.perf_counter() - loaded
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
figures = {"chunks": len(texts), "seconds": seconds, "load_s": loaded - started, "peak_mb": peak / 1024}
print(json.dumps(figures))
"""


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("documents") / "documents.jsonl"
    scifact = SHARED_DATA / "scifact" / "corpus.jsonl"
    if scifact.exists():
        lines = scifact.read_text(encoding="utf-8").splitlines()[:DOCUMENTS]
    else:
        lines = [json.dumps(row) for row in _from_handbook()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _from_handbook() -> list[dict[str, str]]:
    sentences = []
    for _, loaded in load_many(discover([str(bundled_path("corpora/handbook/docs"))])[0]):
        assert isinstance(loaded, list)
        text = loaded[0].text
        sentences += [text[start:end] for start, end in sentence_spans(text)]
    return [
        {
            "_id": str(n),
            "title": f"{n}",
            "text": " ".join(sentences[(n * 7 + i) % len(sentences)] for i in range(9)),
        }
        for n in range(DOCUMENTS)
    ]


def child(code: str, *arguments: str, **environment: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "ANONYMIZED_TELEMETRY": "False", **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_ingest_against_langchain(documents: Path, tmp_path: Path) -> None:
    from rag.embedders import load_embedder
    from rag.models import model_path

    load_embedder("all-MiniLM-L6-v2")  # exports the model, which happens once on a machine
    texts = tmp_path / "texts.json"
    ours = child(OURS, str(documents), str(texts), RAGASSAY_HOME=str(tmp_path / "home"))
    theirs = child(LANGCHAIN, str(texts), str(tmp_path / "chroma"), str(model_path("all-MiniLM-L6-v2")))
    assert ours["chunks"] == theirs["chunks"]
    our_speed, their_speed = (side["chunks"] / side["seconds"] for side in (ours, theirs))
    print(
        f"\ningest of {DOCUMENTS} documents, {ours['chunks']:.0f} passages: "
        f"ragassay {our_speed:.0f} passages/s (start of the model and index included), "
        f"LangChain {their_speed:.0f} (its {theirs['load_s']:.1f} s of loading left out): "
        f"{our_speed / their_speed:.1f} times; peak memory {ours['peak_mb']:.0f} MB "
        f"(largest child included) against {theirs['peak_mb']:.0f} MB"
    )


def test_help_answers_at_once() -> None:
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", "from evals.cli import main; main()", "--help"],
            capture_output=True,
            check=True,
            timeout=60,
        )
        seconds.append(time.perf_counter() - started)
    print(f"\nragassay --help: median {sorted(seconds)[2]:.2f} s of 5 cold processes")
