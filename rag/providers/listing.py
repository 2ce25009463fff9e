"""Which models an endpoint offers: `GET {base_url}/models`, in the three shapes it comes in."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import aiohttp

from rag.providers.catalog import WIRES, Vendor
from rag.providers.transport import is_loopback

__all__ = ["list_models"]

_LIMIT_S = 10.0
_MOST_BYTES = 16_000_000


async def list_models(vendor: Vendor) -> tuple[str, ...] | None:
    """Return the models that the vendor's endpoint names, sorted; None where it does not tell.

    Raises:
        MissingKeyError: the vendor needs a key and the environment holds none.
        ConfigError: the vendor's address needs a variable that the environment lacks.
    """
    if not vendor.lists_models:
        return None
    wire = WIRES.load(vendor.wire)
    address, _, query = vendor.url().partition("?")
    url = f"{wire.versioned(address)}/models"
    headers = wire.credentials(vendor.key(), vendor.auth_header)
    parameters = {**wire.whole_list, **dict(parse_qsl(query)), **vendor.parameters()}
    timeout = aiohttp.ClientTimeout(total=_LIMIT_S)
    try:
        async with (
            aiohttp.ClientSession(
                timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), trust_env=not is_loopback(url)
            ) as session,
            # A redirect would carry the key to another host.
            session.get(url, headers=headers, params=parameters, allow_redirects=False) as reply,
        ):
            if reply.status != 200:
                return None
            body = bytearray()
            async for piece in reply.content.iter_any():
                body += piece
                if len(body) > _MOST_BYTES:
                    return None
            return _names(_decoded(body))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return None


def _decoded(body: bytearray) -> Any:
    import orjson

    return orjson.loads(body)


def _names(body: Any) -> tuple[str, ...] | None:
    """Read OpenAI's and Anthropic's `data`, Gemini's `models`, and the bare list that Together gives."""
    entries = body.get("data", body.get("models")) if isinstance(body, dict) else body
    if not isinstance(entries, list):
        return None
    named = [entry.get("id") or entry.get("name") for entry in entries if isinstance(entry, dict)]
    return tuple(sorted(name.removeprefix("models/") for name in named if isinstance(name, str)))
