import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from rondel.block import BlockStore, BlockWriter, Meta, meta, new_ulid
from rondel.block.store import Config as StoreConfig
from rondel.errors import Corruption, RondelError, Unavailable
from rondel.model.frame import ExemplarFrame, HistogramSamples, SeriesFrame
from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets, Matchers
from rondel.objstore import Bucket, open_bucket
from rondel.objstore.faulty import FaultyBucket
from rondel.runtime.clock import FakeClock, SystemClock
from rondel.storage import Select
from services.compactor.compactor import Compactor
from services.compactor.config import Config
from services.compactor.main import CompactorLoop

HOUR = 3_600_000
DAY = 24 * HOUR
CONFIG = Config(batch_samples_max=50)

Series = dict[str, dict[int, float]]


def write(bucket: Bucket, series: Series, ulid_ms: int = 1) -> Meta:
    names = sorted(series)
    labels = LabelSets.from_dicts([{"__name__": "m", "i": name} for name in names])
    rows = [sorted(series[name].items()) for name in names]
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    times = np.array([time for row in rows for time, _ in row], np.int64)
    values = np.array([value for row in rows for _, value in row], np.float64)
    with BlockWriter(bucket, "t", new_ulid(ulid_ms)) as writer:
        writer.add(SeriesFrame(labels, offsets, times, values))
        return writer.finish()


def read(bucket: Bucket) -> Series:
    selection = BlockStore(bucket).select(Select("t", Matchers([]), -(2**63), 2**63 - 1))
    frame = selection.read(0, len(selection.labels))
    return {
        frame.labels[row]["i"]: dict(
            zip(frame.timestamps_ms[start:stop].tolist(), frame.values[start:stop].tolist())
        )
        for row, (start, stop) in enumerate(pairwise(frame.offsets))
    }


def clock(ahead_s: float = 0.0) -> FakeClock:
    """Stands at the machine's time: files have real times of modification."""
    return FakeClock(SystemClock().now_ms() + round(ahead_s * 1000))


def compactor(bucket: Bucket, config: Config = CONFIG, ahead_s: float = 0.0, **options: object) -> Compactor:
    return Compactor(bucket, config, clock(ahead_s), **options)


def fill(bucket: Bucket) -> Series:
    """Overlapping, adjacent and sparse blocks of two days; what they hold together."""
    rng = random.Random(1)
    whole: Series = {}
    for number in range(6):
        start = (number % 2) * DAY + (number // 2) * 2 * HOUR
        part: Series = {}
        for name in rng.sample("abcdef", 4):
            samples = {start + rng.randrange(3 * HOUR): float(rng.randrange(100)) for _ in range(20)}
            for time in list(samples):
                samples[time] = whole.get(name, {}).get(time, samples[time])
            part[name] = samples
            whole.setdefault(name, {}).update(samples)
        write(bucket, part, number + 1)
    return whole


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_round_merges_everything_and_changes_no_answer(kind: str, tmp_path: Path) -> None:
    bucket = open_bucket(f"file://{tmp_path}" if kind == "file" else "memory://")
    whole = fill(bucket)
    announced: list[Meta] = []
    report = compactor(bucket, announce=announced.append).run_once("t")
    assert (report.merged, report.failed, report.marked) == (2, 0, 6)
    assert read(bucket) == whole
    store = BlockStore(bucket)
    assert [(one.level, len(one.sources), one.mint_ms // DAY) for one in store.blocks("t")] == [
        (2, 3, 0),
        (2, 3, 1),
    ]
    assert {one.ulid for one in announced} == {one.ulid for one in store.blocks("t")}


def write_histograms(bucket: Bucket, ulid_ms: int, names: str, times: range) -> Meta:
    """Series that count the time, each with floats, histograms that have starts, and exemplars."""
    labels = LabelSets.from_dicts([{"__name__": "m", "i": name} for name in names])
    n = len(times)
    offsets = np.arange(len(names) + 1, dtype=np.int64) * n
    flat = np.tile(np.array(times, np.int64), len(names))
    values = Histograms.from_dicts(
        [
            {"count": time + 1.0, "sum": 1.5, "positive": {time // HOUR: time + 1.0}, "hint": "not_reset"}
            for time in flat.tolist()
        ]
    )
    histograms = HistogramSamples(offsets, flat, values, np.full(len(flat), 7))
    frame = SeriesFrame(labels, offsets, flat, flat.astype(float), np.full(len(flat), 7), histograms)
    traces = LabelSets.from_dicts([{"trace_id": str(time)} for time in flat.tolist()])
    with BlockWriter(bucket, "t", new_ulid(ulid_ms)) as writer:
        writer.add(frame, ExemplarFrame(labels, offsets, flat, flat.astype(float), traces))
        return writer.finish()


def test_a_merge_keeps_histograms_starts_and_exemplars() -> None:
    bucket = open_bucket("memory://")
    step = 600_000
    write_histograms(bucket, 1, "ac", range(0, 2 * HOUR, step))
    write_histograms(bucket, 2, "bc", range(HOUR, 3 * HOUR, step))
    write_histograms(bucket, 3, "c", range(5 * HOUR, 6 * HOUR, step))
    assert compactor(bucket).run_once("t").merged == 1
    store = BlockStore(bucket)
    (block,) = store.blocks("t")
    assert (block.samples, block.histograms, block.exemplars) == (48, 48, 48)
    selection = store.select(Select("t", Matchers([("i", "=", "c")]), -(2**63), 2**63 - 1))
    frame = selection.read(0, 1)
    times = [*range(0, 3 * HOUR, step), *range(5 * HOUR, 6 * HOUR, step)]
    assert frame.histograms is not None
    assert frame.starts_ms is not None
    assert frame.histograms.starts_ms is not None
    values = frame.histograms.values
    assert frame.timestamps_ms.tolist() == frame.histograms.timestamps_ms.tolist() == times
    assert frame.starts_ms.tolist() == frame.histograms.starts_ms.tolist() == [7] * len(times)
    assert values.counts().tolist() == [time + 1.0 for time in times]
    hints = [values[n]["hint"] for n in range(len(times))]
    assert [time for time, hint in zip(times, hints) if hint == "unknown"] == [5 * HOUR]
    exemplars = store.exemplars("t", [Matchers([("i", "=", "c")])], -(2**63), 2**63 - 1)
    assert exemplars.timestamps_ms.tolist() == times
    assert [exemplars.exemplar_labels[n]["trace_id"] for n in range(len(times))] == list(map(str, times))


def test_the_next_round_has_nothing_to_do() -> None:
    bucket = open_bucket("memory://")
    fill(bucket)
    compactor(bucket).run_once("t")
    before = bucket.list("")
    report = compactor(bucket).run_once("t")
    assert (report.merged, report.marked, report.deleted) == (0, 0, 0)
    assert bucket.list("") == before


def test_what_was_replaced_is_deleted_after_the_delay_and_not_before() -> None:
    bucket = open_bucket("memory://")
    whole = fill(bucket)
    compactor(bucket).run_once("t")
    assert compactor(bucket, ahead_s=CONFIG.deletion_delay_s - 60).run_once("t").deleted == 0
    assert compactor(bucket, ahead_s=CONFIG.deletion_delay_s + 60).run_once("t").deleted == 6
    assert len(bucket.list("")) == 2 * 3
    assert read(bucket) == whole


def test_retention_deletes_blocks_whose_newest_sample_is_too_old() -> None:
    bucket = open_bucket("memory://")
    now_ms = clock().now_ms()
    write(bucket, {"a": {now_ms - 3 * DAY: 1.0}}, 1)
    write(bucket, {"b": {now_ms - DAY: 1.0, now_ms - 3 * DAY: 2.0}}, 2)
    config = Config(retention_s=2 * 86_400, deletion_delay_s=60)
    assert compactor(bucket, config).run_once("t").marked == 1
    assert compactor(bucket, config, ahead_s=120).run_once("t").deleted == 1
    assert sorted(read(bucket)) == ["b"]


def test_left_overs_of_uploads_go_after_their_delay() -> None:
    bucket = open_bucket("memory://")
    block = write(bucket, {"a": {1: 1.0}})
    bucket.delete(meta.key("t", block.ulid, meta.META))
    compactor(bucket).run_once("t")
    assert len(bucket.list("")) == 2
    compactor(bucket, ahead_s=CONFIG.partial_delay_s + 60).run_once("t")
    assert bucket.list("") == []


def test_a_block_that_nothing_covers_is_kept_whoever_marked_it() -> None:
    bucket = open_bucket("memory://")
    block = write(bucket, {"a": {1: 1.0}})
    mark = meta.encode(meta.Mark(0, "replaced"))
    bucket.put(meta.key("t", block.ulid, meta.DELETION_MARK), mark)
    assert compactor(bucket, ahead_s=10 * 86_400).run_once("t").deleted == 0
    assert read(bucket) == {"a": {1: 1.0}}


def test_a_damaged_block_is_marked_once_and_the_others_are_merged() -> None:
    bucket = open_bucket("memory://")
    blocks = [write(bucket, {"a": {n * HOUR: float(n)}, "b": {n: 1.0}}, n + 1) for n in range(3)]
    where = meta.key("t", blocks[1].ulid, meta.DATA)
    data = bytearray(bucket.get(where))
    data[-1] ^= 1
    bucket.put(where, bytes(data))
    report = compactor(bucket).run_once("t")
    assert (report.merged, report.failed) == (0, 1)
    why = meta.decode_mark(bucket.get(meta.key("t", blocks[1].ulid, meta.NO_COMPACT_MARK)), where).reason
    assert where in why
    report = compactor(bucket).run_once("t")
    assert (report.merged, report.failed) == (1, 0)
    report = compactor(bucket).run_once("t")
    assert (report.merged, report.failed) == (0, 0)


def test_objects_that_are_no_block_are_left_alone() -> None:
    bucket = open_bucket("memory://")
    bucket.put("t/readme", b"x")
    bucket.put("t/notes/a", b"x")
    fill(bucket)
    compactor(bucket, ahead_s=10 * 86_400).run_once("t")
    assert bucket.get("t/readme") == bucket.get("t/notes/a") == b"x"


def test_closing_gives_up_a_merge_and_leaves_the_sources() -> None:
    bucket = open_bucket("memory://")
    whole = fill(bucket)
    one = compactor(bucket)
    one.close()
    with pytest.raises(Unavailable, match="closing"):
        one.run_once("t")
    assert read(bucket) == whole


@pytest.mark.parametrize(
    ("after", "tear"),
    [
        pytest.param(False, False, id="nothing of the call happened"),
        pytest.param(True, False, id="all of the call happened"),
        pytest.param(False, True, id="half of a write happened"),
    ],
)
def test_a_crash_at_any_call_leaves_every_answer_complete(after: bool, tear: bool) -> None:
    """Two rounds, so that merging, marking and deleting are all cut short somewhere."""
    fired, fail_at = True, 0
    while fired:
        fail_at += 1
        bucket = open_bucket("memory://")
        whole = fill_small(bucket)
        faulty = FaultyBucket(bucket, fail_at=fail_at, dead=True, after=after, tear=tear)
        run_quietly(compactor(faulty))
        run_quietly(compactor(faulty, ahead_s=1000))
        fired = faulty.fired
        assert read_or_torn(bucket, tear) in (whole, None), f"call {fail_at}"
        for ahead_s in (2000, 4000, 200_000):
            compactor(bucket, ahead_s=ahead_s).run_once("t")
            assert read_or_torn(bucket, tear) in (whole, None), f"call {fail_at}, recovered at {ahead_s}"
        if not tear:
            names = [one.key.split("/")[2] for one in bucket.list("")]
            assert names == ["data", "index", "meta.json"], f"call {fail_at}"
    assert fail_at > 30


def read_or_torn(bucket: Bucket, tear: bool) -> Series | None:
    """None where half a meta.json hides what its block holds: that is an error, never less data."""
    try:
        return read(bucket)
    except Corruption as damage:
        if tear and damage.where.endswith(meta.META):
            return None
        raise


def fill_small(bucket: Bucket) -> Series:
    write(bucket, {"a": {1: 1.0, 2: 2.0}, "b": {1: 5.0}}, 1)
    write(bucket, {"a": {2: 2.0, HOUR: 3.0}}, 2)
    return {"a": {1: 1.0, 2: 2.0, HOUR: 3.0}, "b": {1: 5.0}}


def run_quietly(one: Compactor) -> None:
    try:
        one.run_once("t")
    except RondelError:
        return


class Interleaved:
    """A bucket whose first upload of a meta lets somebody else run first."""

    def __init__(self, inner: Bucket, other: Callable[[], object]) -> None:
        self._inner = inner
        self._other = other
        self._ran = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def put(self, key: str, data: bytes) -> None:
        if key.endswith(meta.META) and not self._ran:
            self._ran = True
            self._other()
        self._inner.put(key, data)


def test_two_compactors_at_once_lose_nothing_and_agree_in_the_end() -> None:
    bucket = open_bucket("memory://")
    whole = fill(bucket)
    compactor(Interleaved(bucket, lambda: compactor(bucket).run_once("t"))).run_once("t")
    assert read(bucket) == whole
    for ahead_s in (1000, 2000, 4000):
        compactor(bucket, ahead_s=ahead_s).run_once("t")
        assert read(bucket) == whole
    assert len(bucket.list("")) == 2 * 3


def test_sources_deleted_by_another_compactor_during_a_merge_lose_nothing() -> None:
    bucket = open_bucket("memory://")
    whole = fill(bucket)

    def other() -> None:
        compactor(bucket).run_once("t")
        compactor(bucket, ahead_s=10_000).run_once("t")

    compactor(Interleaved(bucket, other)).run_once("t")
    assert read(bucket) == whole
    compactor(bucket, ahead_s=20_000).run_once("t")
    assert read(bucket) == whole


def test_a_reader_with_an_old_listing_survives_the_deletion_of_its_blocks() -> None:
    bucket = open_bucket("memory://")
    whole = fill(bucket)
    store = BlockStore(bucket, StoreConfig(refresh_s=1e9, page_cache_bytes_max=0))
    selection = store.select(Select("t", Matchers([]), 0, 2 * DAY))
    compactor(bucket).run_once("t")
    compactor(bucket, ahead_s=10_000).run_once("t")
    frame = selection.read(0, len(selection.labels))
    assert len(frame.timestamps_ms) == sum(map(len, whole.values()))


async def test_the_loop_goes_on_after_a_tenant_that_fails() -> None:
    inner = open_bucket("memory://")
    fill(inner)
    registry = CollectorRegistry()
    now = clock()
    bucket = FaultyBucket(inner, fail_at=2)
    loop = CompactorLoop(Compactor(bucket, CONFIG, now, registry=registry), CONFIG, now, registry)
    assert not await loop.run_round()
    assert await loop.run_round()
    await loop.stop()
    assert len(BlockStore(inner).blocks("t")) == 2
    assert (
        registry.get_sample_value("rondel_compactor_last_successful_round_timestamp_seconds")
        == now.now_ms() / 1000
    )
