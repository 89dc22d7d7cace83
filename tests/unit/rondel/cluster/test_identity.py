"""A data directory belongs to one ingester."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rondel.cluster.identity import IdentityFile
from rondel.errors import ConfigError


def test_a_new_directory_gets_an_identity_and_keeps_it(tmp_path: Path) -> None:
    file = IdentityFile(tmp_path / "identity.json", "one", "a-0")
    first = file.load()
    assert not first.has_joined
    file.store(replace(first, has_joined=True))
    assert file.load() == replace(first, has_joined=True)
    assert IdentityFile(tmp_path / "other.json", "one", "a-0").load().owner != first.owner


def test_the_directory_of_another_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "identity.json"
    IdentityFile(path, "one", "a-0").load()
    with pytest.raises(ConfigError, match="belongs to ingester a-0 of cluster one, not to a-1 of one"):
        IdentityFile(path, "one", "a-1").load()


def test_a_damaged_identity_is_said(tmp_path: Path) -> None:
    path = tmp_path / "identity.json"
    path.write_bytes(b"{")
    with pytest.raises(ConfigError, match="damaged"):
        IdentityFile(path, "one", "a-0").load()
