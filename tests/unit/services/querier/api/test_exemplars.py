"""`/query_exemplars`: which series are looked at, the order and the form of what they have."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.querier import MemoryStorage, Querier

T0 = 1_700_000_000


@pytest.fixture
async def querier() -> AsyncIterator[Querier]:
    storage = MemoryStorage()
    trace = {"trace_id": "abc", "span": "1"}
    storage.exemplars_of = [
        ({"__name__": "requests_bucket", "le": "1"}, [(T0 * 1000, 0.25, trace), (T0 * 1000 + 1, 1e-9, {})]),
        (
            {"__name__": "requests_bucket", "le": "0.5"},
            [(T0 * 1000 + 5000, float("inf"), {"trace_id": "def"})],
        ),
        ({"__name__": "other"}, [(T0 * 1000, 1e21, {})]),
        ({"__name__": "quiet"}, []),
    ]
    querier = Querier(storage)
    yield querier
    await querier.close()


async def get(querier: Querier, **params: str) -> Any:
    answer = await querier.client.get("/api/v1/query_exemplars", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_series_come_sorted_with_their_exemplars_in_prometheus_form(querier: Querier) -> None:
    assert await get(querier, query="requests_bucket") == [
        {
            "seriesLabels": {"__name__": "requests_bucket", "le": "0.5"},
            "exemplars": [{"labels": {"trace_id": "def"}, "value": "+Inf", "timestamp": T0 + 5}],
        },
        {
            "seriesLabels": {"__name__": "requests_bucket", "le": "1"},
            "exemplars": [
                {"labels": {"span": "1", "trace_id": "abc"}, "value": "0.25", "timestamp": T0},
                {"labels": {}, "value": "1e-09", "timestamp": T0 + 0.001},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("histogram_quantile(0.9, sum by (le) (rate(requests_bucket[5m])))", {"requests_bucket"}),
        ("requests_bucket / on () group_left other", {"requests_bucket", "other"}),
        ("max_over_time((requests_bucket + other)[5m:1m])", {"requests_bucket", "other"}),
        ('requests_bucket{le="9"} or other or other', {"other"}),
        ("quiet", set()),
        ("1 + 2", set()),
        ("topk(scalar(other), quiet)", {"other"}),
    ],
)
async def test_every_selector_of_the_expression_is_looked_at(
    querier: Querier, query: str, names: set[str]
) -> None:
    assert {one["seriesLabels"]["__name__"] for one in await get(querier, query=query)} == names


async def test_both_ends_of_the_range_are_in_it(querier: Querier) -> None:
    found = await get(querier, query="requests_bucket", start=str(T0), end=f"{T0}.001")
    assert [len(one["exemplars"]) for one in found] == [2]
    assert (await get(querier, query="other", start=str(T0)))[0]["exemplars"][0]["value"] == "1e+21"
    assert await get(querier, query="other", start=str(T0 + 1)) == []


async def test_what_does_not_parse_is_the_callers_fault(querier: Querier) -> None:
    answer = await querier.client.get("/api/v1/query_exemplars", params={"query": "sum("})
    assert answer.status_code == 400
    assert 'invalid parameter "query"' in answer.json()["error"]
