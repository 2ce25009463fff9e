"""Any sentence-transformers model, by hub name or local folder: safetensors only, no code of the model's.

bfloat16 on a CUDA device and on processors that compute it natively, float32 elsewhere. Cosines between
the two were 0.9999 and more on all-MiniLM-L6-v2, 0.99987 on texts of one token.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.embedders.folder import fingerprint
from rag.embedders.tokens import TextTokenizer
from rag.errors import ModelFileError
from rag.models import LOCAL_MODELS, ProgressSink, hub_url, model_path, require_hub

if TYPE_CHECKING:
    from rag.core import Vectors

__all__ = ["SentenceTransformersEmbedder", "model_folder"]

_log = logging.getLogger(__name__)

_WANTED = ["*.json", "*.safetensors", "*.txt", "*.model"]
_UNWANTED = ["onnx/*", "openvino/*"]
_BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16")


class SentenceTransformersEmbedder:
    """Embeds through `sentence_transformers`; thread-safe, one call at a time.

    The model's query and document prompts are used. `max_tokens` counts the tokens of a text that are read.

    Args:
        name: a model of `rag.models`, a local folder, or a hub name such as `intfloat/multilingual-e5-small`.
        progress: told of the download of a model of `rag.models`.

    Raises:
        ModelFileError: the model is neither here nor reachable, or holds no safetensors weights.
    """

    def __init__(self, name: str, *, progress: ProgressSink | None = None) -> None:
        folder = model_folder(name, progress)
        self._name = f"st:{name}"
        self._fingerprint = fingerprint(folder)
        self._model = _load(name, folder)
        limit = int(self._model.max_seq_length or self._model.tokenizer.model_max_length)
        backend = getattr(self._model.tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ModelFileError(
                f"{name} has no fast tokenizer, so its tokens have no offsets; choose another model."
            )
        self._tokens = TextTokenizer(backend.to_str(), limit)
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """`st:` and the name given."""
        return self._name

    @property
    def fingerprint(self) -> str:
        """Changes with weights, tokenizer, pooling, limits and prompts."""
        return self._fingerprint

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self._model.get_embedding_dimension())

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that are read; the rest is cut off."""
        return self._tokens.content_limit

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return float32 unit rows of shape (len(texts), dimension), with the model's document prompt."""
        import numpy as np

        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        return self._encode(self._model.encode_document, texts)

    def embed_query(self, text: str) -> Vectors:
        """Return one float32 unit vector of shape (dimension,), with the model's query prompt."""
        return self._encode(self._model.encode_query, [text]).reshape(-1)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return the (start, end) character offsets of each token of the whole `text`."""
        return self._tokens.spans(text)

    def _encode(self, encode: Any, texts: Sequence[str]) -> Vectors:
        import numpy as np

        with self._lock:
            raw = encode(
                [self._tokens.beginning(text) for text in texts],
                convert_to_tensor=True,
                show_progress_bar=False,
            )
        vectors: Vectors = raw.float().cpu().numpy()
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Vectors = (vectors / np.maximum(norms, np.finfo(np.float32).tiny)).astype(np.float32)
        return unit


def _load(name: str, folder: Path) -> Any:
    import torch
    import transformers
    from sentence_transformers import SentenceTransformer

    transformers.utils.logging.disable_progress_bar()
    cuda = torch.cuda.is_available()
    dtype = torch.bfloat16 if cuda or _cpu_has_bfloat16() else torch.float32
    try:
        return SentenceTransformer(
            str(folder),
            device="cuda" if cuda else "cpu",
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"dtype": dtype, "use_safetensors": True},
        )
    except (OSError, ValueError, ImportError, KeyError) as exc:
        raise ModelFileError(
            f"sentence-transformers cannot load {name} from {folder}: {str(exc).strip().splitlines()[0]}"
        ) from exc


def _cpu_has_bfloat16() -> bool:
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(flag in info for flag in _BFLOAT16_FLAGS)


def model_folder(name: str, progress: ProgressSink | None = None) -> Path:
    """Return the folder of a model with safetensors weights: a local one, the hub cache's, or a download.

    Raises:
        ModelFileError: it is neither here nor reachable, or holds no safetensors weights.
    """
    if name in LOCAL_MODELS:
        return model_path(name, progress=progress)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _checked(name, folder.resolve())
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelFileError(
            f"there is no folder {name}; give a model's folder or a hub name such as 'org/model'."
        )
    return _checked(name, _snapshot(name))


def _checked(name: str, folder: Path) -> Path:
    if not any(folder.glob("*.safetensors")):
        raise ModelFileError(
            f"{name} has no safetensors weights in {folder}; pickled ones can run code and are never loaded."
        )
    return folder


def _snapshot(name: str) -> Path:
    """The hub cache's whole copy, else a download; pickles and foreign code are left there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository = name if "/" in name else f"sentence-transformers/{name}"
    try:
        kept = Path(snapshot_download(repository, local_files_only=True))
        if (kept / "config.json").is_file() and any(kept.glob("*.safetensors")):
            return kept
    except (LocalEntryNotFoundError, HFValidationError):
        _log.debug("%s is not in the hub cache", repository)
    cure = f"give a local folder, or a hub name that exists, and check the network ({hub_url()})."
    try:
        require_hub(f"{hub_url()}/{repository}/resolve/main/config.json")
        return Path(snapshot_download(repository, allow_patterns=_WANTED, ignore_patterns=_UNWANTED))
    except ModelFileError as exc:
        raise ModelFileError(f"cannot fetch {repository}: {exc}; {cure}") from exc
    except (HfHubHTTPError, HFValidationError, OSError) as exc:
        raise ModelFileError(
            f"cannot fetch {repository}: {str(exc).strip().splitlines()[0]}; {cure}"
        ) from exc
