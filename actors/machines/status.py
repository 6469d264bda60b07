"""What may be said of a match: its logged status with all reasons, and what a reader would see change."""

from actors.domain.events import Lineups
from actors.domain.forecast import Status, worst
from actors.domain.match import Book, MatchState, Sequence, anchor_prices, seen_of
from actors.domain.summary import Summary

_UNSEEN = Sequence()


def feed_status(state: MatchState) -> tuple[Status, tuple[str, ...]]:
    """Return the worst status that the feed allows, and every reason for it or beside it."""
    gaps, reviews = gap_reasons(state), state.summary.reviews
    found: list[Status] = [*(["GAP"] if gaps else []), *(["VAR_REVIEW"] if reviews else [])]  # type: ignore[list-item]
    return worst(found), (*gaps, *(f"review:{about}" for about in reviews), *_odds_reasons(state))


def gap_reasons(state: MatchState) -> tuple[str, ...]:
    """Say why score, cards or clock may be wrong; empty if they can be trusted."""
    believed, summary = state.believed, state.summary
    events = state.sequences.get(believed.events or "", _UNSEEN)
    clock = state.sequences.get(believed.clock or "", _UNSEEN)
    found = []
    if events.missing or clock.missing:
        found.append("records_missing")
    if events.is_lost or clock.is_lost:
        found.append("records_lost")
    if _score_mismatch(state):
        found.append("score_mismatch")
    if _period_skipped(state):
        found.append("period_skipped")
    if _teams_swapped(state):
        found.append("teams_swapped")
    if believed.events is None and summary.phase not in ("scheduled", "postponed"):
        found.append("no_score_provider")
    return tuple(found)


def may_differ(before: MatchState, after: MatchState) -> bool:
    """Say whether a record touched anything that status or forecasts rest on, the clock apart: most ticks do not."""
    return not (
        before.summary is after.summary
        and before.books is after.books
        and before.prematch is after.prematch
        and before.sequences is after.sequences
        and before.ticked.period == after.ticked.period
    )


def looks_different(before: MatchState, after: MatchState) -> bool:
    """Say whether anything that a forecast shows or rests on differs, but for the clock: a new one is due then."""
    if not may_differ(before, after):
        return False
    if before.summary is not after.summary and _told(before.summary) != _told(after.summary):
        return True
    if before.books is not after.books and _shown(before.books.get("1x2")) != _shown(after.books.get("1x2")):
        return True
    if before.anchors is not after.anchors and anchor_prices(before.anchors) != anchor_prices(after.anchors):
        return True
    if before.prematch is not after.prematch:
        return True
    told, tells = before.events, after.events
    if (told.shots is not tells.shots or told.decisive is not tells.decisive) and seen_of(before) != seen_of(after):
        return True
    return feed_status(before) != feed_status(after)


def _told(summary: Summary) -> tuple[object, ...]:
    return (
        summary.phase,
        summary.period,
        summary.score,
        summary.regular,
        summary.extra_time,
        summary.shoot_out,
        summary.yellow,
        summary.sent_off,
        summary.off_pitch,
    )


def _shown(book: Book | None) -> tuple[object, ...] | None:
    if book is None:
        return None
    return book.provider, book.bookmaker, book.prices, book.line, book.suspended, book.in_play


def _score_mismatch(state: MatchState) -> bool:
    stated = state.stated
    return stated is not None and stated.seq >= state.scored_seq and stated.score != state.summary.score


def _period_skipped(state: MatchState) -> bool:
    """Say whether something happened in a period that did not begin, or one before it did not.

    Extra time may be left out, as cups do.
    """
    started, summary = state.summary.periods_started, state.summary
    latest = started[-1] if started else 0
    is_played = latest > 2 or summary.phase == "finished"
    return (
        max(state.reached, state.ticked.period) > latest
        or (2 in started and 1 not in started)
        or (is_played and 2 not in started)
    )


def _teams_swapped(state: MatchState) -> bool:
    """Say whether a team sheet had home and away the other way round, and none has had them right."""
    if not state.rejected.get("teams_swapped"):
        return False
    sheets = [event.payload for event in state.events.decisive if isinstance(event.payload, Lineups)]
    return not any(sheet.home_team for sheet in sheets)


def _odds_reasons(state: MatchState) -> tuple[str, ...]:
    broken = any(not state.sequences.get(provider, _UNSEEN).is_whole for provider in state.believed.odds)
    return ("odds_records_missing",) if broken else ()
