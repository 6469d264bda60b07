"""The bodies of version 1, as types: what the handlers fill and the API description is generated from."""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from actors.domain.comparables import Comparables
from actors.domain.distribution import ForecastInputs, Intervals, Runtime
from actors.domain.events import Clock, Score
from actors.domain.explain import Explanation
from actors.domain.forecast import NO_ENSEMBLE, AsOf, Forecast, PriceView, Status
from actors.domain.health import ModelHealth
from actors.domain.markets import Markets, ThreeWay
from actors.domain.summary import Phase
from serve_app.freshness import Freshness
from serve_app.problem import ProblemDetails

Price = Annotated[float, Meta(gt=1, le=10_000)]
PLAYERS = 11


class ClockView(Struct, frozen=True, kw_only=True):
    """Match time, and how it is written on a scoreboard."""

    period: int
    ms: int
    label: str  # such as 45+2'


class MatchItem(Struct, frozen=True, kw_only=True):
    """One match. What only a forecast says is null until there is one."""

    match_id: str
    home: str
    away: str
    competition: str
    kick_off: datetime | None
    phase: Phase
    score: Score | None
    extra_time: Score | None
    shoot_out: Score | None
    cards: dict[str, Score] | None
    clock: ClockView
    status: Status | None
    reasons: tuple[str, ...]
    freshness: Freshness | None
    headline: ThreeWay | None
    price: PriceView | None
    model_version: str | None
    seq: int | None
    prediction_id: str | None


class MatchPage(Struct, frozen=True, kw_only=True):
    """Matches by kick-off."""

    matches: list[MatchItem]
    next_cursor: str | None


class ForecastBody(Forecast, frozen=True, kw_only=True, tag_field="type", tag="forecast"):
    """A published forecast as it was logged, and how fresh it is."""

    freshness: Freshness


class TimelineItem(Struct, frozen=True, kw_only=True):
    """One published forecast in short."""

    seq: int
    prediction_id: str
    clock: Clock
    occurred_at: datetime
    phase: Phase
    status: Status
    reasons: tuple[str, ...]
    trigger: str
    score: Score
    cards: dict[str, Score]
    one_x_two: ThreeWay
    price_fair: tuple[float, float, float] | None
    model_version: str


class TimelinePage(Struct, frozen=True, kw_only=True):
    """Forecasts of a match since the first, oldest first."""

    forecasts: list[TimelineItem]
    next_cursor: str | None


class InputValue(Struct, frozen=True, kw_only=True):
    """One input of the model; null is missing, which is not zero."""

    name: str
    value: Any
    unit: str
    source: str
    age_s: float | None  # null: does not age, or nothing is known of it


class MatchInput(Struct, frozen=True, kw_only=True):
    """One input of the catalogue; null is missing, which is not zero."""

    name: str
    value: float | None
    unit: str
    source: str
    group: str
    age_s: float | None  # seconds of play; null: does not age, or missing
    least: float | None  # of its range; null: unbounded
    most: float | None


class InputsAnswer(Struct, frozen=True, kw_only=True):
    """What the latest forecast was computed from, and all that the catalogue says of the match at that moment."""

    match_id: str
    prediction_id: str
    seq: int
    as_of: AsOf
    model_version: str
    feature_snapshot_id: str
    freshness: Freshness
    inputs: list[InputValue]
    match_inputs: list[MatchInput] | None
    match_inputs_reason: str | None  # why there are none


class ExplanationAnswer(Struct, frozen=True, kw_only=True):
    """What moved the latest forecast, in log-odds of each result; null where there is no forecast to start from."""

    match_id: str
    prediction_id: str
    seq: int
    as_of: AsOf
    model_version: str
    freshness: Freshness
    since_last: Explanation | None
    since_kick_off: Explanation | None  # from the last forecast before kick-off, or the first if there is none


class ComparablesAnswer(Struct, frozen=True, kw_only=True):
    """Past states like that of the latest forecast, and what happened next."""

    match_id: str
    prediction_id: str
    seq: int
    as_of: AsOf
    model_version: str
    freshness: Freshness
    comparables: Comparables | None
    comparables_reason: str | None  # why there are none


class OverUnderPrices(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A book on the number of goals."""

    line: Annotated[float, Meta(ge=0.5, le=20)]
    over: Price
    under: Price


class WhatIfPrices(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"one_x_two": "1x2"}):
    """Decimal prices before kick-off; `1x2` is home, draw, away."""

    one_x_two: tuple[Price, Price, Price] | None = None
    over_under: OverUnderPrices | None = None


Goals = Annotated[int, Meta(ge=0, le=99)]
Reds = Annotated[int, Meta(ge=0, le=PLAYERS)]


class WhatIf(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What should be otherwise; pairs are home, away. What is left out stays as it is."""

    score: tuple[Goals, Goals] | None = None
    clock: Clock | None = None
    reds: tuple[Reds, Reds] | None = None
    prices: WhatIfPrices | None = None


class Change(Struct, frozen=True, kw_only=True, rename={"before": "from", "after": "to"}):
    """One input that a what-if changed."""

    before: Any
    after: Any


class WhatIfAnswer(Struct, frozen=True, kw_only=True):
    """A forecast of what would be. Its id can be looked up and replayed like that of a published one."""

    prediction_id: str
    match_id: str
    based_on: str  # the published forecast whose inputs were changed
    seq: int
    as_of: AsOf
    model_version: str
    basis: str
    feature_snapshot_id: str
    changed: dict[str, Change]
    inputs: ForecastInputs
    markets: Markets
    intervals: Intervals | None = None
    intervals_reason: str = NO_ENSEMBLE  # why there are none; empty where there are
    runtime: Runtime
    freshness: Freshness  # of the forecast it is based on


class BatchItem(WhatIf, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One match: its latest forecast, or a what-if if anything is to be otherwise."""

    match_id: Annotated[str, Meta(min_length=1, max_length=160)]


class BatchRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Many in one request."""

    items: Annotated[list[BatchItem], Meta(min_length=1, max_length=1_000)]


class BatchResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer, in the order of the items: exactly one of the three."""

    forecast: ForecastBody | UnsetType = UNSET
    what_if: WhatIfAnswer | UnsetType = UNSET
    problem: ProblemDetails | UnsetType = UNSET


class BatchAnswer(Struct, frozen=True, kw_only=True):
    """Answers in the order of the items."""

    results: list[BatchResult]


class PublishedRecord(Struct, frozen=True, kw_only=True):
    """The audit record of a published forecast: the logged record, its place in the chain, the inputs."""

    kind: Literal["published"] = "published"
    prediction_id: str
    match_id: str
    seq: int
    model_version: str
    feature_snapshot_id: str
    prev_hash: str
    row_hash: str
    forecast: Forecast
    inputs: ForecastInputs | None  # null: the snapshot is not in history


class WhatIfRecord(Struct, frozen=True, kw_only=True):
    """The audit record of a what-if. Of its values the hash is kept: they are made again to be shown here."""

    kind: Literal["what_if"] = "what_if"
    prediction_id: str
    match_id: str
    at: datetime
    what_if: WhatIfAnswer
    identical: bool | None = None  # whether the values made again are those shown then; null: these are those


class ModelVersion(Struct, frozen=True, kw_only=True):
    """One model version that is held."""

    version: str
    live: bool
    manifest: dict[str, Any]
    health: ModelHealth


class ModelsAnswer(Struct, frozen=True, kw_only=True):
    """All model versions that are held; the live one was committed at `epoch`, a rollback goes to the previous one."""

    live: str | None
    epoch: int
    previous: str | None
    models: list[ModelVersion]


class Feature(Struct, frozen=True, kw_only=True):
    """One named input: of the model (group `model`), or of the catalogue of a match."""

    name: str
    definition: str
    unit: str
    source: str
    range: str
    staleness: str
    group: str = "model"


class FeaturesAnswer(Struct, frozen=True, kw_only=True):
    """The catalogue."""

    features: list[Feature]


class Alive(Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(Struct, frozen=True, kw_only=True):
    """Model committed and view filled."""

    status: Literal["ready"] = "ready"
    model_version: str
    matches: int
    streams: int
