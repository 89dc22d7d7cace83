"""Writes docs/configuration.md: `python -m services.standalone.reference docs/configuration.md`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from rondel.runtime.reference import names, reference
from services.distributor.process import Config as DistributorConfig
from services.ingester.clusterconfig import Config as IngesterConfig
from services.querier.process import Config as QuerierConfig
from services.standalone.config import Config

__all__ = ["page"]

_HEAD: Final = """# Configuration

Made from the configuration classes by `make docs`; do not edit.

Every setting can be given in a YAML file (`--config FILE`, sections nested), as an environment variable
(`http.listen` is `RONDEL_HTTP__LISTEN`), and the common ones as options (`rondel standalone --help`).
Each wins over the one before. What is unknown or out of range ends the start with one line and exit code 2.

Durations may be written `90s` or `1h30m`, sizes `64MiB`; a bare number counts the unit in the setting's name.

"""


_ROLES: Final[dict[str, type]] = {
    "distributor": DistributorConfig,
    "ingester": IngesterConfig,
    "querier": QuerierConfig,
}


def page() -> str:
    """The whole page."""
    return _HEAD + reference(Config) + "".join(map(_role, _ROLES))


def _role(name: str) -> str:
    """What a process of a cluster has that a standalone server has not."""
    own = reference(_ROLES[name], without=names(Config))
    return f"\n# `rondel {name}`\n\nWhat it has of the settings above, and:\n\n{own}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
