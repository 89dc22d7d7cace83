"""The configuration tree: what a tenant has for itself, and the rest as for all."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import pytest

from rondel.errors import ConfigError
from rondel.promql.limits import QueryLimits
from rondel.runtime import config
from services.distributor.config import Config as DistributorConfig
from services.distributor.config import Overrides as DistributorOverrides
from services.querier.config import Config as QueryConfig
from services.querier.config import Overrides
from services.standalone.config import Config


def loaded(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "rondel.yaml"
    path.write_text(text)
    return config.load(Config, file=path, environ={})


def test_a_tenant_has_what_the_file_says_of_it_and_the_rest_as_all(tmp_path: Path) -> None:
    tree = loaded(
        tmp_path,
        """
        query: {series_max: 10, lookback_ms: 1m}
        tenants:
          team-a.prod: {query: {series_max: 5, timeout_s: 1m30s, bytes_read_max: 1MiB}}
          eager: {distributor: {ingestion_rate: 100}}
          early: {query: {features: all}}
          empty:
        """,
    )
    own, early = tree.query_of("team-a.prod"), tree.query_of("early")
    assert (own.series_max, own.timeout_s, own.bytes_read_max, own.lookback_ms) == (5, 90, 1 << 20, 60_000)
    assert own.features == ()
    assert early.features == ("all",)
    assert "use-start-timestamps" in early.engine_options().features
    eager = tree.distributor_of("eager")
    assert (eager.ingestion_rate, eager.ingestion_burst_size) == (100, tree.distributor.ingestion_burst_size)
    assert tree.distributor_of("early") == tree.distributor
    assert tree.query_of("empty") == tree.query_of("unknown") == tree.query


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tenants: {a/b: {}}", "tenants: tenant 'a/b' is not made of letters"),
        ("tenants: {a: {query: {serie_max: 1}}}", "tenants.a: unknown setting query.serie_max; did you mean"),
        ("tenants: {a: {query: {series_max: -1}}}", "tenants.a: query.series_max: "),
        ("tenants: {a: {query: {features: [x]}}}", "tenants.a: query: features: unknown x; known are "),
    ],
)
def test_what_is_wrong_of_a_tenant_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "overrides"), [(QueryConfig, Overrides), (DistributorConfig, DistributorOverrides)]
)
def test_a_tenant_can_have_only_what_there_is_for_all_and_of_the_same_type(
    section: type, overrides: type
) -> None:
    for_all, own = (typing.get_type_hints(kind, include_extras=True) for kind in (section, overrides))
    for field in dataclasses.fields(overrides):
        assert own[field.name] == for_all[field.name] | None, field.name
        assert field.default is None


def test_every_limit_of_the_engine_is_a_setting_with_the_same_default_also_for_a_tenant() -> None:
    assert QueryConfig().engine_options().limits == QueryLimits()
    assert {field.name for field in dataclasses.fields(QueryLimits)} <= {
        field.name for field in dataclasses.fields(Overrides)
    }
