"""What replicas have of our hashes and we have not comes here, through the log."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from rondel.errors import QueryCanceled, Unavailable
from rondel.model.labels import LabelSets
from rondel.runtime.clock import SystemClock
from rondel.storage import PATIENT, Select, Selection, Watch
from services.ingester.clusterconfig import RepairConfig
from services.ingester.config import Config, HeadConfig
from services.ingester.owned import EVERYTHING, Share
from services.ingester.push import Ingester
from services.ingester.read import HeadStorage
from services.ingester.repair import Repair, RepairMetrics
from tests.support.ingesters import NOW_MS, Samples, batch, contents_of, make, samples_of
from tests.support.rpc import eventually

MINUTE_MS = 60_000


def points(*minutes: int, names: int = 20) -> Samples:
    times = [NOW_MS + minute * MINUTE_MS for minute in minutes]
    return {f"m{name}": [(time_ms, float(time_ms % 7)) for time_ms in times] for name in range(names)}


class Replica(HeadStorage):
    """Another ingester, in the same process; implements `Replicas`."""

    def __init__(self, ingester: Ingester) -> None:
        super().__init__(ingester.tenants)
        self.ingester = ingester
        self.failures = 0

    def tenants(self, since_ms: int, *, watch: Watch = PATIENT) -> list[str]:
        return [one.name for one in self.ingester.tenants]

    def select(self, request: Select) -> Selection:
        if self.failures:
            self.failures -= 1
            raise Unavailable("not all have answered")
        return super().select(request)


class Pair:
    """An ingester and its replica."""

    def __init__(self, folder: Path, share: Share = EVERYTHING) -> None:
        config = Config(head=HeadConfig(out_of_order_time_window_ms=MINUTE_MS))
        self.here, self.there = make(folder / "here", config), make(folder / "there", config)
        self.replica = Replica(self.there)
        self.metrics = RepairMetrics(CollectorRegistry())
        settings = RepairConfig(series_per_batch=3, share=1.0)
        self.repair = Repair(
            self.here, self.replica, lambda tenant, since_ms: share, settings, SystemClock(), self.metrics
        )

    async def start(self) -> Pair:
        await self.here.start()
        await self.there.start()
        return self

    async def stop(self) -> None:
        await self.here.stop()
        await self.there.stop()


@pytest.mark.parametrize("mixed", [False, True])
async def test_what_is_lacking_comes_and_survives_a_restart(tmp_path: Path, mixed: bool) -> None:
    pair = await Pair(tmp_path).start()
    await pair.there.push("a", batch(points(0, 1, 2, 3), mixed=mixed))
    await pair.there.push("b", batch(points(1), mixed=mixed))
    await pair.here.push("a", batch(points(0), mixed=mixed))
    await pair.here.push("a", batch(points(3, names=10), mixed=mixed))
    kinds = 2 if mixed else 1
    assert await pair.repair.run(NOW_MS, NOW_MS + 2 * MINUTE_MS) == kinds * (20 * 2 + 20)
    wanted = {
        name: [one for one in of_series if one[0] < NOW_MS + 3 * MINUTE_MS]
        for name, of_series in points(0, 1, 2).items()
    }
    for name, last in points(3, names=10).items():
        wanted[name] += last
    assert samples_of(pair.here, "a") == wanted
    assert samples_of(pair.here, "b") == points(1)
    assert await pair.repair.run(NOW_MS, NOW_MS + 2 * MINUTE_MS) == 0
    before = contents_of(pair.here, "a")
    await pair.stop()
    again = make(tmp_path / "here")
    await again.start()
    assert contents_of(again, "a") == before
    await again.stop()


async def test_only_series_whose_hash_is_ours_come(tmp_path: Path) -> None:
    share = Share(np.array([2**63 - 1, 2**64 - 1], np.uint64), np.array([True, False]))
    pair = await Pair(tmp_path, share).start()
    await pair.there.push("a", batch(points(0)))
    await pair.repair.run(NOW_MS, NOW_MS)
    names = list(points(0))
    labels = LabelSets.from_dicts([{"__name__": name, "job": "test"} for name in names])
    ours = [
        name for name, low in zip(names, labels.fingerprints()[:, 0].tolist(), strict=True) if low < 2**63
    ]
    assert 0 < len(ours) < 20
    assert samples_of(pair.here, "a") == {name: points(0)[name] for name in ours}
    await pair.stop()


async def test_an_answer_that_is_not_complete_ends_it_and_the_next_one_finds_the_rest(tmp_path: Path) -> None:
    pair = await Pair(tmp_path).start()
    await pair.there.push("a", batch(points(0)))
    pair.replica.failures = 1
    with pytest.raises(Unavailable):
        await pair.repair.run(NOW_MS, NOW_MS)
    assert await pair.repair.run(NOW_MS, NOW_MS) == 20
    assert samples_of(pair.here, "a") == points(0)
    runs = [pair.metrics.runs.labels(outcome)._value.get() for outcome in ("done", "failed")]
    assert runs == [1, 1]
    await pair.stop()


async def test_pushes_go_on_meanwhile_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    pair = await Pair(tmp_path).start()
    await pair.there.push("a", batch(points(0, 1)))
    repair = asyncio.ensure_future(pair.repair.run(NOW_MS, NOW_MS + 9 * MINUTE_MS))
    for minute in range(2, 6):
        for one in (pair.here, pair.there):
            await one.push("a", batch(points(minute)))
    await repair
    assert samples_of(pair.here, "a") == points(0, 1, 2, 3, 4, 5)
    await pair.stop()


class Frozen(Replica):
    """Says nothing to one question, for as long as somebody waits."""

    def __init__(self, ingester: Ingester, question: str) -> None:
        super().__init__(ingester)
        self.question = question
        self.is_asked = False

    def _freeze(self, question: str, watch: Watch) -> None:
        while question == self.question:
            self.is_asked = True
            watch.check()
            time.sleep(0.01)

    def tenants(self, since_ms: int, *, watch: Watch = PATIENT) -> list[str]:
        self._freeze("tenants", watch)
        return super().tenants(since_ms)

    def label_values(self, *args: Any, watch: Watch = PATIENT) -> list[str]:
        self._freeze("names", watch)
        return super().label_values(*args)

    def select(self, request: Select) -> Selection:
        self._freeze("select", request.watch)
        return super().select(request)


@pytest.mark.parametrize("question", ["tenants", "names", "select"])
async def test_whoever_stops_does_not_wait_for_a_replica_that_is_frozen(
    tmp_path: Path, question: str
) -> None:
    pair = await Pair(tmp_path).start()
    await pair.there.push("a", batch(points(0)))
    replica = Frozen(pair.there, question)
    repair = Repair(
        pair.here,
        replica,
        lambda tenant, since_ms: EVERYTHING,
        RepairConfig(),
        SystemClock(),
        RepairMetrics(CollectorRegistry()),
    )
    running = asyncio.ensure_future(repair.run(NOW_MS, NOW_MS))
    await eventually(lambda: replica.is_asked)
    repair.end()
    with pytest.raises(QueryCanceled):
        await running
    await pair.stop()


async def test_no_series_of_a_replica_is_one_too_many(tmp_path: Path) -> None:
    pair = await Pair(tmp_path).start()
    await pair.there.push("a", batch(points(0)))
    full = make(tmp_path / "full", Config(head=HeadConfig(max_global_series_per_user=5)))
    await full.start()
    newcomers = {f"n{number}": [(NOW_MS, 1.0)] for number in range(5)}
    await full.push("a", batch(newcomers))
    repair = Repair(
        full,
        pair.replica,
        lambda tenant, since_ms: EVERYTHING,
        RepairConfig(share=1.0),
        SystemClock(),
        pair.metrics,
    )
    assert await repair.run(NOW_MS, NOW_MS) == 20
    assert samples_of(full, "a") == {**newcomers, **points(0)}
    refused = await full.push("a", batch({"one_too_many": [(NOW_MS, 1.0)]}))
    assert [one.id for one in refused.rejections] == ["max-series-per-user"]
    await full.stop()
    await pair.stop()
