"""Answers in pieces."""

from __future__ import annotations

import pytest

from rondel.rpc.parts import PART_BYTES_MAX, grouped, parts


@pytest.mark.parametrize(
    "size", [0, 1, PART_BYTES_MAX - 1, PART_BYTES_MAX, PART_BYTES_MAX + 1, 3 * PART_BYTES_MAX]
)
def test_parts_are_the_whole_in_bounded_pieces_and_the_last_says_so(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    found = list(parts(data))
    assert b"".join(part.data for part in found) == data
    assert [part.last for part in found] == [False] * (len(found) - 1) + [True]
    assert len(found) == max(1, -(-size // PART_BYTES_MAX))


def test_groups_keep_the_order_and_the_bound() -> None:
    sizes = [PART_BYTES_MAX // 3] * 7 + [2 * PART_BYTES_MAX, 1, 0, PART_BYTES_MAX]
    groups = list(grouped(sizes, lambda size: size))
    assert [size for group in groups for size in group] == sizes
    assert [len(group) for group in groups] == [3, 3, 1, 1, 2, 1]
    assert list(grouped([], len)) == []
