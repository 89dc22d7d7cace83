"""The note that the next end is for good."""

from __future__ import annotations

from pathlib import Path

from rondel.cluster.marker import Marker


def test_it_is_set_read_and_taken_back_any_number_of_times(tmp_path: Path) -> None:
    marker = Marker(tmp_path / "new" / "prepare-shutdown")
    assert marker.since_ms() is None
    marker.clear()
    assert marker.set(1_000) == 1_000
    assert marker.set(2_000) == 1_000
    assert Marker(marker.path).since_ms() == 1_000
    marker.clear()
    marker.clear()
    assert marker.since_ms() is None


def test_one_that_cannot_be_read_is_set(tmp_path: Path) -> None:
    marker = Marker(tmp_path / "prepare-shutdown")
    marker.path.write_bytes(b"")
    assert marker.since_ms() == 0
    assert marker.set(5) == 0
