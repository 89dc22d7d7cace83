"""Types of the native core. One section a module of `native/src`, in the order of `lib.rs`."""

from collections.abc import Sequence
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

# --- frame ----------------------------------------------------------------------------------------

# offsets, timestamps_ms, starts_ms, histograms
_HistogramArrays: TypeAlias = tuple[_Ints, _Ints, _Ints | None, Histograms]
# offsets, timestamps_ms, values, starts_ms
FloatArrays: TypeAlias = tuple[_Ints, _Ints, _Floats, _Ints | None]
# start_ms, step_ms, count
StepArgs: TypeAlias = tuple[int, int, int]
# offsets, timestamps_ms, values, starts_ms, histograms
FrameArrays: TypeAlias = tuple[_Ints, _Ints, _Floats, _Ints | None, _HistogramArrays | None]
_Floats: TypeAlias = NDArray[np.float64]
_Ints: TypeAlias = NDArray[np.int64]
_Bools: TypeAlias = NDArray[np.bool_]
_Noted: TypeAlias = tuple[_Floats, NDArray[np.uint32]]
_Cells: TypeAlias = tuple[NDArray[np.int64], Histograms] | None
ExemplarArrays: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], LabelSets]

# --- block ----------------------------------------------------------------------------------------

def crc32c(data: bytes, start: int = 0) -> int:
    """CRC32C of `data`, going on from the checksum of what stood before it."""

def describe_page(page: bytes, offset: int) -> list[tuple[str, int, int, int]]:
    """`(codec, samples, bytes in the zone, bytes by itself)` of every column of a data page."""

def join_labels(parts: Sequence[LabelSets]) -> tuple[LabelSets, list[NDArray[np.int64]]]:
    """`(labels, rows)`: distinct sets of all parts in block order; each part's row of every set, or -1."""

def merge_exemplars(count: int, parts: Sequence[tuple[NDArray[np.int64], ExemplarArrays]]) -> ExemplarArrays:
    """The exemplars of `count` series from `(rows, exemplars)` of each part: ascending, equal ones once."""

def merge_samples(count: int, parts: Sequence[tuple[NDArray[np.int64], FrameArrays]]) -> FrameArrays:
    """The arrays of `count` series from `(rows, arrays)` of each part: its row of every series, or -1."""

@final
class BlockEncoder:
    """Frames in block order in, the bytes of a block's files out."""

    def __new__(cls) -> BlockEncoder: ...
    def add(self, labels: LabelSets, arrays: FrameArrays, exemplars: ExemplarArrays | None = None) -> bytes:
        """Encodes a frame; exemplars have as many rows. Bytes that are final. InvalidData on wrong order."""

    def counts(self) -> dict[str, int]: ...
    def finish(self) -> tuple[bytes, bytes, dict[str, int]]:
        """`(rest of the data file, index file, totals)`; nothing can be added after it."""

@final
class BlockIndex:
    """The opened index of one block; immutable, shared between threads. Raises Corruption."""

    def __new__(cls, data: bytes) -> BlockIndex: ...
    def __len__(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    def totals(self) -> dict[str, int]: ...
    def select(self, matchers: Matchers, mint_ms: int, maxt_ms: int) -> NDArray[np.uint32]:
        """Ids, ascending: series that match and may have samples or exemplars in the range."""

    def labels(self, ids: NDArray[np.uint32]) -> LabelSets: ...
    def label_names(self, ids: NDArray[np.uint32] | None = None) -> list[str]: ...
    def label_values(self, name: str, ids: NDArray[np.uint32] | None = None) -> list[str]: ...
    def plan(self, ids: NDArray[np.uint32], mint_ms: int, maxt_ms: int) -> ReadPlan:
        """What to read for these series in this range."""

    def exemplar_plan(self, ids: NDArray[np.uint32], mint_ms: int, maxt_ms: int) -> ExemplarPlan: ...

@final
class ExemplarPlan:
    """As `ReadPlan`, for exemplars."""

    def __len__(self) -> int: ...
    def pages(self) -> list[tuple[int, int]]: ...
    def decode(self, pages: Sequence[bytes]) -> ExemplarArrays: ...

@final
class ReadPlan:
    """Pages that a read needs, and how to decode them."""

    def __len__(self) -> int: ...
    def pages(self) -> list[tuple[int, int]]:
        """`(offset, length)` of every page in the data file, ascending."""

    def decode(self, pages: Sequence[bytes]) -> FrameArrays:
        """One row an id of the plan. Raises Corruption."""

# --- exposition -----------------------------------------------------------------------------------

def exposition_protobuf(
    labels: LabelSets, timestamps_ms: _Ints, values: _Floats, escaping: str, histograms: _Cells = None
) -> bytes: ...
def exposition_text(
    labels: LabelSets, timestamps_ms: _Ints, values: _Floats, escaping: str, histograms: _Cells = None
) -> bytes: ...

# --- join -----------------------------------------------------------------------------------------

def number_keys(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int32], int]:
    """`(int32[n], count)` for uint64[n, 2]: equal keys get equal numbers, in order of first use."""

# --- head -----------------------------------------------------------------------------------------

WAL_HEADER_BYTES: int
WAL_KINDS_OF_SAMPLES: tuple[int, ...]

def wal_header(salt: int) -> bytes: ...
def wal_salt(header: bytes) -> int | None: ...
def wal_frame(kind: int, payload: bytes, salt: int) -> bytes: ...
def wal_scan(
    data: bytes, salt: int, at_end: bool
) -> tuple[list[tuple[int, int, int]], list[tuple[int, int]], int]: ...
def wal_tenant(data: bytes, start: int, stop: int) -> tuple[str, int]: ...

@final
class Pending:
    """What is accepted of one batch, resolved to series, between `prepare` and `commit`."""

    @property
    def accepted(self) -> tuple[int, int, int]:
        """Samples, histograms, exemplars."""

    @property
    def exemplars_refused(self) -> int: ...
    @property
    def fresh(self) -> int: ...
    @property
    def created(self) -> int: ...
    @property
    def rejections(self) -> list[tuple[str, str, int]]: ...
    @property
    def rejected_rows(self) -> list[_Ints]:
        """int64[samples] an entry of `rejections`: the row of the batch of each sample that was left out."""

    @property
    def unknown(self) -> bytes:
        """16 bytes each: fingerprints of rows without labels whose series are missing. Nothing is of them."""

    def ranges(self) -> list[int]: ...

@final
class Pin:
    """Keeps what a reader selected readable while it is held."""

@final
class Head:
    """Recent samples of one tenant."""

    def __new__(
        cls,
        *,
        range_ms: int,
        window_ms: int,
        grace_ms: int,
        series_max: int,
        exemplars_max: int = 0,
        exemplars_per_series_max: int = 0,
    ) -> Head: ...
    def prepare(self, batch: WriteBatch, now_ms: int, repair: bool = False) -> Pending:
        """What of the batch is accepted; a `repair` is let behind the out-of-order window."""

    def record(self, pending: Pending, tenant: str, segment: int, salt: int) -> bytes: ...
    def commit(self, pending: Pending) -> None: ...
    def abort(self, pending: Pending) -> None: ...
    def replay(
        self, data: bytes, spans: Sequence[tuple[int, int, int]], covered: Sequence[int]
    ) -> tuple[int, int, int, int, int, list[int]]:
        """Of payloads `(kind, start, stop)`: `(samples, histograms, exemplars, skipped, unknown, ranges)`."""

    def end_replay(self) -> None: ...
    def pin(self) -> Pin: ...
    def select(
        self, matchers: Matchers, mint_ms: int, maxt_ms: int
    ) -> tuple[LabelSets, NDArray[np.int64]]: ...
    def read(
        self, refs: NDArray[np.int64], mint_ms: int, maxt_ms: int, pin: Pin, *, arena: int | None = None
    ) -> FrameArrays | None: ...
    def encoded(
        self, refs: NDArray[np.int64], mint_ms: int, maxt_ms: int, pin: Pin, *, digests: bool = False
    ) -> bytes | None:
        """As `read`, for `decode_frame`."""

    def exemplars(
        self, sets: Sequence[Matchers], mint_ms: int, maxt_ms: int
    ) -> tuple[LabelSets, ExemplarArrays]:
        """Of the series that match any of the sets and have exemplars in the range."""

    def series(self, sets: Sequence[Matchers], mint_ms: int, maxt_ms: int) -> LabelSets: ...
    def label_names(self, sets: Sequence[Matchers], mint_ms: int, maxt_ms: int) -> list[str]: ...
    def label_values(self, name: str, sets: Sequence[Matchers], mint_ms: int, maxt_ms: int) -> list[str]: ...
    def ranges(self) -> list[int]: ...
    def freeze(self, range: int) -> int | None: ...
    def frozen(self, arena: int) -> tuple[LabelSets, NDArray[np.int64]]: ...
    def frozen_exemplars(self, refs: NDArray[np.int64], arena: int) -> ExemplarArrays: ...
    def advance(self) -> int: ...
    def is_pinned(self, epoch: int) -> bool: ...
    def release(self, arena: int, epoch: int) -> bool: ...
    def collect(self) -> int: ...
    def own(self, ends: NDArray[np.uint64], ours: NDArray[np.bool_], series_max: int) -> None: ...
    @property
    def owned_count(self) -> int: ...
    @property
    def range_ms(self) -> int: ...
    @property
    def series_count(self) -> int: ...
    @property
    def max_time_ms(self) -> int | None: ...
    def bounds_ms(self) -> tuple[int, int] | None: ...
    def chunk_count(self) -> int: ...
    @property
    def exemplar_count(self) -> int: ...
    def size_bytes(self) -> int: ...
    def cardinality(self, limit: int) -> dict[str, Any]: ...

# --- histogram ------------------------------------------------------------------------------------

@final
class Histograms:
    """Native histograms in order; immutable."""

    @staticmethod
    def from_dicts(items: Sequence[dict[str, Any]]) -> Histograms:
        """One histogram a mapping, with the keys of `[i]`; raises InvalidData where it is none."""

    @staticmethod
    def concat(parts: Sequence[Histograms]) -> Histograms:
        """All histograms of all parts, in order."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> dict[str, Any]:
        """Keys: schema, count, sum, zero_count, zero_threshold, positive, negative (each {index: count}),
        custom_values, hint.
        """

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> Histograms:
        """The histograms at `indices`; raises IndexError outside `[0, n)`."""

    def counts(self) -> NDArray[np.float64]: ...
    def sums(self) -> NDArray[np.float64]: ...
    def sample_sizes(self) -> NDArray[np.int64]:
        """How many float samples each counts for, where queries count samples."""

    def schemas(self) -> NDArray[np.int8]:
        """-4 to 8, or -53 for custom buckets."""

    def hints(self) -> NDArray[np.uint8]:
        """0 unknown, 1 reset, 2 not reset, 3 gauge."""

    def with_hints(self, hints: NDArray[np.uint8]) -> Histograms:
        """The same histograms with these hints; raises ValueError where they are not one for each."""

    @property
    def size_bytes(self) -> int: ...

def histogram_add(
    left: Histograms, right: Histograms, subtract: bool
) -> tuple[Histograms, NDArray[np.uint32], NDArray[np.bool_]]: ...
def histogram_equal(left: Histograms, right: Histograms) -> NDArray[np.bool_]: ...
def histogram_fraction(all: Histograms, lower: _Floats, upper: _Floats) -> _Noted: ...
def histogram_notes() -> dict[str, int]: ...
def histogram_quantile(all: Histograms, q: _Floats) -> _Noted: ...
def histogram_scale(all: Histograms, factor: NDArray[np.float64], divide: bool) -> Histograms: ...
def histogram_texts(all: Histograms) -> list[str]: ...
def histogram_trim(all: Histograms, bound: NDArray[np.float64], upper: bool) -> Histograms: ...
def histogram_variance(all: Histograms) -> NDArray[np.float64]: ...
def resolve_hints(offsets: NDArray[np.int64], all: Histograms) -> Histograms: ...

# --- json -----------------------------------------------------------------------------------------

def float_texts(values: NDArray[np.float64]) -> list[str]: ...
def json_frame(labels: LabelSets, arrays: FrameArrays, stats: bytes | None = None) -> bytes: ...
def json_label_sets(labels: LabelSets) -> bytes: ...
def json_matrix(
    labels: LabelSets,
    start_ms: int,
    step_ms: int,
    values: NDArray[np.float64],
    present: NDArray[np.bool_],
    histograms: _Cells = None,
    stats: bytes | None = None,
) -> bytes: ...
def json_scalar(time_ms: int, value: float, stats: bytes | None = None) -> bytes: ...
def json_string(time_ms: int, value: str, stats: bytes | None = None) -> bytes: ...
def json_strings(values: Sequence[str]) -> bytes: ...
def json_vector(
    labels: LabelSets, time_ms: int, values: _Floats, histograms: _Cells = None, stats: bytes | None = None
) -> bytes: ...

# --- kernel ---------------------------------------------------------------------------------------

@final
class Aggregator:
    """`sum`, `avg`, `count`, `min`, `max`, `group`, `stddev` or `stdvar` by (group, step).

    Series come in batches; only the states of the groups are held. Sums are compensated, averages do not
    overflow, min and max are NaN only where there is nothing else.
    """

    def __new__(cls, operator: str, groups: int, steps: int) -> Aggregator: ...
    def add(self, group_of: NDArray[np.int32], values: _Floats, present: _Bools) -> None:
        """Takes in a batch of series: `group_of[n]`, `values` and `present` of shape `[n, steps]`."""

    def add_instant(
        self,
        group_of: NDArray[np.int32],
        floats: FloatArrays,
        steps: StepArgs,
        lookback_ms: int,
    ) -> None:
        """As `add` of what `instant` answers, to the last bit, without that matrix in memory."""

    def add_window(
        self,
        group_of: NDArray[np.int32],
        function: str,
        floats: FloatArrays,
        steps: StepArgs,
        range_ms: int,
    ) -> None:
        """As `add` of what `window` answers without arguments, to the last bit, without that matrix."""

    def finish(self) -> tuple[_Floats, _Bools]:
        """`(values, present)` of shape `[groups, steps]`, of what came in so far."""

@final
class HistogramAggregator:
    """`sum` or `avg` of histograms by (group, step); as `Aggregator`, for histograms."""

    def __new__(cls, operator: str, groups: int, steps: int) -> HistogramAggregator: ...
    def add(self, group_of: NDArray[np.int32], index: _Ints, pool: Histograms) -> None:
        """Takes in a batch of series: `group_of[n]`, and `index[n, steps]` into `pool`, -1 where absent."""

    @property
    def size_bytes(self) -> int:
        """Bytes held for the results so far."""

    def finish(self) -> tuple[_Ints, Histograms, NDArray[np.uint32]]:
        """`(index[groups, steps], pool, notes[groups])` of what came in; nothing is left then."""

@final
class Regex:
    """A PromQL regex, anchored at both ends; raises InvalidData where it does not compile."""

    def __new__(cls, pattern: str) -> Regex: ...
    def expand(self, values: Sequence[str], template: str, size_bytes_max: int) -> list[str | None] | None:
        """The template with `$1`, `${1}` and `${name}` filled in for each value; None without a match.

        None for the whole where the texts have more than `size_bytes_max` together.
        """

def bucket_fraction(
    lower: _Floats,
    upper: _Floats,
    group_of: NDArray[np.int32],
    groups: int,
    bounds: _Floats,
    values: _Floats,
    present: _Bools,
) -> tuple[_Floats, _Bools]: ...
def bucket_quantile(
    q: _Floats, group_of: NDArray[np.int32], groups: int, bounds: _Floats, values: _Floats, present: _Bools
) -> tuple[_Floats, _Bools, list[tuple[int, int, float, float, float, int, int]]]: ...
def count_values(
    group_of: NDArray[np.int32], groups: int, values: _Floats, present: _Bools, rows_max: int
) -> tuple[NDArray[np.int32], _Floats, _Floats, _Bools]: ...
def limitk(
    group_of: NDArray[np.int32], groups: int, k: _Floats, values: _Floats, present: _Bools
) -> _Bools: ...
def quantile_groups(
    group_of: NDArray[np.int32], groups: int, q: _Floats, values: _Floats, present: _Bools
) -> tuple[_Floats, _Bools]: ...
def topk(
    group_of: NDArray[np.int32], groups: int, k: _Floats, values: _Floats, present: _Bools, largest: bool
) -> _Bools: ...
def instant(floats: FloatArrays, steps: StepArgs, lookback_ms: int) -> tuple[_Floats, _Bools]: ...
def extended_mixed(
    function: str,
    smoothed: bool,
    frame: FrameArrays,
    steps: StepArgs,
    range_ms: int,
    lookback_ms: int,
    values: _Floats,
    present: _Bools,
) -> tuple[_Floats, _Bools, _Ints, Histograms, NDArray[np.uint32]]: ...
def smoothed_mixed(
    frame: FrameArrays,
    steps: StepArgs,
    lookback_ms: int,
    values: _Floats,
    present: _Bools,
) -> tuple[_Floats, _Bools, _Ints, Histograms, NDArray[np.uint32]]: ...
def instant_mixed(
    frame: FrameArrays, steps: StepArgs, lookback_ms: int
) -> tuple[_Floats, _Bools, _Ints, _Floats]: ...
def instant_timestamps(floats: FloatArrays, steps: StepArgs, lookback_ms: int) -> tuple[_Floats, _Bools]: ...
def window(
    function: str, floats: FloatArrays, steps: StepArgs, range_ms: int, args: Sequence[_Floats]
) -> tuple[_Floats, _Bools]: ...
def window_mixed(
    function: str,
    frame: FrameArrays,
    steps: StepArgs,
    range_ms: int,
    args: Sequence[_Floats],
) -> tuple[_Floats, _Bools, _Ints, Histograms, NDArray[np.uint32]]: ...
def start_overlaps(floats: FloatArrays, steps: StepArgs, range_ms: int) -> _Ints: ...

# --- labels ---------------------------------------------------------------------------------------

@final
class LabelSets:
    """Dictionary-coded label sets; immutable."""

    @staticmethod
    def from_dicts(sets: Sequence[dict[str, str]]) -> LabelSets:
        """One set a mapping; names are sorted, labels with empty values left out."""

    @staticmethod
    def concat(parts: Sequence[LabelSets]) -> LabelSets:
        """All sets of all parts, in order."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> dict[str, str]: ...
    def fingerprints(self) -> NDArray[np.uint64]:
        """uint64[n, 2]: low and high half of each set's fingerprint."""

    def sort_order(self) -> _Ints:
        """int64[n]: by metric name, then by labels; equal sets stay in their order."""

    def natural_order(self, names: Sequence[str], descending: bool) -> _Ints:
        """int64[n]: by the values of these labels, numbers in them as numbers; then by all labels."""

    def take(self, indices: Sequence[int] | _Ints) -> LabelSets:
        """The sets at `indices`; raises IndexError outside `[0, n)`."""

    def project(self, names: Sequence[str]) -> LabelSets:
        """Each set with only the named labels."""

    def drop(self, names: Sequence[str]) -> LabelSets:
        """Each set without the named labels."""

    def group(self, names: Sequence[str], without: bool) -> tuple[NDArray[np.int32], LabelSets]:
        """`(int32[n], groups)`: group of each set by exactly the named labels, or by exactly all others.

        Groups come in order of first use. `without` does not drop the metric name by itself: name it.
        """

    def match_keys(self, names: Sequence[str], on: bool) -> NDArray[np.uint64]:
        """uint64[n, 2]: the fingerprint of exactly the named labels (`on`), or of exactly all others."""

    def names(self) -> list[str]:
        """The names of all labels, sorted."""

    def column(self, name: str) -> tuple[NDArray[np.int32], list[str]]:
        """`(codes int32[n], values)`: one label of every set; the value is "" where a set lacks it.

        Values are distinct and come in order of first use.
        """

    def with_column(self, name: str, codes: NDArray[np.int32], values: Sequence[str]) -> LabelSets:
        """Each set with label `name` set to `values[codes[i]]`; "" removes the label."""

    def completed(self, other: LabelSets, rows: _Ints) -> LabelSets:
        """Each set with those labels of `other[rows[i]]` that it lacks; a row of -1 adds none."""

    def duplicate(self) -> tuple[int, int] | None:
        """`(earlier, later)` indices of the first set that occurs twice."""

# --- matcher --------------------------------------------------------------------------------------

@final
class Matchers:
    """Compiled label matchers; raises InvalidData on a bad regex."""

    def __new__(cls, matchers: Sequence[tuple[str, str, str]]) -> Matchers: ...
    def __len__(self) -> int: ...
    def matches(self, labels: dict[str, str]) -> bool: ...
    def matches_empty(self) -> bool: ...
    @property
    def spelled(self) -> list[tuple[str, str, str]]:
        """What they were made of."""

# --- remote ---------------------------------------------------------------------------------------

_Query: TypeAlias = tuple[int, int, list[tuple[str, str, str]]]

def read_request(body: bytes, bytes_max: int) -> tuple[list[_Query], list[int]]: ...
def read_series(labels: LabelSets, arrays: FrameArrays) -> bytes: ...
def read_response(results: Sequence[Sequence[bytes]]) -> bytes: ...
def read_frames(labels: LabelSets, arrays: FrameArrays, query: int, frame_bytes_max: int) -> bytes: ...

# --- route ----------------------------------------------------------------------------------------

@final
class KnownSeries:
    """Series and metadata entries that one destination has acknowledged, of all tenants.

    Bounded by two generations of `entries_max` series and as many metadata entries: those that come at least
    once in a generation stay, so up to `entries_max` live ones are never lost. A series takes 14 to 21 bytes,
    a metadata entry 22 to 30: 42 MB at most for a million series. The set grows with what is in it.
    """

    def __new__(cls, entries_max: int) -> KnownSeries: ...
    def __len__(self) -> int: ...
    def learn(self, parcel: Parcel, refused: _Ints | None = None) -> None:
        """The destination acknowledged a parcel, but for its items that it `refused`: those keep labels."""

    def forget(self, parcel: Parcel, unknown: bytes) -> None:
        """The destination does not know these series of the parcel; all metadata is forgotten with them."""

    def clear(self) -> None:
        """The stream to the destination broke."""

@final
class Parcel:
    """What one member gets of a batch: its items are series, then metadata entries."""

    def __len__(self) -> int: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def labelled(self) -> int:
        """Series that have their labels with them."""

    @property
    def rows(self) -> _Ints:
        """int64[n]: item of the batch of each item."""

    def again(self, unknown: bytes) -> Parcel:
        """Only the series with these fingerprints (16 bytes each), with labels. Corruption on odd bytes."""

@final
class Routed:
    """A batch with its replica sets: items are its series, then its metadata entries."""

    @property
    def set_of(self) -> _Ints:
        """int64[items]: row of `Routing.sets`. A new array each time."""

    @property
    def members(self) -> list[int]:
        """Places in the ring that get something, ascending."""

    def parcel(self, member: int, known: KnownSeries) -> Parcel:
        """What a member gets, without the labels and the metadata that are known; may be empty."""

@final
class Routing:
    """The replica sets of one ring; immutable."""

    def __new__(cls, ends: NDArray[np.uint64], sets: NDArray[np.int16]) -> Routing:
        """Of `rondel.ring.ring.Routes`; raises InvalidData for arrays that are none."""

    @property
    def sets(self) -> NDArray[np.int16]:
        """int16[sets, width]: each distinct replica set once, places ascending, -1 behind the last."""

    def route(self, batch: WriteBatch, tenant: str) -> Routed: ...

# --- rpc ------------------------------------------------------------------------------------------

def encode_labels(sets: LabelSets) -> bytes: ...
def decode_labels(data: bytes) -> LabelSets:
    """Raises Corruption."""

def encode_frame(arrays: FrameArrays) -> bytes: ...
def encode_digests(arrays: FrameArrays) -> bytes: ...
def decode_replicas(
    count: int, answers: Sequence[tuple[bytes, int, NDArray[np.int64]]]
) -> tuple[FrameArrays, list[NDArray[np.int64]]]:
    """One frame of `count` series from `(answer, series in it, rows)`: samples or digests, and of each series
    its place in the answer or -1; and for each answer the rows of which no samples have its digests. Raises
    Corruption."""

def decode_frame(data: bytes, series: int) -> FrameArrays:
    """Of exactly so many series, cut to the range that was asked for. Raises Corruption."""

def encode_exemplars(series: LabelSets, arrays: ExemplarArrays) -> bytes: ...
def decode_exemplars(data: bytes) -> tuple[LabelSets, ExemplarArrays]:
    """Raises Corruption."""

# --- sampling -------------------------------------------------------------------------------------

def sampling_hashes(labels: LabelSets) -> NDArray[np.uint64]:
    """uint64[n]: Prometheus' hash of each label set."""

# --- tsdb -----------------------------------------------------------------------------------------

def histogram_chunk_decode(chunk: bytes) -> tuple[_Ints, Histograms]: ...
def histogram_chunk_encode(timestamps_ms: _Ints, histograms: Histograms) -> bytes: ...
def xor_decode(chunk: bytes) -> tuple[_Ints, _Floats]: ...
def xor_encode(timestamps_ms: _Ints, values: _Floats) -> bytes: ...

# --- write ----------------------------------------------------------------------------------------

@final
class WriteBatch:
    """The series of one push with their samples; immutable. Of a parcel's known series it has no labels."""

    @staticmethod
    def from_arrays(
        labels: LabelSets, arrays: FrameArrays, exemplars: ExemplarArrays | None = None
    ) -> WriteBatch:
        """The samples of a frame, each series with its own; raises InvalidData where arrays do not fit."""

    @staticmethod
    def from_parcel(payload: bytes) -> WriteBatch:
        """What `Parcel.payload` carries; series whose labels are not in it have none. Raises Corruption."""

    def __len__(self) -> int: ...
    @property
    def sample_count(self) -> int: ...
    @property
    def histogram_count(self) -> int: ...
    @property
    def exemplar_count(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def pair(self) -> tuple[str, str] | None: ...
    @property
    def metadata_count(self) -> int: ...
    @property
    def exemplars_dropped(self) -> list[tuple[str, str, int]]: ...
    @property
    def rejections(self) -> list[tuple[str, str, int]]: ...
    def metadata(self) -> list[tuple[str, str, str, str]]: ...
    def series(self, index: int) -> tuple[list[tuple[str, str]], list[int], list[float]]: ...
    def starts(self, index: int) -> list[int]: ...
    def histograms(self, index: int) -> tuple[list[int], list[int], Histograms]: ...
    def exemplars(self, index: int) -> list[tuple[int, float, list[tuple[str, str]]]]: ...
    def fingerprint(self, index: int) -> int: ...

@final
class KnownMetadata:
    """Which metadata an ingester has already."""

    def __new__(cls) -> KnownMetadata: ...
    def unknown(self, batch: WriteBatch) -> list[tuple[str, str, str, str]]: ...
    def add(self, metric: str, kind: str, help: str, unit: str) -> None: ...
    def remove(self, metric: str, kind: str, help: str, unit: str) -> None: ...

@final
class WriteDecoder:
    """Decodes remote-write bodies under one set of limits."""

    def __new__(
        cls,
        *,
        message_size_bytes_max: int,
        samples_max: int,
        exemplars_max: int,
        metadata_max: int,
        symbols_max: int,
        label_name_bytes_max: int,
        label_value_bytes_max: int,
        labels_per_series_max: int,
        histogram_buckets_max: int,
        metadata_bytes_max: int,
        creation_grace_ms: int,
        cache_series: int,
        cache_seed: int,
        cluster_label: str = ...,
        replica_label: str = ...,
    ) -> WriteDecoder: ...
    def decode(self, body: bytes, now_ms: int, version: int = 1, pairs: bool = False) -> WriteBatch: ...
    def decode_otlp(
        self, message: bytes, now_ms: int, accept_delta: bool = False, promoted: list[str] = ...
    ) -> WriteBatch: ...
    def cache_stats(self) -> tuple[int, int, int]: ...

def snappy_compress(data: bytes) -> bytes: ...
