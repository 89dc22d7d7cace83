"""The thin door to the native arithmetic of queries, and to the encoders that `render` wraps.

Everything here is a pure function of arrays that releases the GIL and, on large input, uses a second
thread. Rules that hold for all of it:

* Samples come as the arrays of a `SeriesFrame`: int64 `offsets[n + 1]`, int64 `timestamps_ms[m]`,
  float64 `values[m]`, contiguous. Arrays that do not fit each other raise InvalidData.
* Step `k` is at `start_ms + k * step_ms`; times beyond int64 saturate. `step_ms` may be 0: every step is
  then the same instant.
* A result is `(values float64[n, steps], present bool[n, steps])`. Absence is only ever said by `present`;
  the value of an absent cell means nothing. NaN is a value like any other.
* Groups are given as int32 `group_of[n]`, the group of each series in `[0, groups)`. Arguments that may
  change with time are float64[steps].
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rondel import _native
from rondel._native import (
    Aggregator,
    HistogramAggregator,
    Regex,
    float_texts,
    json_frame,
    json_label_sets,
    json_matrix,
    json_scalar,
    json_string,
    json_strings,
    json_vector,
)
from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets

if TYPE_CHECKING:
    from rondel._native import FrameArrays

__all__ = [
    "STARTED",
    "Aggregator",
    "BucketFix",
    "HistogramAggregator",
    "InstantCells",
    "Matrix",
    "MixedInstant",
    "MixedWindow",
    "Note",
    "Regex",
    "ValueCounts",
    "WindowCells",
    "bucket_fraction",
    "bucket_quantile",
    "count_values",
    "extended_mixed",
    "float_texts",
    "histogram_add",
    "histogram_equal",
    "histogram_fraction",
    "histogram_quantile",
    "histogram_scale",
    "histogram_texts",
    "histogram_trim",
    "histogram_variance",
    "instant",
    "instant_mixed",
    "instant_timestamps",
    "json_frame",
    "json_label_sets",
    "json_matrix",
    "json_scalar",
    "json_string",
    "json_strings",
    "json_vector",
    "limitk",
    "number_keys",
    "quantile_groups",
    "resolve_hints",
    "sampling_hashes",
    "smoothed_mixed",
    "start_overlaps",
    "topk",
    "value_order",
    "window",
    "window_mixed",
]

Matrix: TypeAlias = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""`(values, present)`, both `[series, steps]`"""


class Note(IntFlag):
    """What is worth telling of an operation on histograms, beside its result."""

    MIXED = 1
    """floats and histograms where only one kind makes sense"""
    NOT_COUNTER = 2
    """a counter was wanted, and a histogram says that it is a gauge"""
    NOT_GAUGE = 4
    """a gauge was wanted, and a histogram does not say that it is one"""
    MIXED_SCHEMAS = 8
    """exponential and custom buckets together"""
    BOUNDS_RECONCILED = 16
    """custom bounds differed; what both have was kept"""
    HINTS_COLLIDE = 32
    """one histogram was a reset and the other was not"""
    HISTOGRAMS_IGNORED = 64
    """histograms were there, and the function takes floats alone"""
    INCOMPATIBLE = 128
    """exponential and custom buckets in a binary operator"""
    NATIVE_AND_CLASSIC = 256
    """classic and native histograms of one name"""
    NAN_RESULT = 512
    """the quantile falls among observations of NaN"""
    NAN_OBSERVATIONS = 1024
    """observations of NaN are counted that no bucket shows"""


STARTED: Final = frozenset({"increase", "irate", "rate", "resets"})
"""Range functions that look at start timestamps."""


def instant(
    offsets: NDArray[np.int64],
    timestamps_ms: NDArray[np.int64],
    values: NDArray[np.float64],
    start_ms: int,
    step_ms: int,
    count: int,
    lookback_ms: int,
) -> Matrix:
    """The latest sample in `(t - lookback, t]` at each step; a staleness marker there means absence."""
    floats = (offsets, timestamps_ms, values, None)
    return _native.instant(floats, (start_ms, step_ms, count), lookback_ms)


def instant_timestamps(
    offsets: NDArray[np.int64],
    timestamps_ms: NDArray[np.int64],
    values: NDArray[np.float64],
    start_ms: int,
    step_ms: int,
    count: int,
    lookback_ms: int,
) -> Matrix:
    """As `instant`, with the time of that sample in seconds instead of its value."""
    floats = (offsets, timestamps_ms, values, None)
    return _native.instant_timestamps(floats, (start_ms, step_ms, count), lookback_ms)


def window(
    function: str,
    offsets: NDArray[np.int64],
    timestamps_ms: NDArray[np.int64],
    values: NDArray[np.float64],
    start_ms: int,
    step_ms: int,
    count: int,
    range_ms: int,
    args: Sequence[NDArray[np.float64]] = (),
    starts_ms: NDArray[np.int64] | None = None,
) -> Matrix:
    """The range function of that PromQL name over the samples in `(t - range, t]`.

    Staleness markers are no samples here. A window without samples (or with one, where a function needs
    two) is absent. `args` are the scalar arguments, float64[count] each:

    * `quantile_over_time`: the quantile.
    * `double_exponential_smoothing`: smoothing and trend factor, which the caller has checked.
    * `predict_linear`: seconds ahead of the evaluation time; then optionally the seconds from the end of
      the window to the evaluation time, which differ from 0 under `offset` and `@`.

    `starts_ms` int64[m] says since when each sample counts, 0 where nobody said: `rate`, `increase`,
    `irate` and `resets` see resets by it, `rate` and `increase` also where a counter was zero; `STARTED`
    names them, all others take no notice.

    `absent_over_time` is not here: its answer is where `present_over_time` of all series is absent.
    """
    floats = (offsets, timestamps_ms, values, starts_ms)
    return _native.window(function, floats, (start_ms, step_ms, count), range_ms, list(args))


def start_overlaps(
    offsets: NDArray[np.int64],
    timestamps_ms: NDArray[np.int64],
    values: NDArray[np.float64],
    starts_ms: NDArray[np.int64],
    start_ms: int,
    step_ms: int,
    count: int,
    range_ms: int,
) -> NDArray[np.int64]:
    """int64[n]: in how many windows of a series a sample starts within the time that the sample before it
    covers, and not where that one starts."""
    floats = (offsets, timestamps_ms, values, starts_ms)
    return _native.start_overlaps(floats, (start_ms, step_ms, count), range_ms)


class MixedInstant(NamedTuple):
    """What `instant_mixed` picked; a cell is a float, a histogram or absent."""

    values: NDArray[np.float64]
    """float64[n, steps]"""
    present: NDArray[np.bool_]
    """bool[n, steps]: where there is a float"""
    histograms: NDArray[np.int64]
    """int64[n, steps]: which of the frame's histograms, -1 where there is none"""
    times_s: NDArray[np.float64]
    """float64[n, steps]: when the picked sample was"""


def instant_mixed(
    frame: FrameArrays, start_ms: int, step_ms: int, count: int, lookback_ms: int
) -> MixedInstant:
    """As `instant` over samples of both kinds; a staleness marker of either kind means absence."""
    return MixedInstant(*_native.instant_mixed(frame, (start_ms, step_ms, count), lookback_ms))


class MixedWindow(NamedTuple):
    """What `window_mixed` made; a cell is a float, a histogram or absent."""

    values: NDArray[np.float64]
    """float64[n, steps]"""
    present: NDArray[np.bool_]
    """bool[n, steps]: where there is a float"""
    histograms: NDArray[np.int64]
    """int64[n, steps]: which histogram of the pool, -1 where there is none"""
    pool: Histograms
    notes: NDArray[np.uint32]
    """uint32[n]: sets of `Note`"""


def window_mixed(
    function: str,
    frame: FrameArrays,
    start_ms: int,
    step_ms: int,
    count: int,
    range_ms: int,
    args: Sequence[NDArray[np.float64]] = (),
) -> MixedWindow:
    """As `window`, whose answers it gives bit for bit in windows without histograms, over both kinds.

    * `rate`, `increase`, `delta`, `irate`, `idelta`, `sum_over_time` and `avg_over_time` of histograms are
      histograms; both kinds together have no result and a note.
    * `first_over_time` and `last_over_time` choose among both; their pool is the frame's own.
    * `count_over_time`, `present_over_time`, `changes`, `resets`, `ts_of_first_over_time` and
      `ts_of_last_over_time` take both kinds alike.
    * All other functions take the floats, and note that they passed over histograms.

    Start timestamps in the frame are looked at; give a frame without them where they shall not be.
    """
    steps = (start_ms, step_ms, count)
    return MixedWindow(*_native.window_mixed(function, frame, steps, range_ms, list(args)))


def extended_mixed(
    function: str,
    smoothed: bool,
    frame: FrameArrays,
    start_ms: int,
    step_ms: int,
    count: int,
    range_ms: int,
    lookback_ms: int,
    values: NDArray[np.float64],
    present: NDArray[np.bool_],
) -> MixedWindow:
    """`rate`, `increase`, `delta`, `changes` or `resets` over anchored or smoothed windows of both kinds.

    `values` and `present` `[n, steps]` are the answers of the floats alone; they stay where a window reaches
    no histogram. A window begins with the last sample at or before its start, within the lookback; a smoothed
    one ends with the first sample at or after its end.
    """
    steps = (start_ms, step_ms, count)
    return MixedWindow(
        *_native.extended_mixed(function, smoothed, frame, steps, range_ms, lookback_ms, values, present)
    )


def smoothed_mixed(
    frame: FrameArrays,
    start_ms: int,
    step_ms: int,
    count: int,
    lookback_ms: int,
    values: NDArray[np.float64],
    present: NDArray[np.bool_],
) -> MixedWindow:
    """The histogram on the line between those around each step; floats as in `extended_mixed`."""
    steps = (start_ms, step_ms, count)
    return MixedWindow(*_native.smoothed_mixed(frame, steps, lookback_ms, values, present))


class InstantCells(NamedTuple):
    """The arguments of `instant`, for a result that may never be wanted as a matrix."""

    offsets: NDArray[np.int64]
    timestamps_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    start_ms: int
    step_ms: int
    steps: int
    lookback_ms: int

    def matrix(self) -> Matrix:
        return instant(*self)

    def add_to(self, aggregator: Aggregator, group_of: NDArray[np.int32]) -> None:
        floats = (self.offsets, self.timestamps_ms, self.values, None)
        aggregator.add_instant(group_of, floats, (self.start_ms, self.step_ms, self.steps), self.lookback_ms)


class WindowCells(NamedTuple):
    """The arguments of `window`, but for scalar ones; as `InstantCells`."""

    function: str
    offsets: NDArray[np.int64]
    timestamps_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    start_ms: int
    step_ms: int
    steps: int
    range_ms: int
    starts_ms: NDArray[np.int64] | None = None

    def matrix(self) -> Matrix:
        return window(*self[:8], starts_ms=self.starts_ms)

    def add_to(self, aggregator: Aggregator, group_of: NDArray[np.int32]) -> None:
        floats = (self.offsets, self.timestamps_ms, self.values, self.starts_ms)
        steps = (self.start_ms, self.step_ms, self.steps)
        aggregator.add_window(group_of, self.function, floats, steps, self.range_ms)


def topk(
    group_of: NDArray[np.int32],
    groups: int,
    k: NDArray[np.float64],
    values: NDArray[np.float64],
    present: NDArray[np.bool_],
    largest: bool,
) -> NDArray[np.bool_]:
    """bool[n, steps]: which cells are among the `k` largest (or smallest) of their group at their step.

    NaN comes after every number. Of equal values the earlier series wins. `k` below 1 or NaN keeps none.
    """
    return _native.topk(group_of, groups, k, values, present, largest)


def limitk(
    group_of: NDArray[np.int32],
    groups: int,
    k: NDArray[np.float64],
    values: NDArray[np.float64],
    present: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """bool[n, steps]: which cells are among the first `k` of their group at their step, by series."""
    return _native.limitk(group_of, groups, k, values, present)


def quantile_groups(
    group_of: NDArray[np.int32],
    groups: int,
    q: NDArray[np.float64],
    values: NDArray[np.float64],
    present: NDArray[np.bool_],
) -> Matrix:
    """The `q` quantile of each group at each step; infinite outside [0, 1], NaN for a NaN `q`."""
    return _native.quantile_groups(group_of, groups, q, values, present)


class ValueCounts(NamedTuple):
    """What `count_values` found: one row a (group, value), in order of first use."""

    group_of: NDArray[np.int32]
    """int32[rows]"""
    value: NDArray[np.float64]
    """float64[rows]"""
    counts: NDArray[np.float64]
    """float64[rows, steps]"""
    present: NDArray[np.bool_]
    """bool[rows, steps]: where the value occurs at all"""


def count_values(
    group_of: NDArray[np.int32],
    groups: int,
    values: NDArray[np.float64],
    present: NDArray[np.bool_],
    rows_max: int,
) -> ValueCounts:
    """How often each distinct value occurs. All NaN are one value; -0 and 0 are two.

    More than `rows_max` (group, value) pairs raise LimitExceeded.
    """
    return ValueCounts(*_native.count_values(group_of, groups, values, present, rows_max))


class BucketFix(NamedTuple):
    """Where `bucket_quantile` had to raise counts that fell with rising bounds, in one histogram."""

    group: int
    steps: int
    """at how many steps"""
    bound_min: float
    bound_max: float
    raised_max: float
    """the largest count that a bucket was raised by"""
    step_first: int
    step_last: int


def bucket_quantile(
    q: NDArray[np.float64],
    group_of: NDArray[np.int32],
    groups: int,
    bounds: NDArray[np.float64],
    values: NDArray[np.float64],
    present: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.bool_], list[BucketFix]]:
    """The `q` quantile of classic histograms: a group is one histogram, a series one cumulative bucket.

    `bounds` float64[n] holds the upper bound (`le`) of each series, in any order; buckets with the same
    bound add up. NaN without a +Inf bucket, with less than two buckets or without observations.
    """
    quantiles, found, fixes = _native.bucket_quantile(q, group_of, groups, bounds, values, present)
    return quantiles, found, [BucketFix(*fix) for fix in fixes]


def bucket_fraction(
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
    group_of: NDArray[np.int32],
    groups: int,
    bounds: NDArray[np.float64],
    values: NDArray[np.float64],
    present: NDArray[np.bool_],
) -> Matrix:
    """The share of observations between `lower` and `upper` in histograms as for `bucket_quantile`."""
    return _native.bucket_fraction(lower, upper, group_of, groups, bounds, values, present)


def value_order(values: NDArray[np.float64], descending: bool) -> NDArray[np.intp]:
    """int64[n]: indices by value, as `sort` and `sort_desc` want; NaN last in both, equal values in order."""
    return np.argsort(-values if descending else values, kind="stable")


def number_keys(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int32], int]:
    """`(int32[n], count)` for match keys uint64[n, 2]: equal keys get equal numbers, below `count`."""
    return _native.number_keys(keys)


def sampling_hashes(labels: LabelSets) -> NDArray[np.uint64]:
    """uint64[n]: the hash by which Prometheus' `limit_ratio` chooses series."""
    return _native.sampling_hashes(labels)


def histogram_add(
    left: Histograms, right: Histograms, subtract: bool
) -> tuple[Histograms, NDArray[np.uint32], NDArray[np.bool_]]:
    """`(sums or differences, notes uint32[n], ok bool[n])` of n pairs, without empty buckets.

    Both are brought to common buckets first. Exponential and custom ones have none: there `ok` is not set,
    and the left one stands. A difference is a gauge.
    """
    return _native.histogram_add(left, right, subtract)


def histogram_scale(histograms: Histograms, factor: NDArray[np.float64], divide: bool) -> Histograms:
    """Each times (or divided by) its factor, float64[n], without empty buckets; by 0, without any."""
    return _native.histogram_scale(histograms, factor, divide)


def histogram_equal(left: Histograms, right: Histograms) -> NDArray[np.bool_]:
    """bool[n]: pairs that are the same in all but hints. Empty buckets count; NaN equals the same NaN."""
    return _native.histogram_equal(left, right)


def histogram_trim(histograms: Histograms, bound: NDArray[np.float64], upper: bool) -> Histograms:
    """The observations of each below its bound, float64[n], where `upper`; else those above."""
    return _native.histogram_trim(histograms, bound, upper)


def histogram_quantile(
    histograms: Histograms, q: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
    """`(float64[n], notes uint32[n])`: the `q` quantile, float64[n], of each native histogram."""
    return _native.histogram_quantile(histograms, q)


def histogram_fraction(
    histograms: Histograms, lower: NDArray[np.float64], upper: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
    """`(float64[n], notes uint32[n])`: the share of observations between two bounds, float64[n] each."""
    return _native.histogram_fraction(histograms, lower, upper)


def histogram_variance(histograms: Histograms) -> NDArray[np.float64]:
    """float64[n]: the variance of the observations of each, taken from the middles of its buckets."""
    return _native.histogram_variance(histograms)


def histogram_texts(histograms: Histograms) -> list[str]:
    """Each as `{count:4, sum:5, (1,2]:4}`, the text that `count_values` puts in a label."""
    return _native.histogram_texts(histograms)


def resolve_hints(offsets: NDArray[np.int64], histograms: Histograms) -> Histograms:
    """The histograms of n series, `offsets` int64[n + 1], with hints as a store gives them in order.

    A gauge or a reset that says so stays one. Others are compared with the one before in the series; where
    that is none, or a marker, or laid out otherwise, the hint is unknown.
    """
    return _native.resolve_hints(offsets, histograms)
