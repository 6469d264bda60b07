"""Betfair's historical exchange stream: newline-delimited JSON of market changes (`op: mcm`), usually packed with bz2.

The stream has prices and market states, nothing about the play. What is known of the match follows from the markets:

- kick-off is the moment at which the match odds turn in-play, full time the moment at which they close after that;
- the first half ends when the half-time market is suspended for good, or 47 minutes after kick-off where there is none;
- when the second half begins is said by nobody: we take 15 minutes after the end of the first (Law 7). Clocks of the
  second half are therefore assumed, and right to a few minutes only. No score provider is believed, so no forecast
  builds on them.

On the feed's time line, changes before kick-off (days of them) are spread in order over the seconds before KICK_OFF_MS,
the break is shortened to BREAK_MS like any other, and what comes after full time is dropped. One record is one change
of one book: selections, last traded prices, suspended or not; a book without a price is not told.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from actors.adapters.feeds import (
    BREAK_MS,
    KICK_OFF_MS,
    FeedBuilder,
    MatchFeed,
    TimedRecord,
    describe,
    period_starts,
    read_bytes,
)
from actors.adapters.team_alias import rating_key
from actors.domain.errors import NotAMatch
from actors.domain.events import MAX_PRICE, Clock, Odds, PeriodEnd
from actors.domain.fixtures import Believed, Fixture, Team

PROVIDER = "betfair"
EXPECTED = "a Betfair historical stream of one football match (lines of JSON with op mcm)"
FOOTBALL = "1"
HALF_TIME_MS = 15 * 60_000  # Law 7: an interval not exceeding 15 minutes
ASSUMED_FIRST_HALF_MS = 47 * 60_000  # mean of 1,332 matches: 46.3 minutes
GLOBAL_EXCHANGE = "MR_INT"  # Spain and Italy have books of their own, and little money in them
THE_DRAW = 58805  # Betfair's selection id of the draw in every match

_LINE_OF_TYPE = re.compile(r"(OVER_UNDER|FIRST_HALF_GOALS)_(\d+)(\d)(?:_([A-Z]+))?")


class _Runner(Struct):
    id: int
    name: str = ""
    hc: float = 0.0
    sortPriority: int = 0


class _Definition(Struct):
    eventId: str
    eventTypeId: str
    status: str
    inPlay: bool
    runners: list[_Runner]
    marketTime: datetime
    marketType: str = ""
    name: str = ""
    eventName: str = ""
    regulators: list[str] = []


class _RunnerChange(Struct):
    id: int
    ltp: float | None = None
    hc: float = 0.0


class _MarketChange(Struct):
    id: str
    marketDefinition: _Definition | None = None
    rc: list[_RunnerChange] = []
    img: bool = False


class _Message(Struct):
    op: str
    pt: int
    mc: list[_MarketChange] = []


class _Book(Struct, frozen=True):
    """One book that is told: which runners, in which order, under which name."""

    market: str
    line: float | None
    selections: tuple[str, ...]
    runners: tuple[tuple[int, float], ...]  # (selection id, handicap)


class _Change(Struct, frozen=True):
    pt: int
    odds: Odds


class _Stream(Struct, frozen=True):
    """The whole file: first definition of each market, and the times that tell the match."""

    definitions: Mapping[str, _Definition]
    changes: tuple[_Change, ...]
    home: str
    away: str
    scheduled: datetime
    in_play_pt: int | None
    half_time_pt: int | None
    closed_pt: int | None

    @property
    def event_id(self) -> str:
        return next(iter(self.definitions.values())).eventId

    @property
    def lengths(self) -> dict[int, int]:
        """Return ms per period, as far as they are known or assumed; empty for a match that was never in play."""
        if self.in_play_pt is None:
            return {}
        last = self.closed_pt or (self.changes[-1].pt if self.changes else self.in_play_pt)
        played = last - self.in_play_pt
        first = self.half_time_pt - self.in_play_pt if self.half_time_pt else ASSUMED_FIRST_HALF_MS
        second = played - first - HALF_TIME_MS
        return {1: first, 2: second} if second > 0 else {1: min(first, played)}


def sniff(head: bytes, path: Path) -> bool:
    """Say whether this is a Betfair stream: its first line is a market change message."""
    return re.match(rb'\s*\{[^{[\n]*"op"\s*:\s*"mcm"', head.removeprefix(b"\xef\xbb\xbf")[:1_000]) is not None


def read(path: Path, meta: Path | None) -> MatchFeed:
    """Read one match's stream as a feed of its own; there is no second file. Raises NotAMatch."""
    if meta is not None:
        raise NotAMatch(meta.name, "no second file: a Betfair stream stands alone", "one")
    stream = _read(path)
    builder = FeedBuilder(_fixture(stream), PROVIDER)
    for number, (place, change) in enumerate(_placed(stream), start=1):
        at_ms, clock = place
        builder.at(at_ms, clock, f"odds:{number}", change.odds)
    if stream.in_play_pt is not None:
        builder.phases(stream.lengths, finished=stream.closed_pt is not None)
    return builder.build()


def odds_only(path: Path) -> list[TimedRecord]:
    """Read the odds alone, `at_ms` in real time: KICK_OFF_MS + ms since the match odds turned in-play.

    Before kick-off as in `read`; what `join_odds` does with them depends on the other match. Raises NotAMatch.
    """
    stream = _read(path)
    builder = FeedBuilder(_fixture(stream), PROVIDER)
    for number, (place, change) in enumerate(_placed(stream), start=1):
        at_ms, clock = place
        if clock.period and stream.in_play_pt is not None:
            at_ms = KICK_OFF_MS + change.pt - stream.in_play_pt
        builder.at(at_ms, clock, f"odds:{number}", change.odds)
    return list(builder.build().records)


def join_odds(feed: MatchFeed, odds: Sequence[TimedRecord]) -> MatchFeed:
    """Add the odds of `odds_only` to another provider's feed of the same match, aligned on kick-off.

    The first half's length is the feed's own; the second half's odds are placed as if it began 15 minutes after the
    end of the first. Odds after the feed's end are left out; those from before kick-off stay where they are.

    Raises:
        NotAMatch: There are odds in play and the feed does not say when its periods end.
    """
    lengths = _lengths_of(feed) if any(timed.record.clock.period for timed in odds) else {}
    joined: list[TimedRecord] = []
    counts: dict[str, int] = {}
    for timed in odds:
        in_play, provider = timed.record.clock.period > 0, timed.record.provider
        place = _place(timed.at_ms - KICK_OFF_MS, lengths) if in_play else (timed.at_ms, timed.record.clock)
        if place is not None:
            counts[provider] = counts.get(provider, 0) + 1
            joined.append(_moved(feed.fixture, timed, *place, provider_seq=counts[provider]))
    records = sorted((*feed.records, *joined), key=lambda timed: timed.at_ms)  # stable: events before odds
    return MatchFeed(_with_odds(feed.fixture, odds), tuple(records))


def _lengths_of(feed: MatchFeed) -> dict[int, int]:
    ends = [t.record.clock for t in feed.records if isinstance(t.record.payload, PeriodEnd)]
    lengths = {clock.period: clock.ms for clock in ends}
    if not lengths:
        raise NotAMatch(feed.fixture.match_id, "a feed whose periods end, to place odds in", "none that ends")
    return lengths


def _moved(fixture: Fixture, timed: TimedRecord, at_ms: int, clock: Clock, provider_seq: int) -> TimedRecord:
    when = fixture.kick_off + timedelta(milliseconds=at_ms - KICK_OFF_MS)
    record = replace(
        timed.record,
        match_id=fixture.match_id,
        provider_seq=provider_seq,
        clock=clock,
        occurred_at=when,
        received_at=when,
    )
    return TimedRecord(at_ms, record)


def _with_odds(fixture: Fixture, odds: Sequence[TimedRecord]) -> Fixture:
    believed, ids = fixture.believed, dict(fixture.provider_ids)
    for timed in odds:
        named_by, _, number = timed.record.match_id.partition(":")
        if named_by == timed.record.provider:
            ids[named_by] = number
    providers = dict.fromkeys((*believed.odds, *(timed.record.provider for timed in odds)))
    return replace(fixture, believed=replace(believed, odds=tuple(providers)), provider_ids=ids)


def _placed(stream: _Stream) -> Iterator[tuple[tuple[int, Clock], _Change]]:
    """Yield each change with its place; those after full time have none."""
    early = [c for c in stream.changes if stream.in_play_pt is None or c.pt < stream.in_play_pt]
    for index, change in enumerate(early):
        yield (index * KICK_OFF_MS // len(early), Clock(0, 0)), change
    lengths = stream.lengths
    for change in stream.changes[len(early) :]:
        place = _place(change.pt - (stream.in_play_pt or 0), lengths)
        if place is not None:
            yield place, change


def _place(elapsed_ms: int, lengths: Mapping[int, int]) -> tuple[int, Clock] | None:
    """Return (at_ms, clock) on the feed's time line of a moment `elapsed_ms` of real time after kick-off.

    >>> _place(2_760_000 + HALF_TIME_MS + 5_000, {1: 2_760_000, 2: 2_800_000})
    (2830000, Clock(period=2, ms=5000))
    """
    starts = period_starts(lengths)
    first = lengths[1]
    if elapsed_ms <= first or 2 not in lengths:
        return (KICK_OFF_MS + elapsed_ms, Clock(1, elapsed_ms)) if elapsed_ms <= first else None
    rest = elapsed_ms - first - HALF_TIME_MS
    if rest < 0:
        return KICK_OFF_MS + first + (elapsed_ms - first) * BREAK_MS // HALF_TIME_MS, Clock(1, first)
    return (starts[2] + rest, Clock(2, rest)) if rest <= lengths[2] else None


def _fixture(stream: _Stream) -> Fixture:
    """Kick-off is when play began, so that the times of records in play are those of the stream."""
    began = stream.scheduled
    if stream.in_play_pt is not None:
        began = datetime.fromtimestamp(stream.in_play_pt / 1000, UTC)
    return Fixture(
        match_id=f"{PROVIDER}:{stream.event_id}",
        kick_off=began,
        home=Team(name=stream.home, rating_key=rating_key(PROVIDER, stream.home)),
        away=Team(name=stream.away, rating_key=rating_key(PROVIDER, stream.away)),
        provider_ids={PROVIDER: stream.event_id},
        believed=Believed(events=None, clock=PROVIDER, odds=(PROVIDER,)),
    )


def _read(path: Path) -> _Stream:
    messages = _messages(path)
    definitions: dict[str, _Definition] = {}
    for message in messages:
        for change in message.mc:
            if change.marketDefinition is not None:
                definitions.setdefault(change.id, change.marketDefinition)
    home, away = _teams(path, definitions)
    main = _main_market(definitions)
    in_play = _first(messages, main, lambda d: d.inPlay)
    closed = _first(messages, main, lambda d: d.inPlay and d.status == "CLOSED")
    return _Stream(
        definitions=definitions,
        changes=tuple(_changes(messages, _books(definitions, home))),
        home=home,
        away=away,
        scheduled=definitions[main].marketTime,
        in_play_pt=in_play,
        half_time_pt=_half_time(messages, definitions),
        closed_pt=closed,
    )


def _messages(path: Path) -> list[_Message]:
    data = read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    try:
        messages = msgspec.json.Decoder(_Message).decode_lines(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAMatch(path.name, EXPECTED, f"{describe(data)} ({error})") from error
    return sorted(messages, key=lambda message: message.pt)


def _teams(path: Path, definitions: Mapping[str, _Definition]) -> tuple[str, str]:
    """Return the teams as the event's name gives them, home first."""
    events = {definition.eventId for definition in definitions.values()}
    kinds = {definition.eventTypeId for definition in definitions.values()}
    if len(events) != 1 or kinds != {FOOTBALL}:
        raise NotAMatch(path.name, EXPECTED, f"{len(events)} events of types {sorted(kinds)}")
    names = next((d.eventName for d in definitions.values() if d.eventName), "")
    home, versus, away = names.partition(" v ")
    if not versus:
        raise NotAMatch(path.name, EXPECTED, f"an event named {names!r}, not 'home v away'")
    return home.strip(), away.strip()


def _main_market(definitions: Mapping[str, _Definition]) -> str:
    """Return the id of the match odds, which follow the match; any market where there are none."""

    def rank(market_id: str) -> tuple[bool, bool, str]:
        definition = definitions[market_id]
        return definition.marketType != "MATCH_ODDS", not _is_global(definition), market_id

    return min(definitions, key=rank)


def _is_global(definition: _Definition) -> bool:
    return not definition.regulators or GLOBAL_EXCHANGE in definition.regulators


def _states(messages: Iterable[_Message], market_id: str) -> Iterator[tuple[int, _Definition]]:
    for message in messages:
        for change in message.mc:
            if change.id == market_id and change.marketDefinition is not None:
                yield message.pt, change.marketDefinition


def _first(messages: Iterable[_Message], market_id: str, holds: Callable[[_Definition], bool]) -> int | None:
    return next((pt for pt, definition in _states(messages, market_id) if holds(definition)), None)


def _half_time(messages: Sequence[_Message], definitions: Mapping[str, _Definition]) -> int | None:
    """Return when the half-time market was suspended for good in play, if there is one and it was."""
    markets = [i for i, d in definitions.items() if d.marketType == "HALF_TIME" and _is_global(d)]
    suspended: int | None = None
    for pt, definition in _states(messages, markets[0]) if markets else ():
        if definition.status == "OPEN" or not definition.inPlay:
            suspended = None
        elif suspended is None:
            suspended = pt
    return suspended


def _books(definitions: Mapping[str, _Definition], home: str) -> dict[str, tuple[_Book, ...]]:
    """Return the books of each market; a name belongs to one market, the global exchange's if there are several."""
    books: dict[str, tuple[_Book, ...]] = {}
    taken: set[tuple[str, float | None]] = set()
    for market_id in sorted(definitions, key=lambda i: (not _is_global(definitions[i]), i)):
        ours = tuple(_books_of(definitions[market_id], home))
        keys = {(book.market, book.line) for book in ours}
        if keys & taken:
            ours = tuple(replace(book, market=f"{market_id}:{book.market}") for book in ours)
        taken |= keys
        books[market_id] = ours
    return books


def _books_of(definition: _Definition, home: str) -> Iterator[_Book]:
    runners = sorted(definition.runners, key=lambda runner: runner.sortPriority)
    line = _LINE_OF_TYPE.fullmatch(definition.marketType)
    if definition.marketType == "MATCH_ODDS" and len(runners) == 3:
        yield _book("1x2", None, ("home", "draw", "away"), _home_draw_away(runners, home))
    elif definition.marketType == "ASIAN_HANDICAP":
        yield from _handicaps(runners, home)
    elif line is not None and len(runners) == 2:
        kind, whole, tenth, of = line.groups()
        name = f"{of}_{kind}".lower() if of else kind.lower()  # not over_under_..., which is of goals
        over = sorted(runners, key=lambda runner: not runner.name.startswith("Over"))
        yield _book(name, float(f"{whole}.{tenth}"), ("over", "under"), over)
    else:
        name = definition.marketType or definition.name or "unnamed"
        names = tuple(runner.name[:200] or str(runner.id) for runner in runners)
        yield _book(name.lower()[:100], None, names, runners)


def _book(market: str, line: float | None, selections: tuple[str, ...], runners: Sequence[_Runner]) -> _Book:
    return _Book(market, line, selections, tuple((runner.id, runner.hc) for runner in runners))


def _home_draw_away(runners: Sequence[_Runner], home: str) -> list[_Runner]:
    draw = next((r for r in runners if r.id == THE_DRAW or r.name == "The Draw"), runners[-1])
    teams = sorted((r for r in runners if r is not draw), key=lambda runner: runner.name != home)
    return [teams[0], draw, teams[1]]


def _handicaps(runners: Sequence[_Runner], home: str) -> Iterator[_Book]:
    """Yield one book per line: the home side with it, the away side with its opposite."""
    ours = {runner.hc: runner for runner in runners if runner.name == home}
    theirs = {runner.hc: runner for runner in runners if runner.name != home}
    for handicap, runner in sorted(ours.items()):
        if -handicap in theirs:
            yield _book("asian_handicap", handicap, ("home", "away"), (runner, theirs[-handicap]))


def _changes(messages: Iterable[_Message], books: Mapping[str, tuple[_Book, ...]]) -> Iterator[_Change]:
    """Yield a book whenever it reads differently from before, once it has a price."""
    prices: dict[str, dict[tuple[int, float], float | None]] = {}
    status: dict[str, str] = {}
    told: dict[tuple[str, float | None], Odds] = {}
    for message in messages:
        for change in message.mc:
            view = prices.setdefault(change.id, {})
            if change.img:
                view.clear()
            view.update({(runner.id, runner.hc): _price(runner.ltp) for runner in change.rc if runner.ltp is not None})
            if change.marketDefinition is not None:
                status[change.id] = change.marketDefinition.status
            for book in books.get(change.id, ()):
                odds = _odds(book, view, status.get(change.id, "OPEN"))
                if odds != told.get((book.market, book.line)) and any(odds.prices):
                    told[book.market, book.line] = odds
                    yield _Change(message.pt, odds)


def _odds(book: _Book, view: Mapping[tuple[int, float], float | None], status: str) -> Odds:
    return Odds(
        market=book.market,
        line=book.line,
        selections=book.selections,
        prices=tuple(view.get(runner) for runner in book.runners),
        suspended=status != "OPEN",
        bookmaker=PROVIDER,
    )


def _price(price: float | None) -> float | None:
    return price if price is not None and 1.0 < price <= MAX_PRICE else None
