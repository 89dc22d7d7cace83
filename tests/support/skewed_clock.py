"""A wall clock that is wrong, for single processes, and that can be moved while they run.

The C library's clock is replaced (`clock_skew.c`), so Python, Rust and gRPC in the process see it alike; the
program has no seam for it and knows nothing.
"""

from __future__ import annotations

import os
import shlex
import struct
import subprocess
from pathlib import Path

__all__ = ["SkewedClock"]

_SOURCE = Path(__file__).with_name("clock_skew.c")


class SkewedClock:
    """Right at first. `env` is for the processes that shall have it."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._file, library = directory / "ahead", directory / "clock_skew.so"
        compiler = shlex.split(os.environ.get("CC", "cc"))
        options = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(_SOURCE)]
        subprocess.run([*compiler, *options, "-ldl"], check=True)
        self.move_to(0)
        self.env = {"LD_PRELOAD": str(library), "CLOCK_SKEW_FILE": str(self._file)}

    def move_to(self, ahead_s: float) -> None:
        """From now on the clock is so much ahead, or behind where negative. Jumps, as a correction does."""
        # In place: the processes have it mapped.
        with self._file.open("r+b" if self._file.exists() else "w+b", buffering=0) as file:
            file.write(struct.pack("=q", round(ahead_s * 1e9)))
