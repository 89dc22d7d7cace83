"""What is inside a process of write requests, and how much of it may be."""

from __future__ import annotations

from rondel.errors import Unavailable, text_with_id

__all__ = ["Inflight"]


class Inflight:
    """What is inside this process, and how much of it may be. Reports refusals as Unavailable."""

    def __init__(self, requests_max: int, bytes_max: int) -> None:
        self.requests = 0
        self.size_bytes = 0
        self._requests_max = requests_max
        self._bytes_max = bytes_max

    def enter(self) -> None:
        """One more request; `leave` must follow."""
        if self.requests >= self._requests_max:
            message = (
                f"{self.requests} write requests are inside, "
                f"the limit max_inflight_push_requests is {self._requests_max}"
            )
            raise Unavailable(text_with_id(message, "distributor-max-inflight-push-requests"))
        self.requests += 1

    def leave(self) -> None:
        self.requests -= 1

    def take(self, size_bytes: int) -> None:
        """More bytes; `give` must follow."""
        if self.size_bytes + size_bytes > self._bytes_max:
            message = (
                f"write requests hold {self.size_bytes} bytes and want {size_bytes} more, "
                f"the limit max_inflight_push_requests_bytes is {self._bytes_max}"
            )
            raise Unavailable(text_with_id(message, "distributor-max-inflight-push-requests-bytes"))
        self.size_bytes += size_bytes

    def give(self, size_bytes: int) -> None:
        self.size_bytes -= size_bytes
