"""An ingester's server in a process of its own, to be killed and frozen: prints its port, and serves.

Pushes are answered with their size; a tenant has 100 series of 100 samples.
"""

from __future__ import annotations

import asyncio

from tests.support.rpc import MemorySource, serving

__all__: list[str] = []


async def _main() -> None:
    source = MemorySource()
    for number in range(100):
        source.append({"__name__": "m", "n": str(number)}, [(at, float(number)) for at in range(100)])
    async with serving(source) as served:
        print(served.server.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
