"""The table of faults in docs/reliability.md: one row a fault, written by the run that made it."""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass
from pathlib import Path

__all__ = ["Row", "write_rows"]

_BEGIN, _END = "<!-- faults: begin -->", "<!-- faults: end -->"
_HEAD = (
    "fault",
    "acknowledged",
    "found",
    "lost",
    "wrong",
    "live queries",
    "failed",
    "writes failed",
    "recovery s",
)


@dataclass(frozen=True)
class Row:
    """What became of everything while one fault was made."""

    fault: str
    acknowledged: int
    """samples"""
    found: int
    lost: int
    wrong: int
    """samples in the end, and live answers"""
    queries: int
    queries_failed: int
    writes_failed: int
    """requests that were answered with 5xx, and sent again"""
    recovery_s: float
    """from the end of the fault until all is as before"""

    def __str__(self) -> str:
        cells = [*astuple(self)[:-1], f"{self.recovery_s:.1f}"]
        return "| " + " | ".join(f"{c:,}" if isinstance(c, int) else c for c in cells) + " |"


def write_rows(page: Path, rows: list[Row]) -> None:
    """Puts rows between the markers: in the place of those of the same names, else at the end."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(_BEGIN)
    old, after = rest.split(_END)
    lines = {name: line for line in old.splitlines() if (name := _name(line))}
    lines |= {row.fault: str(row) for row in rows}
    head = ["| " + " | ".join(_HEAD) + " |", "|---" + "|---:" * (len(_HEAD) - 1) + "|"]
    table = "\n".join([*head, *lines.values()])
    page.write_text(f"{before}{_BEGIN}\n{table}\n{_END}{after}", encoding="utf-8")


def _name(line: str) -> str:
    """Of a row that has figures."""
    found = re.match(r"\| (.+?) \| [\d,]+ \|", line)
    return found[1] if found else ""
