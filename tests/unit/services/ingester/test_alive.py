"""What a note of the last life says of what is lacking now."""

from __future__ import annotations

from pathlib import Path

import pytest

from rondel.ring.instance import EVER_MS
from services.ingester.alive import Alive, AliveFile, boot_id, damages_of, lost_since_ms
from services.ingester.config import WalConfig
from services.ingester.replay import Damage, Report

NOTE = Alive(whole_ms=100_000, boot="b")
AT_INTERVALS = WalConfig(sync="interval", sync_interval_ms=1_000)


def report(*damages: Damage) -> Report:
    return Report(damages=list(damages))


@pytest.mark.parametrize(
    ("before", "wal", "boot", "expected"),
    [
        (NOTE, WalConfig(), "other", 0),
        (NOTE, AT_INTERVALS, "b", 0),
        (NOTE, AT_INTERVALS, "other", 98_000),
        (NOTE, WalConfig(sync="never"), "other", EVER_MS),
        (Alive(100_000, "b", is_closed=True), AT_INTERVALS, "other", 0),
        (Alive(boot="b"), AT_INTERVALS, "other", EVER_MS),
        (None, AT_INTERVALS, "other", 0),
    ],
)
def test_a_power_cut_costs_what_was_not_synced(
    before: Alive | None, wal: WalConfig, boot: str, expected: int
) -> None:
    assert lost_since_ms(before, report(), 0, wal, boot) == expected


def test_damage_counts_once_and_a_torn_end_never() -> None:
    torn, damaged = Damage(3, 40, 50, torn=True), Damage(2, 40, 50, torn=False)
    assert lost_since_ms(NOTE, report(torn), 0, WalConfig(), "b") == 0
    assert lost_since_ms(NOTE, report(torn, damaged), 0, WalConfig(), "b") == EVER_MS
    known = Alive(100_000, "b", damages=damages_of(report(torn, damaged)))
    assert lost_since_ms(known, report(damaged), 0, WalConfig(), "b") == 0
    assert (
        lost_since_ms(known, report(damaged, Damage(2, 90, 99, torn=False)), 0, WalConfig(), "b") == EVER_MS
    )


def test_a_log_that_is_gone_is_lost_unless_it_was_shipped() -> None:
    before = Alive(100_000, "b", segment=7)
    for last, shipped, expected in ((7, 0, 0), (8, 0, 0), (0, 0, EVER_MS), (6, 5, EVER_MS), (0, 7, 0)):
        report = Report(last_segment=last)
        assert lost_since_ms(before, report, shipped, WalConfig(), "b") == expected


def test_a_note_survives_its_file_and_a_damaged_one_says_nothing(tmp_path: Path) -> None:
    file = AliveFile(tmp_path / "alive.json")
    assert file.load() is None
    note = Alive(5, "b", is_closed=True, damages=((1, 2), (3, 4)))
    file.store(note)
    assert file.load() == note
    file.path.write_bytes(b"{")
    assert file.load() == Alive()
    file.clear()
    assert file.load() is None


def test_a_kernel_that_does_not_say_when_it_booted_is_no_error() -> None:
    def absent() -> str:
        raise FileNotFoundError

    assert boot_id(absent) == ""
    assert boot_id(lambda: "x\n") == "x"
