"""The builder's time line and numbering, and the reading of files: packed, damaged, too large, of nobody."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.adapters import feeds
from actors.adapters.feeds import (
    BREAK_MS,
    KICK_OFF_MS,
    FeedBuilder,
    MatchFeed,
    period_starts,
    read_bytes,
    read_feed,
    read_head,
    read_json,
)
from actors.domain.errors import NotAMatch
from actors.domain.events import MAX_PERIOD_MS, BallEvent, Clock, Goal, Lineups, Odds, VarStart
from actors.domain.fixtures import Believed, Fixture, Team

KICK_OFF = datetime(2024, 5, 4, 15, 0, tzinfo=UTC)
DEMO = Path(__file__).resolve().parents[2] / "cluster" / "demo" / "wyscout_2500686.json.xz"

clocks = st.builds(Clock, st.integers(1, 5), st.integers(-5, MAX_PERIOD_MS + 5))


def a_builder() -> FeedBuilder:
    fixture = Fixture(
        match_id="acme:1",
        kick_off=KICK_OFF,
        home=Team(name="Reds"),
        away=Team(name="Blues"),
        believed=Believed(events="acme", clock="acme", odds=("book",)),
    )
    return FeedBuilder(fixture, "acme")


def a_ball() -> BallEvent:
    return BallEvent(side="home", action="pass")


def ids(feed: MatchFeed) -> list[str]:
    return [timed.record.event_id for timed in feed.records]


@given(events=st.lists(clocks, max_size=30), prices=st.lists(st.integers(0, KICK_OFF_MS), max_size=5))
def test_however_records_are_added_they_come_in_order_numbered_without_gaps(
    events: list[Clock], prices: list[int]
) -> None:
    builder = a_builder()
    for number, clock in enumerate(events):
        builder.add(clock, f"e{number}", a_ball())
    for number, at_ms in enumerate(prices):
        odds = Odds(market="1x2", selections=("home", "draw", "away"), prices=(2.0, 3.0, 4.0))
        builder.before(at_ms, f"o{number}", odds, provider="book")
    builder.phases()
    feed = builder.build()
    for provider in ("acme", "book"):
        numbers = [t.record.provider_seq for t in feed.records if t.record.provider == provider]
        assert numbers == list(range(1, len(numbers) + 1))
    times = [timed.at_ms for timed in feed.records]
    assert times == sorted(times)
    assert all(t.record.occurred_at == KICK_OFF + timedelta(milliseconds=t.at_ms - KICK_OFF_MS) for t in feed.records)
    for clock, name in ((clock, f"e{number}") for number, clock in enumerate(events)):
        order = ids(feed)
        assert order.index(f"start:{clock.period}") < order.index(name) < order.index(f"end:{clock.period}")


def test_records_of_one_instant_keep_the_order_in_which_they_were_added() -> None:
    builder = a_builder()
    for name, payload in (("shot", a_ball()), ("goal", Goal(side="home")), ("review", VarStart(about="goal"))):
        builder.add(Clock(1, 700), name, payload)
    builder.phases()
    assert ids(builder.build()) == ["start:1", "shot", "goal", "review", "end:1", "full_time"]


def test_a_period_lasts_as_long_as_the_provider_says_or_until_its_last_record() -> None:
    builder = a_builder()
    builder.before(1_000, "lineups", Lineups(home=(), away=()))
    builder.add(Clock(1, 60_000), "first", a_ball())
    builder.add(Clock(2, 30_000), "second", a_ball())
    builder.phases({1: 90_000})
    at_ms = {timed.record.event_id: timed.at_ms for timed in builder.build().records}
    second_half = KICK_OFF_MS + 90_000 + BREAK_MS
    assert at_ms == {
        "lineups": 1_000,
        "start:1": KICK_OFF_MS,
        "first": KICK_OFF_MS + 60_000,
        "end:1": KICK_OFF_MS + 90_000,
        "start:2": second_half,
        "second": second_half + 30_000,
        "end:2": second_half + 30_000,
        "full_time": second_half + 30_000,
    }


def test_what_has_a_time_of_its_own_is_sent_then_whatever_its_match_clock() -> None:
    builder = a_builder()
    builder.add(Clock(1, 60_000), "ball", a_ball())
    odds = Odds(market="1x2", selections=("home", "draw", "away"), prices=(2.0, 3.0, 4.0))
    builder.at(KICK_OFF_MS + 10_000, Clock(1, 59_000), "price", odds, provider="book")
    builder.phases(finished=False)
    assert ids(builder.build()) == ["start:1", "price", "ball"]


def test_an_unfinished_match_has_no_end_and_an_empty_one_no_phases() -> None:
    builder = a_builder()
    builder.add(Clock(1, 10), "a", a_ball())
    builder.add(Clock(2, 10), "b", a_ball())
    builder.phases(finished=False)
    assert ids(builder.build()) == ["start:1", "a", "end:1", "start:2", "b"]
    empty = a_builder()
    empty.phases()
    assert ids(empty.build()) == []


def test_a_match_that_goes_from_the_second_half_to_the_shoot_out_has_one_break_between() -> None:
    starts = period_starts({1: 100, 2: 200, 5: 300})
    assert starts == {0: 0, 1: KICK_OFF_MS, 2: KICK_OFF_MS + 100 + BREAK_MS, 5: KICK_OFF_MS + 300 + 2 * BREAK_MS}


@pytest.mark.parametrize("pack", [lzma.compress, bz2.compress, gzip.compress, bytes])
def test_a_file_is_read_however_it_is_packed_and_whatever_its_name(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "match"
    path.write_bytes(pack(lzma.decompress(DEMO.read_bytes())))
    assert read_feed(path).fixture.match_id == "wyscout:2500686"


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "match.json"
    path.write_bytes(b"\xef\xbb\xbf" + lzma.decompress(DEMO.read_bytes()))
    assert read_feed(path).fixture.match_id == "wyscout:2500686"
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "a.json", "anything") == {"a": 1}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"x", id="1 byte"),
        pytest.param(b"\x00" * 5_000_000, id="5 MB of nothing"),
        pytest.param(b"\xff\xfe\xfd{}", id="invalid UTF-8"),
        pytest.param(b'{"a": NaN}', id="NaN"),
        pytest.param(b'{"a": 1e400}', id="1e400"),
        pytest.param(b'{"a": 1, "a": 2}', id="duplicate keys"),
        pytest.param(b"[" * 10_000 + b"]" * 10_000, id="depth 10,000"),
        pytest.param(b'{"a": 9223372036854775808}', id="2^63"),
        pytest.param(b"<?xml version='1.0'?><html></html>", id="XML of nobody"),
        pytest.param(b'[{"id": 1}, {"id": 2}]', id="JSON of nobody"),
        pytest.param(bz2.compress(b"half of a packed file" * 100)[:40], id="cut bzip2"),
        pytest.param(gzip.compress(b"half of a packed file" * 100)[:40], id="cut gzip"),
        pytest.param(lzma.compress(b"half of a packed file" * 100)[:60], id="cut xz"),
    ],
)
def test_a_file_of_nobody_gives_one_sentence_of_what_was_expected_and_what_came(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "strange.bin"
    path.write_bytes(content)
    with pytest.raises(NotAMatch) as caught:
        read_feed(path)
    told = str(caught.value)
    assert told.startswith("strange.bin: expected ") and ", received " in told
    assert len(told.splitlines()) == 1 and len(told) < 400


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotAMatch, match=r"received nothing readable \(is a directory\)"):
        read_feed(tmp_path)
    with pytest.raises(NotAMatch, match=r"received nothing readable \(no such file or directory\)"):
        read_feed(tmp_path / "none.json")


def test_a_packed_bomb_is_refused_before_it_is_unpacked_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MAX_FILE_BYTES", 1 << 20)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"\0" * (8 << 20)))
    with pytest.raises(NotAMatch, match="more than 1 MiB once unpacked"):
        read_bytes(path)


def test_only_the_head_is_unpacked_for_detection(tmp_path: Path) -> None:
    path = tmp_path / "long.xz"
    path.write_bytes(lzma.compress(b"a" * (feeds.HEAD_BYTES * 3)))
    assert len(read_head(path)) == feeds.HEAD_BYTES


def test_a_provider_that_nobody_reads_is_named_with_those_that_are_read(tmp_path: Path) -> None:
    with pytest.raises(NotAMatch, match=r"expected one of the providers .*wyscout.*, received provider 'acme'"):
        read_feed(DEMO, provider="acme")
