from __future__ import annotations

from pathlib import Path

import pytest

from rag import ingest
from rag.config import Config

DOCUMENTS = {
    "grok.md": "# Grok\n\nGrok is made by xAI, founded in 2023. Its API speaks OpenAI's format.\n",
    "groq.md": "# Groq\n\nGroq builds chips for inference, called LPU. It serves open models quickly.\n",
    "precos.md": "# Preços\n\nO processamento em lote custa metade do preço e responde em até 24 horas.\n",
}
QUESTIONS = (
    "Who, founded in 2023, has made Grok?",
    "What chips does Groq build?",
    "Quanto custa o processamento em lote?",
)


def make_home(folder: Path) -> Path:
    """Return a home in `folder` with the collection `tiny`, made by a real ingest."""
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAGASSAY_HOME", str(folder / "home"))
        ingest([str(folder / name) for name in DOCUMENTS], "tiny", config=Config())
    return folder / "home"
