"""What may be said of a match: its logged status with all reasons, and what a reader would see change."""

from actors.domain.events import Lineups
from actors.domain.forecast import Status, worst
from actors.domain.match import Book, MatchState, Sequence, anchor_prices

_UNSEEN = Sequence()


def feed_status(state: MatchState) -> tuple[Status, tuple[str, ...]]:
    """Return the worst status that the feed allows, and every reason for it or beside it."""
    gaps, reviews = gap_reasons(state), state.summary.reviews
    found: list[Status] = [*(["GAP"] if gaps else []), *(["VAR_REVIEW"] if reviews else [])]  # type: ignore[list-item]
    return worst(found), (*gaps, *(f"review:{about}" for about in reviews), *_odds_reasons(state))


def gap_reasons(state: MatchState) -> tuple[str, ...]:
    """Say why score, cards or clock may be wrong; empty if they can be trusted."""
    believed, summary = state.believed, state.summary
    sequences = [state.sequences.get(p, _UNSEEN) for p in {believed.events, believed.clock} if p]
    checks = {
        "records_missing": any(s.missing for s in sequences),
        "records_lost": any(s.is_lost for s in sequences),
        "score_mismatch": _score_mismatch(state),
        "period_skipped": _period_skipped(state),
        "teams_swapped": _teams_swapped(state),
        "no_score_provider": believed.events is None and summary.phase not in ("scheduled", "postponed"),
    }
    return tuple(reason for reason, holds in checks.items() if holds)


def visible(state: MatchState) -> tuple[object, ...]:
    """Return all that a forecast shows or rests on, but for the clock: if it differs, a new forecast is due."""
    summary, book = state.summary, state.books.get("1x2")
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
        feed_status(state),
        _shown(book),
        anchor_prices(state.anchors),
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
