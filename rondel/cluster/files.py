"""Small files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["read", "remove", "replace"]


def read(path: Path) -> bytes | None:
    """None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def replace(path: Path, content: bytes) -> None:
    """After it returns, a power cut does not bring back what was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    _sync(path.parent)


def remove(path: Path) -> None:
    """None is no error."""
    path.unlink(missing_ok=True)
    if path.parent.exists():
        _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
