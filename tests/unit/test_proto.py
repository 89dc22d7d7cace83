"""The generated modules are those of the .proto files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def generated(root: Path) -> dict[str, str]:
    folders = ("tests/support/prompb", "rondel/rpc/pb")
    modules = [module for folder in folders for module in (root / folder).glob("*_pb2.py")]
    return {str(module.relative_to(root)): module.read_text() for module in modules}


def test_generated_modules_are_up_to_date(tmp_path: Path) -> None:
    subprocess.run([ROOT / "proto" / "generate", sys.executable, tmp_path], check=True)
    assert generated(tmp_path) == generated(ROOT), "run `make proto`"
    assert len(generated(ROOT)) > 3
