"""`python -m cluster.dlq`: what operators see of dead letters, and what becomes of those that they replay."""

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.adapters.embedded_log import SqliteLog
from actors.domain.fixtures import Fixture, Lease
from actors.domain.letters import Letter, ReplayMark, dead_letter, decode_dlq, decode_letter
from actors.domain.match import MatchState, new_match, state_hash
from actors.domain.ports import DEAD_LETTERS, FEED, LogRecord, NewRecord
from actors.machines.match import Entry, step
from cluster.dlq.__main__ import main
from cluster.dlq.box import read_box
from cluster.dlq.replaying import CannotReplay, replay, target
from cluster.dlq.showing import content, printable
from tests.unit.audited import MATCH, NOW, a_feed, a_fixture, announce, open_log, play, send

OTHER = "fake:2"
GARBAGE = b"{not json \x1b[2J\x00\xff"
Dlq = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    """The log of a match of which two records were refused: garbage, and one that belongs to another match."""
    log = open_log(tmp_path / "data")
    announce(log, a_fixture(MATCH, 0), a_fixture(OTHER, 2))
    theirs = a_feed(OTHER)
    send(log, a_fixture(MATCH, 0), [*a_feed(MATCH)[:3], GARBAGE])
    log.append(FEED, 0, [NewRecord(key=OTHER, value=theirs[2])])
    send(log, a_fixture(OTHER, 2), [*theirs[:2], *theirs[3:6]])
    play(log, a_fixture(MATCH, 0))
    yield log
    log.close()


@pytest.fixture
def dlq(log: SqliteLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Dlq:
    """Run the command line; return its exit code, the lines of stdout, and stderr."""

    def run(*words: str) -> tuple[int, list[str], str]:
        code = main([*words, "--data", str(tmp_path / "data")])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return run


def letters(log: SqliteLog) -> list[Letter | ReplayMark]:
    return [decode_dlq(record.value or b"") for record in log.read(DEAD_LETTERS, {0: 0}, 1_000, 0.0)]


def put(log: SqliteLog, *, reason: str = "malformed", detail: str = "because", **fields: object) -> Letter:
    """Append a letter of one's own making; return it."""
    plain = {"partition": 1, "offset": 7, "key": MATCH, "value": a_feed()[0], "appended_at": NOW}
    record = LogRecord(**{**plain, **fields})  # type: ignore[arg-type]
    log.append(DEAD_LETTERS, 0, [letter := dead_letter(FEED, record, reason, detail)])
    return decode_letter(letter.value or b"")


def fold(log: SqliteLog, fixture: Fixture) -> MatchState:
    """Fold a match's partition as its actor would."""
    assert fixture.lease is not None
    state = new_match(fixture)
    for record in log.read(FEED, {fixture.lease.partition: 0}, 1_000, 0.0):
        state, _ = step(state, Entry(offset=record.offset, key=record.key, value=record.value))
    return state


class TestList:
    def test_letters_come_newest_last_with_a_count_by_reason(self, dlq: Dlq) -> None:
        code, lines, err = dlq("list")
        assert (code, err) == (0, "")
        first, second, total = lines
        assert first.split()[1:6] == ["feed.v1/0/3", MATCH, "malformed", str(len(GARBAGE)), "B"]
        assert second.split()[1:4] == ["feed.v1/0/4", OTHER, "wrong_partition"]
        assert total == "2 letters: 1 malformed, 1 wrong_partition"

    def test_only_so_many_and_only_of_one_reason(self, dlq: Dlq, log: SqliteLog) -> None:
        for offset in range(10, 15):
            put(log, offset=offset)
        _, lines, _ = dlq("list", "--limit", "2", "--reason", "malformed")
        assert lines[0] == "(4 older ones are left out, see --limit)"
        assert [line.split()[1] for line in lines[1:3]] == ["feed.v1/1/13", "feed.v1/1/14"]
        assert lines[3:] == ["6 letters: 6 malformed"]

    def test_a_letter_that_a_crash_had_appended_twice_is_shown_once(self, dlq: Dlq, log: SqliteLog) -> None:
        for _ in range(2):
            put(log)
        assert len(read_box(log).entries) == 3
        assert dlq("list")[1][-1] == "3 letters: 2 malformed, 1 wrong_partition"

    def test_nothing_that_came_from_outside_steers_the_terminal(self, dlq: Dlq, log: SqliteLog) -> None:
        put(log, key="\x1b]0;owned\x07", reason="[red]a\nb", detail="\x9b31m \u202e \r x")
        _, lines, _ = dlq("list")
        assert all(line.isprintable() for line in lines)
        assert "\\x1b]0;owned\\x07" in lines[2] and "[red]a\\nb" in lines[2] and "\\u202e" in lines[2]

    def test_what_nobody_can_read_is_counted(self, dlq: Dlq, log: SqliteLog) -> None:
        log.append(DEAD_LETTERS, 0, [NewRecord(key="x", value=value) for value in (b"{", b"{}", None)])
        assert dlq("list")[1][-1] == "3 records of feed.dlq cannot be read"

    def test_an_empty_box_is_no_letters(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        open_log(tmp_path).close()
        assert main(["list", "--data", str(tmp_path)]) == 0
        assert capsys.readouterr().out == "0 letters\n"

    def test_a_box_of_which_the_oldest_are_gone_is_read_from_where_it_begins(self, dlq: Dlq, log: SqliteLog) -> None:
        log.prune(DEAD_LETTERS, 0, 1)
        assert dlq("list")[1][-1] == "1 letter: 1 wrong_partition"


class TestInspect:
    def test_json_is_laid_out(self, dlq: Dlq) -> None:
        code, lines, _ = dlq("inspect", "feed.v1/0/4")
        assert code == 0
        facts = dict(line.split(None, 1) for line in lines[: lines.index("")])
        assert (facts["key"], facts["reason"], facts["replayed"]) == (OTHER, "wrong_partition", "no")
        assert '  "match_id": "fake:2",' in lines

    def test_what_is_no_text_is_a_hex_dump(self, dlq: Dlq) -> None:
        _, lines, _ = dlq("inspect", "feed.v1/0/3")
        assert (
            lines[lines.index("") + 1] == "00000000  7b 6e 6f 74 20 6a 73 6f 6e 20 1b 5b 32 4a 00 ff  {not json .[2J.."
        )

    def test_a_record_that_was_lost_is_said_to_be(self, dlq: Dlq, log: SqliteLog) -> None:
        put(log, value=None, reason="damaged", detail="a segment was damaged")
        _, lines, _ = dlq("inspect", "feed.v1/1/7")
        assert lines[-1] == "record    lost"
        assert "lost" in dlq("list")[1][2]

    def test_a_letter_that_is_not_there_is_one_sentence(self, dlq: Dlq) -> None:
        assert dlq("inspect", "feed.v1/0/99") == (
            2,
            [],
            "feed.dlq has no letter 'feed.v1/0/99'; `list` shows what it has\n",
        )


class TestReplay:
    def test_a_record_goes_to_the_partition_that_its_match_is_leased_now(self, dlq: Dlq, log: SqliteLog) -> None:
        code, lines, _ = dlq("replay", "feed.v1/0/4")
        assert (code, lines) == (
            0,
            ["feed.v1/0/4: appended to feed.v1/2 at offset 5, for fake:2", "1 replayed, 0 not"],
        )
        record = log.read(FEED, {2: 5}, 10, 0.0)[0]
        assert (record.key, record.value) == (OTHER, a_feed(OTHER)[2])

    def test_replaying_twice_changes_nothing_in_the_match(self, dlq: Dlq, log: SqliteLog) -> None:
        dlq("replay", "feed.v1/0/4")
        once = fold(log, a_fixture(OTHER, 2))
        dlq("replay", "feed.v1/0/4", "feed.v1/0/4")
        twice = fold(log, a_fixture(OTHER, 2))
        assert twice.offset == once.offset + 1
        assert state_hash(twice) == state_hash(once)

    def test_the_list_says_what_was_replayed_and_all_leaves_it_out(self, dlq: Dlq, log: SqliteLog) -> None:
        dlq("replay", "feed.v1/0/4")
        _, lines, _ = dlq("list")
        assert "[replayed " in lines[1] and "[replayed " not in lines[0]
        assert lines[-1] == "2 letters: 1 malformed, 1 wrong_partition (1 replayed)"
        assert (
            "to partition 2 at offset 5"
            in dict(line.split(None, 1) for line in dlq("inspect", "feed.v1/0/4")[1] if line.startswith("replayed"))[
                "replayed"
            ]
        )
        assert dlq("replay", "--all", "--reason", "wrong_partition")[:2] == (0, ["0 replayed, 0 not"])
        assert log.end_offsets(FEED)[2] == 6

    def test_all_of_one_reason(self, dlq: Dlq, log: SqliteLog) -> None:
        put(log, reason="wrong_partition", key=OTHER, value=a_feed(OTHER)[6])
        code, lines, _ = dlq("replay", "--all", "--reason", "wrong_partition")
        assert (code, lines[-1]) == (0, "2 replayed, 0 not")
        assert [r.value for r in log.read(FEED, {2: 5}, 10, 0.0)] == [a_feed(OTHER)[2], a_feed(OTHER)[6]]

    def test_what_this_code_would_refuse_again_is_not_appended_unless_told_so(self, dlq: Dlq, log: SqliteLog) -> None:
        code, lines, _ = dlq("replay", "--all")
        assert (code, lines[-1]) == (1, "1 replayed, 1 not")
        assert lines[0].startswith("feed.v1/0/3: not replayed: this code refuses it as before (malformed: ")
        assert all(line.isprintable() for line in lines)
        assert log.end_offsets(FEED)[0] == 5
        assert dlq("replay", "feed.v1/0/3", "--anyway")[0] == 0
        assert log.read(FEED, {0: 5}, 1, 0.0)[0].value == GARBAGE

    def test_of_several_one_that_is_not_there_stops_all(self, dlq: Dlq, log: SqliteLog) -> None:
        code, lines, err = dlq("replay", "feed.v1/0/4", "feed.v1/9/9")
        assert (code, lines, err.count("\n")) == (2, [], 1)
        assert log.end_offsets(FEED)[2] == 5

    @pytest.mark.parametrize("words", [[], ["--all", "feed.v1/0/4"], ["feed.v1/0/4", "--reason", "malformed"]])
    def test_what_is_meant_must_be_clear(self, dlq: Dlq, log: SqliteLog, words: list[str]) -> None:
        code, lines, err = dlq("replay", *words)
        assert (code, lines, err.count("\n")) == (2, [], 1)
        assert len(letters(log)) == 2

    def test_a_mark_is_no_letter(self, dlq: Dlq, log: SqliteLog) -> None:
        dlq("replay", "feed.v1/0/4")
        assert isinstance(mark := letters(log)[-1], ReplayMark)
        assert (mark.letter, mark.partition, mark.offset) == ("feed.v1/0/4", 2, 5)
        with pytest.raises(msgspec.DecodeError):
            decode_letter(log.read(DEAD_LETTERS, {0: 2}, 1, 0.0)[0].value or b"")


LETTER = Letter(
    topic=FEED, partition=0, offset=1, key=MATCH, reason="r", detail="d", code_version=1, raw=a_feed(MATCH)[0]
)
FIXTURES = {
    MATCH: a_fixture(MATCH, 3),
    "over": replace(a_fixture("over", 1), status="retired"),
    "early": replace(a_fixture("early"), lease=None),
}


class TestTarget:
    def test_it_is_the_lease_of_the_key_s_match(self) -> None:
        assert target(LETTER, FIXTURES) == 3
        assert (
            target(LETTER, FIXTURES | {MATCH: replace(FIXTURES[MATCH], lease=Lease(partition=1, start_offset=9))}) == 1
        )

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"raw": None, "detail": "disk"}, "its bytes were lost (disk)"),
            ({"key": None}, "it has no key"),
            ({"key": "who:1"}, "no fixture announces 'who:1'"),
            ({"key": "over"}, "over is over, nobody reads its partition any more"),
            ({"key": "early"}, "early has been leased no partition yet"),
            ({"topic": "forecasts.v1"}, "only records of feed.v1"),
            ({"raw": b"{"}, "this code refuses it as before (malformed: "),
            ({"raw": b""}, "this code refuses it as before (empty: "),
        ],
    )
    @pytest.mark.parametrize("anyway", [False, True])
    def test_a_record_that_nobody_would_read_has_none(
        self, changes: dict[str, object], problem: str, anyway: bool
    ) -> None:
        letter = replace(LETTER, **changes)
        if anyway and "this code" in problem:
            assert target(letter, FIXTURES, anyway) == 3
            return
        with pytest.raises(CannotReplay) as refused:
            target(letter, FIXTURES, anyway)
        assert str(refused.value).startswith(f"{letter.id}: not replayed: {problem}")

    def test_the_mark_comes_behind_the_record(self, log: SqliteLog) -> None:
        mark = replay(log, LETTER, 3, now=NOW)
        assert mark == ReplayMark(letter="feed.v1/0/1", replayed_at=NOW, partition=3, offset=0)
        assert letters(log)[-1] == mark


def test_where_there_is_no_log_none_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", f"data.folder={tmp_path / 'none'}"]) == 2
    assert capsys.readouterr().err == f"no log at {tmp_path / 'none' / 'log'}; name the data folder with --data\n"
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("words", [["list", "store.hots=a"], ["list", "profile=moon"]])
def test_a_wrong_option_is_one_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.count("\n") == 1


@given(st.text() | st.text(alphabet=st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Co"])))
def test_printable_text_is_printable_and_can_be_encoded(text: str) -> None:
    assert printable(text).isprintable()
    printable(text).encode()


@given(st.binary(max_size=200))
def test_any_content_can_be_shown(raw: bytes) -> None:
    lines = list(content(raw))
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    "raw", [b"[" * 100_000, b'{"a":"\xff"}', b"[1] x", base64.b64encode(bytes(99)), b"\xef\xbb\xbf{}"]
)
def test_what_is_almost_json_is_shown_as_it_is(raw: bytes) -> None:
    assert all(line.isprintable() for line in content(raw))


def test_times_are_shown_in_utc(dlq: Dlq) -> None:
    stamp = dlq("list")[1][0].split()[0]
    assert abs((datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()) < 600
