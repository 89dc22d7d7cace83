"""A push: what is acknowledged is in the WAL and visible; what is refused says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from rondel.errors import ConfigError, InvalidData, Unavailable
from rondel.model.write import Written
from tests.support.ingesters import NOW_MS, batch, contents_of, make, samples_of


async def test_a_push_is_visible_once_it_is_acknowledged(tmp_path: Path) -> None:
    ingester = make(tmp_path)
    await ingester.start()
    result = await ingester.push("a", batch({"m": [(NOW_MS, 1.0), (NOW_MS + 1, 2.0)]}))
    assert (result.accepted, result.rejections) == (Written(samples=2), [])
    assert samples_of(ingester, "a") == {"m": [(NOW_MS, 1.0), (NOW_MS + 1, 2.0)]}
    await ingester.stop()


async def test_what_was_accepted_is_counted_by_kind(tmp_path: Path) -> None:
    ingester = make(tmp_path)
    await ingester.start()
    points = {"m": [(NOW_MS, 1.0), (NOW_MS + 1, 2.0)]}
    for _ in range(2):  # The second time all is there already, and accepted.
        result = await ingester.push("a", batch(points, mixed=True))
        assert (result.accepted, result.rejections) == (Written(2, 2, 2), [])
    assert contents_of(ingester, "a") == dict.fromkeys(
        ("floats", "starts", "histograms", "exemplars"), points
    )
    metrics = ingester.metrics
    assert (metrics.histograms.value, metrics.exemplars.value, metrics.exemplars_refused.value) == (4, 4, 0)
    await ingester.stop()


async def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    first = make(tmp_path)
    await first.start()
    for step in range(5):
        await first.push("a", batch({"m": [(NOW_MS + step, float(step))]}))
    await first.stop()
    second = make(tmp_path)
    report = await second.start()
    assert (report.samples, report.damages) == (5, [])
    assert samples_of(second, "a") == {"m": [(NOW_MS + step, float(step)) for step in range(5)]}
    await second.stop()


async def test_tenants_do_not_see_each_other(tmp_path: Path) -> None:
    ingester = make(tmp_path)
    await ingester.start()
    await ingester.push("a", batch({"m": [(NOW_MS, 1.0)]}))
    assert samples_of(ingester, "b") == {}
    await ingester.stop()


@pytest.mark.parametrize("tenant", ["", ".", "..", "a/b", "x" * 151, "ü"])
async def test_a_bad_tenant_id_is_refused(tmp_path: Path, tenant: str) -> None:
    ingester = make(tmp_path)
    await ingester.start()
    with pytest.raises(InvalidData):
        await ingester.push(tenant, batch({"m": [(NOW_MS, 1.0)]}))
    await ingester.stop()


async def test_a_push_before_start_and_after_stop_is_refused(tmp_path: Path) -> None:
    ingester = make(tmp_path)
    with pytest.raises(Unavailable):
        await ingester.push("a", batch({"m": [(NOW_MS, 1.0)]}))
    await ingester.start()
    await ingester.stop()
    with pytest.raises(Unavailable):
        await ingester.push("a", batch({"m": [(NOW_MS, 1.0)]}))


async def test_a_second_ingester_on_the_directory_refuses_to_start(tmp_path: Path) -> None:
    first = make(tmp_path)
    await first.start()
    with pytest.raises(ConfigError, match="another process uses the data directory"):
        await make(tmp_path).start()
    await first.stop()
    second = make(tmp_path)
    await second.start()
    await second.stop()


async def test_the_directory_of_another_ingester_is_refused(tmp_path: Path) -> None:
    first = make(tmp_path, instance_id="ingester-1")
    await first.start()
    await first.stop()
    with pytest.raises(ConfigError, match="belongs to the ingester 'ingester-1', this is 'ingester-2'"):
        await make(tmp_path, instance_id="ingester-2").start()
