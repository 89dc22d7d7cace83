"""`python -m tests.promql.conformance DIR`: runs every `.test` file of a directory and says how each went."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

from tests.promql import over_http
from tests.promql.runner import Outcome, Verdict, run_script
from tests.promql.series import ScriptError
from tests.promql.worlds import InProcess, World

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """0 where every eval passed."""
    options = _parser().parse_args(arguments)
    paths = [options.dir / options.file] if options.file else sorted(options.dir.rglob("*.test"))
    if not paths:
        print(f"no .test files in {options.dir}", file=sys.stderr)
        return 2
    with over_http.served() if options.http else nullcontext(InProcess()) as world:
        return _run(paths, world, options)


def _run(paths: list[Path], world: World, options: argparse.Namespace) -> int:
    totals: Counter[Verdict] = Counter()
    broken = False
    for path in paths:
        try:
            outcomes = list(run_script(path, world))
        except ScriptError as error:
            print(f"{path.name}: {error}")
            broken = True
            continue
        _report(path, outcomes, verbose=options.verbose)
        totals.update(outcome.verdict for outcome in outcomes)
    print(f"{totals[Verdict.PASSED]} of {totals.total()}")
    if totals[Verdict.PASSED] < options.at_least:
        print(f"{options.at_least} passed before", file=sys.stderr)
        return 1
    return 1 if broken or totals[Verdict.FAILED] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="conformance", description=__doc__)
    parser.add_argument("dir", type=Path, help="directory with .test files")
    parser.add_argument("--file", help="only this file of the directory")
    parser.add_argument("--verbose", action="store_true", help="say what differs")
    parser.add_argument(
        "--http", action="store_true", help="also write to a server and ask it, and compare with its answers"
    )
    parser.add_argument("--at-least", type=int, default=0, metavar="N", help="fail where fewer evals pass")
    return parser


def _report(path: Path, outcomes: list[Outcome], *, verbose: bool) -> None:
    counts = Counter(outcome.verdict for outcome in outcomes)
    words = [f"{path.name:28} {counts[Verdict.PASSED]:4}/{len(outcomes):<4}"]
    failed = [outcome for outcome in outcomes if outcome.verdict is Verdict.FAILED]
    if failed:
        words.append(f"{len(failed)} failed: lines {', '.join(str(outcome.line) for outcome in failed)}")
    print("  ".join(words))
    if verbose:
        for outcome in failed:
            print(f"    {path.name}:{outcome.line}  {outcome.query}\n        {outcome.detail}")


if __name__ == "__main__":
    sys.exit(main())
