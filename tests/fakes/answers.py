"""What the fake model says: a deterministic function of the prompt, useful enough to score."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["answer", "pieces"]

_PASSAGE = re.compile(r"^\[(\d+)\][^\n]*\n(.*?)(?=^\[\d+\]|^Question:|\Z)", re.MULTILINE | re.DOTALL)
_QUESTION = re.compile(r"^Question:\s*(.+)", re.MULTILINE | re.DOTALL)
_OPTION = re.compile(r"^\(?([A-J])[.):]\s", re.MULTILINE)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
_WORD = re.compile(r"\w{3,}")
_PIECE = re.compile(r"\s*\S+|\s+\Z")


def answer(body: Mapping[str, Any]) -> str:
    """Return the reply to a chat request: JSON for a schema, a letter for options, a cited sentence for
    passages, else words made of the prompt's hash."""
    prompt = "\n".join(str(m.get("content") or "") for m in body.get("messages", ()))
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    if schema:
        import json

        return json.dumps(_instance(schema))
    digest = hashlib.sha256(prompt.encode("utf-8", "replace")).hexdigest()
    if passages := _PASSAGE.findall(prompt):
        return _cited(passages, prompt)
    if len(letters := sorted(set(_OPTION.findall(prompt)))) > 1:
        return letters[int(digest, 16) % len(letters)]
    return f"The answer is {digest[:8]}."


def pieces(text: str) -> list[str]:
    """Cut a text into what a stream sends one at a time; joined they are the text."""
    return _PIECE.findall(text)


def _cited(passages: list[tuple[str, str]], prompt: str) -> str:
    asked = _QUESTION.findall(prompt)
    wanted = set(_WORD.findall(asked[-1].lower())) if asked else set()
    ranked = [
        (-len(wanted & set(_WORD.findall(sentence.lower()))), int(number), sentence.strip())
        for number, text in passages
        for sentence in _SENTENCE.findall(text)
        if len(sentence.split()) > 2
    ]
    if not ranked:
        return "The documents do not say."
    _, number, sentence = min(ranked)
    return f'{sentence} [{number}]\n[{number}] "{sentence}"'


def _instance(schema: Mapping[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        return {name: _instance(part) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [_instance(schema.get("items", {}))] * schema.get("minItems", 1)
    return {"string": "text", "integer": schema.get("minimum", 1), "number": 0.5, "boolean": True}.get(
        str(kind)
    )
