"""Head and blocks together: a query sees the same before, while and after a range becomes a block."""

from __future__ import annotations

from pathlib import Path

import pytest

from rondel.block.store import BlockStore
from rondel.block.ulid import new_ulid
from rondel.block.writer import BlockWriter
from rondel.model.labels import Matchers
from rondel.model.merge import MergedStorage
from rondel.objstore.open import open_bucket
from rondel.runtime.clock import FakeClock
from rondel.storage import Select
from services.ingester.config import Config, HeadConfig, ShipConfig
from services.ingester.read import HeadStorage
from services.ingester.ship import Shipper
from tests.support.ingesters import (
    EVER,
    NOW_MS,
    Contents,
    Samples,
    batch,
    contents,
    exemplars_by_name,
    make,
)

CONFIG = Config(
    head=HeadConfig(exemplars_per_series_max=1000), ship=ShipConfig(range_ms=60_000, series_per_batch=3)
)


KINDS = ("floats", "starts", "histograms", "exemplars")


def query(storage: MergedStorage) -> Contents:
    everything = Matchers([("job", "=", "test")])
    selection = storage.select(Select("a", everything, *EVER))
    found = contents(selection.read(0, len(selection.labels)))
    exemplars = storage.exemplars("a", [everything], *EVER)
    return {**found, "exemplars": exemplars_by_name(exemplars)}


@pytest.mark.parametrize("mixed", [False, True])
async def test_queries_see_the_same_before_and_after_a_ship(tmp_path: Path, mixed: bool) -> None:
    bucket = open_bucket("memory://")
    blocks = BlockStore(bucket)
    ingester = make(tmp_path, CONFIG, clock=FakeClock(NOW_MS + 600_000))
    await ingester.start()
    storage = MergedStorage([HeadStorage(ingester.tenants), blocks])
    ships = Shipper(
        ingester,
        CONFIG,
        open_sink=lambda tenant: BlockWriter(bucket, tenant, new_ulid(NOW_MS), scratch=tmp_path),
        announce=blocks.announce,
        clock=FakeClock(NOW_MS),
    )
    samples: Samples = {
        f"m{name}": [(NOW_MS + 1000 * step, float(name * step)) for step in range(200)] for name in range(10)
    }
    wanted = {kind: samples if mixed or kind == "floats" else {} for kind in KINDS}
    for part in (slice(0, 150), slice(170, 200), slice(150, 170)):
        part_of = {name: points[part] for name, points in samples.items()}
        await ingester.push("a", batch(part_of, mixed=mixed))
    assert query(storage) == wanted
    assert await ships.ship_ripe() == 3
    assert query(storage) == wanted
    assert await ships.flush() == 1
    assert query(storage) == wanted
    assert len(HeadStorage(ingester.tenants).series("a", [], *EVER)) == 0
    await ingester.stop()
