"""etcd as the store: several members, any of which may be dead, frozen or cut off.

One member is talked to at a time; when it does not answer, the next one is. Reads are sent again by
themselves. Writes are not: an answer that is lost may mean a write that was done, so the caller looks first.
API: https://etcd.io/docs/v3.5/learning/api/
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from rondel.errors import ConfigError, InvalidData, Unauthenticated, Unavailable
from rondel.kv.store import Change, Changes, Committed, Compacted, Delete, Guard, Item, Put, Snapshot
from rondel.rpc.channel import Call, Channel, Message, Metadata, Stream, TlsFiles
from rondel.rpc.pb import etcd_pb2 as pb

__all__ = ["EtcdConfig", "EtcdStore"]

_RANGE: Final = Call("/etcdserverpb.KV/Range", pb.RangeResponse)
_TXN: Final = Call("/etcdserverpb.KV/Txn", pb.TxnResponse)
_GRANT: Final = Call("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantResponse)
_REVOKE: Final = Call("/etcdserverpb.Lease/LeaseRevoke", pb.LeaseRevokeResponse)
_KEEP_ALIVE: Final = Call("/etcdserverpb.Lease/LeaseKeepAlive", pb.LeaseKeepAliveResponse)
_WATCH: Final = Call("/etcdserverpb.Watch/Watch", pb.WatchResponse)
_AUTHENTICATE: Final = Call("/etcdserverpb.Auth/Authenticate", pb.AuthenticateResponse)

# A member that has lost the others answers reads of its own and holds watches open for ever, unless told
# that only a member with a leader will do.
_HAS_LEADER: Final[Metadata] = (("hasleader", "true"),)
_PAGE: Final = 1_000
_PROGRESS_S: Final = 10.0
_PAUSE_S: Final = 0.2
"""after every member was tried in vain"""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class EtcdConfig:
    """How etcd is reached."""

    endpoints: tuple[str, ...] = ()
    """`host:port` of its members."""
    username: str = ""
    """Where etcd asks who we are."""
    password: str = ""
    """Of that user."""
    tls: bool = False
    """Whether calls are encrypted; a `ca_file` or `cert_file` says so, too."""
    ca_file: str = ""
    """Who signed the certificates of etcd; empty for the authorities of this machine."""
    cert_file: str = ""
    """Our certificate, where etcd asks for one."""
    key_file: str = ""
    """Its key."""
    request_timeout_s: float = 3.0
    """How long one member may take to answer."""

    def __post_init__(self) -> None:
        if bool(self.username) != bool(self.password):
            raise ConfigError("etcd: a username and a password go together: one of them is missing")
        if self.request_timeout_s <= 0:
            raise ConfigError(f"etcd: request_timeout_s must be above 0, is {self.request_timeout_s}")

    def tls_files(self) -> TlsFiles | None:
        if not (self.tls or self.ca_file or self.cert_file):
            return None
        return TlsFiles(self.ca_file, self.cert_file, self.key_file)


class EtcdStore:
    """Implements `rondel.kv.store.KeyValueStore`. Needs `close()`."""

    def __init__(self, config: EtcdConfig) -> None:
        if not config.endpoints:
            raise ConfigError("etcd: no endpoints are given")
        self._config = config
        self._channels = [Channel(endpoint, config.tls_files()) for endpoint in config.endpoints]
        self._at = 0
        self._token = ""

    @property
    def endpoint(self) -> str:
        """The member that is talked to now."""
        return self._channels[self._at].endpoint

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    async def snapshot(self, prefix: str) -> Snapshot:
        items: list[Item] = []
        start, revision = prefix.encode(), 0
        while True:
            request = pb.RangeRequest(key=start, range_end=_end_of(prefix), limit=_PAGE, revision=revision)
            reply = await self._read(_RANGE, request)
            revision = revision or reply.header.revision
            items += (_item(kv) for kv in reply.kvs)
            if not reply.more:
                return Snapshot(reply.header.cluster_id, revision, tuple(items))
            start = reply.kvs[-1].key + b"\0"

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Put | Delete]) -> Committed:
        request = pb.TxnRequest(
            compare=[
                pb.Compare(
                    result=pb.Compare.EQUAL,
                    target=pb.Compare.MOD,
                    key=guard.key.encode(),
                    mod_revision=guard.modified,
                )
                for guard in guards
            ],
            success=[_operation(write) for write in writes],
        )
        try:
            reply = await self._write(_TXN, request)
        except InvalidData as error:
            if "lease not found" in str(error):
                raise Unavailable("the lease of a key has ended") from error
            raise
        return Committed(reply.succeeded, reply.header.revision)

    async def grant(self, ttl_s: int) -> int:
        reply = await self._write(_GRANT, pb.LeaseGrantRequest(TTL=ttl_s))
        return int(reply.ID)

    async def revoke(self, lease: int) -> None:
        try:
            await self._write(_REVOKE, pb.LeaseRevokeRequest(ID=lease))
        except InvalidData as error:
            if "lease not found" not in str(error):
                raise

    async def keep_alive(self, lease: int) -> bool:
        async def ask(channel: Channel, metadata: Metadata) -> bool:
            stream = channel.stream(_KEEP_ALIVE, metadata=metadata)
            try:
                async with asyncio.timeout(self._config.request_timeout_s):
                    await stream.send(pb.LeaseKeepAliveRequest(ID=lease))
                    async for reply in stream.replies():
                        return bool(reply.TTL > 0)
            except TimeoutError as error:
                raise Unavailable(f"{channel.endpoint}: no answer to a lease's keep-alive") from error
            finally:
                stream.close()
            raise Unavailable(f"{channel.endpoint} ended a lease's keep-alive")

        return bool(await self._repeated(ask))

    async def watch(self, prefix: str, revision: int, cluster: int = 0) -> AsyncIterator[Changes]:
        following = revision
        while True:
            try:
                async for reply in self._watched(prefix, following):
                    if reply.compact_revision:
                        raise Compacted(following, reply.compact_revision)
                    if reply.created and _is_other(reply.header, following, cluster):
                        raise Compacted(following, reply.header.revision)
                    changes = _changes(reply)
                    if changes is not None:
                        following = changes.revision + 1
                        yield changes
            except Unavailable:
                await self._next_member()

    async def _watched(self, prefix: str, revision: int) -> AsyncIterator[Any]:
        """Replies of one member until it fails or falls silent; raises Unavailable then."""
        channel = self._channels[self._at]
        stream = channel.stream(_WATCH, metadata=await self._metadata(channel, _HAS_LEADER))
        create = pb.WatchCreateRequest(
            key=prefix.encode(), range_end=_end_of(prefix), start_revision=revision, progress_notify=True
        )
        try:
            await stream.send(pb.WatchRequest(create_request=create))
            async for reply in _talking(stream, channel.endpoint):
                if reply.canceled and not reply.compact_revision:
                    raise Unavailable(f"{channel.endpoint} ended a watch: {reply.cancel_reason}")
                yield reply
        finally:
            stream.close()
        raise Unavailable(f"{channel.endpoint} ended a watch")

    # --- members ---

    async def _read(self, call: Call, request: Message) -> Any:
        async def ask(channel: Channel, metadata: Metadata) -> Any:
            return await channel.call(
                call, request, timeout_s=self._config.request_timeout_s, metadata=metadata
            )

        return await self._repeated(ask)

    async def _repeated(self, ask: Any) -> Any:
        """Asks one member after the other, each once, for what may be asked twice."""
        failure: Unavailable | None = None
        for _ in self._channels:
            channel = self._channels[self._at]
            try:
                return await self._authenticated(channel, ask)
            except Unavailable as error:
                failure = error
                self._at = (self._at + 1) % len(self._channels)
        assert failure is not None
        raise failure

    async def _write(self, call: Call, request: Message) -> Any:
        """Asks one member, once; the next write goes to another where this one failed."""

        async def ask(channel: Channel, metadata: Metadata) -> Any:
            return await channel.call(
                call, request, timeout_s=self._config.request_timeout_s, metadata=metadata
            )

        try:
            return await self._authenticated(self._channels[self._at], ask)
        except Unavailable:
            self._at = (self._at + 1) % len(self._channels)
            raise

    async def _authenticated(self, channel: Channel, ask: Any) -> Any:
        """Simple tokens end when they are not used: a refused one is renewed, once."""
        try:
            return await ask(channel, await self._metadata(channel, ()))
        except Unauthenticated:
            self._token = ""
            return await ask(channel, await self._metadata(channel, ()))

    async def _metadata(self, channel: Channel, more: Metadata) -> Metadata:
        if not self._config.username:
            return more
        if not self._token:
            request = pb.AuthenticateRequest(name=self._config.username, password=self._config.password)
            reply = await channel.call(_AUTHENTICATE, request, timeout_s=self._config.request_timeout_s)
            self._token = reply.token
        return (*more, ("token", self._token))

    async def _next_member(self) -> None:
        self._at = (self._at + 1) % len(self._channels)
        self._token = ""
        await asyncio.sleep(_PAUSE_S)


async def _talking(stream: Stream, endpoint: str) -> AsyncIterator[Any]:
    """Replies of a watch; one that says nothing, asked how far it is, is given up."""
    replies = stream.replies()
    while True:
        waiting = asyncio.ensure_future(anext(replies))
        try:
            done, _ = await asyncio.wait([waiting], timeout=_PROGRESS_S)
            if not done:
                await stream.send(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))
                done, _ = await asyncio.wait([waiting], timeout=_PROGRESS_S)
            if not done:
                raise Unavailable(f"{endpoint} is silent on a watch")
            yield waiting.result()
        except StopAsyncIteration:
            return
        finally:
            waiting.cancel()


def _changes(reply: Any) -> Changes | None:
    """None where nothing changed. The revision of such a reply is not trusted: there have been versions that
    told of progress before they sent the events on the way to it."""
    if not reply.events:
        return None
    return Changes(reply.events[-1].kv.mod_revision, tuple(_change(event) for event in reply.events))


def _change(event: Any) -> Change:
    is_put = event.type == pb.Event.PUT
    return Change(event.kv.key.decode(), _item(event.kv) if is_put else None)


def _is_other(header: Any, revision: int, cluster: int) -> bool:
    """Whether this is not the store that told us what came before the revision. One that knows less than we
    have seen is new or from a backup: it would say nothing until its revisions have come so far."""
    return bool(header.revision < revision - 1 or (cluster and header.cluster_id != cluster))


def _item(kv: Any) -> Item:
    return Item(kv.key.decode(), kv.value, kv.create_revision, kv.mod_revision, kv.lease)


def _operation(write: Put | Delete) -> Any:
    if isinstance(write, Delete):
        return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=write.key.encode()))
    put = pb.PutRequest(key=write.key.encode(), value=write.value, lease=write.lease)
    return pb.RequestOp(request_put=put)


def _end_of(prefix: str) -> bytes:
    """The first key after all that start with the prefix."""
    octets = bytearray(prefix.encode())
    while octets and octets[-1] == 0xFF:
        octets.pop()
    if not octets:
        return b"\0"
    octets[-1] += 1
    return bytes(octets)
