"""The configuration tree of the standalone server: the parts' own classes, nested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rondel.block.store import Config as StoreConfig
from rondel.model.tenant import TenancyConfig, check_tenants
from rondel.runtime import http, logs
from rondel.runtime.config import overridden
from services.compactor.config import Config as CompactorConfig
from services.distributor.config import Config as DistributorConfig
from services.distributor.config import Overrides as DistributorOverrides
from services.ingester.config import HeadConfig, ShipConfig, WalConfig
from services.querier.config import Config as QueryConfig
from services.querier.config import Overrides as QueryOverrides
from services.standalone import selfscrape

__all__ = ["Config", "TenantConfig"]


@dataclass(frozen=True, slots=True)
class TenantConfig:
    """Settings of one tenant; what is not given is as for all."""

    distributor: DistributorOverrides = field(default_factory=DistributorOverrides)
    query: QueryOverrides = field(default_factory=QueryOverrides)


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set on `rondel standalone`."""

    data_dir: str = "data"
    """Directory of the write-ahead log, and of the blocks unless `objstore` says otherwise."""
    objstore: str = ""
    """Object store of the blocks: `file:///dir`, `s3://bucket/prefix`, `gs://`, `az://`, `memory://`; empty
    for the directory `blocks` in `data_dir`."""
    instance_id: str = ""
    """Name of this process, the `instance` of its own metrics; empty for the host's name."""
    http: http.Config = field(default_factory=http.Config)
    log: logs.Config = field(default_factory=logs.Config)
    tenancy: TenancyConfig = field(default_factory=TenancyConfig)
    distributor: DistributorConfig = field(default_factory=DistributorConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    wal: WalConfig = field(default_factory=WalConfig)
    ship: ShipConfig = field(default_factory=ShipConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    query: QueryConfig = field(default_factory=QueryConfig)
    tenants: Mapping[str, TenantConfig] = field(default_factory=dict)
    """What single tenants have otherwise, by their names; only the file can say it."""

    compactor: CompactorConfig = field(default_factory=CompactorConfig)
    self_scrape: selfscrape.Config = field(default_factory=selfscrape.Config)

    def __post_init__(self) -> None:
        check_tenants(self.tenants)

    def query_of(self, tenant: str) -> QueryConfig:
        """`query` of one tenant."""
        own = self.tenants.get(tenant)
        return self.query if own is None else overridden(self.query, own.query)

    def distributor_of(self, tenant: str) -> DistributorConfig:
        """`distributor` of one tenant."""
        own = self.tenants.get(tenant)
        return self.distributor if own is None else overridden(self.distributor, own.distributor)

    @property
    def objstore_url(self) -> str:
        """`objstore`, resolved."""
        return self.objstore or (Path(self.data_dir).resolve() / "blocks").as_uri()
