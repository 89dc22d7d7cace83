"""Traffic on a cluster while things break: writers as Prometheus writes, readers that check what they get.

A writer makes one batch a second, of that second, after a minute of them at once, and sends its batches in
order until each is answered with 2xx: what was acknowledged is known. A server that does not answer is left
for the next one, as a load balancer would leave it; an answer of 5xx is counted, and the batch sent again.

A reader asks a querier, and the next one if that gives no answer at all. One that says that it is not ready,
as it does while it starts, gets no traffic from a load balancer either. An answer of 5xx is a failed query.
What was acknowledged before it asked must be in the answer, and nothing wrong.
"""

from __future__ import annotations

import http.client
import itertools
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.client import Client, Reply
from tests.support.oracle import METRIC, Oracle, faults, ms, number
from tests.support.process import Process
from tests.support.truth import value_at

__all__ = ["Traffic", "Writer", "is_out"]

HISTORY_S = 60
"""how much is written at once in the beginning, so that there are blocks from then on"""
WIDTH_S = 60
"""how far back live queries look"""
BACKOFF_S = (0.03, 1.0)
SHUT_S = 2.0
"""how long a load balancer leaves out a server that gave no answer"""
WRITE_S, QUERY_S = 5.0, 10.0
"""time that a server has before it counts as one that gives no answer"""


@dataclass
class Tally:
    """What happened; all threads share one."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)
    """by process, the moment of the last request that it was asked after and answered well"""

    def count(self, what: str, example: str = "") -> None:
        with self.lock:
            self.counts[what] += 1
            if example:
                found = self.examples.setdefault(what, [])
                if len(found) < 5:
                    found.append(f"{time.strftime('%H:%M:%S')} {example}")

    def well(self, process: Process, asked_s: float) -> None:
        with self.lock:
            self.answered[process.name] = asked_s


class Doors:
    """Servers of one kind, by turns, with a connection to each; one that gave no answer is left out for a
    while."""

    def __init__(self, processes: Sequence[Process], first: int, timeout_s: float) -> None:
        self._doors = [(p, Client(p.port, host=p.host, timeout_s=timeout_s)) for p in processes]
        self._shut_until_s = [0.0] * len(self._doors)
        self._at = first % len(self._doors)

    @property
    def here(self) -> tuple[Process, Client]:
        return self._doors[self._at]

    def turn(self, *, silent: bool = False) -> None:
        """To the next one."""
        now_s = time.monotonic()
        if silent:
            self._shut_until_s[self._at] = now_s + SHUT_S
        for _ in self._doors:
            self._at = (self._at + 1) % len(self._doors)
            if self._shut_until_s[self._at] <= now_s:
                return

    def __len__(self) -> int:
        return len(self._doors)

    def close(self) -> None:
        for _, client in self._doors:
            client.close()


class Writer(threading.Thread):
    """One Prometheus: its own series, one batch a second, in order, each until it is acknowledged."""

    def __init__(self, oracle: Oracle, doors: Doors, tally: Tally, wait_s: float) -> None:
        super().__init__(name=oracle.name, daemon=True)
        self.oracle = oracle
        self.pending: deque[int] = deque()
        self._doors = doors
        self._tally = tally
        self._over = threading.Event()
        self._next_s = time.time() - HISTORY_S + wait_s

    def run(self) -> None:
        pause_s = BACKOFF_S[0]
        while not self._over.is_set() or self.pending:
            self._due()
            if not self.pending:
                time.sleep(0.02)
            elif self._send(self.pending[0]):
                self.pending.popleft()
                pause_s = BACKOFF_S[0]
                self._doors.turn()
            else:
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, BACKOFF_S[1])
        self._doors.close()

    def finish(self) -> None:
        """No more new batches; the thread ends when the last one is acknowledged."""
        self._over.set()

    def _due(self) -> None:
        while not self._over.is_set() and time.time() >= self._next_s:
            self.pending.append(int(self._next_s) * 1000)
            self._next_s += 1

    def _send(self, time_ms: int) -> bool:
        process, client = self._doors.here
        self.oracle.sent.add(time_ms)
        body, headers = self.oracle.request(time_ms)
        asked_s = time.monotonic()
        try:
            reply = client.write(body, headers=headers)
        except (OSError, http.client.HTTPException) as error:
            self._tally.count("write moved", f"{process.name}: {error!r}")
            self._doors.turn(silent=True)
            return False
        if reply.status // 100 == 2:
            self.oracle.acknowledged.add(time_ms)
            self._tally.well(process, asked_s)
            return True
        if is_out(reply):
            self._tally.count("write moved", f"{process.name}: {reply.text[:100]}")
            self._doors.turn(silent=True)
            return False
        what = "write failed" if reply.status >= 500 else "write refused"
        self._tally.count(what, f"{process.name}: {reply.status} {reply.text[:300]}")
        self._doors.turn()
        return False


class Reader(threading.Thread):
    """Asks for recent data, by turns in three ways, and checks every answer."""

    def __init__(self, oracles: Sequence[Oracle], doors: Doors, tally: Tally, seed: int) -> None:
        super().__init__(name=f"reader-{seed}", daemon=True)
        self._oracles = oracles
        self._doors = doors
        self._tally = tally
        self._choice = random.Random(seed)
        self._over = threading.Event()

    def run(self) -> None:
        asks = itertools.cycle((self._instant, self._selected, self._ranged))
        while not self._over.is_set():
            oracle = self._choice.choice(self._oracles)
            before = set(oracle.acknowledged)
            if before:
                next(asks)(oracle, before)
            time.sleep(0.1)
            self._doors.turn()
        self._doors.close()

    def finish(self) -> None:
        self._over.set()

    def _instant(self, oracle: Oracle, before: set[int]) -> None:
        """All series at one moment that was acknowledged."""
        time_ms = self._choice.choice(sorted(before)[-WIDTH_S:])
        rows = self._asked("query", {"query": _selector(oracle), "time": time_ms / 1000})
        if rows is not None:
            found = {number(row): [(time_ms, float(row["value"][1]))] for row in rows}
            self._judge(oracle, {time_ms}, {time_ms}, found)

    def _selected(self, oracle: Oracle, before: set[int]) -> None:
        """Every sample of the last minute, each once."""
        last_ms = max(before)
        first_ms = last_ms - (WIDTH_S - 1) * 1000
        rows = self._asked(
            "query", {"query": f"{_selector(oracle)}[{WIDTH_S * 1000 - 500}ms]", "time": last_ms / 1000}
        )
        if rows is None:
            return
        needed = {t for t in before if t >= first_ms}
        found = {number(row): [(ms(t), float(text)) for t, text in row["values"]] for row in rows}
        self._judge(oracle, needed, {t for t in set(oracle.sent) if t >= first_ms}, found)

    def _ranged(self, oracle: Oracle, before: set[int]) -> None:
        """A step a second; where nothing was acknowledged an older sample may stand."""
        last_ms = max(before)
        window = {"start": last_ms / 1000 - WIDTH_S + 1, "end": last_ms / 1000, "step": 1}
        rows = self._asked("query_range", {"query": _selector(oracle), **window})
        if rows is None:
            return
        needed = {t for t in before if t > last_ms - WIDTH_S * 1000}
        found = {
            number(row): [(ms(t), float(text)) for t, text in row["values"] if ms(t) in needed]
            for row in rows
        }
        self._judge(oracle, needed, needed, found)

    def _asked(self, path: str, params: dict[str, str | float]) -> list[dict[str, Any]] | None:
        """Rows of the answer; None where there was none, which is counted."""
        self._tally.count("query")
        for _ in range(len(self._doors)):
            process, client = self._doors.here
            asked_s = time.monotonic()
            try:
                reply = client.get(f"/api/v1/{path}", list(params.items()))
            except (OSError, http.client.HTTPException) as error:
                self._tally.count("query moved", f"{process.name}: {error!r}")
                self._doors.turn(silent=True)
                continue
            if is_out(reply):
                self._tally.count("query moved", f"{process.name}: {reply.text[:100]}")
                self._doors.turn(silent=True)
                continue
            return self._rows(process, reply, asked_s)
        self._tally.count("query failed", "no querier answers")
        return None

    def _rows(self, process: Process, reply: Reply, asked_s: float) -> list[dict[str, Any]] | None:
        if reply.status != 200:
            self._tally.count("query failed", f"{process.name}: {reply.status} {reply.text[:300]}")
            self._tally.count(f"query failed at {process.name}")
            return None
        self._tally.well(process, asked_s)
        rows: list[dict[str, Any]] = reply.json()["data"]["result"]
        return rows

    def _judge(
        self, oracle: Oracle, needed: set[int], sent: set[int], found: dict[int, list[tuple[int, float]]]
    ) -> None:
        wrong = [
            fault
            for n in range(oracle.series_count)
            for fault in faults(str(n), {t: value_at(n, t) for t in sent}, needed, found.get(n, []))
        ]
        if wrong:
            self._tally.count("answer wrong", f"{oracle.name} by {self._doors.here[0].name}: {wrong[:3]}")


class Traffic:
    """Writers and readers on some distributors and queriers, from entering to leaving."""

    def __init__(
        self,
        distributors: Sequence[Process],
        queriers: Sequence[Process],
        *,
        writers: int = 5,
        series: int = 16,
        readers: int = 2,
    ) -> None:
        self.tally = Tally()
        self._served = [*distributors, *queriers]
        nothing: Iterator[int] = iter(())
        self.oracles = [Oracle(f"writer-{n}", series, nothing) for n in range(writers)]
        self.writers = [
            Writer(oracle, Doors(distributors, n, WRITE_S), self.tally, n / writers)
            for n, oracle in enumerate(self.oracles)
        ]
        self._readers = [
            Reader(self.oracles, Doors(queriers, n, QUERY_S), self.tally, n) for n in range(readers)
        ]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        for thread in self._threads:
            thread.finish()
        if exception[0] is None:
            return
        for writer in self.writers:
            writer.pending.clear()

    @property
    def _threads(self) -> list[Writer | Reader]:
        return [*self._readers, *self.writers]

    @property
    def acknowledged(self) -> int:
        """Float samples so far."""
        return sum(len(one.acknowledged) * one.series_count for one in self.oracles)

    def finish(self, timeout_s: float = 120.0) -> bool:
        """Whether everything that was made is acknowledged in time."""
        for thread in self._threads:
            thread.finish()
        until_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        return not any(writer.is_alive() for writer in self.writers)

    def is_well_since(self, moment_s: float) -> bool:
        """Whether every server answered a request well that it got after that moment, and nothing waits."""
        with self.tally.lock:
            answered = dict(self.tally.answered)
        return self.is_caught_up and all(answered.get(one.name, 0.0) > moment_s for one in self._served)

    @property
    def is_caught_up(self) -> bool:
        """Whether everything that is due is acknowledged, but for what is just being sent."""
        return all(len(writer.pending) <= 2 and writer.oracle.acknowledged for writer in self.writers)

    def passes(self, seconds: float) -> None:
        """Lets it go on for so long, in batches that were acknowledged by each writer, not in time alone."""
        wanted = [len(one.acknowledged) + int(seconds) for one in self.oracles]
        until_s = time.monotonic() + seconds * 3 + 30
        while time.monotonic() < until_s:
            if all(len(one.acknowledged) >= n for one, n in zip(self.oracles, wanted, strict=True)):
                return
            time.sleep(0.05)


def is_out(reply: Reply) -> bool:
    """Whether the process says that nobody should ask it now."""
    return reply.status == 503 and "not ready" in reply.text


def _selector(oracle: Oracle) -> str:
    return f'{METRIC}{{oracle="{oracle.name}"}}'
