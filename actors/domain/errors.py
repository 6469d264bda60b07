"""Every error that Touchline raises on purpose; branches are named after what the caller can do."""


class ForecastingError(Exception):
    """Root of all errors raised by Touchline."""


class Transient:
    """Mixed into errors that are worth retrying."""


class FeedError(ForecastingError):
    """Something a provider sent cannot be used; the feed goes on without it."""


class RecordRejected(FeedError):
    """A feed record cannot be decoded or makes no sense; it belongs in `feed.dlq`."""

    def __init__(
        self, reason: str, detail: str, kind: str | None = None, provider: str | None = None, provider_seq: int = 0
    ) -> None:
        super().__init__(reason, detail, kind, provider, provider_seq)
        self.reason, self.detail, self.kind = reason, detail, kind
        self.provider, self.provider_seq = provider, provider_seq  # where the envelope itself could be read

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class NotAMatch(FeedError):
    """A file is not the provider's match file that was expected."""

    def __init__(self, source: str, expected: str, received: str) -> None:
        super().__init__(source, expected, received)
        self.source, self.expected, self.received = source, expected, received

    def __str__(self) -> str:
        return f"{self.source}: expected {self.expected}, received {self.received}"


class UnknownFixture(FeedError):
    """A feed names a match that no fixture announces."""

    def __init__(self, provider: str, provider_match_id: str) -> None:
        super().__init__(provider, provider_match_id)
        self.provider, self.provider_match_id = provider, provider_match_id

    def __str__(self) -> str:
        return f"no fixture has the id {self.provider_match_id!r} at provider {self.provider!r}; announce it first"


class MalformedMarket(ForecastingError):
    """Prices that cannot be the book of one market."""

    def __init__(self, market: str, problem: str) -> None:
        super().__init__(market, problem)
        self.market, self.problem = market, problem

    def __str__(self) -> str:
        return f"{self.market}: {self.problem}"


class StoreError(ForecastingError):
    """A log, store or view could not do what was asked."""


class StoreUnavailable(StoreError, Transient):
    """The outcome of a write is unknown, or a read got no answer; doing it again is safe."""

    def __init__(self, store: str, operation: str, cause: str) -> None:
        super().__init__(store, operation, cause)
        self.store, self.operation, self.cause = store, operation, cause

    def __str__(self) -> str:
        return f"{self.store}: {self.operation} did not complete ({self.cause}); it is safe to repeat"


class OffsetOutOfRange(StoreError):
    """A reader asked for records that retention has removed."""

    def __init__(self, topic: str, partition: int, asked: int, first: int) -> None:
        super().__init__(topic, partition, asked, first)
        self.topic, self.partition, self.asked, self.first = topic, partition, asked, first

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}: asked for offset {self.asked}, the log starts at {self.first}"


class SnapshotUnreadable(StoreError):
    """A snapshot was written by newer code or is damaged; the match is folded again from the log."""

    def __init__(self, match_id: str, problem: str) -> None:
        super().__init__(match_id, problem)
        self.match_id, self.problem = match_id, problem

    def __str__(self) -> str:
        return f"snapshot of {self.match_id}: {self.problem}"


class Unknown(ForecastingError):
    """What was asked for does not exist (HTTP 404)."""

    def __init__(self, what: str, identifier: str) -> None:
        super().__init__(what, identifier)
        self.what, self.identifier = what, identifier

    def __str__(self) -> str:
        return f"no {self.what} {self.identifier!r}"


class NoModel(ForecastingError, Transient):
    """No model version is committed yet (HTTP 503)."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def __str__(self) -> str:
        return f"no model: {self.detail}"


class ForecasterUnavailable(ForecastingError, Transient):
    """No replica of the forecaster answered in time."""

    def __init__(self, waited_s: float, cause: str) -> None:
        super().__init__(waited_s, cause)
        self.waited_s, self.cause = waited_s, cause

    def __str__(self) -> str:
        return f"the forecaster did not answer within {self.waited_s:g} s ({self.cause})"


class ModelRejected(ForecastingError):
    """Model files that must not be served: wrong hash, shape, values or format."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        return f"model {self.path}: {self.problem}"


class Overloaded(ForecastingError, Transient):
    """A bounded queue is full (HTTP 429)."""

    def __init__(self, what: str, limit: int, retry_after_s: float = 1.0) -> None:
        super().__init__(what, limit, retry_after_s)
        self.what, self.limit, self.retry_after_s = what, limit, retry_after_s

    def __str__(self) -> str:
        return f"{self.what} is full (limit {self.limit}); retry after {self.retry_after_s:g} s"


class Fenced(ForecastingError):
    """A newer owner holds the match; this one must stop."""

    def __init__(self, match_id: str, ours: int, newest: int) -> None:
        super().__init__(match_id, ours, newest)
        self.match_id, self.ours, self.newest = match_id, ours, newest

    def __str__(self) -> str:
        return f"{self.match_id}: epoch {self.ours} is over, epoch {self.newest} owns the match"


class SetupError(ForecastingError):
    """The program cannot start as configured: one sentence, exit code 2."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem
