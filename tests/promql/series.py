"""Series descriptions of test scripts: `metric{label="value"} 1 2 _ 3+1x4 {{sum:1 count:2}}`."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from rondel.model.histogram import Histograms
from rondel.promql import kernel
from rondel.promql.duration import parse_ms
from rondel.promql.quote import unquote

__all__ = [
    "STALE_NAN",
    "Histogram",
    "Item",
    "ScriptError",
    "SeriesLine",
    "is_stale",
    "number",
    "parse_series",
    "parse_starts",
]

STALE_NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]


class ScriptError(ValueError):
    """A script that is not written as the grammar wants."""


def is_stale(value: float) -> bool:
    """Whether this is the one NaN that ends a series."""
    return struct.pack("<d", value) == struct.pack("<Q", 0x7FF0000000000002)


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """A native-histogram literal."""

    fields: dict[str, Any]
    """as `Histograms.from_dicts` takes them"""
    says_hint: bool = False
    """the hint is written and not left to the store"""


Item: TypeAlias = float | Histogram | None
"""A sample of a sequence; None where one is left out."""


@dataclass(frozen=True, slots=True)
class SeriesLine:
    """Labels, the metric name among them, with their sequence."""

    labels: dict[str, str]
    items: tuple[Item, ...]
    starts: tuple[int | None, ...] = ()
    """The start time of each item as milliseconds after its own time; None where it has none."""

    def starts_ms(self, gap_ms: int) -> dict[int, int]:
        """Start times by the times of their samples, which are so far apart."""
        times = ((index * gap_ms, start) for index, start in enumerate(self.starts))
        return {time_ms: time_ms + start for time_ms, start in times if start is not None}


_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|`[^`]*`')
_BRACES = re.compile(r"\s*\{(?!\{)")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_DECIMAL = r"(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![a-wyzA-WYZ])"
_NUMBER_TEXT = rf"(?:(?i:inf|nan)|{_DECIMAL}|(?:\d+(?:ms|[smhdwy]))+)"
_FLOATS = re.compile(rf"([+-]?{_NUMBER_TEXT}|stale)(?:([+-])({_NUMBER_TEXT}))?(?:x(\d+))?")
_HISTOGRAMS = re.compile(r"\{\{(.*?)\}\}(?:([+-])\{\{(.*?)\}\})?(?:x(\d+))?")
_GAP = re.compile(r"_(?:x(\d+))?")
_START = re.compile(r"([+-]?\d[0-9a-z]*?)([+-]\d[0-9a-z]*?)?(?:x(\d+))?")
_HISTOGRAM_FIELD = re.compile(r"([a-zA-Z_]+):(\[[^\]]*\]|\S+)(?:\s+|$)")
_HISTOGRAM_KEYS = {
    "schema",
    "sum",
    "count",
    "z_bucket",
    "z_bucket_w",
    "offset",
    "buckets",
    "n_offset",
    "n_buckets",
    "custom_values",
    "counter_reset_hint",
}
_HINTS = {"unknown", "reset", "not_reset", "gauge"}


def number(text: str) -> float:
    """A float, or a duration as its seconds. Raises ValueError."""
    sign = -1.0 if text.startswith("-") else 1.0
    body = text.lstrip("+-") if text[:1] in "+-" else text
    try:
        return sign * float(body)
    except ValueError:
        return sign * parse_ms(body) / 1000


def parse_series(line: str) -> SeriesLine:
    """Labels and sequence of one line. Raises ScriptError."""
    labels, at = _labels(line)
    rest = line[at:]
    if rest and not rest[0].isspace():
        raise ScriptError(f"blank expected before {rest!r}")
    return SeriesLine(labels, tuple(_sequence(rest.strip())))


def parse_starts(line: str) -> tuple[dict[str, str], tuple[int | None, ...]]:
    """Labels and start times of a line `metric{label="value"}@st -1m _ 0-1sx3`. Raises ScriptError."""
    labels, at = _labels(line)
    if not line.startswith("@st", at):
        raise ScriptError(f"start times expected: {line!r}")
    return labels, tuple(start for word in line[at + 3 :].split() for start in _starts(word))


def _starts(word: str) -> list[int | None]:
    if gap := _GAP.fullmatch(word):
        return [None] * int(gap[1] or 1)
    match = _START.fullmatch(word)
    if not match:
        raise ScriptError(f"start time expected at {word!r}")
    first_ms, step_ms = _signed_ms(match[1]), _signed_ms(match[2] or "0")
    if match[2] and not match[3]:
        raise ScriptError(f"a step needs a count: {word!r}")
    return [first_ms + index * step_ms for index in range(int(match[3] or 0) + 1)]


def _signed_ms(text: str) -> int:
    ms = parse_ms(text.lstrip("+-"))
    return -ms if text.startswith("-") else ms


# --- labels -------------------------------------------------------------------------------------------


def _labels(line: str) -> tuple[dict[str, str], int]:
    labels: dict[str, str] = {}
    at = 0
    if match := _NAME.match(line):
        labels["__name__"] = match[0]
        at = match.end()
    if braces := _BRACES.match(line, at):
        at = _label_set(line, braces.end(), labels)
    elif not at:
        raise ScriptError(f"no series description: {line!r}")
    return {name: value for name, value in labels.items() if value}, at


def _skip(line: str, at: int) -> int:
    while line[at : at + 1].isspace():
        at += 1
    return at


def _label_set(line: str, at: int, labels: dict[str, str]) -> int:
    while True:
        at = _skip(line, at)
        if line.startswith("}", at):
            return at + 1
        quoted = _STRING.match(line, at)
        name = quoted or _LABEL.match(line, at)
        if not name:
            raise ScriptError(f"label expected at {line[at:]!r}")
        label = unquote(name[0]) if quoted else name[0]
        at = _skip(line, name.end())
        if line.startswith("=", at):
            value = _STRING.match(line, _skip(line, at + 1))
            if not value:
                raise ScriptError(f"quoted value expected at {line[at + 1 :]!r}")
            labels[label] = unquote(value[0])
            at = _skip(line, value.end())
        elif quoted:
            labels["__name__"] = label
        else:
            raise ScriptError(f"'=' expected at {line[at:]!r}")
        if line.startswith(",", at):
            at += 1
        elif not line.startswith("}", at):
            raise ScriptError(f"',' or '}}' expected at {line[at:]!r}")


# --- sequences ----------------------------------------------------------------------------------------


def _sequence(text: str) -> Iterator[Item]:
    at = 0
    while at < len(text):
        match, items = _sample(text, at)
        yield from items(match)
        at = _skip(text, match.end())


def _sample(text: str, at: int) -> tuple[re.Match[str], Callable[[re.Match[str]], Iterator[Item]]]:
    for pattern, items in ((_GAP, _gap), (_HISTOGRAMS, _histograms), (_FLOATS, _floats)):
        match = pattern.match(text, at)
        if match and (match.end() == len(text) or text[match.end()].isspace()):
            return match, items
    raise ScriptError(f"sample expected at {text[at:]!r}")


def _gap(match: re.Match[str]) -> Iterator[Item]:
    return iter([None] * int(match[1] or 1))


def _floats(match: re.Match[str]) -> Iterator[Item]:
    text, sign, step_text, times = match.groups()
    if step_text and not times:
        raise ScriptError(f"a step needs a count: {match[0]!r}")
    value = STALE_NAN if text == "stale" else number(text)
    step = 0.0 if not step_text else number(step_text) * (-1 if sign == "-" else 1)
    for _ in range(int(times or 0) + 1):
        yield value
        if step_text:
            value += step


def _histograms(match: re.Match[str]) -> Iterator[Item]:
    body, sign, step_body, times = match.groups()
    value = _histogram(body)
    yield value
    if step_body is None:
        yield from [value] * int(times or 0)
        return
    step = _histogram(step_body)
    if value.fields["schema"] > step.fields["schema"]:
        raise ScriptError(f"the step has a lower schema than the first histogram: {match[0]!r}")
    for _ in range(int(times or 0)):
        value = replace(value, fields=_added(value.fields, step.fields, subtract=sign == "-"))
        yield value


def _added(one: dict[str, Any], other: dict[str, Any], *, subtract: bool) -> dict[str, Any]:
    base, step = Histograms.from_dicts([one]), Histograms.from_dicts([other])
    total, _, ok = kernel.histogram_add(base, step, subtract)
    if not ok.all():
        raise ScriptError("the step has other buckets than the first histogram")
    return total[0]


def _histogram(body: str) -> Histogram:
    fields: dict[str, str] = {}
    at = 0
    body = body.strip()
    while at < len(body):
        match = _HISTOGRAM_FIELD.match(body, at)
        key = match[1].lower() if match else ""
        if not match or key not in _HISTOGRAM_KEYS or key in fields:
            raise ScriptError(f"histogram field expected at {body[at:]!r}")
        fields[key] = match[2]
        at = match.end()
    hint = fields.get("counter_reset_hint", "unknown").lower()
    if hint not in _HINTS:
        raise ScriptError(f"unknown counter reset hint {hint!r}")
    return Histogram(
        {
            "schema": int(number(fields.get("schema", "0"))),
            "count": number(fields.get("count", "0")),
            "sum": number(fields.get("sum", "0")),
            "zero_count": number(fields.get("z_bucket", "0")),
            "zero_threshold": number(fields.get("z_bucket_w", "0")),
            "positive": _buckets(fields.get("offset", "0"), fields.get("buckets", "[]")),
            "negative": _buckets(fields.get("n_offset", "0"), fields.get("n_buckets", "[]")),
            "custom_values": _numbers(fields.get("custom_values", "[]")),
            "hint": hint,
        },
        says_hint="counter_reset_hint" in fields,
    )


def _buckets(offset: str, counts: str) -> dict[int, float]:
    return dict(enumerate(_numbers(counts), start=int(number(offset))))


def _numbers(text: str) -> list[float]:
    return [number(each) for each in text.strip("[]").split()]
