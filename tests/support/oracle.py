"""The oracle: it writes what follows from series and time, and knows which of it was acknowledged.

Whatever a server answers can be checked one by one: an acknowledged sample must be there, and a sample
that is there must have been sent and have the one right value. Every other batch is remote write 1.0 with
floats alone; the others are 2.0, where every eighth series has a start timestamp and an exemplar with its
float, and a series of native histograms, with both, beside it.
"""

from __future__ import annotations

import http.client
from collections.abc import Hashable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.support.client import Client
from tests.support.remote_write import HEADERS, HEADERS_V2, Request, Symbols, body_of, write_request
from tests.support.truth import EVERY, exemplar_at, fill, histogram_at, is_rich, start_at, value_at

__all__ = ["HISTOGRAM", "METRIC", "ROOM", "Fault", "Oracle"]

METRIC = "oracle_value"
HISTOGRAM = "oracle_value_histogram"
STEPS_AT_ONCE = 10_000

ROOM = {
    "RONDEL_HEAD__EXEMPLARS_PER_SERIES_MAX": "1000000",
    "RONDEL_HEAD__MAX_GLOBAL_EXEMPLARS_PER_USER": "1000000",
    "RONDEL_QUERY__FEATURES": "all",
}
"""What a server must be set to: it lets no exemplar go, and `start_timestamp()` works."""


Found = list[tuple[Any, Any]]
"""what was read of a series: time or trace id, and value"""


class Fault(NamedTuple):
    """One thing that is not as it must be."""

    series: str
    what: Hashable
    """time of a sample, in milliseconds, or the id of a trace"""
    how: str


@dataclass
class Oracle:
    """Writes one batch per step of data time and remembers what became of it.

    Several may write to one server at once; each has its own `name`, and its own series.
    """

    name: str
    series_count: int
    clock: Iterator[int]
    """gives the time of the next batch, in milliseconds, whole seconds; those who write at once share one"""
    sent: set[int] = field(default_factory=set)
    """times of batches that were tried, whatever became of them"""
    acknowledged: set[int] = field(default_factory=set)
    """times of batches that were answered with 2xx"""

    def labels(self, number: int, metric: str = METRIC) -> dict[str, str]:
        kind = {"kind": "histogram"} if metric == HISTOGRAM else {}
        own = {"oracle": self.name, "series": str(number), "shard": str(number % 7)}
        return {"__name__": metric, **own, **kind}

    def request(self, time_ms: int) -> tuple[bytes, dict[str, str]]:
        """All series at one time: body and headers."""
        if is_rich(time_ms):
            return body_of(self._rich(time_ms)), HEADERS_V2
        floats = ((self.labels(n), [(time_ms, value_at(n, time_ms))]) for n in range(self.series_count))
        return body_of(write_request(floats)), HEADERS

    def _rich(self, time_ms: int) -> Request:
        request, symbols = Request(), Symbols()
        for number in range(self.series_count):
            series = request.timeseries.add(labels_refs=symbols.refs(sorted(self.labels(number).items())))
            sample = series.samples.add(value=value_at(number, time_ms), timestamp=time_ms)
            if number % EVERY:
                continue
            sample.start_timestamp = start_at(number, time_ms)
            labels = sorted(self.labels(number, HISTOGRAM).items())
            other = request.timeseries.add(labels_refs=symbols.refs(labels))
            shape = histogram_at(number, time_ms)
            fill(other.histograms.add(), shape, time_ms, start_at(number, time_ms))
            own_ms, value, traced = exemplar_at(number, time_ms)
            for one in (series, other):
                refs = symbols.refs(traced.items())
                one.exemplars.add(labels_refs=refs, value=value, timestamp=own_ms)
        request.symbols.extend(symbols.texts)
        return request

    def write(self, client: Client, time_ms: int | None = None) -> bool:
        """Send one batch; whether it was acknowledged. A broken connection leaves its fate unknown."""
        time_ms = next(self.clock) if time_ms is None else time_ms
        self.sent.add(time_ms)
        body, headers = self.request(time_ms)
        try:
            reply = client.write(body, headers=headers)
        except (OSError, http.client.HTTPException):
            return False
        if reply.status // 100 != 2:
            if reply.status < 500:
                raise AssertionError(f"refused a good batch: {reply.status} {reply.text[:300]}")
            return False
        self.acknowledged.add(time_ms)
        return True

    def check(self, client: Client, recent_ms: int | None = None) -> int:
        """Read everything back and compare; returns the number of float samples that were seen.

        With `recent_ms` all floats, and of everything else only what is at most so much older than the
        newest, which costs less.
        """
        seen, wrong = self.checked(client, recent_ms)
        assert not wrong, f"{len(wrong)} samples lost or wrong, first: {wrong[:5]}"
        return seen

    def differences(self, client: Client) -> list[Fault]:
        """What is lost or wrong."""
        return self.checked(client)[1]

    def checked(self, client: Client, recent_ms: int | None = None) -> tuple[int, list[Fault]]:
        """As `check`: the float samples that were seen, and what is lost or wrong."""
        if not self.sent:
            return 0, []
        floats = self._floats(client)
        wrong = [
            fault
            for n in range(self.series_count)
            for fault in self._faults(str(n), {t: value_at(n, t) for t in self.sent}, floats.get(n, []))
        ]
        first_ms = 0 if recent_ms is None else max(self.sent) - recent_ms
        times = {time_ms for time_ms in self.sent if time_ms >= first_ms}
        if any(map(is_rich, times)):
            histograms = self._histograms(client, times)
            wrong += self._wrong_histograms(histograms, times)
            for metric, seen in ((METRIC, floats), (HISTOGRAM, histograms)):
                wrong += self._wrong_starts(client, metric, seen, times)
                wrong += self._wrong_exemplars(client, metric, times)
        return sum(map(len, floats.values())), wrong

    def _faults(self, series: str, right: Mapping[int, object], got: Found) -> list[Fault]:
        return faults(series, right, right.keys() & self.acknowledged, got)

    def _wrong_histograms(self, found: dict[int, Found], times: set[int]) -> list[Fault]:
        rich = list(filter(is_rich, times))
        wrong = []
        for number in self._rich_numbers():
            right = {t: histogram_at(number, t).told() for t in rich}
            wrong += self._faults(f"{HISTOGRAM} {number}", right, found.get(number, []))
        return wrong

    def _wrong_starts(
        self, client: Client, metric: str, seen: dict[int, Found], times: set[int]
    ) -> list[Fault]:
        """Each sample that was seen is asked for at its own time, so that its start is the one told."""
        found = self._starts(client, metric, min(times) // 1000, max(times) // 1000)
        wrong = []
        for number in self._rich_numbers():
            right = {t: start_at(number, t) for t, _ in seen.get(number, []) if t in times}
            got = [one for one in found.get(number, []) if one[0] in right]
            wrong += faults(f"start of {metric} {number}", right, right.keys(), got)
        return wrong

    def _wrong_exemplars(self, client: Client, metric: str, times: set[int]) -> list[Fault]:
        found = self._exemplars(client, metric, times)
        wrong = []
        for number in self._rich_numbers():
            all_of_it = {t: exemplar_at(number, t) for t in times if is_rich(t)}
            right = {labels["trace_id"]: (t, value) for t, value, labels in all_of_it.values()}
            needed = {one[2]["trace_id"] for t, one in all_of_it.items() if t in self.acknowledged}
            wrong += faults(f"exemplar of {metric} {number}", right, needed, found.get(number, []))
        return wrong

    def _rich_numbers(self) -> range:
        return range(0, self.series_count, EVERY)

    def _selector(self, metric: str) -> str:
        rich = "|".join(map(str, self._rich_numbers()))
        return f'{metric}{{oracle="{self.name}",series=~"{rich}"}}'

    def _floats(self, client: Client) -> dict[int, Found]:
        """A minute more than what was written, where nothing may be."""
        width_ms = max(self.sent) - min(self.sent) + 60_000
        rows = self._window(client, f'{METRIC}{{oracle="{self.name}"}}', width_ms)
        return {number(row): [(ms(t), float(text)) for t, text in row["values"]] for row in rows}

    def _histograms(self, client: Client, times: set[int]) -> dict[int, Found]:
        width_ms = max(times) - min(times) + 500
        rows = self._window(client, self._selector(HISTOGRAM), width_ms)
        return {number(row): [(ms(t), told(one)) for t, one in row["histograms"]] for row in rows}

    def _window(self, client: Client, selector: str, width_ms: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = client.instant(f"{selector}[{width_ms}ms]", max(self.sent) / 1000)
        return rows

    def _starts(self, client: Client, metric: str, first_s: int, last_s: int) -> dict[int, Found]:
        found: dict[int, Found] = {}
        for from_s in range(first_s, last_s + 1, STEPS_AT_ONCE):
            to_s = min(from_s + STEPS_AT_ONCE - 1, last_s)
            for row in client.range(f"start_timestamp({self._selector(metric)})", from_s, to_s, 1):
                found.setdefault(number(row), []).extend((ms(t), ms(float(v))) for t, v in row["values"])
        return found

    def _exemplars(self, client: Client, metric: str, times: set[int]) -> dict[int, Found]:
        window = {"start": min(times) / 1000 - 0.5, "end": max(times) / 1000}
        rows = client.data("/api/v1/query_exemplars", {"query": self._selector(metric), **window})
        return {
            int(row["seriesLabels"]["series"]): [
                (one["labels"]["trace_id"], (ms(one["timestamp"]), float(one["value"])))
                for one in row["exemplars"]
            ]
            for row in rows
        }


def faults(series: str, right: Mapping[Any, object], needed: Set[Any], got: Found) -> list[Fault]:
    """What is wrong with what was found of a series: all of `right` was sent, `needed` must be there."""
    found = dict(got)
    wrong = [Fault(series, "all", "duplicates")] if len(found) != len(got) else []
    wrong += [Fault(series, key, "lost") for key in sorted(needed - found.keys())]
    for key, value in found.items():
        if key not in right:
            wrong.append(Fault(series, key, "never sent"))
        elif value != right[key]:
            wrong.append(Fault(series, key, f"{value} is not {right[key]}"))
    return wrong


def number(row: dict[str, Any]) -> int:
    """Of the series of a row of an answer."""
    return int(row["metric"]["series"])


def ms(time_s: float) -> int:
    return round(time_s * 1000)


def told(histogram: dict[str, Any]) -> tuple[float, float, list[tuple[float, ...]]]:
    """A histogram of an answer as `Shape.told` has it."""
    buckets = [tuple(map(float, bucket)) for bucket in histogram.get("buckets", [])]
    return float(histogram["count"]), float(histogram["sum"]), buckets
