"""The fake server speaks the wire format (the official SDK says so), as a program and in a test."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

from openai import AsyncOpenAI

from tests.fakes.answers import answer, pieces
from tests.fakes.script import Behaviour, Script
from tests.fakes.server import FakeServer

ROOT = Path(__file__).parents[3]


async def test_the_official_sdk_understands_it(server: FakeServer):
    server.script(default=Behaviour(text="Hello there 🐎", reasoning="hm"))
    client = AsyncOpenAI(base_url=server.base_url, api_key="x", max_retries=0)
    messages = [{"role": "user", "content": "Hi"}]
    whole = await client.chat.completions.create(model="mock", messages=messages)
    assert whole.choices[0].message.content == "Hello there 🐎"
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.completion_tokens == 4
    assert whole.usage.completion_tokens_details.reasoning_tokens == 1
    stream = await client.chat.completions.create(
        model="mock", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello there 🐎"
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
    assert [m.id async for m in client.models.list()] == ["mock"]
    await client.close()


def test_it_is_a_program_with_a_control_route():
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.server"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        port = json.loads(child.stdout.readline())["port"]

        def post(path: str, data: object) -> dict[str, object]:
            body = None if data is None else json.dumps(data).encode()
            with urllib.request.urlopen(
                urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body)
            ) as reply:
                return json.load(reply)

        post("/_control/script", {"default": {"text": "scripted"}, "seed": 3})
        said = post("/v1/chat/completions", {"model": "mock", "messages": []})
        assert said["choices"][0]["message"]["content"] == "scripted"
        seen = post("/_control/counters", None)
        assert (seen["requests"], seen["max_in_flight"], list(seen["calls"].values())) == (1, 1, [1])
    finally:
        child.terminate()
        child.communicate(timeout=10)


def test_shares_are_drawn_by_body_not_by_order():
    def draws(order: list[str]) -> dict[str, str | None]:
        script = Script(shares=[(0.5, Behaviour(fault="auth"))], seed=5)
        return {name: script.pick(name, "mock").fault for name in order}

    names = [f"body{i}" for i in range(50)]
    assert draws(names) == draws(names[::-1])
    assert 10 < sum(fault is not None for fault in draws(names).values()) < 40
    assert Script().pick("x", "fault:quota").fault == "quota"


def test_answers_are_useful():
    prompt = (
        "Passages:\n\n[1] Prices\nBatch jobs cost half. Input is cheap.\n\n"
        "[2] Speed\nThe first token takes 50 ms.\n\n"
        "Question: How long does the first token take?"
    )
    said = answer({"messages": [{"role": "user", "content": prompt}]})
    assert said == 'The first token takes 50 ms. [2]\n[2] "The first token takes 50 ms."'
    options = {"messages": [{"role": "user", "content": "Which?\nA. one\nB. two\nC. three\nAnswer:"}]}
    assert answer(options) in {"A", "B", "C"}
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "s": {"enum": ["x", "y"]}}}
    wanted = {"messages": [], "response_format": {"json_schema": {"schema": schema}}}
    assert json.loads(answer(wanted)) == {"n": 1, "s": "x"}
    assert "".join(pieces(" a  b\nc ")) == " a  b\nc "
