"""Hand-written twins that fail where they are told to, and a model that needs no torch."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from actors.domain.distribution import (
    MAX_REMAINING,
    FloatArray,
    ForecastInputs,
    Prediction,
    Predictions,
    Runtime,
    ScoreDistribution,
    stacked,
)
from actors.domain.errors import StoreUnavailable
from actors.domain.events import Score
from actors.domain.ports import LogRecord, MatchSnapshot, NewRecord


class Killed(BaseException):
    """The process ends here."""


class Fate:
    """Counts the operations that could fail, and says what becomes of each.

    `before` and `after` name operations that fail before or after they took effect; `killed` those at which the
    process dies, before (even numbers) or after (odd numbers) the effect.
    """

    def __init__(self, before: set[int] = frozenset(), after: set[int] = frozenset(), kills: set[int] = frozenset()):  # type: ignore[assignment]
        self.before, self.after, self.kills = set(before), set(after), set(kills)
        self.count = 0

    def entering(self, what: str) -> int:
        """Begin an operation; it may fail before it did anything."""
        self.count += 1
        if self.count in self.kills and self.count % 2 == 0:
            raise Killed(what)
        if self.count in self.before:
            raise StoreUnavailable("fake", what, "refused")
        return self.count

    def tears(self, number: int) -> bool:
        """Say whether only the first half of what is written arrives, before the answer is lost."""
        return number % 3 == 0 and (number in self.after or (number in self.kills and number % 2 == 1))

    def leaving(self, number: int, what: str) -> None:
        """End an operation that took effect; its answer may be lost."""
        if number in self.kills and number % 2 == 1:
            raise Killed(what)
        if number in self.after:
            raise StoreUnavailable("fake", what, "no answer")


class MemoryLog:
    """An EventLog in memory, with a fate."""

    def __init__(self, fate: Fate | None = None, partitions: int = 4) -> None:
        self.fate = fate or Fate()
        self.topics: dict[str, dict[int, list[LogRecord]]] = {}
        self._partitions = partitions

    def append(self, topic: str, partition: int, records: Sequence[NewRecord]) -> list[int]:
        number = self.fate.entering(f"append {topic}")
        stored = self.topics.setdefault(topic, {}).setdefault(partition, [])
        now = datetime.now(UTC)
        first = len(stored)
        kept = records[: len(records) // 2] if self.fate.tears(number) else records
        for offset, record in enumerate(kept, start=first):
            stored.append(
                LogRecord(partition=partition, offset=offset, key=record.key, value=record.value, appended_at=now)
            )
        self.fate.leaving(number, f"append {topic}")
        return list(range(first, len(stored)))

    def read(self, topic: str, positions: Mapping[int, int], max_records: int, wait_s: float) -> list[LogRecord]:
        number = self.fate.entering(f"read {topic}")
        found = [r for p, o in positions.items() for r in self.topics.get(topic, {}).get(p, [])[o:]]
        self.fate.leaving(number, f"read {topic}")
        return found[:max_records]

    def end_offsets(self, topic: str) -> dict[int, int]:
        return {p: len(self.topics.get(topic, {}).get(p, [])) for p in range(self._partitions)}

    def close(self) -> None:
        pass


class MemorySnapshots:
    """A SnapshotStore in memory, with a fate."""

    def __init__(self, fate: Fate | None = None) -> None:
        self.fate = fate or Fate()
        self.kept: dict[str, MatchSnapshot] = {}

    def load(self, match_id: str) -> MatchSnapshot | None:
        self.fate.leaving(self.fate.entering("load"), "load")
        return self.kept.get(match_id)

    def save(self, snapshot: MatchSnapshot) -> None:
        number = self.fate.entering("save")
        old = self.kept.get(snapshot.match_id)
        if old is None or (old.epoch, old.offset) <= (snapshot.epoch, snapshot.offset):
            self.kept[snapshot.match_id] = snapshot
        self.fate.leaving(number, "save")

    def close(self) -> None:
        pass


def predict(inputs: list[ForecastInputs]) -> list[Prediction]:
    """Answer as a model would: a pure function of each row, beside the score as it stands."""
    return [_predict(row) for row in inputs]


def joined(rows: Sequence[Prediction]) -> Predictions:
    """Return the answers of a model, one or more, as it gives those of a batch."""
    intervals = [row.intervals for row in rows]
    known = [(*each.home, *each.draw, *each.away) for each in intervals if each is not None]
    return Predictions(
        distributions=stacked([row.distribution for row in rows]),
        model_version=rows[0].model_version,
        bases=tuple(row.basis for row in rows),
        home_rate=np.array([row.home_rate for row in rows]),
        away_rate=np.array([row.away_rate for row in rows]),
        runtime=rows[0].runtime,
        level=intervals[0].level if intervals[0] else 0.0,
        bounds=np.array(known) if known else None,
    )


def _predict(row: ForecastInputs) -> Prediction:
    left = (
        0.0 if row.is_over else max(0.0, 1.0 - (row.period - 1 + row.clock_ms / 2_700_000) / 2 if row.period else 1.0)
    )
    home, away = (_poisson(rate * left) for rate in (1.5 * 0.7**row.home_reds, 1.1 * 0.7**row.away_reds))
    remaining = np.outer(home, away)
    goal = 1.0 - remaining[0, 0]
    distribution = ScoreDistribution(
        score=Score(row.home_goals, row.away_goals), remaining=remaining, next_home=0.6 * goal, next_away=0.4 * goal
    )
    return Prediction(
        distribution=distribution,
        model_version="fake-1",
        basis="prices" if row.anchor_1x2 else "league",
        home_rate=1.5,
        away_rate=1.1,
        runtime=Runtime(torch="none", cpu_capability="none"),
    )


def _poisson(rate: float) -> FloatArray:
    terms = [np.exp(-rate)]
    for k in range(1, MAX_REMAINING + 1):
        terms.append(terms[-1] * rate / k)
    return np.array([*terms[:-1], max(0.0, 1.0 - sum(terms[:-1]))])
