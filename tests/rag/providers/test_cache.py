"""The reply cache: the same question is paid for once, and never answered with another's reply."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from rag.config import Config, parse_config
from rag.core import Completion, Outcome, Provider, Request, Settings, TokenLogprob, Usage
from rag.errors import ConfigError
from rag.providers import resolve, resolve_with_fallback
from rag.providers.cache import Cached, ReplyStore
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer
from tests.rag.providers.conftest import KEY, ask

REPO = Path(__file__).parents[3]
FILE = "replies.sqlite3"


def config_for(server: FakeServer, folder: Path, **changes: object) -> Config:
    lab = {
        "base_url": server.base_url,
        "api_key_env": "LAB_KEY",
        "price": {"input_per_mtok": "2", "output_per_mtok": "4"},
    }
    data = {"providers": {"lab": lab}, "cache": FILE, "limits": {"max_attempts": 1}, **changes}
    return parse_config(data, folder=folder)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", KEY)


@pytest.fixture
def lab(server: FakeServer, tmp_path: Path) -> Config:
    return config_for(server, tmp_path)


@pytest.fixture
async def model(lab: Config) -> AsyncIterator[Provider]:
    provider = resolve("lab:mock", lab)
    yield provider
    await provider.close()


async def test_the_second_time_nothing_is_asked(model: Provider, server: FakeServer) -> None:
    first = await model.complete(ask("Hi"))
    heard: list[str] = []
    second = await model.complete(ask("Hi"), heard.append)
    assert server.counters.requests == 1
    assert heard == [first.text]
    assert (first.cached, first.attempts, first.original_cost) == (False, 1, None)
    assert (second.cached, second.attempts) == (True, 0)
    assert (second.text, second.outcome, second.usage) == (first.text, Outcome.OK, first.usage)
    assert (second.request_id, second.finish_reason) == (first.request_id, first.finish_reason)


async def test_a_stored_reply_costs_nothing_and_carries_no_time(model: Provider) -> None:
    first = await model.complete(ask("Hi"))
    second = await model.complete(ask("Hi"))
    assert first.cost is not None
    assert first.cost > 0
    assert (second.cost, second.original_cost) == (Decimal(0), first.cost)
    assert (second.timing.ttft_s, second.timing.total_s) == (None, None)
    assert second.timing.output_tokens_per_s(Usage(output_tokens=1000)) is None


async def test_it_is_off_unless_asked_for(server: FakeServer, tmp_path: Path) -> None:
    for off in ({"cache": False}, {}):
        config = parse_config(
            {**config_for(server, tmp_path).model_dump(mode="json", exclude={"cache"}), **off},
            folder=tmp_path,
        )
        provider = resolve("lab:mock", config)
        assert not isinstance(provider, Cached)
        await provider.close()


async def test_true_means_a_file_in_the_home(server: FakeServer, tmp_path: Path) -> None:
    provider = resolve("lab:mock", config_for(server, tmp_path, cache=True))
    await provider.complete(ask("Hi"))
    await provider.close()
    assert (tmp_path / "home" / FILE).is_file()


def test_a_folder_is_refused(server: FakeServer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder; name a file"):
        resolve("lab:mock", config_for(server, tmp_path, cache="."))


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
TURNED = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "string"}}}
OTHERS: list[Callable[[Request], Request]] = [
    lambda r: replace(r, messages=ask("Hi ").messages),
    lambda r: replace(r, messages=(*r.messages, *r.messages)),
    lambda r: replace(r, messages=(replace(r.messages[0], role="system"),)),
    lambda r: replace(r, repeat=1),
    *(
        lambda r, s=settings: replace(r, settings=s)
        for settings in (
            Settings(temperature=0.0),
            Settings(temperature=1.0),
            Settings(max_tokens=10),
            Settings(top_p=0.5),
            Settings(stop=("x",)),
            Settings(stop=("x", "y")),
            Settings(seed=1),
            Settings(top_logprobs=0),
            Settings(response_schema=SCHEMA),
            Settings(response_schema=TURNED),
        )
    ),
]


async def test_whatever_differs_is_asked(model: Provider, server: FakeServer) -> None:
    requests = [ask("Hi"), *(change(ask("Hi")) for change in OTHERS)]
    for request in requests:
        assert not (await model.complete(request)).cached
    for request in requests:
        assert (await model.complete(request)).cached
    assert server.counters.requests == len(requests)


async def test_another_model_server_or_way_of_asking_shares_nothing(
    server: FakeServer, tmp_path: Path
) -> None:
    config = config_for(server, tmp_path)
    lab = config.providers["lab"]
    with FakeServer() as other:
        elsewhere = lab.model_copy(update={"base_url": other.base_url})
        both = config.model_copy(update={"providers": {"lab": lab, "twin": lab, "far": elsewhere}})
        asked = {}
        for ref in ("lab:mock", "lab:mock2", "far:mock", "twin:mock"):
            provider = resolve(ref, both)
            asked[ref] = await provider.complete(ask("Hi"))
            await provider.close()
    assert [c.cached for c in asked.values()] == [False, False, False, True]
    assert asked["twin:mock"].provider == "twin"  # another name for the same place and model


async def test_five_repeats_are_five_calls(model: Provider, server: FakeServer) -> None:
    request = ask("Hi")
    for _ in range(2):
        for repeat in range(5):
            await model.complete(replace(request, repeat=repeat))
    assert server.counters.requests == 5


@pytest.mark.parametrize("fault", ["server_error", "auth", "content_filter", "cut"])
async def test_failures_are_not_kept(model: Provider, server: FakeServer, fault: str) -> None:
    server.script(Behaviour(fault=fault), default=Behaviour(text="Well."))
    failed = await model.complete(ask("Hi"))
    again = await model.complete(ask("Hi"))
    assert not failed.outcome.answered
    assert (again.text, again.cached) == ("Well.", False)


async def test_a_cancelled_call_leaves_nothing(model: Provider, server: FakeServer) -> None:
    server.script(Behaviour(tokens=50, tokens_per_s=20), default=Behaviour(text="Well."))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await model.complete(ask("Hi"))
    assert not (await model.complete(ask("Hi"))).cached


async def test_a_fallback_keeps_each_ones_own_replies(server: FakeServer, tmp_path: Path) -> None:
    config = config_for(server, tmp_path, fallback=["lab:second"])
    server.script(Behaviour(fault="server_error"), default=Behaviour(text="Well."))
    provider = resolve_with_fallback("lab:first", config)
    rescued = await provider.complete(ask("Hi"))
    again = await provider.complete(ask("Hi"))
    await provider.close()
    assert (rescued.model, again.model) == ("second", "first")
    assert not again.cached


# ---------------------------------------------------------------- the file


def entry_of(path: Path) -> bytes:
    with sqlite3.connect(path) as connection:
        ((entry,),) = connection.execute("SELECT entry FROM replies").fetchall()
    connection.close()
    return bytes(entry)


def spoil(path: Path, entry: bytes | str | None) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE replies SET entry = ?", ("" if entry is None else entry,))
    connection.close()


async def kept(path: Path) -> tuple[ReplyStore, Completion]:
    """A store with one reply under the key `b"key"`."""
    store = ReplyStore(path)
    with FakeServer(Behaviour(text="Grüße, 世界 🎉")) as server:
        provider = resolve("lab:mock", config_for(server, path.parent, cache=False))
        completion = await provider.complete(ask("Hi"))
        await provider.close()
    await store.write(b"key", completion)
    return store, completion


async def test_every_flipped_byte_of_an_entry_is_a_miss_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, completion = await kept(tmp_path / FILE)
    whole = entry_of(tmp_path / FILE)
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 0xFF
        spoil(tmp_path / FILE, bytes(flipped))
        caplog.clear()
        assert await store.read(b"key") is None
        assert [r.levelname for r in caplog.records] == ["WARNING"]
        assert "damaged" in caplog.text
    spoil(tmp_path / FILE, whole)
    caplog.clear()
    found = await store.read(b"key")
    assert found is not None
    assert replace(found, rate_limits=None) == replace(completion, rate_limits=None)
    assert not caplog.records


async def test_a_torn_entry_is_a_miss_and_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, _ = await kept(tmp_path / FILE)
    whole = entry_of(tmp_path / FILE)
    for torn in (*(whole[:length] for length in range(0, len(whole), 7)), whole + b" ", "text", 7):
        spoil(tmp_path / FILE, torn)
        caplog.clear()
        assert await store.read(b"key") is None
        assert [r.levelname for r in caplog.records] == ["WARNING"]


async def test_an_entry_under_another_key_is_a_miss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, _ = await kept(tmp_path / FILE)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("UPDATE replies SET key = ?", (b"another",))
    connection.close()
    assert await store.read(b"key") is None
    assert await store.read(b"another") is None
    assert "damaged" in caplog.text


async def test_a_damaged_entry_is_asked_again_and_mended(
    model: Provider, server: FakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await model.complete(ask("Hi"))
    spoil(tmp_path / FILE, entry_of(tmp_path / FILE)[:-1])
    assert not (await model.complete(ask("Hi"))).cached
    assert caplog.text.count("is damaged") == 1
    assert (await model.complete(ask("Hi"))).cached
    assert server.counters.requests == 2


def flipped_files(path: Path, step: int) -> None:
    """Flip bytes of the file itself, whatever they mean to SQLite: the reply is the right one or none."""
    store, completion = asyncio.run(kept(path))
    store.close()
    whole = path.read_bytes()
    for place in range(0, len(whole), step):
        flipped = bytearray(whole)
        flipped[place] ^= 0xFF
        path.write_bytes(flipped)
        found = asyncio.run(store.read(b"key"))
        assert found is None or found.text == completion.text, f"byte {place}"
        asyncio.run(store.write(b"key", completion))  # a broken file does not end the work
        store.close()
        for left in path.parent.glob(f"{path.name}?*"):
            left.unlink()


def test_a_flipped_byte_of_the_file_never_lies(tmp_path: Path) -> None:
    flipped_files(tmp_path / FILE, 131)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_no_flipped_byte_of_the_file_lies(tmp_path: Path) -> None:
    flipped_files(tmp_path / FILE, 1)


async def test_garbage_is_set_aside(
    model: Provider, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(b"this is no database" * 400)
    assert (await model.complete(ask("Hi"))).outcome is Outcome.OK
    assert "the reply cache was broken" in caplog.text
    assert (await model.complete(ask("Hi"))).cached


async def test_garbage_that_cannot_be_set_aside_costs_nothing_but_a_warning(
    model: Provider, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / FILE).write_bytes(b"this is no database" * 400)
    monkeypatch.setattr(Path, "rename", refused)  # a folder of somebody else; the tests may run as root
    for _ in range(2):
        assert (await model.complete(ask("Hi"))).outcome is Outcome.OK
    assert caplog.text.count("cannot be set aside: Permission denied") == 1


async def test_a_deleted_file_forgets(model: Provider, server: FakeServer, tmp_path: Path) -> None:
    await model.complete(ask("Hi"))
    (tmp_path / FILE).unlink()
    assert not (await model.complete(ask("Hi"))).cached
    assert (await model.complete(ask("Hi"))).cached
    assert server.counters.requests == 2


async def test_a_place_that_cannot_be_written_costs_nothing_but_a_warning(
    server: FakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    provider = resolve("lab:mock", config_for(server, tmp_path, cache="file/replies.sqlite3"))
    for _ in range(3):
        assert (await provider.complete(ask("Hi"))).outcome is Outcome.OK
    await provider.close()
    assert server.counters.requests == 3
    assert caplog.text.count("going on without it") == 1


FULL = """
import asyncio, resource, sys
from pathlib import Path
from rag.core import Completion, Outcome, Timing
from rag.providers.cache import ReplyStore

async def main():
    store = ReplyStore(Path(sys.argv[1]))
    for n in range(100):
        text = str(n) * 3000
        done = Completion(text=text, outcome=Outcome.OK, provider="p", model="m", timing=Timing(sent=0.0))
        await store.write(b"%d" % n, done)
    found = await store.read(b"0")
    print(found.text == "0" * 3000, await store.read(b"99"))

resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # the disk that is full
asyncio.run(main())
"""


def test_a_full_disk_costs_nothing_but_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / FILE)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "True None"
    assert done.stderr.count("going on without it") == 1


SHARING = """
import asyncio, sys
from pathlib import Path
from rag.config import parse_config
from rag.core import Message, Request
from rag.providers import resolve

async def main():
    lab = {"base_url": sys.argv[1]}
    config = parse_config({"providers": {"lab": lab}, "cache": sys.argv[2]}, folder=Path.cwd())
    provider = resolve("lab:mock", config)
    replies = await asyncio.gather(
        *(provider.complete(Request(messages=(Message(role="user", content=f"{n}"),))) for n in range(60))
    )
    await provider.close()
    print(sorted({reply.outcome.value for reply in replies}), len({reply.text for reply in replies}))

asyncio.run(main())
"""


def test_several_processes_share_the_file(server: FakeServer, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SHARING, server.base_url, str(tmp_path / FILE)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = [process.communicate(timeout=60) for process in running]
    assert said == [("['ok'] 60\n", "")] * 3
    asked = server.counters.requests
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "['ok'] 60\n"
    assert server.counters.requests == asked
    with sqlite3.connect(tmp_path / FILE) as connection:
        assert connection.execute("SELECT count(*) FROM replies").fetchone() == (60,)
    connection.close()


def test_no_key_and_no_prompt_is_in_the_file(lab: Config, tmp_path: Path) -> None:
    model = resolve("lab:mock", lab)

    async def once() -> None:
        await model.complete(ask("a prompt of one's own"))
        await model.close()

    asyncio.run(once())
    stored = b"".join(file.read_bytes() for file in tmp_path.glob(f"{FILE}*"))
    assert b"outcome" in stored
    assert KEY.encode() not in stored
    assert b"a prompt of" not in stored


async def test_every_part_of_a_reply_comes_back(tmp_path: Path) -> None:
    store, completion = await kept(tmp_path / FILE)
    rich = replace(
        completion,
        reasoning="so be it",
        logprobs=(TokenLogprob(token="a", logprob=-0.25, alternatives=(("b", float("-inf")),)),),
        cost=Decimal("0.0000001"),
    )
    await store.write(b"rich", rich)
    assert await store.read(b"rich") == rich


async def test_what_has_no_utf8_form_is_not_kept(tmp_path: Path) -> None:
    store, completion = await kept(tmp_path / FILE)
    await store.write(b"lone", replace(completion, text="\ud83d"))
    assert await store.read(b"lone") is None


async def test_the_oldest_leave_when_it_is_full(tmp_path: Path) -> None:
    _, completion = await kept(tmp_path / FILE)
    store = ReplyStore(tmp_path / "small.sqlite", max_replies=3)
    for key in (b"a", b"b", b"c", b"d"):
        await store.write(key, completion)
    assert [await store.read(key) is not None for key in (b"a", b"b", b"c", b"d")] == [
        False,
        True,
        True,
        True,
    ]


async def test_a_thousand_stored_replies_take_no_time_to_speak_of(model: Provider) -> None:
    requests = [ask(str(n)) for n in range(1000)]
    await asyncio.gather(*(model.complete(request) for request in requests))
    started = time.perf_counter()
    replies = await asyncio.gather(*(model.complete(request) for request in requests))
    assert all(reply.cached for reply in replies)
    assert time.perf_counter() - started < 5
