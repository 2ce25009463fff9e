"""The child process that turns safetensors weights into an OpenVINO graph: `python -m rag.embedders.export`.

It writes `graph.xml`, `graph.bin` and `reference.npy`, the float32 vectors that sentence-transformers itself
gives for `SAMPLES`, and ends, so that torch's memory does not stay with the process that embeds.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

from rag.embedders.runtime import import_openvino
from rag.embedders.samples import SAMPLES

__all__ = ["export"]


def export(model_folder: Path, target: Path) -> None:
    """Write the graph of the model in `model_folder` and its reference vectors into the folder `target`.

    The graph takes `input_ids` and `attention_mask` of any shape (texts, tokens) and gives the final sentence
    vectors of shape (texts, dimension), with the model's own pooling and normalisation inside.
    """
    import numpy as np
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        str(model_folder),
        device="cpu",
        trust_remote_code=False,
        local_files_only=True,
        model_kwargs={"dtype": torch.float32, "use_safetensors": True},
    ).eval()
    reference = model.encode(list(SAMPLES), normalize_embeddings=True, show_progress_bar=False)
    np.save(target / "reference.npy", np.asarray(reference, dtype=np.float32))
    openvino = import_openvino()
    example = {key: torch.ones((2, 16), dtype=torch.int64) for key in ("input_ids", "attention_mask")}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every shape it reads; the gate checks the result
        graph = openvino.convert_model(_sentence_module(model), example_input=example)
    openvino.save_model(graph, str(target / "graph.xml"), compress_to_fp16=False)


def _sentence_module(model: Any) -> Any:
    import torch

    class SentenceVectors(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
        """Two tensors in, unit vectors out; the dictionary between the model's parts stays inside."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            features = {
                "input_ids": input_ids,
                "attention_mask": attention_mask,
                "token_type_ids": torch.zeros_like(input_ids),
            }
            vectors = self.model(features)["sentence_embedding"]
            return torch.nn.functional.normalize(vectors, p=2, dim=1)

    return SentenceVectors().eval()


if __name__ == "__main__":
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    export(Path(sys.argv[1]), Path(sys.argv[2]))
