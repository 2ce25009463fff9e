"""The stream parser: no slicing of the bytes changes what it delivers."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.providers.sse import EventParser

RECORDED = (
    ": OPENROUTER PROCESSING\n\n"
    'event: message\nid: 7\ndata: {"text":"ação 🐎"}\n\n'
    'data:{"no":"space"}\r\n\r\n'
    "data: two\rdata: lines 中文\r\r"
    "data\n\nretry: 10\n\n"
    "data: [DONE]\n\n"
    '{"error": {"message": "bare"}}\n'
    "data: the last one lacks its blank line"
).encode()
EVENTS = [
    '{"text":"ação 🐎"}'.encode(),
    b'{"no":"space"}',
    "two\nlines 中文".encode(),
    b"",
    b"[DONE]",
    b"the last one lacks its blank line",
]


def parse(*pieces: bytes, limit: int = 1000) -> tuple[list[bytes], bytes, bool]:
    parser = EventParser(limit)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.finish(), parser.stray, parser.overflow


def slices(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


def test_reads_every_form_of_line_and_field():
    events, stray, overflow = parse(RECORDED)
    assert events == EVENTS
    assert stray == b'{"error": {"message": "bare"}}\n'
    assert not overflow


@given(st.lists(st.integers(0, len(RECORDED)), max_size=40))
@settings(max_examples=300, deadline=None)
def test_slicing_changes_nothing(cuts: list[int]):
    assert parse(*slices(RECORDED, cuts)) == parse(RECORDED)


@given(
    st.lists(
        st.sampled_from([b"data: a", b"data:b", b"data", b": c", b"\n", b"\r", b"\r\n", b"x", b""]),
        max_size=30,
    ),
    st.data(),
)
@settings(max_examples=300, deadline=None)
def test_slicing_changes_nothing_in_any_stream(parts: list[bytes], data: st.DataObject):
    stream = b"".join(parts)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10))
    assert parse(*slices(stream, cuts)) == parse(stream)


def test_byte_by_byte_is_the_same():
    assert parse(*(bytes([byte]) for byte in RECORDED)) == parse(RECORDED)


def test_a_byte_order_mark_is_skipped():
    assert parse(b"\xef\xbb\xbfdata: x\n\n")[0] == [b"x"]


@pytest.mark.parametrize("size", [1, 7, 4000])
def test_an_event_over_the_limit_stops_the_parser(size: int):
    stream = b"data: ok\n\ndata: " + b"x" * 2000 + b"\n\ndata: after\n\n"
    pieces = [stream[i : i + size] for i in range(0, len(stream), size)]
    assert parse(*pieces) == ([b"ok"], b"", True)
