"""`/explain`: plans of both kinds of queries as text and JSON, with costs where they are asked for."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.support.querier import MemoryStorage, Querier

T0 = 1_700_000_000
RANGE = {"start": str(T0), "end": str(T0 + 60), "step": "15"}


@pytest.fixture
async def querier() -> AsyncIterator[Querier]:
    storage = MemoryStorage()
    for instance in ("1", "2"):
        samples = [(T0 * 1000 + k * 15_000, float(k)) for k in range(5)]
        storage.add({"__name__": "up", "instance": instance}, samples)
    querier = Querier(storage)
    yield querier
    await querier.close()


async def get(querier: Querier, status: int = 200, accept: str = "", **params: str) -> httpx.Response:
    answer = await querier.client.get("/api/v1/explain", params=params, headers={"accept": accept})
    assert answer.status_code == status, answer.text
    return answer


async def data(querier: Querier, **params: str) -> Any:
    return (await get(querier, **params)).json()["data"]


async def test_without_times_of_a_range_it_is_an_instant_query(querier: Querier) -> None:
    answer = await get(querier, query="sum(up)", time=str(T0), format="text")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    lines = answer.text.splitlines()
    assert lines[0] == "aggregate sum"
    assert lines[1].startswith('  select {__name__="up"} ')
    assert len(lines) == 2


async def test_a_plan_is_a_tree_in_json(querier: Querier) -> None:
    plan = await data(querier, query="sum(up)", **RANGE)
    assert (plan["query"], plan["start"], plan["end"], plan["step"]) == ("sum(up)", T0, T0 + 60, 15)
    assert plan["plan"]["operator"] == "aggregate sum"
    (child,) = plan["plan"]["children"]
    assert child["operator"].startswith("select")
    assert child["children"] == []
    assert "stats" not in plan


async def test_analyze_runs_the_query_and_says_what_it_cost(querier: Querier) -> None:
    found = await data(querier, query="sum(up)", analyze="true", **RANGE)
    cost = found["plan"]["cost"]
    assert (cost["rows"], cost["batches"], cost["fusedBatches"], cost["samples"]) == (1, 1, 0, 5)
    assert found["plan"]["children"][0]["cost"]["fusedBatches"] == 1
    assert 0 < cost["ownTime"] < cost["totalTime"]
    assert found["stats"]["samplesRead"] == 10
    text = (await get(querier, query="sum(up)", analyze="true", format="text", **RANGE)).text
    assert re.search(r"^  select .*: 2 rows in 1 batch, fused, [0-9.]+ ms$", text, re.MULTILINE)
    assert text.splitlines()[-1].startswith("query: 2 series, 10 samples read, ")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("text/*;q=0.9, application/json;q=0.1", "text/plain; charset=utf-8"),
        ("text/plain;q=0.5, application/json", "application/json"),
    ],
)
async def test_the_client_says_which_form_it_takes(querier: Querier, accept: str, kind: str) -> None:
    assert (await get(querier, accept=accept, query="up")).headers["content-type"] == kind


async def test_a_form_that_there_is_not_is_406(querier: Querier) -> None:
    body = (await get(querier, 406, accept="image/png", query="up")).json()
    assert body["errorType"] == "not_acceptable"


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"query": "sum("}, 'invalid parameter "query": 1:5: parse error'),
        ({"query": "up", "format": "xml"}, 'invalid parameter "format"'),
        ({"query": "up", "analyze": "maybe"}, 'invalid parameter "analyze"'),
        ({"query": "up", "step": "1"}, 'invalid parameter "start"'),
    ],
)
async def test_what_is_wrong_with_parameters_is_said(
    querier: Querier, params: dict[str, str], said: str
) -> None:
    assert said in (await get(querier, 400, **params)).json()["error"]


async def test_a_string_has_no_plan(querier: Querier) -> None:
    assert (await data(querier, query='"text"'))["plan"] is None
    assert (await data(querier, query='"text"', analyze="true"))["plan"] is None
