"""Counters that remember."""

from collections import Counter

from serve_app.counters import Event


class Tally:
    """What was counted, and the last number of open streams."""

    def __init__(self) -> None:
        self.events: Counter[Event] = Counter()
        self.streams = 0
        self.ages: list[float] = []

    def count(self, event: Event) -> None:
        self.events[event] += 1

    def streams_open(self, streams: int) -> None:
        self.streams = streams

    def pushed(self, age_s: float) -> None:
        self.ages.append(age_s)
