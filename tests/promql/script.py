"""Test scripts as Prometheus writes them: `clear`, `load` and `eval` with what is expected of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from rondel.promql.duration import parse_ms
from rondel.promql.quote import unquote
from tests.promql.series import ScriptError, SeriesLine, number, parse_series, parse_starts

__all__ = ["Clear", "Command", "Eval", "Expectation", "Load", "RangeTimes", "loaded_series", "parse_script"]


@dataclass(frozen=True, slots=True)
class Clear:
    """Drops all series."""

    line: int


@dataclass(frozen=True, slots=True)
class Load:
    """Adds series whose samples are `gap_ms` apart, the first at 0."""

    line: int
    gap_ms: int
    series: tuple[SeriesLine, ...]
    custom_buckets: bool
    """`load_with_nhcb`: classic histograms also become native ones with custom buckets."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """A text that has to be said; any where `text` is None."""

    text: str | None = None
    is_regex: bool = False

    def matches(self, actual: str) -> bool:
        if self.text is None:
            return True
        return re.search(self.text, actual) is not None if self.is_regex else self.text == actual


@dataclass(frozen=True, slots=True)
class RangeTimes:
    start_ms: int
    end_ms: int
    step_ms: int


@dataclass(slots=True)
class Eval:
    """A query with what has to come of it. `times` is set for a range query, `time_ms` for an instant one."""

    line: int
    query: str
    time_ms: int | None = None
    times: RangeTimes | None = None
    ordered: bool = False
    fail: Expectation | None = None
    warn: list[Expectation] = field(default_factory=list)
    info: list[Expectation] = field(default_factory=list)
    no_warn: bool = False
    no_info: bool = False
    series: list[SeriesLine] = field(default_factory=list)
    scalar: float | None = None
    string: str | None = None
    range_vector: RangeTimes | None = None


Command: TypeAlias = Clear | Load | Eval

_LOAD = re.compile(r"load(?:_(with_nhcb))?\s+(.+?)")
_INSTANT = re.compile(r"eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?)\s+)?(.+)")
_RANGE = re.compile(r"eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)")
_EXPECT = re.compile(r"expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?")
_RANGE_VECTOR = re.compile(r"expect range vector\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+)")
_START_TIMES = re.compile(r"^[^\s{]*(?:\{[^}]*\})?@st\s")


def parse_script(text: str) -> Iterator[Command]:
    """The commands of a script in order. Raises ScriptError, which names the line."""
    lines = ["" if line.strip().startswith("#") else line.strip() for line in text.split("\n")]
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line:
            at += 1
            continue
        end = at + 1
        while end < len(lines) and lines[end]:
            end += 1
        try:
            command, taken = _command(at + 1, line, lines[at + 1 : end])
        except ValueError as cause:
            raise ScriptError(f"line {at + 1}: {cause}") from cause
        yield command
        at += 1 + taken


def _command(line_number: int, line: str, body: list[str]) -> tuple[Command, int]:
    """The command with the number of body lines that belong to it."""
    word = line.split()[0].lower()
    if word == "clear":
        return Clear(line_number), 0
    if word.startswith("load"):
        return _load(line_number, line, body), len(body)
    if word.startswith("eval"):
        command = _eval(line_number, line)
        return command, _expectations(command, body)
    raise ScriptError(f"unknown command {line!r}")


def _load(line_number: int, line: str, body: list[str]) -> Load:
    match = _LOAD.fullmatch(line)
    if not match:
        raise ScriptError(f"load command expected: {line!r}")
    return Load(
        line=line_number,
        gap_ms=parse_ms(match[2]),
        series=tuple(loaded_series(body)),
        custom_buckets=match[1] is not None,
    )


def loaded_series(body: list[str]) -> Iterator[SeriesLine]:
    """The series of a load; a line of start times stands before the series that they are of."""
    starts: tuple[dict[str, str], tuple[int | None, ...]] | None = None
    for line in body:
        if _START_TIMES.match(line):
            if starts is not None:
                raise ScriptError(f"start times without a series before {line!r}")
            starts = parse_starts(line)
            continue
        series = parse_series(line)
        if starts is not None:
            if starts[0] != series.labels or len(starts[1]) != len(series.items):
                raise ScriptError(f"start times of another series before {line!r}")
            series = replace(series, starts=starts[1])
            starts = None
        yield series
    if starts is not None:
        raise ScriptError(f"start times without a series: {starts[0]}")


def _eval(line_number: int, line: str) -> Eval:
    if match := _INSTANT.fullmatch(line):
        flavour, at, query = match.groups()
        command = Eval(line_number, query, time_ms=parse_ms(at) if at else 0)
    elif match := _RANGE.fullmatch(line):
        flavour, *times, query = match.groups()
        command = Eval(line_number, query, times=_times(*times))
    else:
        raise ScriptError(f"eval command expected: {line!r}")
    match flavour:
        case "ordered":
            command.ordered = True
        case "fail":
            command.fail = Expectation()
        case "warn":
            command.warn.append(Expectation())
        case "info":
            command.info.append(Expectation())
    return command


def _times(start: str, end: str, step: str) -> RangeTimes:
    times = RangeTimes(parse_ms(start), parse_ms(end), parse_ms(step))
    if times.end_ms < times.start_ms:
        raise ScriptError(f"the end {end} is before the start {start}")
    return times


def _expectations(command: Eval, body: list[str]) -> int:
    for index, line in enumerate(body):
        if line.split()[0] == "expect":
            _expect(command, line)
        elif line.startswith("expected_fail_message"):
            command.fail = Expectation(line.removeprefix("expected_fail_message").strip())
        elif line.startswith("expected_fail_regexp"):
            command.fail = Expectation(line.removeprefix("expected_fail_regexp").strip(), is_regex=True)
        elif (value := _bare_number(line)) is not None:
            command.scalar = value
            return index + 1
        else:
            _expect_series(command, parse_series(line))
    return len(body)


def _bare_number(line: str) -> float | None:
    try:
        return number(line)
    except ValueError:
        return None


def _expect_series(command: Eval, line: SeriesLine) -> None:
    if command.times is None and command.range_vector is None and len(line.items) > 1:
        raise ScriptError("more than one value for an instant query")
    if any(line.labels == other.labels for other in command.series):
        raise ScriptError(f"series expected twice: {line.labels}")
    command.series.append(line)


def _expect(command: Eval, line: str) -> None:
    if line.startswith("expect string "):
        command.string = unquote(line.removeprefix("expect string ").strip())
        return
    if match := _RANGE_VECTOR.fullmatch(line):
        command.range_vector = _times(*match.groups())
        return
    match = _EXPECT.fullmatch(line)
    if not match:
        raise ScriptError(f"expectation expected: {line!r}")
    kind, mode, text = match.groups()
    expectation = Expectation(text.strip() if text else None, is_regex=mode == "regex")
    match kind:
        case "ordered":
            command.ordered = True
        case "fail":
            command.fail = expectation
        case "warn":
            command.warn.append(expectation)
        case "info":
            command.info.append(expectation)
        case "no_warn":
            command.no_warn = True
        case "no_info":
            command.no_info = True
