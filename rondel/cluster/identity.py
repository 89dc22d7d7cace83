"""Whose data directory this is."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from rondel.cluster import files
from rondel.errors import ConfigError

__all__ = ["Identity", "IdentityFile", "IdentityStore"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Written when the directory is first used, and once more when its ingester joins."""

    cluster: str
    id: str
    owner: str
    """drawn once a directory: two processes with one id and two directories are not the same ingester"""
    has_joined: bool = False
    """whether what it was given since it joined is here; an entry of the ring without it means a lost disk"""
    behind_since_ms: int = 0
    """from when on that is not so; the entry of the ring says the same, but the store may forget it"""


class IdentityStore(Protocol):
    """Where an identity is kept."""

    def load(self) -> Identity:
        """Makes a new one where there is none. Raises ConfigError where it is somebody else's."""

    def store(self, identity: Identity) -> None:
        """Raises OSError."""


@dataclass(frozen=True, slots=True)
class IdentityFile:
    """In a file of the data directory."""

    path: Path
    cluster: str
    id: str

    def load(self) -> Identity:
        content = files.read(self.path)
        if content is None:
            fresh = Identity(self.cluster, self.id, secrets.token_hex(8))
            self.store(fresh)
            return fresh
        try:
            found = msgspec.json.decode(content, type=Identity)
        except msgspec.DecodeError as error:
            raise ConfigError(f"{self.path} is damaged: {error}") from error
        if (found.cluster, found.id) != (self.cluster, self.id):
            raise ConfigError(
                f"{self.path.parent} belongs to ingester {found.id} of cluster {found.cluster}, "
                f"not to {self.id} of {self.cluster}"
            )
        return found

    def store(self, identity: Identity) -> None:
        files.replace(self.path, msgspec.json.encode(identity))
