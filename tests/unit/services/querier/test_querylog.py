import logging

import pytest
from starlette.datastructures import Headers

from rondel.errors import ExecutionError, QueryTimeout
from rondel.promql.control import Control
from rondel.promql.result import QueryStats
from services.querier.guard import query_key
from services.querier.querylog import Entry, QueryLog

TIMES = {"start_ms", "end_ms", "step_ms"}


def entry() -> Entry:
    control = Control()
    control.find(3)
    control.read(7, 112)
    stats = QueryStats(prepare_s=0.001, eval_s=0.02, select_s=0.003, read_s=0.004, sort_s=0.005)
    return Entry("range", "team-a", "up", 1_000, 2_000, 15, stats, control, 0.25, 0.006, 42)


def fields(caplog: pytest.LogCaptureFixture) -> dict[str, object]:
    (record,) = caplog.records
    return record.fields  # type: ignore[attr-defined, no-any-return]  # set by rondel.runtime.logs


def test_a_slow_query_is_a_warning_with_its_cost(caplog: pytest.LogCaptureFixture) -> None:
    QueryLog(slow_s=1, log_all=False).write(entry(), Headers({}), 1.5)
    assert [(record.levelname, record.message) for record in caplog.records] == [("WARNING", "slow query")]
    seen = fields(caplog)
    assert (seen["tenant"], seen["query"], seen["duration_ms"]) == ("team-a", "up", 1500)
    assert (seen["series"], seen["samples_read"], seen["bytes_read"], seen["bytes"]) == (3, 7, 112, 42)
    assert (seen["status"], seen["query_key"]) == (200, query_key("team-a", "up"))
    assert {name: seen[name] for name in seen if name.endswith("_ms") and name not in TIMES} == {
        "duration_ms": 1500,
        "queue_ms": 250,
        "prepare_ms": 1,
        "eval_ms": 20,
        "select_ms": 3,
        "read_ms": 4,
        "sort_ms": 5,
        "render_ms": 6,
    }


def test_a_quick_query_is_logged_only_where_all_are(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    QueryLog(slow_s=1, log_all=False).write(entry(), Headers({}), 0.1)
    assert caplog.records == []
    QueryLog(slow_s=1, log_all=True).write(entry(), Headers({}), 0.1)
    assert caplog.records[0].message == "query"


def test_a_failed_query_says_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    QueryLog(slow_s=1, log_all=False).write(entry(), Headers({}), 0.1, ExecutionError("too many samples"))
    assert caplog.records[0].message == "query failed"
    seen = fields(caplog)
    assert (seen["failure"], seen["error_type"], seen["status"]) == ("too many samples", "execution", 422)


def test_a_failed_query_has_cost_what_it_read_until_then(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    failed = entry()
    failed.stats = failed.queue_s = None
    QueryLog(slow_s=1, log_all=False).write(failed, Headers({}), 0.1, QueryTimeout("late"))
    seen = fields(caplog)
    assert (seen["series"], seen["samples_read"], seen["status"]) == (3, 7, 503)
    assert "queue_ms" not in seen
    assert "eval_ms" not in seen


def test_ids_of_the_request_and_of_its_trace_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {
        "X-Request-Id": "r-1",
        "Traceparent": f"00-{trace}-00f067aa0ba902b7-01",
        "User-Agent": "curl/8",
    }
    QueryLog(slow_s=0, log_all=False).write(entry(), Headers(headers), 0.1)
    seen = fields(caplog)
    assert (seen["request_id"], seen["trace_id"], seen["agent"]) == ("r-1", trace, "curl/8")
    caplog.clear()
    QueryLog(slow_s=0, log_all=False).write(entry(), Headers({"Traceparent": "x\n"}), 0.1)
    assert "trace_id" not in fields(caplog)


def test_where_a_query_comes_from_is_cut_and_on_one_line(caplog: pytest.LogCaptureFixture) -> None:
    headers = {
        "X-Dashboard-Uid": "d" * 500,
        "X-Panel-Id": "7\x1b[31m",
        "FromAlert": "true",
        "Cookie": "secret",
    }
    QueryLog(slow_s=0, log_all=False).write(entry(), Headers(headers), 0.1)
    seen = fields(caplog)
    assert seen["dashboard"] == "d" * 128 + "..."
    assert seen["panel"] == "7\\x1b[31m"
    assert seen["from_alert"] == "true"
    assert "secret" not in str(seen)
