"""`python -m benchmarks`: run the measurements, print the table, write results.md."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path

from benchmarks import clusters, ingest, native, queries, report, storage
from benchmarks.row import Row
from benchmarks.targets import TARGETS, Target
from tests.support.process import NotStarted, find_server

HERE = Path(__file__).parent
SUITES = ("start", "known", "new", "queries", "native", "disk", "cluster")


def main() -> None:
    arguments = parse()
    targets = available(arguments.targets.split(","))
    directory = Path(tempfile.mkdtemp(prefix="rondel-bench-"))
    rows: list[Row] = []
    try:
        for suite in arguments.only.split(","):
            print(f"--- {suite}: {', '.join(target.name for target in targets)}", flush=True)
            rows += [with_bound(row) for row in run(suite, targets, directory, arguments)]
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(report.table(rows))
    report.write(rows, arguments.output, quick=arguments.quick)
    print(f"written to {arguments.output}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer repeats")
    parser.add_argument("--only", default=",".join(SUITES), help="comma-separated: " + ", ".join(SUITES))
    parser.add_argument("--targets", default=",".join(TARGETS), help="comma-separated: " + ", ".join(TARGETS))
    parser.add_argument("--data", type=Path, help="recorded scrapes (.npz) for the bytes per sample")
    parser.add_argument("--output", type=Path, default=HERE / "results.md")
    return parser.parse_args()


def available(names: list[str]) -> list[Target]:
    """The servers that can be started here; one that is missing is named and left out."""
    found = []
    for name in names:
        try:
            if name != "rondel":
                find_server(name)
            found.append(TARGETS[name])
        except NotStarted as reason:
            print(reason)
    return found


def run(suite: str, targets: list[Target], directory: Path, arguments: argparse.Namespace) -> list[Row]:
    quick: bool = arguments.quick
    suites: dict[str, Callable[[], list[Row]]] = {
        "start": lambda: storage.start_to_ready(targets, directory, repeats=3 if quick else 5),
        "known": lambda: ingest.known_series(
            targets, directory, rounds=50 if quick else 150, repeats=1 if quick else 3
        ),
        "new": lambda: ingest.new_series(targets, directory, count=100_000 if quick else 500_000),
        "queries": lambda: queries.query_set(targets, directory, repeats=3 if quick else 9),
        "native": lambda: native.native_histograms(targets, directory, repeats=3 if quick else 9),
        "cluster": lambda: [
            *clusters.replicated_ingest(directory, rounds=50 if quick else 150, repeats=1 if quick else 3),
            *clusters.replicated_queries(directory, repeats=3 if quick else 9),
        ],
        "disk": lambda: storage.bytes_per_sample(targets, directory, arguments.data),
    }
    if suite == "disk" and arguments.data is None:
        print("left out: it needs recorded scrapes, --data FILE.npz")
        return []
    return suites[suite]()


def with_bound(row: Row) -> Row:
    """The row with what is known about its limits, from bounds.toml."""
    known = tomllib.loads((HERE / "bounds.toml").read_text(encoding="utf-8"))
    text = next((text for start, text in known.items() if row.name.startswith(start)), "")
    return dataclasses.replace(row, bound_by=text)


if __name__ == "__main__":
    main()
