"""The CPU default: a sentence-transformers model as an OpenVINO graph, pooling and normalisation included.

The graph is exported once from the safetensors weights (`rag.embedders.export`, in a child process) and kept
under `RAGASSAY_CACHE`. Before a precision is used on a machine its vectors are compared with the float32
vectors of sentence-transformers on fixed texts: bfloat16 where the processor has it and every cosine reaches
`MIN_COSINE`, else float32, else the runtime refuses.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.children import python_path
from rag.config import cache_dir
from rag.embedders.folder import fingerprint, read_json, sequence_limit
from rag.embedders.runtime import import_openvino
from rag.embedders.samples import SAMPLES
from rag.embedders.tokens import TextTokenizer
from rag.errors import ModelFileError
from rag.models import ProgressSink, model_path

if TYPE_CHECKING:
    from rag.core import Vectors

__all__ = ["MIN_COSINE", "OpenVinoEmbedder"]

MIN_COSINE = 0.9999
"""Least cosine allowed between a vector of this runtime and the reference vector of the same text."""

_BATCH_TOKENS = 2048  # a larger batch is not faster here and costs memory
_LENGTH_STEP = 16  # few distinct shapes: the runtime prepares kernels for each
_EXPORT_LIMIT_S = 900
_EXPORT_FORMAT = "1"


class OpenVinoEmbedder:
    """Embeds with one compiled graph; thread-safe.

    `max_tokens` counts the tokens of a text that are read (two more are the model's own marks). `precision`
    is the one in use, `min_cosine` its least cosine to the reference, `graph` the folder it was loaded from.

    Args:
        name: a model of `rag.models` of kind embedding.
        progress: told of a download, where one is needed.

    Raises:
        ModelFileError: the model cannot be fetched or exported, or its vectors are not the reference's.
    """

    def __init__(self, name: str, *, progress: ProgressSink | None = None) -> None:
        folder = model_path(name, progress=progress)
        self._name = name
        self._fingerprint = fingerprint(folder)
        self._limit = sequence_limit(folder)
        self._tokens = TextTokenizer.from_file(folder / "tokenizer.json", self._limit)
        self.graph = _graph_folder(name, folder, self._fingerprint)
        self._openvino = import_openvino()
        self._model, self.precision, self.min_cosine = self._choose(self.graph)
        self._queue = self._openvino.AsyncInferQueue(self._model)
        self._queue.set_callback(_store)
        self._queue_lock = threading.Lock()
        self._local = threading.local()

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    @property
    def fingerprint(self) -> str:
        """Changes with weights, tokenizer, pooling and limits."""
        return self._fingerprint

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self._model.output(0).partial_shape[1].get_length())

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that are read; the rest is cut off."""
        return self._tokens.content_limit

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return float32 unit rows of shape (len(texts), dimension), in the order of `texts`."""
        import numpy as np

        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        ids = self._tokens.ids(texts)
        with self._queue_lock:
            for rows in _batches([len(row) for row in ids], self._limit):
                self._queue.start_async(self._inputs([ids[i] for i in rows]), (vectors, rows))
            self._queue.wait_all()
        return vectors

    def embed_query(self, text: str) -> Vectors:
        """Return one float32 unit vector of shape (dimension,)."""
        import numpy as np

        if not hasattr(self._local, "request"):
            self._local.request = self._model.create_infer_request()
        result = self._local.request.infer(self._inputs(self._tokens.ids([text])))
        return np.array(result[0][0], dtype=np.float32)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return the (start, end) character offsets of each token of the whole `text`."""
        return self._tokens.spans(text)

    def _inputs(self, ids: Sequence[Sequence[int]]) -> dict[str, Any]:
        import numpy as np

        width = _padded(max(map(len, ids)), self._limit)
        tokens = np.zeros((len(ids), width), dtype=np.int64)
        mask = np.zeros_like(tokens)
        for row, text_ids in enumerate(ids):
            tokens[row, : len(text_ids)] = text_ids
            mask[row, : len(text_ids)] = 1
        return {"input_ids": tokens, "attention_mask": mask}

    # ------------------------------------------------------------ which precision

    def _choose(self, graph: Path) -> tuple[Any, str, float]:
        """Compile the fastest precision whose vectors are close enough; what was found is kept."""
        core = self._openvino.Core()
        core.set_property({"CACHE_DIR": str(graph / "compiled")})
        capabilities = sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        machine = (
            f"{core.get_property('CPU', 'FULL_DEVICE_NAME')} {capabilities} {self._openvino.__version__}"
        )
        gate = graph / f"gate-{hashlib.sha256(machine.encode()).hexdigest()[:12]}.json"
        found: dict[str, float] = {}
        known = read_json(gate)
        for precision in ("bf16", "f32") if "BF16" in capabilities else ("f32",):
            model = self._compile(core, graph, precision)
            cosine = known.get(precision)
            if not isinstance(cosine, float):
                cosine = found[precision] = self._least_cosine(model, graph)
            if cosine >= MIN_COSINE:
                if found:
                    _write(gate, json.dumps(known | found))
                return model, precision, cosine
        raise ModelFileError(
            f"the OpenVINO graph of {self._name} is not exact enough on this machine (least cosine to the "
            f"reference {cosine:.6f}, {MIN_COSINE} needed); use the embedder 'st:{self._name}', "
            f"or delete {graph} to export it again."
        )

    def _compile(self, core: Any, graph: Path, precision: str) -> Any:
        settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT"}
        try:
            return core.compile_model(str(graph / "graph.xml"), "CPU", settings)
        except RuntimeError as exc:
            said = str(exc).strip().splitlines()[0]
            raise ModelFileError(
                f"OpenVINO cannot use {graph} ({said}); delete it to export it again."
            ) from exc

    def _least_cosine(self, model: Any, graph: Path) -> float:
        import numpy as np

        reference = np.load(graph / "reference.npy", allow_pickle=False)
        request = model.create_infer_request()
        cosines = []
        for start in range(0, len(SAMPLES), 4):  # padded together, as in use
            result = request.infer(self._inputs(self._tokens.ids(SAMPLES[start : start + 4])))
            cosines += np.sum(np.asarray(result[0]) * reference[start : start + 4], axis=1).tolist()
        return float(min(cosines))


def _store(request: Any, target: tuple[Any, list[int]]) -> None:
    vectors, rows = target
    vectors[rows] = request.get_output_tensor(0).data


def _padded(length: int, limit: int) -> int:
    return min(-(-length // _LENGTH_STEP) * _LENGTH_STEP, max(limit, length))


def _batches(lengths: Sequence[int], limit: int) -> Iterator[list[int]]:
    """Yield row numbers, longest first, as many together as fill a batch: neighbours need little padding."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    while order:
        count = max(1, _BATCH_TOKENS // _padded(lengths[order[0]], limit))
        yield order[:count]
        order = order[count:]


# ---------------------------------------------------------------- export


def _graph_folder(name: str, folder: Path, model_fingerprint: str) -> Path:
    """Return the folder of the exported graph; where it is absent, one process exports it."""
    from filelock import FileLock

    inputs = "\0".join((_EXPORT_FORMAT, *SAMPLES))
    home = cache_dir() / "openvino"
    graph = home / f"{model_fingerprint}-{hashlib.sha256(inputs.encode()).hexdigest()[:8]}"
    if (graph / "graph.xml").is_file():
        return graph
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / f"{graph.name}.lock"):
            if not (graph / "graph.xml").is_file():
                _export(name, folder, graph)
    except OSError as exc:
        raise ModelFileError(
            f"cannot write to {home}: {exc.strerror or exc}; "
            "free some space or point RAGASSAY_CACHE at another disk."
        ) from exc
    return graph


def _export(name: str, folder: Path, graph: Path) -> None:
    with tempfile.TemporaryDirectory(dir=graph.parent, prefix=".export-") as temporary:
        work = Path(temporary) / graph.name
        work.mkdir()
        # -P: the working folder may hold anybody's modules
        command = [sys.executable, "-P", "-m", "rag.embedders.export", str(folder), str(work)]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_EXPORT_LIMIT_S,
                env=os.environ | {"PYTHONPATH": python_path()},
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise ModelFileError(
                f"exporting {name} took more than {_EXPORT_LIMIT_S} s and was stopped."
            ) from exc
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [
                f"exit status {done.returncode}"
            ]
            raise ModelFileError(
                f"cannot export {name} for OpenVINO ({said[-1]}); use the embedder 'st:{name}' instead."
            )
        shutil.rmtree(graph, ignore_errors=True)
        work.rename(graph)


def _write(path: Path, text: str) -> None:
    """Replace a small file whole; another process may be reading it."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as stream:
        stream.write(text)
    Path(stream.name).replace(path)
