"""Names of the keys, all below `/rondel/<cluster>/`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

__all__ = ["Keys"]


@dataclass(frozen=True, slots=True)
class Keys:
    """Those of one cluster; names that come from outside are escaped."""

    cluster: str

    @property
    def root(self) -> str:
        return f"/rondel/{quote(self.cluster, safe='')}/"

    @property
    def ingesters(self) -> str:
        """Prefix of the ring's entries: they stay until their instance has left, under no lease."""
        return f"{self.root}ring/ingesters/"

    def ingester(self, id: str) -> str:
        return self.ingesters + quote(id, safe="")

    @property
    def epoch(self) -> str:
        """Number of the last step in the ring: who takes one raises it in the same transaction."""
        return f"{self.root}ring/epoch"

    def turn(self, zone: str) -> str:
        """Held, under a lease, by the one ingester that moves in its zone."""
        return f"{self.root}ring/moving/{quote(zone, safe='')}"

    def holder(self, id: str) -> str:
        """Held, under a lease, by the process that is this ingester."""
        return f"{self.root}ring/holders/{quote(id, safe='')}"

    @property
    def readers(self) -> str:
        """Prefix of what each living process has applied of the ring, under leases."""
        return f"{self.root}readers/"

    def reader(self, id: str) -> str:
        return self.readers + quote(id, safe="")

    def peers(self, role: str = "") -> str:
        """Prefix of where the processes of a role listen, under leases; of all roles without one."""
        return f"{self.root}peers/" + (f"{quote(role, safe='')}/" if role else "")

    def peer(self, role: str, id: str) -> str:
        return self.peers(role) + quote(id, safe="")

    @property
    def elections(self) -> str:
        """Prefix of the elected replicas of pairs."""
        return f"{self.root}ha/"

    def election(self, tenant: str, pair: str) -> str:
        return f"{self.elections}{quote(tenant, safe='')}/{quote(pair, safe='')}"
