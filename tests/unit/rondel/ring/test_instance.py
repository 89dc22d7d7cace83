"""Entries survive the store; what is no entry is said to be none."""

from __future__ import annotations

import pytest

from rondel.errors import InvalidData
from rondel.ring.instance import Instance, State, decode, encode

ENTRY = Instance("ingester-a-0", "a", "10.0.0.1:9095", 7, State.LEAVING, settled_ms=5, behind_since_ms=9)


def test_an_entry_comes_back_as_it_was_written() -> None:
    assert decode(encode(ENTRY)) == ENTRY


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b'{"id": "x"}',
        encode(ENTRY).replace(b"LEAVING", b"GONE"),
        encode(ENTRY).replace(b":7", b":-1"),
        encode(ENTRY).replace(b":7", b":100000"),
    ],
)
def test_what_is_no_entry_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidData, match="ring entry of"):
        decode(value)
