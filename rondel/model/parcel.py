"""A batch on its way to the ingesters of its replica sets: the thin door to its native half.

A distributor makes a `Routing` of each ring, `route`s a batch by it, and sends every member its `parcel`
(docs/format/push.md). `KnownSeries` is what one destination has acknowledged: a series that is in it goes
without labels. An ingester reads a parcel with `WriteBatch.from_parcel`, and its `Head` answers with the
fingerprints of series that it does not know.

```
routed = routing.route(batch, tenant)
for member in routed.members:
    parcel = routed.parcel(member, known)
    answer = ...                              # of parcel.payload
    if answer.unknown:
        known.forget(parcel, answer.unknown)
        again = parcel.again(answer.unknown)
        ...                                   # the same once more; then known.learn(again)
    known.learn(parcel, refused)              # items of the parcel that were refused
```
"""

from __future__ import annotations

from rondel._native import KnownSeries, Parcel, Routed, Routing

__all__ = ["KnownSeries", "Parcel", "Routed", "Routing"]
