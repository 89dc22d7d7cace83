"""Queries that did harm are refused, for a while, and only where they may do it again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from rondel.errors import ExecutionError, QueryCanceled, QueryError, QueryTimeout, QueryTooExpensive
from rondel.runtime.clock import FakeClock
from services.querier.guard import QueryGuard, query_key
from services.querier.inflight import RunningQuery

HOUR_MS = 3_600_000


class Process:
    """Processes over one folder, one after another."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder, self.options = folder, options
        self.clock = FakeClock()

    def start(self) -> QueryGuard:
        guard = QueryGuard(self.folder, slots=4, clock=self.clock, **self.options)
        guard.start()
        return guard

    def die(self, *texts: str, span_ms: int = HOUR_MS) -> QueryGuard:
        """A process that dies while these ran, and the one after it."""
        guard = self.start()
        assert guard._inflight is not None
        for text in texts:
            guard._inflight.enter(guard.query("team-a", text, span_ms))
        return self.start()

    def die_twice(self, text: str, span_ms: int = HOUR_MS) -> QueryGuard:
        """What makes a query one that is refused."""
        self.die(text, span_ms=span_ms)
        return self.die(text, span_ms=span_ms)


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(tmp_path / "querier")


def is_refused(guard: QueryGuard, text: str, tenant: str = "team-a", span_ms: int = HOUR_MS) -> bool:
    try:
        guard.check(guard.query(tenant, text, span_ms))
    except ExecutionError:
        return True
    return False


async def run(
    guard: QueryGuard, query: RunningQuery, error: QueryError | None = None, **options: Any
) -> None:
    def work() -> None:
        if error is not None:
            raise error

    async with guard.watch(query, 1.0, counts_timeouts=options.get("counts_timeouts", True)) as watched:
        watched(work)()


# --- deaths -------------------------------------------------------------------------------------------


def test_a_query_that_was_there_when_the_process_died_twice_is_refused(process: Process) -> None:
    assert not is_refused(process.die("deadly"), "deadly")
    guard = process.die("deadly")
    with pytest.raises(ExecutionError) as caught:
        guard.check(guard.query("team-a", "deadly", HOUR_MS))
    key = query_key("team-a", "deadly")
    assert str(caught.value) == (
        f"query {key} is refused for another 600 s: the process died 2 times while it ran. "
        f"Ask for less than half of its 3600 s, or lift it with DELETE /querier/refused?key={key}"
    )
    assert caught.value.status == 422


def test_blanks_make_no_other_query_but_tenant_and_text_do(process: Process) -> None:
    guard = process.die_twice("sum( deadly )")
    assert is_refused(guard, "sum(\n\tdeadly ) ")
    assert not is_refused(guard, "sum( deadly )", tenant="team-b")
    assert not is_refused(guard, "sum( other )")


def test_a_span_of_half_or_less_is_let_through(process: Process) -> None:
    guard = process.die_twice("deadly", span_ms=HOUR_MS)
    assert not is_refused(guard, "deadly", span_ms=HOUR_MS // 2)
    assert is_refused(guard, "deadly", span_ms=HOUR_MS // 2 + 1)
    assert is_refused(guard, "deadly", span_ms=24 * HOUR_MS)
    assert is_refused(process.die_twice("instant", span_ms=0), "instant", span_ms=0)


async def test_the_refusal_ends(process: Process) -> None:
    guard = process.die_twice("deadly")
    await process.clock.advance(599.9)
    assert is_refused(guard, "deadly")
    await process.clock.advance(0.1)
    assert not is_refused(guard, "deadly")


def test_what_ran_among_others_is_refused_from_the_second_death_on(process: Process) -> None:
    guard = process.die("deadly", "innocent")
    assert not is_refused(guard, "deadly")
    assert not is_refused(guard, "innocent")
    guard = process.die("deadly", "another")
    assert is_refused(guard, "deadly")
    assert not is_refused(guard, "innocent")
    assert not is_refused(guard, "another")


async def test_an_answer_acquits_whoever_was_there_when_somebody_killed_the_process(process: Process) -> None:
    for _ in range(3):
        guard = process.die("dashboard", "deadly")
        assert not is_refused(guard, "dashboard")
        await run(guard, guard.query("team-a", "dashboard", HOUR_MS))
    assert is_refused(guard, "deadly")
    assert not is_refused(process.die("dashboard"), "dashboard")


async def test_an_answer_over_less_time_acquits_nobody(process: Process) -> None:
    guard = process.die("deadly")
    await run(guard, guard.query("team-a", "deadly", HOUR_MS // 2))
    assert is_refused(process.die("deadly"), "deadly")


async def test_a_death_is_forgotten_after_a_day(process: Process) -> None:
    process.die("deadly", "innocent")
    await process.clock.advance(86_400)
    assert not is_refused(process.die("deadly", "another"), "deadly")


def test_a_refusal_outlives_the_process_and_a_clean_stop_blames_nobody(process: Process) -> None:
    guard = process.die_twice("deadly")
    assert guard._inflight is not None
    guard._inflight.enter(guard.query("team-a", "late", 0))
    guard.stopping()
    guard = process.start()
    assert is_refused(guard, "deadly")
    assert not is_refused(guard, "late", span_ms=0)


def test_deaths_refuse_nothing_where_that_is_off(tmp_path: Path) -> None:
    process = Process(tmp_path, refuse_after_deaths=0)
    assert not is_refused(process.die_twice("deadly"), "deadly")


async def test_what_is_refused_is_listed_and_can_be_lifted(process: Process) -> None:
    guard = process.die_twice("deadly")
    [entry] = guard.refused()
    assert (entry.text, entry.tenant, entry.deaths, entry.span_ms) == ("deadly", "team-a", 2, HOUR_MS)
    assert await guard.lift(entry.key)
    assert not await guard.lift(entry.key)
    assert not is_refused(guard, "deadly")
    guard.stopping()
    assert process.start().refused() == []


def test_a_ledger_that_cannot_be_read_is_started_anew(process: Process) -> None:
    process.die_twice("deadly")
    (process.folder / "refused.json").write_text("[{")
    assert process.start().refused() == []


def test_what_is_no_promql_is_seen_and_refused_like_a_query(process: Process) -> None:
    guard = process.start()
    look_up = guard.query("team-a", "/api/v1/series up", HOUR_MS)

    def die() -> None:
        process.start()

    guard.remembered(look_up, die)()
    process.start().remembered(look_up, die)()
    with pytest.raises(ExecutionError, match="the process died 2 times while it ran"):
        process.start().remembered(look_up, die)


def test_a_folder_that_is_no_use_keeps_no_server_from_starting(process: Process, tmp_path: Path) -> None:
    (tmp_path / "querier").write_text("a file")
    guard = process.start()
    assert guard.remembered(guard.query("team-a", "up", 0), lambda: 7)() == 7


def test_refusals_are_counted(process: Process) -> None:
    process.die_twice("deadly")
    registry = CollectorRegistry()
    guard = QueryGuard(process.folder, slots=1, clock=process.clock, registry=registry)
    guard.start()
    assert is_refused(guard, "deadly")
    assert not is_refused(guard, "other")
    assert registry.get_sample_value("rondel_query_refused_total") == 1


async def test_suspects_run_one_at_a_time_and_others_beside_them(process: Process) -> None:
    guard = process.die("a", "b")
    suspects = [guard.query("team-a", text, HOUR_MS) for text in "ab"]
    async with guard.watch(suspects[0], 1.0, counts_timeouts=True):
        await run(guard, guard.query("team-a", "c", HOUR_MS))
        with pytest.raises(QueryTimeout, match="run one at a time"):
            async with guard.watch(suspects[1], 0.01, counts_timeouts=True):
                raise AssertionError("two suspects at once")
        waiting = asyncio.ensure_future(run(guard, suspects[1]))
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting


# --- failures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [QueryTimeout("too long"), QueryTooExpensive("too large")])
async def test_what_fails_so_many_times_in_a_row_is_refused_for_a_while(error: QueryError) -> None:
    clock = FakeClock()
    guard = QueryGuard(refuse_after_failures=3, refuse_failing_s=60, clock=clock)
    query = guard.query("team-a", "slow", HOUR_MS)
    for _ in range(3):
        guard.check(query)
        with pytest.raises(QueryError):
            await run(guard, query, error)
    with pytest.raises(ExecutionError, match=f"refused for another 60 s: it failed 3 times .*: {error}"):
        await run(guard, query)
    await clock.advance(60)
    await run(guard, query)


async def test_an_answer_clears_the_account() -> None:
    guard = QueryGuard(refuse_after_failures=2, clock=FakeClock())
    query = guard.query("team-a", "slow", HOUR_MS)
    for error in (QueryTimeout("a"), None, QueryTimeout("b"), None, QueryTimeout("c")):
        if error is None:
            await run(guard, query)
        else:
            with pytest.raises(QueryTimeout):
                await run(guard, query, error)
    guard.check(query)


async def test_cancelled_wrong_and_hurried_queries_do_not_count() -> None:
    guard = QueryGuard(refuse_after_failures=1, clock=FakeClock())
    query = guard.query("team-a", "slow", HOUR_MS)
    for error in (QueryCanceled("gone"), ExecutionError("wrong")):
        with pytest.raises(QueryError):
            await run(guard, query, error)
    with pytest.raises(QueryTimeout):
        await run(guard, query, QueryTimeout("hurried"), counts_timeouts=False)
    with pytest.raises(QueryTimeout):  # in the queue, before any thread had it
        async with guard.watch(query, 1.0, counts_timeouts=True):
            raise QueryTimeout("query timed out in query queue")
    guard.check(query)


async def test_the_memory_of_failures_is_bounded() -> None:
    guard = QueryGuard(refuse_after_failures=1, clock=FakeClock())
    for number in range(1100):
        with pytest.raises(QueryTimeout):
            await run(guard, guard.query("team-a", f"slow{number}", 0), QueryTimeout("slow"))
    assert len(guard.refused()) == 1000
    assert not is_refused(guard, "slow0", span_ms=0)
