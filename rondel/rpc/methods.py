"""The calls of an ingester, by name, and the types that they take and answer; see proto/ingester.proto."""

from __future__ import annotations

from typing import Any, Final

from rondel.rpc.channel import Call
from rondel.rpc.pb import ingester_pb2 as pb

__all__ = [
    "EXEMPLARS",
    "LABEL_NAMES",
    "LABEL_VALUES",
    "METADATA",
    "PUSH",
    "REQUESTS",
    "SELECT",
    "SERIES",
    "SERVICE",
    "TENANTS",
]

SERVICE: Final = "rondel.v1.Ingester"

PUSH: Final = Call(f"/{SERVICE}/Push", pb.PushReplies)
SELECT: Final = Call(f"/{SERVICE}/Select", pb.Part)
LABEL_NAMES: Final = Call(f"/{SERVICE}/LabelNames", pb.Strings)
LABEL_VALUES: Final = Call(f"/{SERVICE}/LabelValues", pb.Strings)
SERIES: Final = Call(f"/{SERVICE}/Series", pb.Part)
EXEMPLARS: Final = Call(f"/{SERVICE}/Exemplars", pb.Part)
METADATA: Final = Call(f"/{SERVICE}/Metadata", pb.MetricMetadataList)
TENANTS: Final = Call(f"/{SERVICE}/Tenants", pb.Strings)

REQUESTS: Final[dict[Call, type[Any]]] = {
    PUSH: pb.PushRequests,
    SELECT: pb.SelectRequest,
    LABEL_NAMES: pb.FindRequest,
    LABEL_VALUES: pb.LabelValuesRequest,
    SERIES: pb.FindRequest,
    EXEMPLARS: pb.FindRequest,
    METADATA: pb.MetadataRequest,
    TENANTS: pb.TenantsRequest,
}
