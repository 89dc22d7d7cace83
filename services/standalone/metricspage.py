"""Writes docs/metrics.md: `python -m services.standalone.metricspage docs/metrics.md`.

Made from the registries of processes that are wired and never started, so that it cannot be wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from prometheus_client import CollectorRegistry, Metric

from rondel.kv.etcd import EtcdConfig
from services.distributor.process import Config as DistributorConfig
from services.distributor.process import DistributorProcess
from services.ingester.clusterconfig import Config as IngesterConfig
from services.ingester.process import IngesterProcess
from services.standalone.config import Config
from services.standalone.main import Standalone

__all__ = ["page"]

_HEAD: Final = """# Metrics

Made from the code by `make docs`; do not edit.

Every process shows its metrics at `/metrics`, in the text format or as OpenMetrics. `rondel standalone`
stores its own every `self_scrape.interval_s`, as `job="rondel"`. The series of a histogram `x` are
`x_bucket`, `x_sum` and `x_count`.
"""
_SECTIONS: Final = {
    "rondel_http_": ("Requests", "All of HTTP, but for writes that the write path answers by itself."),
    "rondel_distributor_": (
        "Writes",
        "Remote-write requests, from the socket to their acknowledgement. What speaks of pushes and of "
        "ingesters is of a cluster only.",
    ),
    "rondel_ingester_": ("Ingester", "Samples that the head took, and ranges that became blocks."),
    "rondel_wal_": ("Write-ahead log", "`commit_seconds` is what every acknowledgement waits for."),
    "rondel_head_": ("Head", "What is in memory, by tenant."),
    "rondel_repair_": (
        "Repair",
        "Of a cluster only: what an ingester missed, or lost, and has from its replicas.",
    ),
    "rondel_query_": ("Queries", "Queries and look-ups; `kind` is the endpoint."),
    "rondel_block_": ("Blocks", "Reads of blocks."),
    "rondel_rpc_": (
        "Calls between processes",
        "Of a cluster only: `client` is who calls, `server` the ingester. A select that its reader "
        "ended is `canceled` at the ingester.",
    ),
    "rondel_cluster_": (
        "Reads of a cluster",
        "What queriers, and ingesters that are repaired, ask of ingesters. Others stand in for one that "
        "fails or is slow: `hedged`. Only `incomplete` reads have no answer.",
    ),
    "rondel_ring_": (
        "The ring",
        "Of a cluster only, as this process sees it; `/ring` says more. `rondel_ring_lacking_entries` "
        "above 0 for minutes is a key-value store that was wiped.",
    ),
    "rondel_compactor_": ("Compaction", "Merges, retention and deletion."),
    "": ("Process", "The process itself."),
}


def page() -> str:
    """The whole page."""
    with TemporaryDirectory() as directory:
        registries = _registries(directory)
    lines: dict[str, dict[str, str]] = {prefix: {} for prefix in _SECTIONS}
    for family, labels in chain.from_iterable(map(_families, registries)):
        section = next(prefix for prefix in _SECTIONS if family.name.startswith(prefix))
        lines[section].setdefault(family.name, _line(family, labels))
    return _HEAD + "".join(_section(prefix, lines[prefix].values()) for prefix in _SECTIONS)


def _registries(directory: str) -> list[CollectorRegistry]:
    etcd = EtcdConfig(endpoints=("127.0.0.1:2379",))
    distributor = DistributorProcess(DistributorConfig(data_dir=directory, etcd=etcd))
    ingester = IngesterProcess(
        IngesterConfig(data_dir=directory, objstore="memory://", instance_id="ingester-0", etcd=etcd)
    )
    standalone = Standalone(Config(data_dir=directory, objstore="memory://"))
    return [standalone.registry, distributor.registry, ingester.registry]


def _families(registry: CollectorRegistry) -> Iterator[tuple[Metric, tuple[str, ...]]]:
    """Each family with its labels, which prometheus_client keeps to itself."""
    for collector in registry._collector_to_names:
        for family in collector.collect():
            yield family, getattr(collector, "_labelnames", ()) or getattr(family, "_labelnames", ())


def _section(prefix: str, lines: Iterable[str]) -> str:
    title, text = _SECTIONS[prefix]
    return (
        "\n".join(
            ["", f"## {title}", "", text, "", "| metric | type | labels | meaning |", "|---|---|---|---|"]
        )
        + "\n"
        + "".join(lines)
    )


def _line(family: Metric, labels: tuple[str, ...]) -> str:
    name = family.name + ("_total" if family.type == "counter" else "")
    return f"| `{name}` | {family.type} | {', '.join(labels)} | {family.documentation} |\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
