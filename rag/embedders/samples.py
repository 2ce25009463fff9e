"""The fixed texts on which a runtime's vectors are compared with the reference before it is trusted."""

from __future__ import annotations

__all__ = ["SAMPLES"]

_PARAGRAPH = (
    "Retrieval-augmented generation answers a question from passages found in a collection. "
    "The passages are cut from documents, embedded as vectors, and ranked by similarity to the question; "
    "the model then reads the best of them and cites what it used. "
    "Whether that helps depends on the collection, the question and the model. "
)
_PARAGRAFO = (
    "A geração aumentada por recuperação responde a uma pergunta com trechos encontrados numa coleção. "
    "Os trechos são cortados dos documentos, transformados em vetores e ordenados pela semelhança com a "
    "pergunta; o modelo lê os melhores e cita o que usou. "
    "Se isso ajuda, depende da coleção, da pergunta e do modelo. "
)

SAMPLES: tuple[str, ...] = (
    "",
    " ",
    ".",
    "price",
    "What does a batch request cost?",
    "Quanto custa uma requisição em lote?",
    "The quick brown fox jumps over the lazy dog.",
    "O órgão público não pôde comprovar a alegação à época.",
    "USD 0.60 per million input tokens, USD 1.80 per million output tokens (2026-11-01).",
    "def cosine(a, b): return a @ b / (norm(a) * norm(b))",
    "向量检索 и поиск, ανάκτηση, 検索 🔎 e\u0301tude",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    _PARAGRAPH,
    _PARAGRAFO,
    _PARAGRAPH * 3,
    _PARAGRAFO * 3,
    _PARAGRAPH * 12,  # far beyond 256 tokens: truncation must cut at the same place
    _PARAGRAFO * 12,
)
