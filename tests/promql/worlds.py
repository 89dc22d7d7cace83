"""Where scripts run: a store that a script loads and clears, and what answers queries over it."""

from __future__ import annotations

from typing import Protocol

from rondel.promql.control import Control
from rondel.promql.engine import Engine
from rondel.promql.options import FEATURES, EngineOptions
from rondel.promql.result import Result
from tests.promql.custom_buckets import custom_buckets
from tests.promql.script import Load
from tests.promql.series import Histogram
from tests.support.memory_storage import MemoryStorage, Sample

__all__ = ["Answers", "InProcess", "World"]


class Answers(Protocol):
    """What a script asks of an engine."""

    def control(self) -> Control: ...

    def instant(self, tenant: str, text: str, time_ms: int, control: Control) -> Result: ...

    def range(
        self, tenant: str, text: str, start_ms: int, end_ms: int, step_ms: int, control: Control
    ) -> Result: ...


class World(Protocol):
    """A store and its queries."""

    @property
    def engine(self) -> Answers: ...

    def clear(self) -> None:
        """Drops all series."""

    def load(self, command: Load) -> None:
        """Adds the series of a command."""


class InProcess:
    """The engine over a storage in memory."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.storage = MemoryStorage()
        self.engine: Answers = Engine(self.storage, EngineOptions(features=FEATURES))

    def load(self, command: Load) -> None:
        # Of several lines for one series the last counts.
        for line in {tuple(sorted(line.labels.items())): line for line in command.series}.values():
            times = ((index * command.gap_ms, item) for index, item in enumerate(line.items))
            samples = [(at, _sample(item)) for at, item in times if item is not None]
            self.storage.append(line.labels, samples, line.starts_ms(command.gap_ms))
        if command.custom_buckets:
            for labels, converted in custom_buckets(command.series):
                times_ms = ((index * command.gap_ms, fields) for index, fields in converted)
                self.storage.append(labels, list(times_ms))


def _sample(item: float | Histogram) -> Sample:
    return item.fields if isinstance(item, Histogram) else item
