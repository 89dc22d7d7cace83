"""Settings of a distributor as a process, and of each of its workers."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rondel.errors import ConfigError
from rondel.runtime import config
from rondel.runtime.siblings import Worker
from services.distributor.process import Config, DistributorProcess


def loaded(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "rondel.yaml"
    path.write_text("etcd: {endpoints: [127.0.0.1:1]}\n" + text)
    return config.load(Config, file=path, environ={}, options={"data_dir": str(tmp_path)})


@pytest.mark.parametrize(
    ("text", "bound", "address"),
    [
        ("", "127.0.0.1:9009", "127.0.0.1:9009"),
        ("", "0.0.0.0:9009", f"{socket.gethostname()}:9009"),
        ("", "[::]:9009", f"{socket.gethostname()}:9009"),
        ("advertise: 10.0.0.1:80", "0.0.0.0:9009", "10.0.0.1:80"),
    ],
)
def test_others_are_told_an_address_that_they_can_reach(
    tmp_path: Path, text: str, bound: str, address: str
) -> None:
    assert loaded(tmp_path, text).address(bound) == address


def test_workers_have_names_and_memories_of_their_own(tmp_path: Path) -> None:
    tree = loaded(tmp_path, "instance_id: d\nworkers: 2")
    alone = DistributorProcess(tree)
    workers = [DistributorProcess(tree, Worker(number, 2)) for number in range(2)]
    assert [one.node.id for one in (alone, *workers)] == ["d", "d-0", "d-1"]
    assert tree.id == "d"
    assert loaded(tmp_path, "").id == socket.gethostname()


def test_a_tenant_has_what_the_file_says_of_it(tmp_path: Path) -> None:
    tree = loaded(tmp_path, "tenants: {a: {distributor: {ingestion_rate: 5}}}")
    assert tree.distributor_of("a").ingestion_rate == 5
    assert tree.distributor_of("b") == tree.distributor
    with pytest.raises(ConfigError, match="tenants: tenant 'a/b'"):
        loaded(tmp_path, "tenants: {a/b: {}}")


def test_a_process_that_has_not_started_is_not_ready_and_says_why(tmp_path: Path) -> None:
    waiting = DistributorProcess(loaded(tmp_path, "")).waiting()
    assert waiting == ["etcd: new", "cluster: new", "peers: new", "fanout: new", "ring: none is known yet"]


def test_the_rate_of_a_tenant_is_shared_by_all_distributors_that_are_alive(tmp_path: Path) -> None:
    """Ourselves among them, whether the store names us or not."""
    tree = loaded(
        tmp_path,
        "instance_id: d\ndistributor: {ingestion_rate: 12}\ntenants: {a: {distributor: {ingestion_rate: 6}}}",
    )
    process = DistributorProcess(tree, Worker(0, 2))
    distributor = process.write.distributor
    limits = [distributor._rate, distributor._own_rates["a"]]
    for ids, parts in (((), 1), (("d-1",), 2), (("d-0", "d-1", "e-0"), 3)):
        process._share_rates(dict.fromkeys(ids, "127.0.0.1:1"))
        assert [limit.parts for limit in limits] == [parts, parts]
