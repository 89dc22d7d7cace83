"""The guard through the API: what is refused is said, listed and lifted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rondel.errors import QueryTooExpensive
from services.querier.config import Config
from tests.support.querier import MemoryStorage, Querier


class _Heavy(MemoryStorage):
    """A storage whose every read is too much."""

    def select(self, request):  # type: ignore[no-untyped-def]  # as the class above
        raise QueryTooExpensive("too much")


@pytest.fixture
async def querier() -> AsyncIterator[Querier]:
    querier = Querier(_Heavy(), config=Config())
    yield querier
    await querier.close()


async def test_a_query_that_keeps_failing_is_refused_until_it_is_lifted(querier: Querier) -> None:
    client = querier.client
    for _ in range(5):
        answer = await client.get("/api/v1/query", params={"query": "x"})
        assert (answer.status_code, answer.json()["error"]) == (422, "too much")
    for page in ("query", "explain"):
        answer = await client.get(f"/api/v1/{page}", params={"query": " x ", "analyze": "true"})
        assert (answer.status_code, answer.json()["errorType"]) == (422, "execution")
        assert "it failed 5 times in a row (limit: 5), at last with: too much" in answer.json()["error"]
    [entry] = (await client.get("/querier/refused")).json()["data"]
    assert (entry["text"], entry["failures"]) == ("x", 5)
    lifted = await client.delete("/querier/refused", params={"key": entry["key"]})
    assert lifted.json()["data"] == {"lifted": entry["key"]}
    assert (await client.get("/querier/refused")).json()["data"] == []
    assert (await client.get("/api/v1/query", params={"query": "x"})).json()["error"] == "too much"


async def test_what_is_not_refused_cannot_be_lifted(querier: Querier) -> None:
    answer = await querier.client.delete("/querier/refused", params={"key": "k"})
    assert (answer.status_code, answer.json()["errorType"]) == (404, "not_found")


async def test_a_look_up_of_too_many_series_is_told_the_limit() -> None:
    storage = MemoryStorage()
    for value in ("a", "b"):
        storage.add({"__name__": "up", "job": value}, [(1, 1.0)])
    querier = Querier(storage, config=Config(series_max=1))
    answer = await querier.client.get("/api/v1/series", params={"match[]": "up"})
    await querier.close()
    assert (answer.status_code, answer.json()["errorType"]) == (422, "execution")
    assert (
        answer.json()["error"] == "the query selects too many series: 2 (limit: 1, set by query.series_max)"
    )
