"""What the app counts about itself. It does not know who counts: that is handed in."""

from typing import Literal, Protocol

Event = Literal[
    "stream_new",  # opened without a position
    "stream_resumed",  # opened with one
    "stream_resync",  # a position could not be resumed: images instead
    "stream_renewed",  # ended because it carried as much as one stream may; its client resumes
    "stream_refused",  # too many are open: 429
    "reader_behind",  # a reader let its queue fill and is served from the log
    "reader_dropped",  # a reader took nothing for too long
    "record_unreadable",  # a record of forecasts.v1 was not understood or could not be applied
    "fault",  # our own: streams were ended so that their clients resume
]


class Counters(Protocol):
    """Called from the event loop and from the reader's thread; cheap, raises nothing. No label is ever a match id."""

    def count(self, event: Event) -> None: ...

    def streams_open(self, streams: int) -> None:
        """So many streams are open now."""
        ...

    def pushed(self, age_s: float) -> None:
        """A forecast was handed to the streams, so long after it was published by its owner's wall clock."""
        ...


class NoCounters:
    """Counts nothing."""

    def count(self, event: Event) -> None:
        return

    def streams_open(self, streams: int) -> None:
        return

    def pushed(self, age_s: float) -> None:
        return
