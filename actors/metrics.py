"""Counters and histograms of the actors, by `ray.util.metrics`; labels are few and bounded, so never a match id."""

from functools import cache

from ray.util.metrics import Counter, Histogram

from actors.domain.forecast import Forecast

_AGE_S = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]


@cache
def _counter(name: str, description: str, *labels: str) -> Counter:
    return Counter(name, description=description, tag_keys=labels)


@cache
def _histogram(name: str, description: str) -> Histogram:
    return Histogram(name, description=description, boundaries=_AGE_S)


class MatchMetrics:
    """What a match actor counts."""

    def applied(self, records: int) -> None:
        """Count feed records that were folded."""
        _counter("touchline_records_applied_total", "Feed records folded").inc(records)

    def rejected(self, reason: str) -> None:
        """Count a feed record that went to feed.dlq."""
        _counter("touchline_records_rejected_total", "Feed records refused", "reason").inc(tags={"reason": reason})

    def gap(self) -> None:
        """Count a match that lost trust in its feed."""
        _counter("touchline_gaps_total", "Times that a match was marked GAP").inc()

    def published(self, forecast: Forecast) -> None:
        """Count a forecast, and how old its event and its record were when it was published."""
        stamps = forecast.stamps
        _counter("touchline_forecasts_published_total", "Forecasts published", "status").inc(
            tags={"status": forecast.status}
        )
        _histogram("touchline_forecast_age_seconds", "Event received to forecast published").observe(
            max(0.0, (stamps.published - stamps.received).total_seconds())
        )
        _histogram("touchline_feed_lag_seconds", "Event received to its record in the log").observe(
            max(0.0, (stamps.logged - stamps.received).total_seconds())
        )
