"""The table of queries in flight: what a process that dies leaves to the next one."""

from __future__ import annotations

from pathlib import Path

from services.querier.inflight import Inflight, RunningQuery

ONE = RunningQuery("k1", "team-a", 'sum(rate(x{a="é"}[5m]))', 3_600_000, 5)
TWO = RunningQuery("k2", "team-a", "up", 0, 6)


def opened(tmp_path: Path, slots: int = 3) -> tuple[Inflight, list[RunningQuery]]:
    table = Inflight(tmp_path / "inflight", slots)
    return table, table.open()


def test_the_first_process_finds_nothing(tmp_path: Path) -> None:
    assert opened(tmp_path)[1] == []


def test_what_ran_when_the_process_died_is_found_by_the_next_and_only_by_that(tmp_path: Path) -> None:
    table, _ = opened(tmp_path)
    table.enter(ONE)
    table.leave(table.enter(TWO))
    assert opened(tmp_path)[1] == [ONE]
    assert opened(tmp_path)[1] == []


def test_a_process_that_stops_on_purpose_leaves_nothing(tmp_path: Path) -> None:
    table, _ = opened(tmp_path)
    table.enter(ONE)
    table.stopping()
    assert opened(tmp_path)[1] == []


def test_slots_are_used_again_and_what_finds_none_runs_unseen(tmp_path: Path) -> None:
    table, _ = opened(tmp_path, slots=1)
    first = table.enter(ONE)
    assert table.enter(TWO) is None
    table.leave(None)
    table.leave(first)
    assert table.enter(TWO) is not None
    assert opened(tmp_path)[1] == [TWO]


def test_a_text_that_is_too_long_for_a_slot_is_cut(tmp_path: Path) -> None:
    table, _ = opened(tmp_path)
    table.enter(RunningQuery("k", "t" * 150, "\x01" * 100_000, 1))
    [found] = opened(tmp_path)[1]
    assert (found.key, found.text) == ("k", "\x01" * 600)


def test_a_table_of_any_size_or_none_at_all_can_be_read(tmp_path: Path) -> None:
    table, _ = opened(tmp_path, slots=5)
    for _ in range(5):
        table.enter(ONE)
    assert len(opened(tmp_path, slots=1)[1]) == 5
    path = tmp_path / "inflight"
    for damage in (b"", b"RNDLQRY1", b"x" * 10_000):
        path.write_bytes(damage)
        assert opened(tmp_path)[1] == []


def test_a_slot_whose_writing_was_cut_short_is_no_query(tmp_path: Path) -> None:
    table, _ = opened(tmp_path)
    table.enter(ONE)
    table.enter(TWO)
    path = tmp_path / "inflight"
    data = bytearray(path.read_bytes())
    data[4096 + 20] ^= 1
    path.write_bytes(data)
    assert opened(tmp_path)[1] == [TWO]
