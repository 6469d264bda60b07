"""The list of bad feeds: each line is a case with its outcome, and none of them stops a partition.

The feed before the case stands at 34:00, 1:0, with nothing missing; `EXPECTED` says what becomes of the case's records.
"""

import gzip
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Struct

from actors.domain.errors import SnapshotUnreadable
from actors.domain.events import (
    BEFORE_KICK_OFF,
    MAX_RECORD_BYTES,
    Abandoned,
    Clock,
    FeedRecord,
    FullTime,
    KickOff,
    OwnGoal,
    PenaltyMissed,
    PenaltyScored,
    PeriodEnd,
    PeriodStart,
    Postponed,
    Score,
    Substitution,
    VarOver,
    VarStart,
    decode_record,
    encode_record,
)
from actors.domain.fixtures import Believed
from actors.domain.match import MatchState, decode_state, encode_state, forecast_inputs, new_match, state_hash
from actors.machines.match import DeadLetter, Entry, Reforecast, step
from actors.machines.status import feed_status
from tests.unit.builders import (
    MATCH,
    a_book,
    a_fixture,
    a_pass,
    a_record,
    a_snapshot,
    a_tick,
    changed,
    corrected,
    goal,
    kicked_off,
    lineups,
    minute,
    play,
    played,
    red,
    substitution,
    taken_back,
    told,
)

AT = minute(34)
NEXT = 6
Fed = FeedRecord | bytes | None


def before() -> list[FeedRecord]:
    """Return the feed that each case comes after: 1:0 at 34:00, five records, none missing, and a book."""
    events = [
        *kicked_off(),
        a_record(3, goal("home", (1, 0), "h9"), minute(20)),
        a_record(4, substitution("h9", "h12"), minute(30)),
        a_record(5, a_pass(), minute(33)),
    ]
    return [a_book(1), *events, a_tick(5, AT)]


class Expected(Struct, frozen=True, kw_only=True):
    """What becomes of a case: refused, for which reason, and what is said of the match then."""

    refused: str | None = None
    gap: str | None = None
    score: Score = Score(1, 0)
    phase: str = "live"


APPLIED = Expected()


def lost(reason: str) -> Expected:
    """Return what is expected of a record that is refused and could have mattered."""
    return Expected(refused=reason, gap="records_lost")


def a_goal(**fields: Any) -> bytes:
    """Return the bytes of the next goal with fields replaced."""
    return changed(a_record(NEXT, goal("away"), AT), **fields)


def with_text(old: str, new: str) -> bytes:
    """Return the bytes of the next goal with a piece of its JSON replaced."""
    text = encode_record(a_record(NEXT, goal("away"), AT)).decode()
    assert old in text
    return text.replace(old, new).encode()


def some_odds(price: str, seq: int = 2) -> bytes:
    """Return the bytes of a book in which one price is this piece of JSON."""
    text = encode_record(a_book(seq, (2.5, 3.5, 4.5), AT)).decode()
    assert "4.5" in text
    return text.replace("4.5", price).encode()


def named(name: str) -> FeedRecord:
    """Return a goal of a player with this name."""
    return a_record(NEXT, PenaltyScored(side="away", player=name, player_id=name[:1]), AT, event_id=f"id {name[:100]}")


ENDED = [
    a_record(6, PeriodEnd(), minute(46)),
    a_record(7, PeriodStart(), Clock(2, 0)),
    a_record(8, PeriodEnd(), minute(48, 2)),
]
OVER = [*ENDED, a_record(9, FullTime(), minute(48, 2))]
EXTRA = [
    *ENDED,
    a_record(9, PeriodStart(), Clock(3, 0)),
    a_record(10, goal("away"), minute(5, 3)),
    a_record(11, PeriodStart(), Clock(5, 0)),
    a_record(12, PenaltyScored(side="home"), minute(1, 5)),
    a_record(13, PenaltyMissed(side="away"), minute(2, 5)),
    a_record(14, FullTime(), minute(2, 5)),
]
DEEP = b"[" * 10_000 + b"]" * 10_000
TWO_AWAY = Expected(score=Score(1, 2))

CASES: dict[str, tuple[list[Fed], Expected]] = {
    # what is no record
    "empty": ([b""], lost("empty")),
    "one byte": ([b"{"], lost("malformed")),
    "5 MB": ([b'{"match_id":"' + b"x" * 5_000_000 + b'"}'], lost("too_large")),
    "one byte over the limit": ([b" " * (MAX_RECORD_BYTES + 1)], lost("too_large")),
    "invalid UTF-8": ([a_goal().replace(b"e6", b"\xff\xfe")], lost("malformed")),
    "a byte order mark before a goal": ([b"\xef\xbb\xbf" + a_goal()], lost("malformed")),
    "a byte order mark before a pass": (
        [b"\xef\xbb\xbf" + encode_record(a_record(6, a_pass(), AT))],
        Expected(refused="malformed"),
    ),
    "NaN": ([with_text('"ms":2040000', '"ms":NaN')], lost("malformed")),
    "Infinity": ([with_text('"ms":2040000', '"ms":Infinity')], lost("malformed")),
    "1e400": ([with_text('"ms":2040000', '"ms":1e400')], lost("malformed")),
    "NaN as a price": ([some_odds("NaN")], Expected(refused="malformed")),
    "Infinity as a price": ([some_odds("Infinity")], Expected(refused="malformed")),
    "1e400 as a price": ([some_odds("1e400")], Expected(refused="malformed_payload")),
    "duplicate JSON keys: the last one counts": (
        [with_text('"side":"away"', '"side":"home","side":"away"')],
        Expected(score=Score(1, 1)),
    ),
    "duplicate match ids, the last one foreign": (
        [with_text('"match_id":"p:1"', '"match_id":"p:1","match_id":"p:2"')],
        Expected(refused="wrong_key"),
    ),
    "depth 10 000 as the record": ([DEEP], lost("malformed")),
    "depth 10 000 as the payload": (
        [with_text('"payload":{', '"payload":{"deep":' + DEEP.decode() + ",")],
        lost("malformed"),
    ),
    "int 2^63 as a number": ([a_goal(provider_seq=2**63)], lost("malformed")),
    "int 2^63 as a version": ([a_goal(version=2**63)], lost("malformed")),
    "an integer of 5 000 digits": ([with_text('"version":1', '"version":' + "9" * 5_000)], lost("malformed")),
    "a tombstone": ([None], lost("empty")),
    "unknown schema version": ([a_goal(schema=2)], lost("unknown_schema")),
    "unknown kind": ([a_goal(payload__kind="throw-in")], lost("malformed_payload")),
    "unknown field in the payload": ([a_goal(payload__colour="red")], lost("malformed_payload")),
    "a goal's fields on a pass": (
        [changed(a_record(6, a_pass(), AT), payload__score=[9, 9])],
        Expected(refused="malformed_payload"),
    ),
    "gzip bomb": ([gzip.compress(b"0" * 50_000_000)], lost("malformed")),
    "JSON null": ([b"null"], lost("malformed")),
    "an array": ([b"[1, 2, 3]"], lost("malformed")),
    "a raw NUL byte": ([a_goal().replace(b"e6", b"e\x006")], lost("malformed")),
    "a lone surrogate": ([with_text('"e6"', '"\\ud800"')], lost("malformed")),
    # the clock
    "a negative minute": ([a_goal(clock__ms=-1)], lost("malformed")),
    "minute 115:00 in one half": ([a_goal(clock__ms=115 * 60_000)], lost("malformed")),
    "minute 115:00+15 of a pass": (
        [changed(a_record(6, a_pass(), AT), clock__ms=130 * 60_000)],
        Expected(refused="malformed"),
    ),
    "period 6": ([a_goal(clock__period=6)], lost("malformed")),
    "a minute going back: it happened then": (
        [a_record(6, goal("away"), minute(10))],
        Expected(score=Score(1, 1)),
    ),
    "a goal before kick-off": ([a_record(6, goal("away"), BEFORE_KICK_OFF)], lost("clock")),
    "a goal corrected to before kick-off": ([corrected(6, "e3", goal(), BEFORE_KICK_OFF)], lost("clock")),
    "full time before kick-off": ([a_record(6, FullTime(), BEFORE_KICK_OFF)], lost("clock")),
    "full time in the first half": (
        [a_record(6, FullTime(), minute(40))],
        Expected(gap="period_skipped", phase="finished"),
    ),
    "second half's goal in the first half": (
        [a_record(6, goal("away"), minute(3, 2))],
        Expected(gap="period_skipped", score=Score(1, 1)),
    ),
    "a card in period 5 while the first half runs": (
        [a_record(6, red("away"), minute(3, 5))],
        Expected(gap="period_skipped"),
    ),
    "a kick-off again": ([a_record(6, KickOff(), Clock(1, 0))], APPLIED),
    "timestamp of 1970": ([a_goal(occurred_at="1970-01-01T00:00:00Z")], Expected(score=Score(1, 1))),
    "timestamp of 2099": ([a_goal(received_at="2099-12-31T23:59:59Z")], Expected(score=Score(1, 1))),
    "timestamp of another zone": ([a_goal(occurred_at="2026-08-01T20:30:00+05:30")], Expected(score=Score(1, 1))),
    "timestamp without a zone": ([a_goal(occurred_at="2026-08-01T15:00:00")], lost("malformed")),
    "timestamp before all time": ([a_goal(occurred_at="0001-01-01T00:00:00+05:00")], lost("malformed_payload")),
    "timestamp after all time": ([a_goal(received_at="9999-12-31T23:59:59-05:00")], lost("malformed_payload")),
    "timestamp that is no date": ([a_goal(occurred_at="2026-02-30T15:00:00Z")], lost("malformed")),
    # goals
    "a goal of an unknown team": ([a_goal(payload__side="third")], lost("malformed_payload")),
    "a goal of an unknown player": ([a_record(6, goal("away", player="x"), AT)], Expected(score=Score(1, 1))),
    "an own goal": (
        [a_record(6, OwnGoal(side="away", player_id="h2", score=Score(1, 1)), AT)],
        Expected(score=Score(1, 1)),
    ),
    "a goal cancelled three times": (
        [taken_back(6, "e3", 2), taken_back(7, "e3", 3), taken_back(8, "e3", 4)],
        Expected(score=Score(0, 0)),
    ),
    "the same cancellation three times": (
        [taken_back(6, "e3", 2), taken_back(6, "e3", 2), taken_back(6, "e3", 2)],
        Expected(score=Score(0, 0)),
    ),
    "a cancellation without a new version": ([taken_back(6, "e3", 1)], lost("contradiction")),
    "a goal that changes sides without a new version": (
        [a_record(6, goal("away"), minute(20), "e3")],
        lost("contradiction"),
    ),
    "cancel of an unknown event": ([taken_back(6, "nobody knows")], APPLIED),
    "score jump of 2": (
        [a_record(6, goal("away", (1, 2)), AT)],
        Expected(gap="score_mismatch", score=Score(1, 1)),
    ),
    "score jump of 2, made good by the next goals": (
        [a_record(6, goal("away", (1, 2)), AT), a_record(7, goal("away", (1, 2)), AT)],
        TWO_AWAY,
    ),
    "score falls without a retraction": (
        [a_record(6, goal("home", (1, 0)), AT)],
        Expected(gap="score_mismatch", score=Score(2, 0)),
    ),
    "score falls in a snapshot without a retraction": (
        [a_snapshot(6, (0, 0), told("e1", lineups(), BEFORE_KICK_OFF), told("e2", KickOff(), Clock(1, 0)), clock=AT)],
        Expected(score=Score(0, 0)),
    ),
    "a snapshot that contradicts its own score": (
        [a_snapshot(6, (3, 0), told("e2", KickOff(), Clock(1, 0)), clock=AT)],
        Expected(gap="score_mismatch", score=Score(0, 0)),
    ),
    "a snapshot with a goal before kick-off": (
        [a_snapshot(6, (1, 0), told("e3", goal(), BEFORE_KICK_OFF), clock=AT)],
        lost("clock"),
    ),
    "a score of 100": ([a_goal(payload__score=[100, 0])], lost("malformed_payload")),
    "a negative score": ([a_goal(payload__score=[-1, 0])], lost("malformed_payload")),
    # reviews
    "VAR over without a start": ([a_record(6, VarOver(review_id="none"), AT)], APPLIED),
    "VAR over of itself": ([a_record(6, VarOver(review_id="e6"), AT)], APPLIED),
    # cards and players
    "a red card for one who was taken off": ([a_record(6, red("home", "h9"), AT)], APPLIED),
    "a 12th player starts": (
        [a_record(6, lineups(starters=12), BEFORE_KICK_OFF)],
        Expected(refused="too_many_players"),
    ),
    "a 12th player in a correction": (
        [corrected(6, "e1", lineups(starters=12), BEFORE_KICK_OFF)],
        lost("too_many_players"),
    ),
    "a 12th player comes on for nobody": (
        [a_record(6, Substitution(side="home", player_on="h13"), AT)],
        APPLIED,
    ),
    "a player replaces himself": ([a_record(6, substitution("h1", "h1"), AT)], Expected(refused="nonsense")),
    "40 players on a sheet": ([a_record(6, lineups(bench=29), BEFORE_KICK_OFF)], APPLIED),
    "home and away flipped": (
        [a_record(6, lineups(home_team="Blues", away_team="Reds"), BEFORE_KICK_OFF)],
        Expected(refused="teams_swapped", gap="teams_swapped"),
    ),
    "home and away flipped, then a snapshot that does not name them": (
        [
            a_record(6, lineups(home_team="Blues", away_team="Reds"), BEFORE_KICK_OFF),
            a_snapshot(7, (1, 0), told("e2", KickOff(), Clock(1, 0)), told("e3", goal(), minute(20)), clock=AT),
        ],
        Expected(refused="teams_swapped", gap="teams_swapped"),
    ),
    # phases
    "abandoned": ([a_record(6, Abandoned(), AT)], Expected(phase="abandoned")),
    "postponed": ([a_record(6, Postponed(), AT)], Expected(phase="postponed")),
    "abandoned and resumed": ([a_record(6, Abandoned(), AT), a_record(7, PeriodStart(), AT)], APPLIED),
    "abandoned and resumed from the beginning of the half": (
        [a_record(6, Abandoned(), AT), a_record(7, KickOff(), Clock(1, 0))],
        APPLIED,
    ),
    "postponed and resumed": ([a_record(6, Postponed(), AT), a_record(7, PeriodStart(), AT)], APPLIED),
    "match id used again": (
        [*OVER, a_record(10, KickOff(), Clock(1, 0))],
        Expected(refused="match_is_over", gap="records_lost", phase="finished"),
    ),
    "match id used again from number 1": (
        [*OVER, a_record(1, lineups(), event_id="other"), a_record(2, KickOff(), Clock(1, 0), "other kick-off")],
        Expected(gap="records_lost", phase="finished"),
    ),
    "extra time and penalties in a league": (EXTRA, Expected(score=Score(1, 1), phase="finished")),
    "a late end of the first half": ([*ENDED[:2], a_record(8, PeriodEnd(), minute(46), "again")], APPLIED),
    # odds
    "odds of 0": ([some_odds("0")], Expected(refused="malformed_payload")),
    "odds of 1": ([some_odds("1.0")], Expected(refused="malformed_payload")),
    "negative odds": ([some_odds("-4.5")], Expected(refused="malformed_payload")),
    "odds of 1e9": ([some_odds("1e9")], Expected(refused="malformed_payload")),
    "odds as text": ([some_odds('"4.5"')], Expected(refused="malformed_payload")),
    "a price too few": ([changed(a_book(2), payload__prices=[2.0, 3.0])], Expected(refused="malformed_payload")),
    "1X2 in another order": (
        [a_book(2, selections=("away", "draw", "home"))],
        Expected(refused="unknown_selections"),
    ),
    "market suspended, then odds": ([a_book(2, clock=AT, suspended=True), a_book(3, clock=AT)], APPLIED),
    # numbers
    "a number left out": ([a_record(7, a_pass(), AT)], Expected(gap="records_missing")),
    "a number left out that comes late": ([a_record(7, a_pass(), AT), a_record(6, a_pass(), AT)], APPLIED),
    "1 000 numbers left out": ([a_record(1_006, a_pass(), AT)], Expected(gap="records_missing")),
    "a jump to 2^53": ([a_record(2**53, a_pass(), AT)], Expected(gap="records_lost")),
    "a tick of records that never came": ([a_tick(8, AT)], Expected(gap="records_missing")),
    "a record twice": ([a_record(6, goal("away"), AT)] * 2, Expected(score=Score(1, 1))),
    "the last ten minutes once more": (before()[2:], APPLIED),
    "numbers reset to 0": ([a_record(0, a_pass(), AT, "new")], Expected(gap="records_lost")),
    "numbers reset to 1": ([a_record(1, a_pass(), AT, "new")], Expected(gap="records_lost")),
    "numbers roll over to 4": ([a_record(4, goal("away"), AT, "new")], Expected(gap="records_lost", score=Score(1, 1))),
    "numbers reset, then a snapshot": (
        [
            a_record(1, a_pass(), AT, "new"),
            a_snapshot(2, (1, 0), told("e2", KickOff(), Clock(1, 0)), told("g", goal(), minute(20)), clock=AT),
            a_record(3, a_pass(), AT, "newer"),
        ],
        APPLIED,
    ),
    # addresses
    "the key is not the payload's match": ([a_goal(match_id="p:2")], Expected(refused="wrong_key")),
    "an unknown provider": ([a_goal(provider="stranger")], Expected(refused="unknown_provider")),
    "a broken goal of an unknown provider": (
        [a_goal(provider="stranger", clock__ms=-1)],
        Expected(refused="malformed"),
    ),
    "a goal of the bookmaker": ([a_goal(provider="b", provider_seq=2)], APPLIED),
    "an empty event id": ([a_goal(event_id="")], lost("malformed")),
    # names
    "an emoji in a name": ([named("⚽🔥")], Expected(score=Score(1, 1))),
    "right to left in a name": ([named("\u202eمحمد\u202c")], Expected(score=Score(1, 1))),
    "a script in a name": ([named("<script>alert(1)</script>")], Expected(score=Score(1, 1))),
    "a template in a name": ([named("{{7*7}}")], Expected(score=Score(1, 1))),
    "SQL in a name": ([named("'; DROP TABLE matches; --")], Expected(score=Score(1, 1))),
    "CQL in a name": ([named("'; TRUNCATE forecasts; /*")], Expected(score=Score(1, 1))),
    "NUL in a name": ([named("a\x00b")], Expected(score=Score(1, 1))),
    "a name of 201 letters": ([named("x" * 201)], lost("malformed_payload")),
}


@pytest.mark.parametrize(("fed", "expected"), CASES.values(), ids=CASES)
def test_a_bad_feed_has_its_outcome_and_the_partition_goes_on(fed: list[Fed], expected: Expected) -> None:
    state = played(before())
    after, effects = play(fed, state)
    letters = [effect for done in effects for effect in done if isinstance(effect, DeadLetter)]
    assert [letter.reason for letter in letters] == ([expected.refused] if expected.refused else [])
    assert (after.summary.score, after.summary.phase) == (expected.score, expected.phase)
    status, reasons = feed_status(after)
    assert status == ("GAP" if expected.gap else "OK"), reasons
    assert expected.gap is None or expected.gap in reasons
    assert after.offset == state.offset + len(fed)
    assert sum(after.rejected.values()) == len(letters)
    assert decode_state(MATCH, encode_state(after)) == after
    _goes_on(after)


def _goes_on(state: MatchState) -> None:
    """Check that a provider's account of what is true puts everything right again, but for a swap of the teams."""
    seq = max(s.last for name, s in state.sequences.items() if name == "p") + 1
    truth = a_snapshot(
        seq,
        (2, 1),
        told("truth:lineups", lineups(home_team="Reds", away_team="Blues"), BEFORE_KICK_OFF),
        told("truth:kick-off", KickOff(), Clock(1, 0)),
        told("truth:1", goal(), minute(20)),
        told("truth:2", goal(), minute(21)),
        told("truth:3", goal("away"), minute(22)),
        clock=minute(35),
    )
    healed = played([truth, a_tick(seq, minute(35))], state)
    assert feed_status(healed)[0] == "OK", feed_status(healed)
    assert (healed.summary.score, healed.summary.phase) == (Score(2, 1), "live")


@pytest.mark.parametrize("fed", [case[0] for case in CASES.values()], ids=CASES)
def test_a_bad_feed_before_anything_else_stops_nothing_either(fed: list[Fed]) -> None:
    state, effects = play(fed)
    assert state.offset == len(fed) - 1
    assert any(isinstance(effect, Reforecast) for effect in effects[0])
    _goes_on(played([a_record(500, a_pass(), minute(30))], state))


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("p:2", encode_record(a_record(1, goal(), AT, match_id="p:2")), "wrong_partition"),
        ("p:2", a_goal(), "wrong_partition"),
        ("p:2", b"{", "wrong_partition"),
        ("p:2", None, "wrong_partition"),
        (None, a_goal(), "wrong_partition"),
        (None, None, "wrong_partition"),
    ],
)
def test_what_is_of_another_match_is_refused_and_says_nothing_of_this_one(
    key: str | None, value: bytes | None, reason: str
) -> None:
    state = played(before())
    after, effects = step(state, Entry(offset=state.offset + 1, key=key, value=value))
    assert [type(effect) for effect in effects] == [DeadLetter]
    assert isinstance(effects[0], DeadLetter) and effects[0].reason == reason
    assert feed_status(after) == ("OK", ())
    assert after.sequences == state.sequences


def test_a_record_that_the_log_has_lost_is_a_dead_letter_and_a_gap_until_a_snapshot() -> None:
    state = played(before())
    lost = Entry(offset=state.offset + 1, key=None, value=None, problem="its checksum does not match")
    after, effects = step(state, lost)
    assert [e.reason for e in effects if isinstance(e, DeadLetter)] == ["damaged"]
    assert any(isinstance(effect, Reforecast) for effect in effects), "readers are told"
    assert feed_status(after)[0] == "GAP"
    _goes_on(played([a_record(500, a_pass(), minute(30))], after))


def test_a_record_of_another_match_that_got_past_the_key_is_refused() -> None:
    _, effects = play([encode_record(a_record(1, goal(), AT, match_id="p:2"))])
    assert isinstance(effects[0][0], DeadLetter) and effects[0][0].reason == "wrong_key"


def test_a_stranger_leaves_no_trace_but_the_count_of_its_refusals() -> None:
    state = played(before())
    after, _ = play([a_goal(provider="stranger"), a_goal(provider="stranger", clock__ms=-1)], state)
    assert after.sequences == state.sequences
    assert after.rejected == {"unknown_provider": 1, "malformed": 1}


def test_a_gzip_bomb_is_never_unpacked() -> None:
    bomb = gzip.compress(b"0" * 100_000_000)
    assert len(bomb) < MAX_RECORD_BYTES
    _, effects = play([bomb])
    assert isinstance(effects[0][0], DeadLetter) and len(effects[0][0].detail) < 1_000


def test_names_come_through_the_log_and_the_snapshot_as_they_were_sent() -> None:
    for name in ("⚽🔥", "\u202eمحمد\u202c", "<script>", "{{7*7}}", "'; --", "a\x00b"):
        record = named(name)
        assert decode_record(MATCH, encode_record(record)) == record
        state = played([*kicked_off(), record])
        stored = decode_state(MATCH, encode_state(state)).events.get(f"id {name}")
        assert stored is not None and isinstance(stored.payload, PenaltyScored) and stored.payload.player == name


def test_a_time_of_another_zone_is_kept_as_utc() -> None:
    record = decode_record(MATCH, a_goal(occurred_at="2026-08-01T20:30:00+05:30"))
    assert record.occurred_at.isoformat() == "2026-08-01T15:00:00+00:00"


def test_wall_times_change_nothing_that_is_hashed() -> None:
    plain = played([*before(), a_record(6, goal("away"), AT), a_book(2, clock=AT)])
    odd, _ = play(
        [
            *before(),
            a_goal(occurred_at="1970-01-01T00:00:00Z", received_at="2099-01-01T00:00:00Z"),
            changed(a_book(2, clock=AT), occurred_at="2099-01-01T00:00:00Z"),
        ]
    )
    assert state_hash(odd) == state_hash(plain)


# clocks


def test_a_tick_sent_earlier_that_comes_later_does_not_set_the_clock_back() -> None:
    state = played([*before(), a_record(6, a_pass(), AT), a_tick(6, minute(35)), a_tick(5, minute(34.5))])
    assert state.clock == minute(35)


def test_a_clock_that_the_provider_has_put_right_goes_back() -> None:
    wrong = played([*before(), a_tick(5, minute(44))])
    assert wrong.clock == minute(44)
    assert played([a_record(6, a_pass(), minute(35)), a_tick(6, minute(35))], wrong).clock == minute(35)


def test_one_event_with_a_wild_clock_does_not_move_the_time_of_a_match_that_has_ticks() -> None:
    state = played([*before(), a_record(6, a_pass(), minute(89)), a_record(7, a_pass(), minute(20, 5))])
    assert state.clock == AT
    assert (forecast_inputs(state).period, forecast_inputs(state).clock_ms) == (1, AT.ms)


def test_without_ticks_the_time_is_that_of_the_events() -> None:
    assert played([*kicked_off(), a_record(3, a_pass(), minute(7))]).clock == minute(7)


def test_the_second_half_before_the_first_is_a_gap_until_the_first_is_told() -> None:
    early = played([a_record(1, lineups()), a_record(2, PeriodStart(), Clock(2, 0)), a_tick(2, minute(1, 2))])
    assert feed_status(early) == ("GAP", ("period_skipped",))
    assert feed_status(played([a_record(3, KickOff(), Clock(1, 0))], early)) == ("OK", ())
    assert played([a_record(3, KickOff(), Clock(1, 0))], early).summary.phase == "live"


# reviews


def test_a_review_that_is_open_at_full_time_stays_open_until_it_is_over_taken_back_or_left_out_of_a_snapshot() -> None:
    review = a_record(9, VarStart(about="goal"), minute(48, 2), "review")
    state = played([*before(), *ENDED, review, a_record(10, FullTime(), minute(48, 2))])
    assert (state.summary.phase, feed_status(state)) == ("finished", ("VAR_REVIEW", ("review:goal",)))
    over = a_record(11, VarOver(review_id="review"), minute(48, 2))
    left_out = [told(e.event_id, e.payload, e.clock) for e in state.events.decisive if e.event_id != "review"]
    for closing in (over, taken_back(11, "review"), a_snapshot(11, (1, 0), *left_out, clock=minute(48, 2))):
        assert feed_status(played([closing], state)) == ("OK", ())


def test_a_review_whose_end_comes_before_its_start_is_over() -> None:
    state = played([*before(), a_record(7, VarOver(review_id="e6"), AT), a_record(6, VarStart(), AT)])
    assert feed_status(state) == ("OK", ())


def test_a_review_without_a_subject_is_one_of_an_incident() -> None:
    assert feed_status(played([*before(), a_record(6, VarStart(), AT)])) == ("VAR_REVIEW", ("review:incident",))


# cards


@pytest.mark.parametrize(
    ("player", "off_pitch"),
    [("h9", 0), ("h12", 1), ("h1", 1), ("h13", 0), (None, 1), ("unknown", 1)],
)
def test_a_red_card_takes_a_player_off_only_if_he_was_playing(player: str | None, off_pitch: int) -> None:
    summary = played([*before(), a_record(6, red("home", player), AT)]).summary
    assert (summary.sent_off, summary.off_pitch) == (Score(1, 0), Score(off_pitch, 0))


# telling whose word counts


def test_two_providers_do_not_count_a_goal_twice() -> None:
    fixture = a_fixture(believed=Believed(events="p", clock="c"))
    records = [
        *kicked_off(),
        a_record(1, KickOff(), Clock(1, 0), provider="c"),
        a_record(3, goal(), minute(5)),
        a_record(2, goal(), minute(5), provider="c"),
    ]
    state = played(records, new_match(fixture))
    assert state.summary.score == Score(1, 0)
    assert feed_status(state) == ("OK", ())


def test_the_whistles_are_those_of_the_provider_who_is_believed_for_the_clock() -> None:
    fixture = a_fixture(believed=Believed(events="p", clock="c"))
    plain = [*kicked_off(), a_record(3, PeriodEnd(), minute(46))]
    assert played(plain, new_match(fixture)).summary.phase == "scheduled"
    clock = [a_record(1, KickOff(), Clock(1, 0), provider="c"), a_record(2, PeriodEnd(), minute(46), provider="c")]
    assert played([*plain, *clock], new_match(fixture)).summary.phase == "break"


def test_a_duplicate_of_what_is_not_believed_is_no_new_count() -> None:
    fixture = a_fixture(believed=Believed(events="p", clock="c"))
    kick_off = a_record(1, KickOff(), Clock(1, 0), provider="c")
    records = [*kicked_off(), kick_off, kicked_off()[1], kicked_off()[1]]
    assert feed_status(played(records, new_match(fixture))) == ("OK", ())


def test_the_clock_providers_snapshot_heals_its_gap_and_leaves_the_score_alone() -> None:
    fixture = a_fixture(believed=Believed(events="p", clock="c"))
    kick_off = a_record(1, KickOff(), Clock(1, 0), provider="c", event_id="k")
    gap = played(
        [*kicked_off(), kick_off, a_record(3, goal(), minute(5)), a_tick(3, minute(6), provider="c")],
        new_match(fixture),
    )
    assert feed_status(gap) == ("GAP", ("records_missing",))
    snapshot = a_snapshot(4, (0, 0), told("k", KickOff(), Clock(1, 0)), clock=minute(6), provider="c")
    healed = played([snapshot], gap)
    assert feed_status(healed) == ("OK", ())
    assert (healed.summary.score, healed.summary.phase) == (Score(1, 0), "live")


def test_odds_that_are_not_believed_still_count_as_records_that_came() -> None:
    odds = a_book(3, provider="p", event_id="o")
    state = played([*kicked_off(), odds, a_record(4, a_pass(), minute(1))])
    assert feed_status(state) == ("OK", ())
    assert state.books == {}


def test_a_book_of_the_provider_of_the_events_does_not_heal_what_it_lost() -> None:
    fixture = a_fixture(believed=Believed(events="p", clock="p", odds=("p",)))
    state, _ = play([*kicked_off(), a_goal(provider_seq=3, clock__ms=-1)], new_match(fixture))
    after = played([a_book(seq, provider="p", event_id=f"o{seq}") for seq in range(4, 200)], state)
    assert feed_status(after)[0] == "GAP"


# odds


def prices(state: MatchState) -> tuple[float | None, ...]:
    return state.books["1x2"].prices


def test_the_last_ten_minutes_of_odds_once_more_do_not_bring_old_prices_back() -> None:
    books = [a_book(seq, (1.5 + seq / 100, 3.0, 4.0), AT) for seq in range(1, 300)]
    state = played(books)
    again = played(books[:-1], state)
    assert state_hash(again) == state_hash(state)


def test_a_bookmaker_that_counts_anew_is_followed_from_its_first_record() -> None:
    state = played([a_book(seq, clock=AT) for seq in range(1, 300)])
    anew = played(
        [a_book(1, (1.2, 8.0, 15.0), AT, event_id="anew"), a_book(2, (1.3, 7.0, 12.0), AT, event_id="n2")], state
    )
    assert prices(anew) == (1.3, 7.0, 12.0)
    assert feed_status(anew) == ("OK", ())


def test_a_lost_book_is_said_and_forgiven_after_a_while() -> None:
    state = played([a_book(1), a_book(3)])
    assert feed_status(state) == ("OK", ("odds_records_missing",))
    assert feed_status(played([a_book(2)], state)) == ("OK", ())
    assert feed_status(played([a_book(seq) for seq in range(4, 80)], state)) == ("OK", ())


def test_a_suspended_market_is_shown_as_suspended_and_open_again_with_the_next_book() -> None:
    state = played([*before(), a_book(2, clock=AT, suspended=True)])
    assert state.books["1x2"].suspended
    assert not played([a_book(3, clock=AT)], state).books["1x2"].suspended


def test_of_two_bookmakers_the_more_believed_stands_and_one_in_play_before_one_that_is_not() -> None:
    fixture = a_fixture(believed=Believed(events="p", clock="p", odds=("b", "simulated")))
    other = a_book(1, (9.0, 9.0, 1.2), provider="simulated")
    for order in ([a_book(1), other], [other, a_book(1)]):
        state = played(order, new_match(fixture))
        assert (state.books["1x2"].provider, state.anchors["1x2"].provider) == ("b", "b")
    in_play = a_book(2, (9.0, 9.0, 1.2), AT, provider="simulated")
    for order in ([a_book(1), in_play], [in_play, a_book(1)]):
        state = played(order, new_match(fixture))
        assert (state.books["1x2"].provider, state.anchors["1x2"].provider) == ("simulated", "b")


def test_a_feed_of_made_up_markets_is_bounded() -> None:
    records = [a_book(seq, (1.5, 2.5), market=f"m{seq}", selections=("a", "b")) for seq in range(1, 1_005)]
    state, effects = play(records)
    assert len(state.books) == 1_000
    assert [done[0].reason for done in effects[1_000:] if isinstance(done[0], DeadLetter)] == ["too_many_markets"] * 4


# what the refusal says


def test_a_dead_letter_says_the_reason_in_a_sentence_and_the_forecast_after_it_says_gap() -> None:
    state, effects = play([*before(), a_goal(schema=7)])
    assert effects[-1] == (
        DeadLetter(reason="unknown_schema", detail="schema 7, this code reads 1"),
        Reforecast(trigger="rejected"),
    )
    assert feed_status(state) == ("GAP", ("records_lost",))


def test_a_refused_pass_asks_for_no_forecast() -> None:
    _, effects = play([*before(), changed(a_record(6, a_pass(), AT), clock__ms=-1)])
    assert [type(effect) for effect in effects[-1]] == [DeadLetter]


@pytest.mark.parametrize(
    "damage",
    [
        lambda value: value[:-10],
        lambda value: value + b"\x00",
        lambda value: b"",
        lambda value: b"\xc1" * 50,
        lambda value: b"\x93" * 20_000,
        lambda value: value.replace(b"p:1", b"p:2", 1),
    ],
)
def test_a_damaged_snapshot_of_a_state_is_an_error_of_its_own(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(SnapshotUnreadable):
        decode_state(MATCH, damage(encode_state(played(before()))))
