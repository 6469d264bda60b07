"""Health of a model as `GET /v1/models` says it: its age now, and the last look at live matches."""

from datetime import UTC, date, datetime, time, timedelta

from actors.domain.health import NOT_ASKED, HealthReport, LiveHealth, ModelAge, ModelHealth
from serve_app.deps import ServedModels

_NOT_YET = "live matches have not been looked at yet"
_UNKNOWN = LiveHealth(phases_reason=NOT_ASKED, drift_reason=NOT_ASKED)
_NEW = LiveHealth(phases_reason=_NOT_YET, drift_reason=_NOT_YET)
_DAY = timedelta(days=1)


def health_of(version: str, held: ServedModels, report: HealthReport | None, now: datetime) -> ModelHealth:
    """Return what is known of a version's health, as of `now`."""
    return ModelHealth(
        age=age_of(held.versions.get(version, {}).get("trained_until"), held.committed.get(version), now),
        at=None if report is None else report.at,
        window_days=None if report is None else report.window_days,
        live=_UNKNOWN if report is None else report.versions.get(version, _NEW),
    )


def age_of(trained_until: object, committed_at: datetime | None, now: datetime) -> ModelAge:
    """Return how old a model is; what its manifest does not say as a date is not known."""
    until = _midnight(trained_until)
    return ModelAge(
        trained_until=None if until is None else until.date().isoformat(),
        days=None if until is None else (now - until) / _DAY,
        committed_at=committed_at,
        committed_days=None if committed_at is None else (now - committed_at) / _DAY,
    )


def _midnight(day: object) -> datetime | None:
    try:
        return datetime.combine(date.fromisoformat(str(day)), time(), UTC)
    except ValueError:
        return None
