"""Commands about who answers: `providers list`, `providers check`, `providers price`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli.app import ConfigOption, JsonOption, app, read_config

if TYPE_CHECKING:
    from decimal import Decimal

    from rag.config import Config
    from rag.job import JobPrice
    from rag.pricing import Price
    from rag.providers import ProviderRef
    from rag.providers.check import Check

__all__: list[str] = []

providers = typer.Typer(no_args_is_help=True, help="Who answers: addresses, keys, prices.")
app.add_typer(providers, name="providers")


@providers.command(
    "list",
    epilog="A REF is NAME:MODEL, such as groq:openai/gpt-oss-20b or ollama:llama3.2:3b. "
    "Examples: ragassay providers list; ragassay providers list --json",
)
def list_providers(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show every provider. Its address, its key's variable and whether it is set, the day of its price."""
    from rag.cli.show import print_json, print_table
    from rag.providers import provider_refs

    settings = read_config(config)
    refs = [(ref, _price(ref, settings)) for ref in provider_refs(settings)]
    if as_json:
        print_json([_listed(ref, price) for ref, price in refs])
        return
    rows = [
        (
            f"{r.name}\n  {r.wire.partition(' ')[0]}",
            f"{_key(r)}\n{r.base_url or ('on this machine' if r.local else 'where its class calls')}",
            _price_day(p),
        )
        for r, p in refs
    ]
    print_table(("name, wire", "key, base URL", "price of"), rows)
    print("price of: the day of the small model's price; --json shows the prices")


@providers.command(
    "check",
    epilog="Without a model, the vendor's small one is asked, or the only one that a local server has. "
    "Exit code 4: the key or the account was refused. "
    "Examples: ragassay providers check openai:gpt-4o-mini; ragassay providers check lmstudio",
)
def check(
    ref: Annotated[str, typer.Argument(help="NAME:MODEL, or NAME alone.", metavar="REF")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Make one tiny call, and say what is wrong if it fails. It proves key, model, streaming and usage."""
    from rag.aio import run
    from rag.cli.show import print_json
    from rag.providers.check import check_provider

    settings = read_config(config)
    found = run(check_provider(ref, settings))
    if as_json:
        print_json(found.to_json())
    else:
        _print_check(found)
    if found.exit_code:
        raise typer.Exit(found.exit_code)


@providers.command(
    "price",
    epilog="Nothing is called and no key is needed. "
    "Examples: ragassay providers price article.pdf; "
    "ragassay providers price article.md -p openai:gpt-4o -p groq:openai/gpt-oss-120b --output-tokens 2000",
)
def price(
    file: Annotated[Path, typer.Argument(help="A document: text, PDF, DOCX, HTML, ...", metavar="FILE")],
    refs: Annotated[
        list[str] | None,
        typer.Option("--provider", "-p", metavar="REF", help="A model to price; give it again for more."),
    ] = None,
    output_tokens: Annotated[int, typer.Option(min=0, help="Tokens of the reply.")] = 1000,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what it costs to have FILE read once. At each provider, the cheapest first."""
    from rag.cli.show import print_json
    from rag.job import default_refs, document_of, job_prices

    settings = read_config(config)
    text = document_of(file).text
    rows = job_prices(text, refs or default_refs(), settings, output_tokens=output_tokens)
    if as_json:
        print_json(
            {
                "file": str(file),
                "characters": len(text),
                "output_tokens": output_tokens,
                "prices": [row.to_json() for row in rows],
            }
        )
        return
    _print_prices(file, len(text), output_tokens, rows)


def _price(ref: ProviderRef, config: Config) -> Price | None:
    """Return the price of the provider's small model, of its first where it has no small one."""
    from rag.job import price_of

    model = ref.small_model or next(iter(ref.models), "")
    return price_of(f"{ref.name}:{model}", config) if model or ref.local else None


def _key(ref: ProviderRef) -> str:
    if ref.key_env is None:
        return "no key"
    state = "set" if os.environ.get(ref.key_env) else "not set, and not needed" if ref.local else "not set"
    return f"{ref.key_env} ({state})"


def _price_day(price: Price | None) -> str:
    if price is None:
        return "unknown"
    return "free" if price.kind == "free" else str(price.as_of or price.source)


def _listed(ref: ProviderRef, price: Price | None) -> dict[str, object]:
    return {
        "name": ref.name,
        "wire": ref.wire,
        "base_url": ref.base_url,
        "key_env": ref.key_env,
        "key_set": bool(ref.key_env and os.environ.get(ref.key_env)),
        "key_needed": ref.key_env is not None and not ref.local,
        "local": ref.local,
        "configured": ref.configured,
        "models": list(ref.models),
        "small_model": ref.small_model,
        "price": None if price is None else price.facts(),
        "docs": ref.docs or None,
    }


def _print_check(found: Check) -> None:
    completion = found.completion
    timing, usage = completion.timing, completion.usage
    mark = "ok" if found.ok else "!!"
    print(f"{mark}  {found.ref}: {found.failure or _answer(found)}")
    if found.failure is not None:
        return
    for flaw in found.flaws:
        print(f"!!  {flaw}")
    first = "" if timing.ttft_s is None else f"first token after {timing.ttft_s * 1000:.0f} ms, "
    total = "unknown" if timing.total_s is None else f"{timing.total_s * 1000:.0f} ms"
    print(f"--  time      {first}whole reply after {total}")
    counts = ["unknown" if n is None else f"{n:,}" for n in (usage.input_tokens, usage.output_tokens)]
    print(f"--  tokens    {counts[0]} in, {counts[1]} out")
    print(f"--  cost      {'unknown' if completion.cost is None else f'${completion.cost:f}'}")
    print(f"--  price     {found.price or 'unknown'}")
    for note in found.notes:
        print(f"--  {note}")


def _answer(found: Check) -> str:
    text = " ".join(found.completion.text.split())
    said = f"answered {text[:40]!r}" if text else "answered without text"
    answered = found.completion.model_answered
    return said + (f" as {answered}" if answered not in {None, found.completion.model} else "")


def _print_prices(file: Path, characters: int, output_tokens: int, rows: list[JobPrice]) -> None:
    from rag.cli.show import print_table
    from rag.providers.tokens import ESTIMATE

    print(f"{file}: {characters:,} characters, read once, with a reply of {output_tokens:,} tokens")
    for tokens in dict.fromkeys(row.tokens for row in rows):
        if tokens.counted:
            counters = ", ".join(row.ref for row in rows if row.tokens == tokens)
            print(f"{tokens.likely:,} tokens, counted with the tokenizer of {counters}")
        else:
            print(f"about {tokens.likely:,} tokens ({tokens.low:,} to {tokens.high:,}), {ESTIMATE}")
    print_table(
        ("provider:model", "USD", "low to high", "price of"),
        [(row.ref, _usd(row.likely_usd), _bounds(row), _price_day(row.price)) for row in rows],
        right=(1, 2),
    )
    sources = dict.fromkeys(row.price.source for row in rows if row.price and row.price.kind == "per_token")
    if sources:
        print(f"prices: {', '.join(sources)}; 'price of' is the day they were true")


def _usd(amount: Decimal | None) -> str:
    if amount is None:
        return "unknown"
    return f"{amount:.5f}" if amount else "0"


def _bounds(row: JobPrice) -> str:
    if not row.low_usd or row.tokens.counted:
        return ""
    return f"{_usd(row.low_usd)} to {_usd(row.high_usd)}"
