from __future__ import annotations

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
