"""The command line: `rondel <role> [options]`."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

import rondel
from rondel.errors import ConfigError
from rondel.runtime import config as settings

if TYPE_CHECKING:
    from rondel.runtime.process import Program

__all__ = ["app", "main"]

_HELP = """A Prometheus-compatible metrics store: remote write in, PromQL out.

\b
Start it:      rondel standalone --data-dir ./data
Write to it:   remote_write: [{url: http://127.0.0.1:9009/api/v1/write}]   in prometheus.yml
Query it:      a Grafana data source of type Prometheus with the URL http://127.0.0.1:9009

Every setting of docs/configuration.md can be given in a YAML file (--config), as an environment variable
(RONDEL_HTTP__LISTEN is http.listen), and the common ones as options; each wins over the one before.

SIGTERM drains and exits 0. Configuration that cannot be used is one line and exit code 2.
"""

_CONFIG = click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    envvar=settings.FILE_VARIABLE,
    help="YAML file with settings.",
)
_HTTP_LISTEN = click.option(
    "--http-listen", metavar="HOST:PORT", help="Address of the HTTP server. [default: 127.0.0.1:9009]"
)
_DATA_DIR = click.option(
    "--data-dir", metavar="DIR", help="Directory of what the process remembers. [default: data]"
)
_ETCD = click.option("--etcd", metavar="ENDPOINT[,ENDPOINT]", help="Members of etcd. Required.")
_INSTANCE_ID = click.option(
    "--instance-id", metavar="NAME", help="Name of this process. [default: the host's name]"
)
_ZONE = click.option("--zone", metavar="NAME", help="Failure domain of this process. [default: default]")
_ADVERTISE = click.option(
    "--advertise", metavar="HOST:PORT", help="Where others reach it, if that is not where it listens."
)
_WORKERS = click.option(
    "--workers", type=int, metavar="N", help="Processes that share the HTTP port. [default: 1]"
)
_WORKER = click.option("--worker", type=int, hidden=True)
_ALONE = "For roles in processes of their own; a standalone server has no use for it and says so."


@click.group(name="rondel", help=_HELP)
@click.version_option(rondel.__version__, prog_name="rondel", message="%(prog)s %(version)s")
def app() -> None:
    """Every role is a command."""


@app.command(short_help="Everything in one process.")
@_CONFIG
@click.option(
    "--data-dir", metavar="DIR", help="Directory of the write-ahead log and the blocks. [default: data]"
)
@_HTTP_LISTEN
@click.option(
    "--objstore",
    metavar="URL",
    help="Object store of the blocks: file:///dir, s3://bucket/prefix, gs://, az://, memory://. "
    "[default: DATA_DIR/blocks]",
)
@click.option("--instance-id", metavar="NAME", help="Name of this process, kept in its data directory.")
@click.option("--grpc-listen", metavar="HOST:PORT", help=_ALONE)
@click.option("--etcd", metavar="ENDPOINT[,ENDPOINT]", help=_ALONE)
@click.option("--zone", metavar="NAME", help=_ALONE)
def standalone(
    config: Path | None,
    data_dir: str | None,
    http_listen: str | None,
    objstore: str | None,
    instance_id: str | None,
    grpc_listen: str | None,
    etcd: str | None,
    zone: str | None,
) -> None:
    """Everything in one process: takes writes, answers queries, keeps and compacts blocks."""
    from rondel.runtime.process import run
    from services.standalone.config import Config
    from services.standalone.main import Standalone

    options = {
        "data_dir": data_dir,
        "http.listen": http_listen,
        "objstore": objstore,
        "instance_id": instance_id,
    }
    tree = settings.load(Config, file=config, options=options)
    for name, value in (("--grpc-listen", grpc_listen), ("--etcd", etcd), ("--zone", zone)):
        if value is not None:
            print(
                f"rondel: {name} has no effect here: in a standalone server the roles meet in memory",
                file=sys.stderr,
            )
    sys.exit(run(Standalone(tree)))


@app.command(short_help="Takes writes and hands them to the ingesters of a cluster.")
@_CONFIG
@_DATA_DIR
@_HTTP_LISTEN
@_ETCD
@_INSTANCE_ID
@_ZONE
@_ADVERTISE
@_WORKERS
@_WORKER
def distributor(
    config: Path | None,
    data_dir: str | None,
    http_listen: str | None,
    etcd: str | None,
    instance_id: str | None,
    zone: str | None,
    advertise: str | None,
    workers: int | None,
    worker: int | None,
) -> None:
    """Takes writes over HTTP and hands each series to the ingesters of its replica set. Keeps no data."""
    from rondel.runtime.process import run
    from rondel.runtime.siblings import Worker
    from services.distributor.process import Config, DistributorProcess

    options = {
        "data_dir": data_dir,
        "http.listen": http_listen,
        "etcd.endpoints": etcd,
        "instance_id": instance_id,
        "cluster.zone": zone,
        "advertise": advertise,
        "workers": workers,
    }
    tree = settings.load(Config, file=config, options=options)

    def made(number: int | None) -> Program:
        return DistributorProcess(tree, None if number is None else Worker(number, tree.workers))

    sys.exit(run(_program(made, tree.workers, tree.http.listen, worker)))


@app.command(short_help="Answers queries of a cluster.")
@_CONFIG
@_DATA_DIR
@_HTTP_LISTEN
@_ETCD
@click.option("--objstore", metavar="URL", help="Object store of the blocks. Required.")
@_INSTANCE_ID
@_ZONE
@_ADVERTISE
@_WORKERS
@_WORKER
def querier(
    config: Path | None,
    data_dir: str | None,
    http_listen: str | None,
    etcd: str | None,
    objstore: str | None,
    instance_id: str | None,
    zone: str | None,
    advertise: str | None,
    workers: int | None,
    worker: int | None,
) -> None:
    """Answers Prometheus' read API from the ingesters of a cluster and from its blocks. Keeps no data."""
    from rondel.runtime.process import run
    from rondel.runtime.siblings import Worker
    from services.querier.process import Config, QuerierProcess

    options = {
        "data_dir": data_dir,
        "http.listen": http_listen,
        "etcd.endpoints": etcd,
        "objstore": objstore,
        "instance_id": instance_id,
        "cluster.zone": zone,
        "advertise": advertise,
        "workers": workers,
    }
    tree = settings.load(Config, file=config, options=options)

    def made(number: int | None) -> Program:
        return QuerierProcess(tree, None if number is None else Worker(number, tree.workers))

    sys.exit(run(_program(made, tree.workers, tree.http.listen, worker)))


def _program(made: Callable[[int | None], Program], workers: int, listen: str, worker: int | None) -> Program:
    """The process itself, one of its workers, or what starts them."""
    if worker is not None:
        from rondel.runtime.supervised import Supervised

        return Supervised(made(worker))
    if workers > 1:
        from rondel.runtime.supervisor import Supervisor

        return Supervisor(workers, listen, _worker_command)
    return made(None)


def _worker_command(number: int, address: str) -> list[str]:
    """This command once more, as one of its workers."""
    program = "from services.standalone.cli import main; main()"
    own = ["--http-listen", address, "--worker", str(number)]
    return [sys.executable, "-c", program, *sys.argv[1:], *own]


@app.command(short_help="Keeps recent samples of a cluster, and ships them as blocks.")
@_CONFIG
@_DATA_DIR
@_HTTP_LISTEN
@click.option(
    "--grpc-listen",
    metavar="HOST:PORT",
    help="Address for calls of distributors and queriers. [default: 127.0.0.1:9095]",
)
@_ADVERTISE
@_ETCD
@click.option("--objstore", metavar="URL", help="Object store of the blocks. Required.")
@_INSTANCE_ID
@_ZONE
def ingester(
    config: Path | None,
    data_dir: str | None,
    http_listen: str | None,
    grpc_listen: str | None,
    advertise: str | None,
    etcd: str | None,
    objstore: str | None,
    instance_id: str | None,
    zone: str | None,
) -> None:
    """Takes the series that the ring gives it into its log and memory, answers for them, and makes blocks of
    them.

    SIGTERM is a restart, which changes nothing in the ring. To leave for good, POST
    /ingester/prepare-shutdown first.
    """
    from rondel.runtime.process import run
    from services.ingester.clusterconfig import Config
    from services.ingester.process import IngesterProcess

    options = {
        "data_dir": data_dir,
        "http.listen": http_listen,
        "grpc.listen": grpc_listen,
        "advertise": advertise,
        "etcd.endpoints": etcd,
        "objstore": objstore,
        "instance_id": instance_id,
        "cluster.zone": zone,
    }
    sys.exit(run(IngesterProcess(settings.load(Config, file=config, options=options))))


@app.command(short_help="Merges blocks and applies retention.")
@_CONFIG
@_HTTP_LISTEN
@click.option("--objstore", metavar="URL", help="Object store of the blocks. Required.")
def compactor(config: Path | None, http_listen: str | None, objstore: str | None) -> None:
    """Merges blocks and applies retention on an object store, alone or beside other compactors."""
    from rondel.runtime.process import run
    from services.compactor.process import CompactorProcess, Config

    options = {"http.listen": http_listen, "objstore": objstore}
    sys.exit(run(CompactorProcess(settings.load(Config, file=config, options=options))))


def main() -> None:
    """The console script."""
    # What is made while a process starts stays: the collector would walk it again and again. It is on
    # once the process is ready.
    gc.disable()
    try:
        app(prog_name="rondel")
    except ConfigError as error:
        print(f"rondel: {error}", file=sys.stderr)
        sys.exit(2)
    finally:
        gc.enable()
