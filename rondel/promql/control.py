"""`Control`: what a running query may use, and the way to stop it.

One a query. The worker thread that runs the query calls `check`, `hold` and `release`; any thread may
call `cancel`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rondel.errors import QueryCanceled, QueryTimeout, QueryTooExpensive
from rondel.promql.limits import NO_LIMITS, QueryLimits, exceeded

__all__ = ["Control"]


class Control:
    """Deadline, cancellation and budgets of one query.

    `timeout_s` counts from construction, on `clock` (seconds, monotonic). A limit of None is no limit.
    What is held at once is given back; what was found and read adds up over the whole query.
    """

    def __init__(
        self,
        *,
        timeout_s: float | None = None,
        samples_max: int | None = None,
        memory_bytes_max: int | None = None,
        limits: QueryLimits = NO_LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._deadline_s = None if timeout_s is None else clock() + timeout_s
        self._canceled = threading.Event()
        self._samples_max = samples_max
        self._memory_bytes_max = memory_bytes_max
        self._limits = limits
        self.samples_peak = 0
        self.memory_bytes_peak = 0
        self.restart()

    def restart(self) -> None:
        """Forgets what was used: the query is run from the start. Its time and its cancellation stay."""
        self._samples = 0
        self._memory_bytes = 0
        self.series_found = 0
        self.samples_read = 0
        self.bytes_read = 0

    @property
    def memory_bytes_max(self) -> int | None:
        return self._memory_bytes_max

    def cancel(self) -> None:
        """Stops the query at its next check."""
        self._canceled.set()

    def check(self) -> None:
        """Raises QueryCanceled or QueryTimeout where the query has to stop."""
        if self._canceled.is_set():
            raise QueryCanceled("query was canceled in expression evaluation")
        if self._deadline_s is not None and self._clock() > self._deadline_s:
            raise QueryTimeout("query timed out in expression evaluation")

    def find(self, series: int) -> None:
        """Accounts for series that a selector found; raises QueryTooExpensive above the limit."""
        self.series_found += series
        self._check("selects too many series", self.series_found, "series_max")

    def read(self, samples: int, size_bytes: int) -> None:
        """Accounts for samples that were read; raises QueryTooExpensive above a limit."""
        self.samples_read += samples
        self.bytes_read += size_bytes
        self._check("reads too many samples", self.samples_read, "samples_read_max")
        self._check("reads too many bytes", self.bytes_read, "bytes_read_max")

    def check_range(self, range_ms: int) -> None:
        """Raises QueryTooExpensive where a selector looks at more time than is allowed."""
        self._check("looks at too many milliseconds", range_ms, "lookup_range_ms_max")

    def _check(self, what: str, actual: int, setting: str) -> None:
        limit: int = getattr(self._limits, setting)
        if 0 < limit < actual:
            raise QueryTooExpensive(exceeded(what, actual, limit, setting))

    def hold(self, samples: int, size_bytes: int) -> None:
        """Accounts for samples and bytes now in memory; raises QueryTooExpensive above a limit."""
        self._samples += samples
        self._memory_bytes += size_bytes
        self.samples_peak = max(self.samples_peak, self._samples)
        self.memory_bytes_peak = max(self.memory_bytes_peak, self._memory_bytes)
        if self._samples_max is not None and self._samples > self._samples_max:
            raise QueryTooExpensive(
                "query processing would load too many samples into memory in query execution "
                f"(limit {self._samples_max}, needed at least {self._samples}; set by query.samples_max)"
            )
        if self._memory_bytes_max is not None and self._memory_bytes > self._memory_bytes_max:
            raise QueryTooExpensive(
                "query processing would hold too much memory in query execution "
                f"(limit {self._memory_bytes_max} bytes, needed at least {self._memory_bytes} bytes; "
                "set by query.memory_bytes_max)"
            )

    def release(self, samples: int, size_bytes: int) -> None:
        """Takes back what `hold` accounted for."""
        self._samples -= samples
        self._memory_bytes -= size_bytes
