"""The ledger: which segments may go, and which ranges a replay skips."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from rondel.errors import Corruption
from services.ingester.ledger import TOLD_MS, Ledger, Marker, decode_markers, encode_markers


def marker(number: int, segment: int, tenant: str = "a", range_ms: int = 100) -> Marker:
    return Marker(tenant, number, range_ms, segment, "block")


def test_a_segment_goes_when_every_range_of_every_tenant_in_it_is_shipped() -> None:
    ledger = Ledger(100)
    ledger.hold(1, "a", [5, 6])
    ledger.hold(1, "b", [5])
    ledger.hold(2, "a", [6])
    for one in (marker(5, 1), marker(6, 1)):
        ledger.mark(one)
        assert ledger.deletable(9) == []
    ledger.mark(marker(5, 1, "b"))
    assert ledger.deletable(9) == [1]
    assert ledger.deletable(1) == []


def test_a_marker_says_nothing_of_later_segments() -> None:
    ledger = Ledger(100, [marker(5, 3)])
    assert [ledger.covered(segment, "a") for segment in (2, 3, 4)] == [[5], [5], []]
    assert ledger.covered(3, "b") == []


def test_markers_go_with_the_last_segment_that_they_speak_of_once_nobody_asks_for_their_blocks() -> None:
    empty = replace(marker(7, 1), block="")
    ledger = Ledger(100, [marker(5, 1), marker(6, 2), empty])
    ledger.hold(1, "a", [5, 7])
    ledger.hold(2, "a", [6])
    ledger.forget([1], TOLD_MS - 1)
    assert ledger.markers == [marker(5, 1), marker(6, 2)]
    ledger.forget([], TOLD_MS)
    assert ledger.markers == [marker(6, 2)]
    ledger.forget([2], TOLD_MS)
    assert ledger.markers == []


def test_a_reader_is_told_of_the_blocks_that_overlap_its_range() -> None:
    blocks = [replace(marker(number, 1), block=str(number)) for number in (4, 5, 6)]
    ledger = Ledger(100, [*blocks, replace(marker(5, 2), block=""), marker(5, 1, "b")])
    told = {(500, 599): ["5"], (499, 500): ["4", "5"], (599, 600): ["5", "6"], (0, 10_000): ["4", "5", "6"]}
    for (mint_ms, maxt_ms), expected in told.items():
        assert ledger.blocks("a", mint_ms, maxt_ms) == expected
    assert (ledger.blocks("a", 700, 800), ledger.blocks("c", 0, 1000)) == ([], [])
    assert ledger.tenants == {"a", "b"}


@pytest.mark.parametrize(
    ("range_ms", "covered"), [(100, [-1]), (50, [-2, -1]), (30, [-3, -2, -1]), (70, [-1]), (200, [])]
)
def test_markers_of_another_range_length_cover_only_what_lies_wholly_inside(
    range_ms: int, covered: list[int]
) -> None:
    assert Ledger(range_ms, [marker(-1, 1)]).covered(1, "a") == covered


def test_markers_survive_their_file() -> None:
    markers = [marker(-7, 1), marker(5, 3, "b")]
    assert decode_markers(encode_markers(markers)) == markers
    with pytest.raises(Corruption):
        decode_markers(b"{}")
