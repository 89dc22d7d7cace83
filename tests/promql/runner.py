"""Runs test scripts in a world.

Every instant `eval` runs several times: as written, with `@` on every selector at other evaluation times,
and each of these once more as the middle step of a range query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rondel.errors import RondelError
from rondel.promql.ast import Expr
from rondel.promql.parser import ParserOptions, parse
from rondel.promql.printer import print_expr
from rondel.promql.result import Result, Scalar, Text
from tests.promql import compare
from tests.promql.compare import Mismatch
from tests.promql.rewrite import depends_on_query_times, pin, pinnable
from tests.promql.script import Clear, Eval, Load, RangeTimes, parse_script
from tests.promql.worlds import Answers, World

__all__ = ["Outcome", "Verdict", "run_script"]

TENANT = "scripts"
_MINUTE_MS = 60_000
_PARSER_OPTIONS = ParserOptions.of(["all"])


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one `eval` went."""

    line: int
    query: str
    verdict: Verdict
    detail: str = ""


def run_script(path: Path, world: World) -> Iterator[Outcome]:
    """The outcome of every `eval` of a script, which begins with an empty store. Raises ScriptError."""
    world.clear()
    for command in parse_script(path.read_text(encoding="utf-8")):
        match command:
            case Clear():
                world.clear()
            case Load():
                world.load(command)
            case Eval():
                yield _outcome(_Run(world.engine), command)


def _outcome(run: _Run, command: Eval) -> Outcome:
    verdict, detail = Verdict.PASSED, ""
    try:
        run.eval(command)
    except Mismatch as mismatch:
        verdict, detail = Verdict.FAILED, str(mismatch)
    except Exception as error:  # a defect of the engine is a failure of this eval, not of the run
        verdict, detail = Verdict.FAILED, f"{type(error).__name__}: {error}"
    return Outcome(command.line, command.query, verdict, detail)


class _Run:
    """Executes evals; raises Mismatch, and what the engine raises that was not expected."""

    def __init__(self, engine: Answers) -> None:
        self._engine = engine

    def eval(self, command: Eval) -> None:
        expr = parse(command.query, _PARSER_OPTIONS)
        if command.times is not None:
            self._range(command)
            return
        assert command.time_ms is not None
        self._instant(command, command.query, command.time_ms)
        for text, time_ms in _pinned(expr, command.time_ms):
            try:
                self._instant(command, text, time_ms)
            except Mismatch as mismatch:
                raise Mismatch(f"as {text} at {time_ms} ms: {mismatch}") from mismatch

    def _range(self, command: Eval) -> None:
        times = command.times
        assert times is not None
        result = self._expected_failure(command, lambda: self._query_range(command.query, times))
        if result is not None:
            compare.notes(command, result)
            compare.range_result(command, result)

    def _instant(self, command: Eval, text: str, time_ms: int) -> None:
        result = self._expected_failure(
            command, lambda: self._engine.instant(TENANT, text, time_ms, self._engine.control())
        )
        if result is None:
            return
        compare.notes(command, result)
        compare.instant(command, result)
        if isinstance(result.data, Text) or command.range_vector or depends_on_query_times(text):
            return
        times = RangeTimes(time_ms - _MINUTE_MS, time_ms + _MINUTE_MS, _MINUTE_MS)
        try:
            ranged = self._query_range(text, times)
            compare.middle_step(command, ranged, time_ms, is_scalar=isinstance(result.data, Scalar))
        except Mismatch as mismatch:
            raise Mismatch(f"as the middle step of a range query: {mismatch}") from mismatch

    def _query_range(self, text: str, times: RangeTimes) -> Result:
        return self._engine.range(
            TENANT, text, times.start_ms, times.end_ms, times.step_ms, self._engine.control()
        )

    @staticmethod
    def _expected_failure(command: Eval, query: Callable[[], Result]) -> Result | None:
        """The result, or None where the query failed as it should."""
        try:
            result = query()
        except RondelError as error:
            if command.fail is None:
                raise
            if not command.fail.matches(str(error)):
                raise Mismatch(f"expected error {command.fail.text!r}, got {str(error)!r}") from error
            return None
        if command.fail is not None:
            raise Mismatch("expected an error, got none")
        return result


def _pinned(expr: Expr, time_ms: int) -> Iterator[tuple[str, int]]:
    if not pinnable(expr):
        return
    text = print_expr(pin(expr, time_ms))
    times = (-1000, 0, 1000) if time_ms == 0 else (-10 * time_ms, 0, time_ms // 5, time_ms, 10 * time_ms)
    for other_ms in times:
        yield text, other_ms
