"""Federation: the latest samples, in the form and spelling that the scraper takes."""

import struct
from collections.abc import AsyncIterator

import httpx
import pytest

from services.querier.api.federate import negotiated
from tests.support.querier import MemoryStorage, Querier

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
OLD = 299_000
UTF8 = "text/plain;version=1.0.0;escaping=allow-utf-8"
PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;"
    "escaping=allow-utf-8;q=0.9"
)


@pytest.fixture
async def querier() -> AsyncIterator[Querier]:
    storage = MemoryStorage()
    querier = Querier(storage)
    now = querier.clock.now_ms()
    storage.add({"__name__": "up", "instance": "b", "job": "x"}, [(now - 15_000, 0.0), (now, 1.0)])
    storage.add({"__name__": "up", "instance": "a", "job": 'q"\\\n'}, [(now - OLD, 1e6)])
    storage.add({"__name__": "up", "instance": "old"}, [(now - 300_001, 1.0)])
    storage.add({"__name__": "up", "instance": "gone"}, [(now - 15_000, 1.0), (now, STALE)])
    storage.add({"__name__": "up", "instance": "ahead"}, [(now - 5, 3.0), (now + 5, 4.0)])
    storage.add({"__name__": "a.b", "service.name": "s", "instance": ""}, [(now, float("inf"))])
    storage.add({"nameless": "1"}, [(now, 1.0)])
    yield querier
    await querier.close()


async def scrape(querier: Querier, *selectors: str, accept: str = "", status: int = 200) -> httpx.Response:
    params = [("match[]", selector) for selector in selectors]
    answer = await querier.client.get("/federate", params=params, headers={"accept": accept})
    assert answer.status_code == status, answer.text
    return answer


async def test_the_latest_sample_of_each_series_comes_with_its_time(querier: Querier) -> None:
    answer = await scrape(querier, "up", '{instance="b"}')
    now = querier.clock.now_ms()
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    assert answer.text == (
        "# TYPE up untyped\n"
        f'up{{instance="a",job="q\\"\\\\\\n"}} 1e+06 {now - OLD}\n'
        f'up{{instance="ahead"}} 3 {now - 5}\n'
        f'up{{instance="b",job="x"}} 1 {now}\n'
    )


async def test_a_series_without_a_name_cannot_be_shown(querier: Querier) -> None:
    assert (await scrape(querier, '{nameless="1"}')).text == ""


@pytest.mark.parametrize(
    ("accept", "line"),
    [
        ("", 'a_b{service_name="s",instance=""} +Inf'),
        ("text/plain;escaping=dots", 'a_dot_b{service_dot_name="s",instance=""} +Inf'),
        ("text/plain;escaping=values", 'U__a_2e_b{U__service_2e_name="s",instance=""} +Inf'),
        (UTF8, '{"a.b","service.name"="s",instance=""} +Inf'),
    ],
)
async def test_names_are_spelled_as_the_scraper_asks(querier: Querier, accept: str, line: str) -> None:
    lines = (await scrape(querier, '{__name__="a.b"}', accept=accept)).text.splitlines()
    assert lines[1] == f"{line} {querier.clock.now_ms()}"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5",
            "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8",
        ),
        (f"{UTF8};q=0.5", "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8"),
        ("text/plain;version=9", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"),
        ("text/plain;escaping=shouting", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"),
        (
            f"{PROTOBUF},{UTF8};q=0.5",
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; "
            "escaping=allow-utf-8",
        ),
    ],
)
def test_the_first_form_that_is_known_is_taken(accept: str, content_type: str) -> None:
    assert negotiated(accept).content_type == content_type


async def test_selectors_are_needed(querier: Querier) -> None:
    assert "match[]" in (await scrape(querier, status=400)).json()["error"]
    assert "parse error" in (await scrape(querier, "up{", status=400)).json()["error"]
    assert "non-empty" in (await scrape(querier, "{}", status=400)).json()["error"]
