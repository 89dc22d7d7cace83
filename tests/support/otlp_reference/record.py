"""`python -m tests.support.otlp_reference.record BINARY`: what the reference makes of exports, into a file.

The exports are in the file too: it does not depend on the random numbers of a Python version.
"""

from __future__ import annotations

import base64
import json
import lzma
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.otlp import Export, varied_export

__all__ = ["FILE", "NOW_MS"]

FILE = Path(__file__).parent / "otlp_as_prometheus.json.xz"
NOW_MS = 1_700_000_000_000
SEEDS = 8


def main(binary: str) -> None:
    cases = [_case(binary, export.body()) for export in _exports()]
    FILE.write_bytes(lzma.compress(json.dumps(cases, separators=(",", ":")).encode(), preset=9))


def _exports() -> Iterator[Export]:
    for seed in range(SEEDS):
        yield varied_export(NOW_MS, seed)
    yield _over_time()
    yield _traced()


def _over_time() -> Export:
    """Points of seven minutes, and a resource that nobody can be told by."""
    export = Export({"service.name": "long", "host.name": "h", "k8s.pod": ["a", "b"]})
    for age_ms in (400_000, 150_000, 0):
        export.gauge("long.gauge", NOW_MS - age_ms, 1.0, {"age": age_ms})
    export.resource({"host.name": "h"})
    export.gauge("alone", NOW_MS, 1.0)
    return export


def _traced() -> Export:
    export = Export({"service.name": "traced"})
    export.histogram("traced.histogram", NOW_MS, [1.0, 5.0], [1, 1, 1], sum=9.0)
    export.exponential("traced.exponential", NOW_MS, 0, (0, [1, 2]), sum=9.0)
    export.sum("traced.sum", NOW_MS, 3)
    export.gauge("traced.gauge", NOW_MS, 3)
    metrics = export.request.resource_metrics[0].scope_metrics[0].metrics
    for metric in metrics:
        [point] = getattr(metric, metric.WhichOneof("data")).data_points
        for value in (0.5, 1.0, 3.0, 70.0):
            exemplar = point.exemplars.add(time_unix_nano=NOW_MS * 1_000_000 + int(value * 10_000_000))
            exemplar.as_double = value
            exemplar.trace_id = bytes(range(16))
            exemplar.span_id = bytes(range(1, 9))
            exemplar.filtered_attributes.add(key="user.id").value.string_value = "u"
            exemplar.filtered_attributes.add(key="long").value.string_value = "x" * (20 if value < 3 else 99)
    return export


def _case(binary: str, body: bytes) -> dict[str, Any]:
    made = subprocess.run([binary], input=body, stdout=subprocess.PIPE, check=True)
    return {"export": base64.b64encode(body).decode(), "series": json.loads(made.stdout)}


if __name__ == "__main__":
    main(sys.argv[1])
