"""CPU of the whole server per million samples, and memory per active series."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.row import Goal, Row
from benchmarks.targets import Target
from benchmarks.workload import SERIES_PER_INSTANCE, Fleet, Values, batches, fleet
from tests.support.client import Client
from tests.support.process import Process

__all__ = ["BATCH", "INTERVAL_MS", "WARM_UP_ROUNDS", "bodies_of", "known_series", "new_series"]

BATCH = 2000
INTERVAL_MS = 15_000
WARM_UP_ROUNDS = 5
SAMPLES_PER_NEW_SERIES = 6


def known_series(targets: list[Target], directory: Path, *, rounds: int, repeats: int) -> list[Row]:
    """20,000 series that the server has seen before, batches of 2,000, one request after the other."""
    series = fleet(100)
    start_ms = int(time.time() * 1000) - (rounds + WARM_UP_ROUNDS) * INTERVAL_MS
    bodies = bodies_of(series, start_ms, rounds + WARM_UP_ROUNDS)
    warm_up = WARM_UP_ROUNDS * len(series.labels) // BATCH
    samples = rounds * len(series.labels)
    found: dict[str, list[Cost]] = {target.name: [] for target in targets}
    for repeat in range(repeats):
        for target in targets:
            with_server = target.start(directory / f"known-{target.name}-{repeat}")
            try:
                send(with_server, target, bodies[:warm_up])
                found[target.name].append(send(with_server, target, bodies[warm_up:]))
            finally:
                with_server.close()
    cpu = {name: median(c.cpu_s for c in costs) / samples * 1e6 for name, costs in found.items()}
    wall = {name: median(c.wall_s for c in costs) / samples * 1e6 for name, costs in found.items()}
    return [
        Row("ingest, known series (20,000)", "CPU s / M samples", cpu, Goal(0.5, "victoria-metrics")),
        Row("ingest, known series, one sender", "wall s / M samples", wall),
    ]


def new_series(targets: list[Target], directory: Path, *, count: int) -> list[Row]:
    """Hosts come and go: every series gets six samples, so one sample in six is a new series."""
    groups = 50
    hosts = count // SERIES_PER_INSTANCE // groups
    bodies = _churn(groups, hosts)
    samples = SAMPLES_PER_NEW_SERIES * groups * hosts * SERIES_PER_INSTANCE
    series = groups * hosts * SERIES_PER_INSTANCE
    cpu: dict[str, float] = {}
    memory: dict[str, float] = {}
    for target in targets:
        server = target.start(directory / f"new-{target.name}")
        try:
            cpu[target.name] = send(server, target, bodies).cpu_s / samples * 1e6
            memory[target.name] = server.resident_bytes() / series / 1024
        finally:
            server.close()
    return [
        Row(f"ingest, {series:,} series, 1/6 of samples new", "CPU s / M samples", cpu, Goal(4)),
        Row(f"resident memory per active series ({series:,})", "KiB", memory, Goal(1)),
    ]


@dataclass(frozen=True)
class Cost:
    """Of one run: the server's CPU time, and the time until the last answer."""

    cpu_s: float
    wall_s: float


def send(server: Process, target: Target, bodies: list[bytes], settle_s: float = 3.0) -> Cost:
    """Post every body; CPU counts until the server had some seconds for what it put off."""
    client = Client(server.port)
    before, started = server.cpu_s(), time.monotonic()
    for body in bodies:
        reply = client.write(body, target.write_path)
        if reply.status // 100 != 2:
            raise RuntimeError(f"{target.name} refused a batch: {reply.status} {reply.text[:300]}")
    wall_s = time.monotonic() - started
    time.sleep(settle_s)
    client.close()
    return Cost(server.cpu_s() - before, wall_s)


def bodies_of(series: Fleet, start_ms: int, rounds: int) -> list[bytes]:
    """The requests of so many rounds, each with a sample of every series."""
    templates, values = batches(series, BATCH), Values(series)
    bodies = []
    for number in range(rounds):
        now = values.next()
        bodies += [batch.body(start_ms + number * INTERVAL_MS, now) for batch in templates]
    return bodies


def _churn(groups: int, hosts: int) -> list[bytes]:
    """Round r writes the groups r-5 to r: each group is new once and seen five times more."""
    rounds = groups + SAMPLES_PER_NEW_SERIES - 1
    start_ms = int(time.time() * 1000) - rounds * INTERVAL_MS
    per_round: list[list[bytes]] = [[] for _ in range(rounds)]
    for group in range(groups):
        series = fleet(hosts, first=group * hosts)
        templates, values = batches(series, BATCH), Values(series, seed=group)
        for number in range(group, group + SAMPLES_PER_NEW_SERIES):
            now = values.next()
            per_round[number] += [batch.body(start_ms + number * INTERVAL_MS, now) for batch in templates]
    return [body for bodies in per_round for body in bodies]
