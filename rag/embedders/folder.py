"""What a sentence-transformers folder says about itself: its identity and how much text it reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rag.errors import ModelFileError
from rag.models import LOCAL_MODELS, model_folder, sha256_of

__all__ = ["fingerprint", "read_json", "sequence_limit"]

_SHAPING = ("*.safetensors", "*.json", "*/*.safetensors", "*/*.json")
_IRRELEVANT = frozenset({"model.safetensors.index.json", "data_config.json", "README.md"})
_EXPORTS = frozenset({"onnx", "openvino"})


def fingerprint(folder: Path) -> str:
    """Return 16 hexadecimal digits that change with the weights, tokenizer, pooling, limits or prompts.

    A model of ours is recognised by the hashes it was verified against, so nothing is read; of others every
    file that shapes the vectors is hashed, or taken from the hub cache's own content address.
    """
    ours = next((m for m in LOCAL_MODELS.values() if model_folder(m.name) == folder), None)
    if ours is not None:
        return _digest({file.path: file.sha256 for file in ours.files if file.path.endswith(_SUFFIXES)})
    paths = {p for pattern in _SHAPING for p in folder.glob(pattern) if _shapes(p.relative_to(folder))}
    return _digest({p.relative_to(folder).as_posix(): _content(p) for p in paths})


_SUFFIXES = (".safetensors", ".json")


def _shapes(path: Path) -> bool:
    return path.name not in _IRRELEVANT and path.parts[0] not in _EXPORTS


def _content(path: Path) -> str:
    name = path.resolve().name  # the hub cache names large files by their SHA-256
    return name if path.is_symlink() and len(name) == 64 else sha256_of(path)


def _digest(files: Mapping[str, str]) -> str:
    lines = "".join(f"{path}\0{content}\n" for path, content in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def sequence_limit(folder: Path) -> int:
    """Return how many tokens the encoder reads, special tokens included.

    Raises:
        ModelFileError: the folder does not say.
    """
    for name, key in (
        ("sentence_bert_config.json", "max_seq_length"),
        ("config.json", "max_position_embeddings"),
    ):
        value = read_json(folder / name).get(key)
        if isinstance(value, int):
            return value
    raise ModelFileError(
        f"{folder} does not say how many tokens its model reads (sentence_bert_config.json)."
    )


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, or an empty one where there is no such file.

    Raises:
        ModelFileError: the file is not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise ModelFileError(
            f"cannot read {path}: {exc}; delete its folder and fetch the model again."
        ) from exc
    if not isinstance(value, dict):
        raise ModelFileError(
            f"{path} does not hold a JSON object; delete its folder and fetch the model again."
        )
    return value
