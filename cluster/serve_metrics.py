"""What the app counts, told to `ray.util.metrics`; labels are few and bounded, so never a match id."""

from ray.util.metrics import Counter, Gauge, Histogram

from serve_app.counters import Event

_AGE_S = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]


class RayCounters:
    """Counters of one replica; `app` is the deployment: api, push-sse, push-ws."""

    def __init__(self, app: str) -> None:
        app_label = {"app": app}
        self._events = Counter(
            "touchline_app_events_total", "Streams begun, refused, dropped; records not read", ("app", "event")
        ).set_default_tags(app_label)
        self._streams = Gauge("touchline_streams_open", "Streams that are open", ("app",)).set_default_tags(app_label)
        self._pushed = Histogram(
            "touchline_push_age_seconds", "Forecast published to handed to the streams", _AGE_S, ("app",)
        ).set_default_tags(app_label)
        self.streams_open(0)

    def count(self, event: Event) -> None:
        self._events.inc(tags={"event": event})

    def streams_open(self, streams: int) -> None:
        self._streams.set(streams)

    def pushed(self, age_s: float) -> None:
        self._pushed.observe(age_s)
