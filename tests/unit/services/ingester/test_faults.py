"""Whatever the disk does: what was acknowledged is there after a restart, what is wrong is said."""

from __future__ import annotations

import asyncio

import pytest

from rondel.errors import ConfigError, RondelError, Unavailable
from rondel.runtime.clock import FakeClock
from services.ingester.config import Config, WalConfig
from services.ingester.push import Ingester
from services.ingester.ship import Shipper
from tests.support.disks import FaultyDisk
from tests.support.ingesters import NOW_MS, Samples, batch, make, samples_of
from tests.support.sinks import Shelf

CALLS_MAX = 400


class Workload:
    """Pushes to two series and ships in between; remembers what was acknowledged and what was tried."""

    def __init__(self, disk: FaultyDisk) -> None:
        self.disk = disk
        self.shelf = Shelf()
        self.acknowledged: set[tuple[str, int]] = set()
        self.tried: set[tuple[str, int]] = set()

    async def run(self) -> None:
        """Every error that reaches a caller must be one of ours."""
        ingester = make(self.disk)
        ships = Shipper(
            ingester,
            ingester.config,
            open_sink=self.shelf.open,
            announce=self.shelf.announced.append,
            clock=FakeClock(NOW_MS),
        )
        try:
            await ingester.start()
            for step in range(12):
                name = f"m{step % 3}"
                self.tried.add((name, NOW_MS + step))
                await self._push(ingester, name, step)
                if step % 5 == 4:
                    with_errors = asyncio.gather(ships.flush(), return_exceptions=True)
                    for found in await with_errors:
                        assert not isinstance(found, BaseException) or isinstance(found, RondelError)
        except RondelError:
            pass
        finally:
            await ingester.stop()

    async def _push(self, ingester: Ingester, name: str, step: int) -> None:
        try:
            await ingester.push("a", batch({name: [(NOW_MS + step, float(step))]}))
        except Unavailable:
            return
        self.acknowledged.add((name, NOW_MS + step))

    async def check(self, disk: FaultyDisk) -> None:
        """Restarts on what the disk holds and compares."""
        ingester = make(disk)
        await ingester.start()
        held = self._points(samples_of(ingester, "a")) | self._points(self.shelf.samples())
        await ingester.stop()
        assert self.acknowledged <= held <= self.tried

    @staticmethod
    def _points(samples: Samples) -> set[tuple[str, int]]:
        for name, points in samples.items():
            assert all(value == time_ms - NOW_MS for time_ms, value in points), name
        return {(name, time_ms) for name, points in samples.items() for time_ms, _ in points}


@pytest.mark.parametrize(("tear", "die"), [(False, False), (True, False), (True, True)])
async def test_the_nth_disk_call_fails_and_nothing_acknowledged_is_lost(tear: bool, die: bool) -> None:
    for fail_at in range(1, CALLS_MAX):
        work = Workload(FaultyDisk(fail_at=fail_at, tear=tear, die=die))
        await work.run()
        if not work.disk.faults:
            assert fail_at > 20
            assert len(work.acknowledged) == 12
            return
        await work.check(work.disk.crash())
        await work.check(work.disk.crash(keep_unsynced=1 << 20))
    pytest.fail(f"after {CALLS_MAX} calls there is still a call to fail")


@pytest.mark.parametrize("kept", [0, 1, 13, 40, 1 << 20])
async def test_a_power_cut_after_any_push_keeps_what_was_acknowledged(kept: int) -> None:
    work = Workload(FaultyDisk())
    ingester = make(work.disk)
    await ingester.start()
    for step in range(6):
        work.tried.add(("m0", NOW_MS + step))
        work.disk.hold()
        pushing = asyncio.ensure_future(ingester.push("a", batch({"m0": [(NOW_MS + step, float(step))]})))
        await asyncio.sleep(0.01)
        await work.check(work.disk.crash(keep_unsynced=kept))
        work.disk.go_on()
        await pushing
        work.acknowledged.add(("m0", NOW_MS + step))
        await work.check(work.disk.crash(keep_unsynced=kept))
    await ingester.stop()


@pytest.mark.parametrize("is_full", [False, True])
async def test_what_a_replay_shows_survives_a_power_cut(is_full: bool) -> None:
    """Written, not synced, and the process was killed. The client repeats it, and it is known already."""
    disk = FaultyDisk()
    ingester = make(disk)
    await ingester.start()
    disk.fail_at, disk.die = disk.calls + 4, True  # create, header, record; then the sync
    with pytest.raises(Unavailable):
        await ingester.push("a", batch({"m": [(NOW_MS, 0.0)]}))
    await ingester.stop()
    after = disk.killed()
    after.room_bytes = 0 if is_full else None
    again = make(after)
    await again.start()
    assert (await again.push("a", batch({"m": [(NOW_MS, 0.0)]}))).accepted.samples == 1
    await again.stop()
    last = make(after.crash())
    await last.start()
    assert samples_of(last, "a") == {"m": [(NOW_MS, 0.0)]}
    await last.stop()


async def test_a_full_disk_refuses_pushes_and_recovers_by_itself() -> None:
    disk = FaultyDisk(tear=True)
    ingester = make(disk)
    await ingester.start()
    await ingester.push("a", batch({"m": [(NOW_MS, 0.0)]}))
    disk.room_bytes = 0
    for step in range(3):
        with pytest.raises(Unavailable, match="no space left"):
            await ingester.push("a", batch({"m": [(NOW_MS + 1, 1.0)], "n": [(NOW_MS + step, 1.0)]}))
    disk.room_bytes = None
    await ingester.push("a", batch({"m": [(NOW_MS + 2, 2.0)], "n": [(NOW_MS + 2, 2.0)]}))
    wanted = {"m": [(NOW_MS, 0.0), (NOW_MS + 2, 2.0)], "n": [(NOW_MS + 2, 2.0)]}
    assert samples_of(ingester, "a") == wanted
    await ingester.stop()
    again = make(disk.crash())
    report = await again.start()
    assert report.damages == []
    assert samples_of(again, "a") == wanted
    await again.stop()


async def test_records_that_wait_behind_a_failed_write_are_refused_with_it() -> None:
    """The second record relies on definitions of the first, which never reached the disk."""
    disk = FaultyDisk()
    ingester = make(disk)
    await ingester.start()
    await ingester.push("a", batch({"k": [(NOW_MS, 0.0)]}))
    disk.hold()
    pushes = []
    for step in range(3):
        pushes.append(asyncio.ensure_future(ingester.push("a", batch({"m": [(NOW_MS + step, 1.0)]}))))
        await asyncio.sleep(0.005)
    disk.fail_at = disk.calls + 1
    disk.go_on()
    outcomes = await asyncio.gather(*pushes, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    await ingester.push("a", batch({"m": [(NOW_MS + 9, 9.0)]}))
    await ingester.stop()
    again = make(disk.crash())
    assert (await again.start()).unknown == 0
    assert samples_of(again, "a") == {"k": [(NOW_MS, 0.0)], "m": [(NOW_MS + 9, 9.0)]}
    await again.stop()


async def test_after_a_failed_sync_nothing_is_acknowledged_until_a_restart() -> None:
    disk = FaultyDisk()
    ingester = make(disk)
    await ingester.start()
    await ingester.push("a", batch({"m": [(NOW_MS, 0.0)]}))
    disk.fail_at = disk.calls + 2
    with pytest.raises(Unavailable):
        await ingester.push("a", batch({"m": [(NOW_MS + 1, 1.0)]}))
    assert disk.faults == ["sync"]
    assert ingester.failure is not None
    calls = disk.calls
    with pytest.raises(Unavailable, match="needs a restart"):
        await ingester.push("a", batch({"m": [(NOW_MS + 2, 2.0)]}))
    assert disk.calls == calls
    await ingester.stop()
    again = make(disk.crash())
    await again.start()
    assert samples_of(again, "a") == {"m": [(NOW_MS, 0.0)]}
    await again.stop()


async def test_a_slow_disk_fills_the_backlog_and_pushes_are_refused() -> None:
    disk = FaultyDisk()
    ingester = make(disk, Config(wal=WalConfig(backlog_size_bytes_max=200)))
    await ingester.start()
    disk.hold()
    pushes = [
        asyncio.ensure_future(ingester.push("a", batch({f"m{step}": [(NOW_MS, 1.0)]}))) for step in range(9)
    ]
    await asyncio.sleep(0.01)
    refused = [push for push in pushes if push.done()]
    assert refused
    disk.go_on()
    outcomes = await asyncio.gather(*pushes, return_exceptions=True)
    accepted = {f"m{step}" for step, outcome in enumerate(outcomes) if not isinstance(outcome, Unavailable)}
    assert len(accepted) == len(pushes) - len(refused)
    await ingester.stop()
    again = make(disk.crash())
    await again.start()
    assert set(samples_of(again, "a")) == accepted
    await again.stop()


async def test_a_refused_record_keeps_no_segment_alive() -> None:
    disk = FaultyDisk()
    ingester = make(disk)
    await ingester.start()
    disk.fail_at = disk.calls + 3  # create, header, then the record
    with pytest.raises(Unavailable):
        await ingester.push("a", batch({"m": [(NOW_MS, 0.0)]}))
    assert ingester.ledger.deletable(ingester.wal.current.number) == [1]
    await ingester.stop()


async def test_a_directory_that_cannot_be_used_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="cannot use its data directory"):
        await make(FaultyDisk(fail_at=1)).start()
