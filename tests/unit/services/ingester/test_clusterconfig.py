"""Settings of an ingester's process: who it is and where it is reached."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rondel.errors import ConfigError
from rondel.kv.etcd import EtcdConfig
from rondel.ring.instance import Instance, State
from rondel.ring.quorum import SKEW_MS, unanswered
from rondel.ring.ring import Ring
from rondel.runtime.config import load
from services.ingester.clusterconfig import Config, GrpcConfig, MembershipConfig
from tests.unit.rondel.ring.test_ring import fleet

GIVEN = Config(objstore="memory://", instance_id="ingester-a-7", etcd=EtcdConfig(("127.0.0.1:1",)))


@pytest.mark.parametrize(
    ("id", "ordinal", "number"), [("ingester-a-12", -1, 12), ("i0", -1, 0), ("x", 4, 4), ("x-9", 0, 0)]
)
def test_the_number_is_set_or_at_the_end_of_the_name(id: str, ordinal: int, number: int) -> None:
    assert MembershipConfig(ordinal).number(id) == number


@pytest.mark.parametrize("id", ["x", "7-x", "x-1001"])
def test_a_name_that_ends_in_no_number_is_refused(id: str) -> None:
    with pytest.raises(ConfigError, match=r"ingester\.ordinal"):
        MembershipConfig().number(id)


@pytest.mark.parametrize(
    ("listen", "advertise", "address"),
    [
        ("10.0.0.1:0", "", "10.0.0.1:77"),
        ("[::1]:9095", "", "[::1]:77"),
        ("0.0.0.0:9095", "i-0.svc:9095", "i-0.svc:9095"),
        (":9095", "i-0:1", "i-0:1"),
    ],
)
def test_others_are_told_where_we_listen_or_what_is_set(listen: str, advertise: str, address: str) -> None:
    assert replace(GIVEN, grpc=GrpcConfig(listen), advertise=advertise).address(77) == address


@pytest.mark.parametrize("listen", ["0.0.0.0:1", ":1", "[::]:1"])
def test_all_addresses_are_none_that_others_could_be_told(listen: str) -> None:
    with pytest.raises(ConfigError, match="--advertise"):
        replace(GIVEN, grpc=GrpcConfig(listen))


@pytest.mark.parametrize("advertise", ["i-0", ":9095", "i-0:x", "i-0:70000"])
def test_what_others_are_told_must_be_an_address(advertise: str) -> None:
    with pytest.raises(ConfigError, match=r"^advertise: "):
        replace(GIVEN, advertise=advertise)


def test_a_listener_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^grpc\.listen: want host:port"):
        replace(GIVEN, grpc=GrpcConfig("localhost"))


def test_an_empty_host_listens_everywhere() -> None:
    assert replace(GIVEN, grpc=GrpcConfig(":9095"), advertise="i:1").server().listen == "[::]:9095"
    assert GIVEN.server().listen == "127.0.0.1:9095"


def test_what_a_cluster_needs_is_asked_for() -> None:
    for options, missing in (({"etcd.endpoints": "e:1"}, "objstore"), ({"objstore": "memory://"}, "etcd")):
        with pytest.raises(ConfigError, match=missing):
            load(Config, environ={}, options=options)


def test_the_environment_says_the_same_as_options() -> None:
    told = {
        "RONDEL_OBJSTORE": "memory://",
        "RONDEL_ETCD__ENDPOINTS": "a:1,b:2",
        "RONDEL_INGESTER__ORDINAL": "3",
        "RONDEL_CLUSTER__ZONE": "z",
        "RONDEL_REPAIR__MARGIN_S": "2m",
    }
    found = load(Config, environ=told)
    assert found.etcd.endpoints == ("a:1", "b:2")
    assert (found.ingester.ordinal, found.cluster.zone, found.repair.margin_s) == (3, "z", 120)


def test_sizes_of_shards_are_those_of_all_and_of_single_tenants(tmp_path: Path) -> None:
    path = tmp_path / "rondel.yaml"
    path.write_text(
        """
ingester: {ingestion_tenant_shard_size: 9}
tenants:
  a: {ingester: {ingestion_tenant_shard_size: 3}}
  b: {}
  c: {ingester: {ingestion_tenant_shard_size: 0}}
"""
    )
    told = {"RONDEL_OBJSTORE": "memory://", "RONDEL_ETCD__ENDPOINTS": "a:1"}
    with pytest.raises(ConfigError, match=r"cluster\.shuffle_sharding"):
        load(Config, file=path, environ=told)
    found = load(Config, file=path, environ={**told, "RONDEL_CLUSTER__SHUFFLE_SHARDING": "true"})
    assert [found.sizes.of(tenant) for tenant in "abcd"] == [3, 9, 0, 9]


def test_no_sample_lies_further_ahead_than_reads_look_back_for_rings() -> None:
    """Written now by the ring of now, and read when nobody thinks of that ring any more."""
    ahead_ms, joined_ms = SKEW_MS + 60_000, 1_000
    late = Instance("a1", "a", "a1:1", 1, State.ACTIVE, 12, 11, ((11, 0),), settled_ms=joined_ms)
    ring = Ring((*fleet(1, 2, 2).instances, late))
    by_the_ring_before = {"a0", "b1"}
    others = [one.id for one in ring.instances if one.id not in by_the_ring_before]
    assert unanswered(ring, others, joined_ms - 1 + ahead_ms) is None  # It would pass for complete.
    assert unanswered(ring, others, joined_ms - 1 + SKEW_MS) is not None
    with pytest.raises(ConfigError, match="creation_grace_period_ms"):
        replace(GIVEN, creation_grace_period_ms=ahead_ms)
    replace(GIVEN, creation_grace_period_ms=SKEW_MS)
