from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from rondel.block import BlockStore, BlockWriter, meta, new_ulid
from rondel.block.inspect import describe, inspect
from rondel.block.store import Config
from rondel.errors import Corruption, InvalidData, Unavailable
from rondel.model.frame import ExemplarFrame, HistogramSamples, SeriesFrame
from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets, Matchers
from rondel.model.merge import MergedStorage
from rondel.objstore import Bucket, open_bucket
from rondel.objstore.faulty import FaultyBucket
from rondel.storage import Select

EVER = (-(2**63), 2**63 - 1)
HOUR_MS = 3_600_000


def frame(series: dict[str, list[tuple[int, float]]]) -> SeriesFrame:
    """Series by `instance` label, in block order."""
    names = sorted(series)
    labels = LabelSets.from_dicts([{"__name__": "up", "instance": name} for name in names])
    samples = [sample for name in names for sample in series[name]]
    offsets = np.cumsum([0, *(len(series[name]) for name in names)], dtype=np.int64)
    times = np.array([time for time, _ in samples], np.int64)
    return SeriesFrame(labels, offsets, times, np.array([value for _, value in samples], np.float64))


def write(bucket: Bucket, ulid_ms: int, *frames: SeriesFrame, **options: object) -> meta.Meta:
    with BlockWriter(bucket, "t", new_ulid(ulid_ms), **options) as writer:
        for one in frames:
            writer.add(one)
        return writer.finish()


def read(
    store: BlockStore, matchers: list[tuple[str, str, str]], mint: int = EVER[0], maxt: int = EVER[1]
) -> dict[str, list[tuple[int, float]]]:
    selection = store.select(Select("t", Matchers(matchers), mint, maxt))
    got = selection.read(0, len(selection.labels))
    return {
        got.labels[row]["instance"]: list(
            zip(
                got.timestamps_ms[got.offsets[row] : got.offsets[row + 1]].tolist(),
                got.values[got.offsets[row] : got.offsets[row + 1]].tolist(),
            )
        )
        for row in range(len(got))
    }


def test_what_is_written_is_read() -> None:
    bucket = open_bucket("memory://")
    series = {"a": [(1000, 1.0), (2000, 2.5)], "b": [(1500, -1.0)]}
    block = write(bucket, 1, frame(series))
    assert (block.series, block.samples, block.mint_ms, block.maxt_ms) == (2, 3, 1000, 2000)
    assert read(BlockStore(bucket), []) == series


def test_a_range_cuts_samples_at_both_ends_inclusive() -> None:
    bucket = open_bucket("memory://")
    write(bucket, 1, frame({"a": [(time, float(time)) for time in range(0, 100, 10)]}))
    assert read(BlockStore(bucket), [], 20, 40) == {"a": [(20, 20.0), (30, 30.0), (40, 40.0)]}


def test_series_without_samples_in_the_range_are_not_selected() -> None:
    bucket = open_bucket("memory://")
    write(bucket, 1, frame({"a": [(0, 1.0)], "b": [(9 * HOUR_MS, 1.0)]}))
    assert read(BlockStore(bucket), [], 8 * HOUR_MS, 10 * HOUR_MS) == {"b": [(9 * HOUR_MS, 1.0)]}


def test_long_series_are_cut_at_slabs_and_read_as_one() -> None:
    bucket = open_bucket("memory://")
    samples = [(time, float(time % 7)) for time in range(-5 * HOUR_MS, 20 * HOUR_MS, 15_000)]
    block = write(bucket, 1, frame({"a": samples}))
    assert block.columns == 7
    assert read(BlockStore(bucket), []) == {"a": samples}


def test_a_short_window_of_a_long_block_fetches_one_slab() -> None:
    random = np.random.default_rng(1)
    times = range(0, 24 * HOUR_MS, 60_000)
    series = {f"i{n:02}": list(zip(times, random.random(len(times)).tolist())) for n in range(40)}
    bucket = Recording(open_bucket("memory://"))
    block = write(bucket, 1, frame(series))
    bucket.bytes_read = 0
    read(BlockStore(bucket), [], 5 * HOUR_MS, 5 * HOUR_MS + 60_000)
    assert bucket.bytes_read < block.data.size_bytes / 5


class Recording:
    """Counts the bytes of ranged reads."""

    def __init__(self, inner: Bucket) -> None:
        self._inner = inner
        self.bytes_read = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def get_ranges(self, key: str, ranges: list[tuple[int, int]]) -> list[bytes]:
        parts = self._inner.get_ranges(key, ranges)
        self.bytes_read += sum(map(len, parts))
        return parts


def test_pages_are_read_once_while_the_cache_holds_them() -> None:
    bucket = Recording(open_bucket("memory://"))
    write(bucket, 1, frame({"a": [(1, 1.0)]}))
    store = BlockStore(bucket)
    read(store, [])
    bucket.bytes_read = 0
    assert read(store, []) == {"a": [(1, 1.0)]}
    assert bucket.bytes_read == 0


@pytest.mark.parametrize(
    ("matchers", "names"),
    [
        ([("__name__", "=", "up")], ["a", "b", "c"]),
        ([("instance", "=", "b")], ["b"]),
        ([("instance", "!=", "b")], ["a", "c"]),
        ([("instance", "=~", "a|c")], ["a", "c"]),
        ([("instance", "!~", "a|c")], ["b"]),
        ([("absent", "=", "")], ["a", "b", "c"]),
        ([("absent", "!=", "")], []),
        ([("absent", "=~", ".*"), ("instance", "=~", "[ab]")], ["a", "b"]),
        ([("instance", "=", "nowhere")], []),
    ],
)
def test_matchers_select_through_postings(matchers: list[tuple[str, str, str]], names: list[str]) -> None:
    bucket = open_bucket("memory://")
    write(bucket, 1, frame({name: [(1, 1.0)] for name in "abc"}))
    assert sorted(read(BlockStore(bucket), matchers)) == names


def test_blocks_that_overlap_are_merged_and_a_value_beats_a_staleness_marker() -> None:
    stale = float(np.uint64(0x7FF0000000000002).view(np.float64))
    bucket = open_bucket("memory://")
    write(bucket, 1, frame({"a": [(1, 1.0), (2, stale)]}))
    write(bucket, 2, frame({"a": [(2, -5.0), (3, 3.0)], "b": [(1, 1.0)]}))
    assert read(BlockStore(bucket), []) == {"a": [(1, 1.0), (2, -5.0), (3, 3.0)], "b": [(1, 1.0)]}


def test_a_block_inside_another_is_not_read_twice() -> None:
    bucket = open_bucket("memory://")
    one = write(bucket, 1, frame({"a": [(1, 1.0)]}))
    write(bucket, 2, frame({"a": [(1, 1.0)]}), level=2, sources=one.sources, parents=[one.ulid])
    assert [block.level for block in BlockStore(bucket).blocks("t")] == [2]


def test_an_announced_block_is_seen_before_the_next_listing() -> None:
    bucket = open_bucket("memory://")
    store = BlockStore(bucket, Config(refresh_s=1e9))
    assert store.blocks("t") == ()
    store.announce(write(bucket, 1, frame({"a": [(1, 1.0)]})))
    assert read(store, []) == {"a": [(1, 1.0)]}


def test_a_block_that_was_replaced_under_a_query_is_found_again() -> None:
    bucket = open_bucket("memory://")
    series = {"a": [(1, 1.0)], "b": [(2, 2.0)]}
    old = write(bucket, 1, frame(series))
    store = BlockStore(bucket, Config(refresh_s=1e9, page_cache_bytes_max=0))
    selection = store.select(Select("t", Matchers([]), *EVER))
    write(bucket, 2, frame(series), level=2, sources=old.sources)
    for name in (meta.META, meta.INDEX, meta.DATA):
        bucket.delete(meta.key("t", old.ulid, name))
    got = selection.read(1, 2)
    assert (got.labels[0]["instance"], got.timestamps_ms.tolist(), got.values.tolist()) == ("b", [2], [2.0])


def test_a_file_that_is_gone_for_good_fails_the_query() -> None:
    bucket = open_bucket("memory://")
    block = write(bucket, 1, frame({"a": [(1, 1.0)]}))
    bucket.delete(meta.key("t", block.ulid, meta.DATA))
    with pytest.raises(Unavailable, match=block.ulid):
        read(BlockStore(bucket), [])


def test_label_names_and_values_follow_matchers_and_range() -> None:
    bucket = open_bucket("memory://")
    write(bucket, 1, frame({"a": [(1, 1.0)], "b": [(9 * HOUR_MS, 1.0)]}))
    store = BlockStore(bucket)
    assert store.label_names("t", [], *EVER) == ["__name__", "instance"]
    assert store.label_values("t", "instance", [], *EVER) == ["a", "b"]
    assert store.label_values("t", "instance", [], 0, 10) == ["a"]
    assert store.label_values("t", "instance", [Matchers([("instance", "=", "b")])], *EVER) == ["b"]
    assert store.label_names("t", [Matchers([("instance", "=", "x")])], *EVER) == []
    assert [dict(one) for one in store.series("t", [Matchers([("instance", "=~", "b.*")])], *EVER)] == [
        {"__name__": "up", "instance": "b"}
    ]


def test_series_out_of_block_order_are_refused() -> None:
    with BlockWriter(open_bucket("memory://"), "t", new_ulid(1)) as writer:
        writer.add(frame({"b": [(1, 1.0)]}))
        with pytest.raises(InvalidData, match="block order"):
            writer.add(frame({"a": [(1, 1.0)]}))


def test_a_block_without_samples_is_refused() -> None:
    with BlockWriter(open_bucket("memory://"), "t", new_ulid(1)) as writer:
        writer.add(frame({"a": []}))
        with pytest.raises(InvalidData, match="no samples"):
            writer.finish()


def test_a_damaged_page_fails_its_query_by_name_and_no_other() -> None:
    bucket = open_bucket("memory://")
    bad = write(bucket, 1, frame({"a": [(1, 1.0), (2, 7.0)]}))
    write(bucket, 2, frame({"b": [(HOUR_MS, 1.0)]}))
    where = meta.key("t", bad.ulid, meta.DATA)
    data = bytearray(bucket.get(where))
    data[40] ^= 1
    bucket.put(where, bytes(data))
    store = BlockStore(bucket)
    with pytest.raises(Corruption, match=f"{where} offset 8"):
        read(store, [("instance", "=", "a")])
    assert read(store, [("instance", "=", "b")]) == {"b": [(HOUR_MS, 1.0)]}


def test_a_damaged_meta_fails_the_queries_that_may_need_its_block_and_no_others() -> None:
    bucket = open_bucket("memory://")
    bad = write(bucket, 1, frame({"a": [(1, 1.0)]}))
    write(bucket, 2, frame({"b": [(1, 1.0), (5 * HOUR_MS, 1.0)]}))
    where = meta.key("t", bad.ulid, meta.META)
    bucket.put(where, b"{")
    store = BlockStore(bucket)
    with pytest.raises(Corruption, match=where):
        read(store, [("instance", "=", "b")])
    with pytest.raises(Corruption, match=where):
        store.label_names("t", [], 0, HOUR_MS)
    assert read(store, [], 2 * HOUR_MS) == {"b": [(5 * HOUR_MS, 1.0)]}


def test_a_damaged_meta_of_a_block_that_was_merged_into_another_is_not_needed() -> None:
    bucket = open_bucket("memory://")
    bad = write(bucket, 1, frame({"a": [(1, 1.0)]}))
    write(
        bucket, 2, frame({"a": [(1, 1.0)], "b": [(1, 1.0)]}), level=2, sources=[bad.ulid], parents=[bad.ulid]
    )
    bucket.put(meta.key("t", bad.ulid, meta.META), b"{")
    assert sorted(read(BlockStore(bucket), [])) == ["a", "b"]


def test_inspection_counts_columns_by_codec() -> None:
    bucket = open_bucket("memory://")
    block = write(bucket, 1, frame({"a": [(1, 1.0), (2, 1.0)], "b": [(1, 1.5), (2, 2.0)]}))
    codecs = inspect(bucket, block)
    assert {name: one.columns for name, one in codecs.items()} == {"constant": 1, "decimal": 1, "times": 1}
    assert "2 series, 4 samples" in describe(block, codecs)


def test_inspection_counts_histograms_starts_and_exemplars() -> None:
    bucket = open_bucket("memory://")
    with BlockWriter(bucket, "t", new_ulid(1)) as writer:
        one = replace(frame({"a": []}), histograms=histograms([1, 2, 4], 7))
        writer.add(one, exemplar_frame(["a"], [[(1, "x"), (2, "y")]]))
        block = writer.finish()
    codecs = inspect(bucket, block)
    assert {name: (own.columns, own.samples) for name, own in codecs.items()} == {
        "histogram": (1, 3),
        "layouts": (1, 0),
        "times": (1, 3),
        "starts": (1, 3),
        "exemplars": (1, 2),
    }
    assert "0 samples, 3 histograms, 2 exemplars, 1 columns" in describe(block, codecs)


def histograms(times: list[int], start_ms: int = 0) -> HistogramSamples:
    """Of one series: a bucket that counts the time up."""
    values = [
        {"count": time + 1.0, "sum": 0.5, "positive": {2: time + 1.0}, "hint": "not_reset"} for time in times
    ]
    starts = np.full(len(times), start_ms, np.int64) if start_ms else None
    return HistogramSamples(
        np.array([0, len(times)]), np.array(times, np.int64), Histograms.from_dicts(values), starts
    )


def exemplar_frame(names: list[str], exemplars: list[list[tuple[int, str]]]) -> ExemplarFrame:
    flat = [one for row in exemplars for one in row]
    return ExemplarFrame(
        LabelSets.from_dicts([{"__name__": "up", "instance": name} for name in names]),
        np.cumsum([0, *map(len, exemplars)], dtype=np.int64),
        np.array([time for time, _ in flat], np.int64),
        np.ones(len(flat)),
        LabelSets.from_dicts([{"trace_id": trace} for _, trace in flat]),
    )


def traces(found: ExemplarFrame) -> dict[str, list[tuple[int, str]]]:
    bounds = pairwise(found.offsets)
    return {
        found.labels[row]["instance"]: [
            (int(found.timestamps_ms[n]), found.exemplar_labels[n]["trace_id"]) for n in range(*bound)
        ]
        for row, bound in enumerate(bounds)
    }


def test_histograms_and_starts_of_overlapping_blocks_are_read_as_one() -> None:
    bucket = open_bucket("memory://")
    for number, (times, start_ms) in enumerate([([1, 2, 4], 0), ([2, 3, 4], 9)]):
        one = replace(frame({"a": [(7, 1.0)]}), histograms=histograms(times, start_ms))
        block = write(bucket, number + 1, one)
        assert (block.samples, block.histograms, block.mint_ms, block.maxt_ms) == (1, 3, times[0], 7)
    selection = BlockStore(bucket).select(Select("t", Matchers([]), *EVER))
    got = selection.read(0, 1).histograms
    assert got is not None
    assert got.timestamps_ms.tolist() == [1, 2, 3, 4]
    assert got.starts_ms is not None
    assert got.starts_ms.tolist() == [0, 9, 9, 9]
    assert [got.values[n]["count"] for n in range(4)] == [2.0, 3.0, 4.0, 5.0]
    assert [got.values[n]["hint"] for n in range(4)] == ["not_reset", "not_reset", "not_reset", "not_reset"]


def test_exemplars_of_all_blocks_are_found_by_matchers_and_time_and_equal_ones_once() -> None:
    bucket = open_bucket("memory://")
    series = {"a": [(1, 1.0)], "b": [(1, 1.0)]}
    for number, of_a in enumerate([[(1, "x"), (2, "y")], [(2, "y"), (2, "z"), (3, "x")]]):
        with BlockWriter(bucket, "t", new_ulid(number + 1)) as writer:
            writer.add(frame(series), exemplar_frame(["a", "b"], [of_a, [(9, "b")]]))
            assert writer.finish().exemplars == len(of_a) + 1
    store = BlockStore(bucket)
    everything = [Matchers([("__name__", "=", "up")])]
    assert traces(store.exemplars("t", everything, *EVER)) == {
        "a": [(1, "x"), (2, "y"), (2, "z"), (3, "x")],
        "b": [(9, "b")],
    }
    assert traces(store.exemplars("t", everything, 2, 2)) == {"a": [(2, "y"), (2, "z")]}
    of_b = [Matchers([("instance", "=", "b")]), Matchers([("instance", "=", "c")])]
    assert traces(store.exemplars("t", of_b, *EVER)) == {"b": [(9, "b")]}
    merged = MergedStorage([store, store])
    assert traces(merged.exemplars("t", of_b, *EVER)) == {"b": [(9, "b")]}
    assert traces(merged.exemplars("t", [], *EVER)) == {}


def test_a_block_without_histograms_says_nothing_of_them_and_one_of_before_is_read() -> None:
    bucket = open_bucket("memory://")
    block = write(bucket, 1, frame({"a": [(1, 1.0)]}))
    stored = bucket.get(meta.key("t", block.ulid, meta.META))
    assert b"histograms" not in stored
    assert b"exemplars" not in stored
    assert meta.decode_meta(stored, "t", block.ulid) == block


@pytest.mark.parametrize("fail_at", range(1, 6))
def test_an_upload_that_fails_anywhere_leaves_no_block_and_no_file(fail_at: int, tmp_path: Path) -> None:
    inner = open_bucket("memory://")
    faulty = FaultyBucket(inner, fail_at=fail_at, tear=True)
    with BlockWriter(faulty, "t", new_ulid(1), scratch=tmp_path) as writer:
        writer.add(frame({"a": [(1, 1.0)]}))
        with pytest.raises(Unavailable):
            writer.finish()
    assert read(BlockStore(inner), []) == {}
    assert list(tmp_path.iterdir()) == []


class Forgetful:
    """A bucket that stores other bytes than it was given."""

    def __init__(self, inner: Bucket) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def put(self, key: str, data: bytes) -> None:
        self._inner.put(key, data[:-1] + b"x")


def test_an_upload_that_arrives_damaged_is_noticed_before_the_block_exists() -> None:
    inner = open_bucket("memory://")
    with BlockWriter(Forgetful(inner), "t", new_ulid(1)) as writer:
        writer.add(frame({"a": [(1, 1.0)]}))
        with pytest.raises(Corruption, match="/index"):
            writer.finish()
    assert BlockStore(inner).blocks("t") == ()
