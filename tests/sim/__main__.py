"""`python -m tests.sim COUNT [FIRST]`: so many schedules, on all processors; broken ones tell their seeds."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time

from tests.sim.schedule import quiet, story

_CHUNK = 10


def main() -> int:
    count = int(sys.argv[1])
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    began_s = time.monotonic()
    seeds = range(first, first + count)
    with multiprocessing.get_context("spawn").Pool(os.cpu_count(), quiet) as pool:
        stories = [one for one in pool.imap_unordered(story, seeds, chunksize=_CHUNK) if one]
    for one in stories:
        print(one)
    print(f"{count - len(stories)} of {count} schedules ended well, in {time.monotonic() - began_s:.0f} s")
    return 1 if stories else 0


if __name__ == "__main__":
    sys.exit(main())
