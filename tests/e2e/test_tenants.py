"""Tenants with limits and features of their own, over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.client import Client, Reply
from tests.support.servers import rondel

pytestmark = pytest.mark.e2e

FILE = """
tenancy: {enabled: true}
self_scrape: {interval_s: 0}
tenants:
  small: {query: {series_max: 1, steps_max: 5}}
  early: {query: {features: [promql-experimental-functions]}}
"""


def test_each_tenant_has_its_own_limits_and_features(tmp_path: Path) -> None:
    file = tmp_path / "rondel.yaml"
    file.write_text(FILE)
    with rondel(tmp_path, "--config", str(file)) as server, Client(server.port) as client:

        def ask(tenant: str, path: str) -> Reply:
            return client.request("GET", f"/api/v1/{path}", headers={"X-Scope-OrgID": tenant})

        many = "query_range?query=vector(1)&start=0&end=6&step=1"
        early = "query?query=mad_over_time(x[5m])"
        assert (ask("small", many).status, ask("other", many).status) == (400, 200)
        assert "exceeded maximum resolution of 5 points" in ask("small", many).json()["error"]
        assert (ask("early", early).status, ask("other", early).status) == (200, 400)
        shown = [
            json.loads(ask(one, "features").body)["data"]["promql_functions"] for one in ("early", "other")
        ]
        assert [functions["mad_over_time"] for functions in shown] == [True, False]
