"""`make cluster`: a whole cluster on this machine until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import click

from deploy.local.cluster import LocalCluster, Shape
from tests.support.process import NotStarted, Process


@click.command()
@click.option("--directory", default="data/cluster", type=click.Path(path_type=Path), show_default=True)
@click.option("--zones", default="a,b,c", show_default=True, help="Failure domains.")
@click.option("--count", default=1, show_default=True, help="Ingesters in each zone, at the first start.")
@click.option("--distributors", default=2, show_default=True)
@click.option("--queriers", default=2, show_default=True)
@click.option("--etcd-members", default=3, show_default=True)
@click.option("--port", default=9100, show_default=True, help="The first port; they count up from it.")
@click.option("--objstore", default="", help="Object store of the blocks. [default: DIRECTORY/blocks]")
@click.option("--set", "given", multiple=True, metavar="RONDEL_X__Y=VALUE", help="A setting of all roles.")
def main(
    directory: Path,
    zones: str,
    count: int,
    distributors: int,
    queriers: int,
    etcd_members: int,
    port: int,
    objstore: str,
    given: tuple[str, ...],
) -> None:
    """etcd, ingesters, distributors, queriers and a compactor as processes on loopback.

    Data and logs are below DIRECTORY; a second start there goes on with them. Kill what you like.
    """
    shape = Shape(tuple(zones.split(",")), count, distributors, queriers, etcd_members)
    settings = {"": dict(one.split("=", 1) for one in given)}
    cluster = LocalCluster(
        directory, shape, settings=settings, first_port=port, objstore=objstore, is_detached=True
    )
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    try:
        cluster.start()
        cluster.wait_for_ring()
    except NotStarted as error:
        cluster.close()
        sys.exit(f"the cluster does not start: {error}")
    print(told(cluster), flush=True)
    asked.wait()
    print("stopping", flush=True)
    codes = cluster.stop()
    sys.exit(1 if any(codes.values()) else 0)


def told(cluster: LocalCluster) -> str:
    """What a person needs to know."""
    lines = [f"A cluster is ready; data and logs are below {cluster.directory}", ""]
    lines += [f"  write  {one.url}/api/v1/write" for one in cluster.distributors]
    lines += [f"  query  {one.url}" for one in cluster.queriers]
    lines += [f"  ring   {cluster.distributors[0].url}/ring", ""]
    lines += [_line(one) for one in (*cluster.etcd.members, *cluster.processes())]
    return "\n".join([*lines, "", "Ctrl-C stops it; the same command goes on with the data."])


def _line(process: Process) -> str:
    return f"  {process.name:16} pid {process.pid:<8} {process.url}"


if __name__ == "__main__":
    main()
