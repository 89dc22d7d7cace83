"""Bodies of requests as they arrive: bounded in size, in time, and in what all of them hold together."""

from __future__ import annotations

import asyncio

from starlette.types import Receive

from rondel.errors import TooLarge, text_with_id
from services.distributor.config import Config
from services.distributor.inflight import Inflight

__all__ = ["Bodies", "BodyTimeout", "ClientGone"]


class ClientGone(Exception):
    """The client closed its connection before its request was complete."""


class BodyTimeout(Exception):
    """The client did not send its body in time."""


class Bodies:
    """Reads bodies. Their bytes count as inside."""

    def __init__(self, config: Config, inflight: Inflight) -> None:
        self._config = config
        self._inflight = inflight

    def judge_length(self, content_length: bytes) -> None:
        """Raises TooLarge by the header alone."""
        if content_length.isdigit():
            self._judge_size(int(content_length))

    def _judge_size(self, size_bytes: int) -> None:
        if size_bytes > self._config.body_bytes_max:
            message = (
                f"body of {size_bytes} bytes or more exceeds body_bytes_max {self._config.body_bytes_max}"
            )
            raise TooLarge(text_with_id(message, "distributor-max-write-message-size"))

    async def read(self, receive: Receive) -> bytes:
        """The body; on success the caller gives its bytes back. Raises TooLarge, Unavailable, ClientGone and
        BodyTimeout."""
        body = bytearray()
        part: bytes = b""
        size_bytes = 0
        try:
            async with asyncio.timeout(self._config.body_timeout_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    part = message.get("body", b"")
                    self._judge_size(size_bytes + len(part))
                    self._inflight.take(len(part))
                    size_bytes += len(part)
                    if not message.get("more_body"):
                        break
                    body += part  # not a list: a client may send a byte at a time
        except TimeoutError as error:
            self._inflight.give(size_bytes)
            text = f"the body did not arrive within {self._config.body_timeout_s:g} s"
            raise BodyTimeout(text) from error
        except BaseException:
            self._inflight.give(size_bytes)
            raise
        if not body:
            return part
        body += part
        return bytes(body)
