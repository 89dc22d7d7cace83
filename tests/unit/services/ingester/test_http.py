"""`prepare-shutdown`: told, asked and taken back, any number of times, and kept on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rondel.cluster.marker import Marker
from rondel.errors import Conflict
from rondel.runtime.router import Router
from services.ingester.http import leave_routes, loss_routes, routes
from tests.support.asgi import call

PATH = "/ingester/prepare-shutdown"
UNSET = {"status": "unset", "timestamp": 0}


class Times:
    """The clock goes on by a second with each look."""

    now_ms = 5_000

    def __call__(self) -> int:
        self.now_ms += 1_000
        return self.now_ms


async def test_the_time_of_the_first_call_stays_until_it_is_taken_back(tmp_path: Path) -> None:
    marker = Marker(tmp_path / "leave")
    app = Router(leave_routes(marker, Times()))

    async def ask(method: str) -> dict[str, object]:
        answer = await call(app, PATH, method=method)
        assert answer.status == 200
        found: dict[str, object] = json.loads(answer.body)
        return found

    assert await ask("GET") == UNSET
    told = {"status": "set", "timestamp": 6}
    assert [await ask(method) for method in ("POST", "POST", "GET")] == [told] * 3
    assert Marker(tmp_path / "leave").since_ms() == 6_000
    assert [await ask(method) for method in ("DELETE", "DELETE", "GET")] == [UNSET] * 3
    assert await ask("POST") == {"status": "set", "timestamp": 8}


async def test_a_flush_is_for_no_page_of_somebody_elses() -> None:
    class Flushed:
        tenants: list[str | None] = []  # noqa: RUF012 (a fake)

        async def flush(self, tenant: str | None) -> int:
            self.tenants.append(tenant)
            return 3

    shipper: Any = Flushed()
    app = Router(routes(shipper))
    path = "/ingester/flush"
    for origin in ("http://elsewhere", "null", "http://["):
        with pytest.raises(Conflict, match="a page of"):
            await call(app, path, method="POST", headers={"origin": origin, "host": "here:1"})
    assert Flushed.tenants == []
    answer = await call(app, path, method="POST", headers={"origin": "http://here:1", "host": "here:1"})
    assert json.loads(answer.body) == {"blocks": 3}
    assert Flushed.tenants == [None]


async def test_a_loss_is_accepted_in_so_many_words() -> None:
    since_ms = [1]

    async def give_up() -> None:
        since_ms[0] = 0

    app = Router(loss_routes(lambda: since_ms[0], give_up))
    with pytest.raises(Conflict, match="accept_loss=true"):
        await call(app, "/ingester/behind", method="DELETE")
    with pytest.raises(Conflict, match="a page of"):
        await call(app, "/ingester/behind", method="DELETE", headers={"origin": "http://elsewhere"})
    answer = await call(app, "/ingester/behind", method="DELETE", query="accept_loss=true")
    assert json.loads(answer.body) == {"behind_since_ms": 0}
    assert (await call(app, "/ingester/behind", method="DELETE")).status == 200


async def test_a_page_of_somebody_else_tells_nobody_to_leave(tmp_path: Path) -> None:
    marker = Marker(tmp_path / "leave")
    with pytest.raises(Conflict, match="a page of"):
        await call(
            Router(leave_routes(marker, Times())), PATH, headers={"origin": "http://elsewhere", "host": "x"}
        )
    assert marker.since_ms() is None


async def test_other_methods_are_refused(tmp_path: Path) -> None:
    answer = await call(Router(leave_routes(Marker(tmp_path / "leave"), Times())), PATH, method="PUT")
    assert answer.status == 405
