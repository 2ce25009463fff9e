"""A model that writes questions, for the fake server: it reads founding years, and errs as told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["NAMES", "Author", "write_firms"]

_FOUNDED = re.compile(r"(\w+) Limited was founded in (\d{4}) by ([A-Z]\w+ [A-Z]\w+)")
_FILLER = (
    "The firm began in a small workshop near the harbour and sold its first pumps to the town. Its engineers "
    "still test every machine by hand before it leaves the yard, which customers value more than a low price."
)
NAMES = ("Arbor", "Brume", "Cinder", "Dorado", "Ember", "Fjord", "Garnet", "Heron", "Indigo", "Juniper")


def write_firms(folder: Path, count: int = 10) -> Path:
    """Write a document a firm, each with the year of its founding and its founder."""
    folder.mkdir()
    for number, name in enumerate(NAMES[:count]):
        founder = f"{chr(75 + number)}ora {name[::-1].capitalize()}"
        year = 1901 + 7 * number
        text = (
            f"# {name}\n\n{name} Limited was founded in {year} by {founder} of Lisbon. {_FILLER}\n\n"
            f"## Works\n\nThe works of {name} Limited are in Porto{number} and employ {210 + number} people. "
            f"{_FILLER} A second yard of {name} Limited opened in {1950 + number} beside the railway.\n"
        )
        (folder / f"{name.lower()}.md").write_text(text, encoding="utf-8")
    return folder


class Author:
    """Stands in for `tests.fakes.answers.answer`.

    Args:
        knows: firms whose founding it knows without documents.
        answered: firms of which it finds that the passages answer what was meant to be unanswerable.
        misquotes: firms whose quotes it alters.
        garbles: firms for which it writes no JSON.
    """

    def __init__(self, **errs: tuple[str, ...]) -> None:
        self._errs = errs
        self.asked: list[str] = []

    def __call__(self, prompt: str, schema: Mapping[str, Any] | None = None) -> str:
        """Return the reply to a prompt."""
        self.asked.append(prompt)
        keys = set(schema["properties"]) if schema else set()
        if "answered" in keys:
            hit = any(name in prompt.rsplit("Question:", 1)[1] for name in self._errs.get("answered", ()))
            return json.dumps({"quote": "", "answered": hit})
        return self._question(prompt, keys) if keys else self._closed_book(prompt)

    def _closed_book(self, prompt: str) -> str:
        name = next((name for name in self._errs.get("knows", ()) if name in prompt), None)
        if name is None:
            return "The documents do not answer this question."
        return f"It was {1901 + 7 * NAMES.index(name)}."

    def _question(self, prompt: str, keys: set[str]) -> str:
        found = list(dict.fromkeys(_FOUNDED.findall(prompt)))
        names = list(dict.fromkeys(re.findall(r"(\w+) Limited", prompt)))
        if any(name in self._errs.get("garbles", ()) for name in names):
            return "I would rather not."
        if "missing" in keys:
            question = f"What is the telephone number of {names[0]} Limited's sales office?"
            return json.dumps({"question": question, "missing": "the telephone number"})
        if not found:
            return json.dumps({"question": "", "answers": [], "quotes": []})
        quotes = [
            f"{name} Limited was founded in {year} by {founder} of Lisbon." for name, year, founder in found
        ]
        if found[0][0] in self._errs.get("misquotes", ()):
            quotes = [quote.replace("founded", "started") for quote in quotes]
        if "Passage 2" in prompt:
            names = " or ".join(f"{name} Limited" for name, _, _ in found)
            first = min(found, key=lambda firm: firm[1])[0]
            asked = {"question": f"Which firm is the older one, {names}?", "answers": [f"{first} Limited"]}
        else:
            asked = {
                "question": f"In which year was {found[0][0]} Limited founded?",
                "answers": [found[0][1]],
            }
        return json.dumps({**asked, "quotes": quotes})
