"""A query that takes the process with it is refused by the next one; everything else goes on."""

from __future__ import annotations

import contextlib
import threading
import time
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.support.client import Client, Reply
from tests.support.process import Process
from tests.support.servers import rondel

pytestmark = pytest.mark.e2e

QUIET = {"RONDEL_SELF_SCRAPE__INTERVAL_S": "0"}
DEADLY = "quantile_over_time(0.5, vector(1)[1d:100ms])"
"""Many seconds of native code, which looks at no clock."""
RANGE = "/api/v1/query_range"
HOUR = {"start": "1700000000", "end": "1700003600", "step": "1"}


def ask_and_kill(server: Process, *queries: str) -> None:
    """SIGKILL while these queries run; the server is up again afterwards."""

    def ask(query: str) -> None:
        with Client(server.port) as client, contextlib.suppress(OSError, HTTPException):
            client.get(RANGE, {"query": query, **HOUR})

    threads = [threading.Thread(target=ask, args=(query,)) for query in queries]
    for thread in threads:
        thread.start()
    table = server.directory / "data" / "querier" / "inflight"
    deadline = time.monotonic() + 20
    while not all(query.encode() in table.read_bytes() for query in queries):
        assert time.monotonic() < deadline, "the queries never ran"
        time.sleep(0.01)
    server.kill()
    for thread in threads:
        thread.join()
    server.start()


def asked(server: Process, query: str, **times: str) -> Reply:
    with Client(server.port) as client:
        return client.get(RANGE, {"query": query, **HOUR, **times})


def test_a_query_of_death_is_refused_the_third_time(tmp_path: Path) -> None:
    with rondel(tmp_path, env=QUIET) as server:
        ask_and_kill(server, DEADLY)
        ask_and_kill(server, DEADLY)
        reply = asked(server, f"  {DEADLY} ")
        assert (reply.status, reply.json()["errorType"]) == (422, "execution")
        assert "the process died 2 times while it ran" in reply.json()["error"]
        assert asked(server, "vector(1)").status == 200
        server.terminate()
        server.start()
        assert asked(server, DEADLY).status == 422
        with Client(server.port) as client:
            [entry] = client.data("/querier/refused")
            assert (entry["text"], entry["deaths"]) == (DEADLY, 2)
            assert client.request("DELETE", f"/querier/refused?key={entry['key']}").status == 200
            late = client.get("/api/v1/query", {"query": "vector(1)"})
            assert late.status == 200
        assert asked(server, DEADLY, end=HOUR["start"], timeout="100ms").status in (200, 503)


def test_the_innocent_among_the_dead_are_let_run(tmp_path: Path) -> None:
    with rondel(tmp_path, env=QUIET) as server:
        others = [f"quantile_over_time(0.{part}, vector(1)[1d:100ms])" for part in (6, 7)]
        ask_and_kill(server, DEADLY, others[0])
        assert asked(server, others[0], end=HOUR["start"]).status == 200
        ask_and_kill(server, DEADLY, others[1])
        assert asked(server, DEADLY).status == 422
        with Client(server.port) as client:
            assert [entry["text"] for entry in client.data("/querier/refused")] == [DEADLY]
