"""The search API: off by default, then lines of JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rondel.storage import MetricMetadata
from services.querier.config import Config
from tests.support.querier import MemoryStorage, Querier

NAMES = ["go_goroutines", "http_errors_total", "http_requests_total", "process_http_fds", "up"]
PAGES = ["metric_names", "label_names", "label_values"]


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
async def querier(storage: MemoryStorage) -> AsyncIterator[Querier]:
    querier = Querier(storage, config=Config(features=("search-api",)))
    now_ms = querier.clock.now_ms()
    for number, name in enumerate(NAMES):
        labels = {"__name__": name, "job": f"j{number % 2}", "instance": f"host{number}"}
        storage.add(labels, [(now_ms - 60_000, 1.0)])
    storage.add({"__name__": "old"}, [(now_ms - 3_600_001, 1.0)])
    storage.entries = [MetricMetadata("up", "gauge", "Whether it is up.", "")]
    yield querier
    await querier.close()


async def lines(querier: Querier, page: str, params: Any = None) -> list[Any]:
    answer = await querier.client.get(f"/api/v1/search/{page}", params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson; charset=utf-8"
    assert answer.text.endswith("\n")
    return [json.loads(line) for line in answer.text.splitlines()]


async def names(querier: Querier, page: str, params: Any = None) -> list[str]:
    *batches, trailer = await lines(querier, page, params)
    assert trailer["status"] == "success"
    return [result["name"] for batch in batches for result in batch["results"]]


@pytest.mark.parametrize("page", PAGES)
async def test_it_is_off_by_default(storage: MemoryStorage, page: str) -> None:
    querier = Querier(storage)
    answer = await querier.client.get(f"/api/v1/search/{page}")
    body = {"status": "error", "errorType": "unavailable", "error": "search API disabled"}
    assert (answer.status_code, answer.json()) == (500, body)
    assert (await querier.client.get("/api/v1/features")).json()["data"]["api"]["search"] is False
    await querier.close()


async def test_without_a_term_all_of_the_last_hour_are_found_in_order(querier: Querier) -> None:
    assert await names(querier, "metric_names") == NAMES
    assert await names(querier, "label_names") == ["__name__", "instance", "job"]
    assert await names(querier, "label_values", {"label": "job"}) == ["j0", "j1"]
    assert "old" in await names(querier, "metric_names", {"start": "0"})
    assert (await querier.client.get("/api/v1/features")).json()["data"]["api"]["search"] is True


async def test_a_form_is_taken_as_well(querier: Querier) -> None:
    answer = await querier.client.post("/api/v1/search/metric_names", data={"search[]": "up"})
    assert json.loads(answer.text.splitlines()[0])["results"] == [{"name": "up"}]


async def test_terms_and_selectors_narrow_the_answer(querier: Querier) -> None:
    http = ["http_errors_total", "http_requests_total", "process_http_fds"]
    assert await names(querier, "metric_names", {"search[]": "http"}) == http
    assert await names(querier, "metric_names", {"search[]": "http", "match[]": '{job="j0"}'}) == [http[1]]
    either = [("match[]", "up"), ("match[]", '{instance="host0"}')]
    assert await names(querier, "metric_names", either) == ["go_goroutines", "up"]
    assert await names(querier, "metric_names", [("search[]", "up"), ("search[]", "goro")]) == [
        NAMES[0],
        "up",
    ]


async def test_results_are_scored_and_sorted_as_asked(querier: Querier) -> None:
    params = {"search[]": "http", "sort_by": "score", "include_score": "true", "fuzz_alg": "jarowinkler"}
    (batch, _) = await lines(querier, "metric_names", params)
    assert [(one["name"], one["score"]) for one in batch["results"]] == [
        ("http_errors_total", 1.0),
        ("http_requests_total", 1.0),
        ("process_http_fds", 0.9),
    ]
    params = {"sort_by": "alpha", "sort_dir": "dsc"}
    assert await names(querier, "metric_names", params) == NAMES[::-1]


async def test_results_come_in_batches_and_say_whether_there_are_more(querier: Querier) -> None:
    found = await lines(querier, "metric_names", {"batch_size": "2", "limit": "3"})
    assert [len(batch["results"]) for batch in found[:-1]] == [2, 1]
    assert found[-1] == {"status": "success", "has_more": True}
    found = await lines(querier, "metric_names", {"batch_size": "5", "limit": "5"})
    assert ([len(batch["results"]) for batch in found[:-1]], found[-1]["has_more"]) == ([5], False)
    nothing = await lines(querier, "metric_names", {"search[]": "zzz"})
    assert nothing == [{"results": []}, {"status": "success", "has_more": False}]


async def test_metadata_comes_where_it_is_known(querier: Querier) -> None:
    params = {"include_metadata": "1", "match[]": '{__name__=~"up|go.*"}'}
    (batch, _) = await lines(querier, "metric_names", params)
    up = {"name": "up", "type": "gauge", "help": "Whether it is up."}
    assert batch["results"] == [{"name": "go_goroutines"}, up]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"fuzz_threshold": "101"}, 'invalid fuzz_threshold "101": must be 0-100'),
        ({"fuzz_threshold": "x"}, 'invalid fuzz_threshold "x": must be 0-100'),
        ({"fuzz_alg": "soundex"}, 'unsupported fuzz_alg "soundex": must be one of subsequence jarowinkler'),
        ({"case_sensitive": "yes"}, 'invalid case_sensitive "yes": must be boolean'),
        ({"include_score": "2"}, 'invalid include_score "2": must be boolean'),
        ({"sort_by": "age"}, 'invalid sort_by "age": must be "alpha" or "score"'),
        ({"sort_dir": "asc"}, "sort_dir is only valid when sort_by is set"),
        ({"sort_by": "score", "sort_dir": "asc"}, "sort_dir is not supported for sort_by=score"),
        ({"sort_by": "alpha", "sort_dir": "up"}, 'invalid sort_dir "up": must be "asc" or "dsc"'),
        ({"sort_by": "score"}, "sort_by=score requires search[] to be set"),
        ({"limit": "-1"}, 'invalid limit "-1": must be non-negative integer'),
        ({"limit": "10001"}, "invalid limit 10001: must be at most 10000"),
        ({"batch_size": "x"}, 'invalid batch_size "x": must be non-negative integer'),
        ({"search[]": ["a"] * 33}, "too many search[] terms (limit: 32, actual: 33)"),
        ({"start": "2", "end": "1"}, "end timestamp must not be before start time"),
        ({"match[]": "{}"}, "match[] must contain at least one non-empty matcher"),
        ({"match[]": "up{"}, "parse error"),
    ],
)
@pytest.mark.parametrize("page", PAGES)
async def test_what_cannot_be_asked_is_refused(
    querier: Querier, page: str, params: dict[str, Any], said: str
) -> None:
    answer = await querier.client.get(f"/api/v1/search/{page}", params={"label": "job", **params})
    assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data")
    assert said in answer.json()["error"]


async def test_a_label_is_needed_for_values(querier: Querier) -> None:
    answer = await querier.client.get("/api/v1/search/label_values")
    assert (answer.status_code, answer.json()["error"]) == (400, 'missing required parameter "label"')


async def test_a_tenant_finds_its_own_names_only(storage: MemoryStorage) -> None:
    querier = Querier(storage, tenancy=True, config=Config(features=("search-api",)))
    assert (await querier.client.get("/api/v1/search/metric_names")).status_code == 401
    await querier.close()
