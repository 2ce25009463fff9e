"""The OpenVINO runtime, its gate and its cold start; the embedding cache; names."""

from __future__ import annotations

import json
import logging
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from rag.embedders import load_embedder, openvino
from rag.embedders.cache import CachedEmbedder
from rag.embedders.openvino import MIN_COSINE, OpenVinoEmbedder
from rag.embedders.samples import SAMPLES
from rag.embedders.tokens import TextTokenizer
from rag.errors import ModelFileError, UnknownNameError
from rag.models import model_path
from tests.conftest import REPO

TEXTS = [f"Passage number {i} about batch prices. " * (1 + i % 40) for i in range(60)]


@pytest.fixture(scope="module")
def embedder() -> OpenVinoEmbedder:
    loaded = load_embedder("all-MiniLM-L6-v2")
    assert isinstance(loaded, OpenVinoEmbedder)
    return loaded


# ---------------------------------------------------------------- OpenVINO


def test_the_mode_in_use_matches_sentence_transformers(embedder: OpenVinoEmbedder) -> None:
    assert embedder.precision in {"bf16", "f32"}
    assert embedder.min_cosine >= MIN_COSINE
    reference = np.load(embedder.graph / "reference.npy")
    cosines = np.sum(embedder.embed_documents(SAMPLES) * reference, axis=1)
    assert cosines.min() >= MIN_COSINE


def test_order_survives_batching_by_length(embedder: OpenVinoEmbedder) -> None:
    together = embedder.embed_documents(TEXTS)
    for i in (0, 1, 17, 39, 59):
        assert together[i] @ embedder.embed_query(TEXTS[i]) > 0.9999


@pytest.mark.parametrize("word", ["token ", "a" * 3_000 + " ", "語", "a"])
def test_of_a_long_text_only_what_is_read_is_tokenised(word: str) -> None:
    path = model_path("all-MiniLM-L6-v2") / "tokenizer.json"
    tokens = TextTokenizer.from_file(path, 256)
    plain = Tokenizer.from_file(str(path))
    plain.no_padding()
    plain.no_truncation()
    text = word * (100_000 // len(word))
    whole = plain.encode(text).ids
    assert tokens.ids([text]) == [[*whole[:255], whole[-1]] if len(whole) > 256 else whole]
    if word == "token ":
        assert len(tokens.beginning(text)) < 20_000


def test_threads_get_their_own_vectors(embedder: OpenVinoEmbedder) -> None:
    alone = embedder.embed_documents(TEXTS[:8])
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(5):
            query, rows = embedder.embed_query(TEXTS[i]), embedder.embed_documents(TEXTS[: i + 1])
            if query @ alone[i] < 0.9999 or rows[i] @ alone[i] < 0.9999:
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_graph_that_strays_is_refused(
    embedder: OpenVinoEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stray = tmp_path / "graph"
    stray.mkdir()
    for name in ("graph.xml", "graph.bin"):
        (stray / name).symlink_to(embedder.graph / name)
    reference = np.load(embedder.graph / "reference.npy")
    reference[3] = reference[4]
    np.save(stray / "reference.npy", reference)
    monkeypatch.setattr(openvino, "_graph_folder", lambda *_: stray)
    with pytest.raises(ModelFileError, match=r"not exact enough.*use the embedder 'st:all-MiniLM-L6-v2'"):
        OpenVinoEmbedder("all-MiniLM-L6-v2")


def test_where_bfloat16_strays_float32_is_taken(
    embedder: OpenVinoEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if embedder.precision != "bf16":
        pytest.skip("this processor has no bfloat16")
    copy = tmp_path / "graph"
    copy.mkdir()
    for name in ("graph.xml", "graph.bin", "reference.npy"):
        (copy / name).symlink_to(embedder.graph / name)
    monkeypatch.setattr(openvino, "_graph_folder", lambda *_: copy)
    monkeypatch.setattr(openvino, "MIN_COSINE", 0.99999)
    loaded = OpenVinoEmbedder("all-MiniLM-L6-v2")
    assert (loaded.precision, loaded.min_cosine > 0.99999) == ("f32", True)
    kept = json.loads(next(copy.glob("gate-*.json")).read_text())
    assert set(kept) == {"bf16", "f32"}


def test_a_failing_export_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'OSError: no weights here' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(ModelFileError, match=r"broken .*\(OSError: no weights here\); use .*'st:broken'"):
        openvino._export("broken", tmp_path / "model", tmp_path / "graph")
    assert [entry.name for entry in tmp_path.iterdir()] == ["python"]


@pytest.mark.nightly
def test_a_fresh_cache_exports_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = tmp_path / "cache" / "models"
    models.mkdir(parents=True)
    (models / "all-MiniLM-L6-v2").symlink_to(model_path("all-MiniLM-L6-v2"))
    monkeypatch.setenv("RAGASSAY_CACHE", str(tmp_path / "cache"))
    assert OpenVinoEmbedder("all-MiniLM-L6-v2").min_cosine >= MIN_COSINE
    made = next((tmp_path / "cache" / "openvino").glob("*/graph.xml")).stat().st_mtime_ns
    OpenVinoEmbedder("all-MiniLM-L6-v2")
    assert next((tmp_path / "cache" / "openvino").glob("*/graph.xml")).stat().st_mtime_ns == made


def test_a_cold_query_loads_neither_torch_nor_telemetry() -> None:
    script = (
        "import sys, json\n"
        "from rag.embedders import load_embedder\n"
        "load_embedder('all-MiniLM-L6-v2').embed_query('hello')\n"
        "heavy = ['torch', 'transformers', 'sentence_transformers', 'openvino_telemetry', 'requests']\n"
        "print(json.dumps([name for name in heavy if sys.modules.get(name)]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPO, capture_output=True, check=True)
    assert json.loads(done.stdout) == []


def test_openvino_uses_the_telemetry_stub() -> None:
    script = (
        "from rag.embedders.runtime import import_openvino\n"
        "import_openvino()\n"
        "import openvino.tools.ovc as ovc, openvino.tools.ovc.telemetry_utils as utils\n"
        "print(type(ovc.telemetry).__module__, utils.tm.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPO, capture_output=True, check=True)
    assert set(done.stdout.decode().split()) == {"openvino.tools.ovc.telemetry_stub"}


# ---------------------------------------------------------------- names


def test_a_model_is_loaded_once(embedder: OpenVinoEmbedder) -> None:
    assert load_embedder("all-MiniLM-L6-v2") is embedder


def test_an_unknown_name_is_suggested() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'all-MiniLM-L6-v2'\? 'st:NAME' takes any"):
        load_embedder("all-minilm-l6")


def test_a_folder_that_is_not_there_is_said_plainly() -> None:
    with pytest.raises(ModelFileError, match="there is no folder /nowhere/model"):
        load_embedder("st:/nowhere/model")


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelFileError, match="no safetensors weights"):
        load_embedder(f"st:{tmp_path}")


def test_an_unreachable_hub_is_said_plainly(tmp_path: Path) -> None:
    script = (
        "from rag.embedders import load_embedder\n"
        "from rag.errors import ModelFileError\n"
        "try:\n    load_embedder('st:lab/no-such-model')\n"
        "except ModelFileError as exc:\n    print(exc)\n"
    )
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "PATH": "/usr/bin"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPO, capture_output=True, env=environment, check=False
    )
    assert b"cannot fetch lab/no-such-model: http://127.0.0.1:9 cannot be used" in done.stdout


# ---------------------------------------------------------------- cache


class Counting:
    """An embedder of three dimensions that notes what it embeds."""

    name = "counting"
    fingerprint = "counting-1"
    dimension = 3
    max_tokens = 8

    def __init__(self) -> None:
        self.seen: list[str] = []

    def embed_documents(self, texts: Sequence[str]) -> np.ndarray:
        self.seen.extend(texts)
        return np.array([[len(text), 1, 0] for text in texts], dtype=np.float32)

    def embed_query(self, text: str) -> np.ndarray:
        return self.embed_documents([text])[0]

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


def test_a_text_is_embedded_once_for_all_runs(tmp_path: Path) -> None:
    first, second = Counting(), Counting()
    rows = CachedEmbedder(first, tmp_path / "c" / "v.sqlite").embed_documents(["a", "bb", "a", "ccc"])
    assert first.seen == ["a", "bb", "ccc"]
    again = CachedEmbedder(second, tmp_path / "c" / "v.sqlite").embed_documents(["ccc", "a", "new", "bb"])
    assert second.seen == ["new"]
    assert rows[:, 0].tolist() == [1, 2, 1, 3]
    assert again[:, 0].tolist() == [3, 1, 3, 2]


def test_another_model_shares_nothing(tmp_path: Path) -> None:
    other = Counting()
    other.fingerprint = "counting-2"
    CachedEmbedder(Counting(), tmp_path / "v.sqlite").embed_documents(["a"])
    CachedEmbedder(other, tmp_path / "v.sqlite").embed_documents(["a"])
    assert other.seen == ["a"]


def test_queries_are_not_kept(tmp_path: Path) -> None:
    CachedEmbedder(Counting(), tmp_path / "v.sqlite").embed_query("secret")
    assert not (tmp_path / "v.sqlite").exists()


def test_vectors_come_back_bit_for_bit(embedder: OpenVinoEmbedder, tmp_path: Path) -> None:
    cached = CachedEmbedder(embedder, tmp_path / "v.sqlite")
    first = cached.embed_documents(TEXTS)
    assert np.array_equal(first, cached.embed_documents(TEXTS))


def test_the_oldest_leave_when_it_is_full(tmp_path: Path) -> None:
    path = tmp_path / "v.sqlite"
    for text in ("a", "b", "c", "d"):
        CachedEmbedder(Counting(), path, max_rows=2).embed_documents([text])
    later = Counting()
    CachedEmbedder(later, path, max_rows=2).embed_documents(["a", "b", "c", "d"])
    assert later.seen == ["a", "b"]


@pytest.mark.parametrize("damage", ["garbage", "header", "middle"])
def test_a_broken_file_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str) -> None:
    path = tmp_path / "v.sqlite"
    CachedEmbedder(Counting(), path).embed_documents([str(i) for i in range(3000)])
    whole = path.read_bytes()
    spoilt = {
        "garbage": b"this is not a database" * 400,
        "header": b"\0" * 100 + whole[100:],
        "middle": whole[:4096] + b"\xff" * (len(whole) - 4096),
    }[damage]
    path.write_bytes(spoilt)
    counting = Counting()
    with caplog.at_level(logging.WARNING):
        rows = CachedEmbedder(counting, path).embed_documents(["1", "22"])
    assert rows[:, 0].tolist() == [1, 2]
    assert "broken" in caplog.text
    assert len(list(tmp_path.glob("v.sqlite.broken-*"))) == 1
    after = Counting()
    CachedEmbedder(after, path).embed_documents(["1", "22", "333"])
    assert after.seen in (["333"], ["1", "22", "333"])


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    cached = CachedEmbedder(Counting(), tmp_path / "file" / "v.sqlite")
    assert cached.embed_documents(["a"]).tolist() == [[1, 1, 0]]
    assert cached.embed_documents(["a"]).tolist() == [[1, 1, 0]]
    assert caplog.text.count("going on without it") == 1


def test_two_processes_share_the_file(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from rag.embedders.cache import CachedEmbedder\n"
        "from tests.rag.test_embedders import Counting\n"
        "start = int(sys.argv[2])\n"
        "for i in range(start, start + 200, 10):\n"
        "    texts = [f'text {j}' for j in range(i, i + 10)]\n"
        "    assert len(CachedEmbedder(Counting(), Path(sys.argv[1])).embed_documents(texts)) == 10\n"
    )
    path = tmp_path / "v.sqlite"
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(path), str(start)], cwd=REPO)
        for start in (0, 100, 200)
    ]
    assert [process.wait() for process in running] == [0, 0, 0]
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM vectors").fetchone() == (400,)


def test_the_export_takes_no_modules_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$1 from $PYTHONPATH" >&2\nexit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(ModelFileError, match=rf"\(-P from {REPO}\)"):
        openvino._export("tiny", tmp_path, tmp_path / "graph")
