"""The same samples, federated by a real Prometheus and by Rondel: the same lines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.client import Client
from tests.support.expressions import fleet
from tests.support.remote_write import body_of, write_request
from tests.support.servers import prometheus, rondel

pytestmark = [pytest.mark.e2e, pytest.mark.peer]

SCRAPES = 20
SELECTORS = [("match[]", '{__name__=~".+"}')]
FEDERATED = """
scrape_configs:
  - job_name: federate
    honor_labels: true
    scrape_interval: 1s
    metrics_path: /federate
    params: {{"match[]": ['{{__name__=~".+"}}']}}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Client, Client]]:
    """Rondel, a Prometheus with the same samples, and one that scrapes Rondel."""
    directory = tmp_path_factory.mktemp("federate")
    start_ms = int(time.time() - SCRAPES * 15) * 1000
    series = fleet(3, start_ms, SCRAPES)
    with ExitStack() as running:
        ours = running.enter_context(
            rondel(directory / "rondel", env={"RONDEL_SELF_SCRAPE__INTERVAL_S": "0"})
        )
        theirs = running.enter_context(prometheus(directory / "keeper", ""))
        scraper = prometheus(directory / "scraper", FEDERATED.format(port=ours.port))
        clients = [running.enter_context(Client(server.port)) for server in (ours, theirs)]
        for client in clients:
            reply = client.write(body_of(write_request(series)))
            assert reply.status == 204, reply.text
        running.enter_context(scraper)
        yield clients[0], clients[1], running.enter_context(Client(scraper.port))


def lines(client: Client) -> list[str]:
    reply = client.get("/federate", SELECTORS)
    assert reply.status == 200, reply.text
    return sorted(reply.text.splitlines())


def test_both_federate_the_same_lines(servers: tuple[Client, Client, Client]) -> None:
    ours, theirs, _ = servers
    assert len(lines(ours)) > 50
    assert lines(ours) == lines(theirs)


def test_a_prometheus_that_scrapes_us_has_our_samples(servers: tuple[Client, Client, Client]) -> None:
    ours, _, scraper = servers
    query = 'count({job!="federate", __name__=~".+"})'
    deadline = time.monotonic() + 20
    while True:
        now_s = time.time()
        found, wanted = scraper.instant(query, now_s), ours.instant(query, now_s)
        if found and found[0]["value"][1] == wanted[0]["value"][1]:
            return
        assert time.monotonic() < deadline, (found, wanted)
        time.sleep(0.5)
