"""Which tenant a request is for: the header, and the rule that its value obeys.

Tenants become names of directories and of object-store prefixes, so the rule is strict and is applied at
the edge, once. Whoever may set the header is trusted; authentication belongs in front of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rondel.errors import InvalidData, Unauthenticated

__all__ = [
    "ANONYMOUS",
    "TENANT_HEADER",
    "TenancyConfig",
    "check_tenant",
    "check_tenants",
    "is_tenant",
    "tenant_of",
]

TENANT_HEADER: Final = "X-Scope-OrgID"
ANONYMOUS: Final = "anonymous"
"""The one tenant while tenancy is off."""

_LENGTH_MAX: Final = 150
_CHARACTERS: Final = re.compile(r"[a-zA-Z0-9!\-_.*'()]+")


@dataclass(frozen=True, slots=True)
class TenancyConfig:
    """Several tenants in one process."""

    enabled: bool = False
    """Whether requests must name their tenant in `X-Scope-OrgID`; off, all data is `anonymous`'s."""


def tenant_of(header: str | None, *, tenancy: bool) -> str:
    """The tenant of a request. Without tenancy the header is not looked at.

    Raises Unauthenticated where the header is missing, InvalidData where it breaks the rule.
    """
    if not tenancy:
        return ANONYMOUS
    if not header:
        raise Unauthenticated(f"no org id: the header {TENANT_HEADER} is missing", id="tenant-missing")
    return check_tenant(header)


def is_tenant(name: str) -> bool:
    """Whether `check_tenant` takes it."""
    try:
        return bool(check_tenant(name))
    except InvalidData:
        return False


@lru_cache(maxsize=4096)
def check_tenant(tenant: str) -> str:
    """The tenant, or InvalidData."""
    if len(tenant) > _LENGTH_MAX:
        message = f"tenant has {len(tenant)} characters, more than {_LENGTH_MAX}: {tenant[:_LENGTH_MAX]!r}"
        raise InvalidData(message, id="tenant-invalid")
    if _CHARACTERS.fullmatch(tenant) is None or tenant in (".", ".."):
        message = f"tenant {tenant!r} is not made of letters, digits and !-_.*'() or is a relative path"
        raise InvalidData(message, id="tenant-invalid")
    return tenant


def check_tenants(names: Iterable[str]) -> None:
    """Judges the names of a configuration's section `tenants`. Raises ValueError."""
    for name in names:
        try:
            check_tenant(name)
        except InvalidData as error:
            raise ValueError(f"tenants: {error}") from error
