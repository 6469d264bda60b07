"""Cursors come back as they went out, or are refused."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serve_app.cursor import (
    BadCursor,
    Position,
    decode_place,
    decode_position,
    encode_place,
    encode_position,
    seal,
)

POSITIONS = st.builds(
    Position,
    offsets=st.dictionaries(st.integers(0, 400), st.integers(1, 2**63 - 1), max_size=60),
    is_complete=st.booleans(),
)


@given(POSITIONS)
def test_positions_come_back(position: Position) -> None:
    assert decode_position(encode_position(position)) == position


@given(st.text())
@example("-1")
@example("0")
@example("AAAA====")
@example("../../etc/passwd")
@example("9" * 5000)
@example(encode_place("m", "x"))
def test_garbage_is_refused_and_never_read_as_a_position(text: str) -> None:
    with pytest.raises(BadCursor):
        decode_position(text)


@given(POSITIONS, st.data())
def test_a_changed_letter_is_noticed(position: Position, data: st.DataObject) -> None:
    cursor = encode_position(position)
    place = data.draw(st.integers(0, len(cursor) - 2))  # the last letter has bits that carry nothing
    letter = data.draw(st.sampled_from("abcXYZ019-_").filter(lambda each: each != cursor[place]))
    with pytest.raises(BadCursor):
        decode_position(cursor[:place] + letter + cursor[place + 1 :])


def test_a_position_beyond_any_log_is_refused_although_its_checksum_is_right() -> None:
    endless = seal(b"p\x00" + b"\xff" * 50 + b"\x01")
    with pytest.raises(BadCursor, match="no log has"):
        decode_position(endless)


def test_a_cursor_of_one_list_does_not_open_another() -> None:
    with pytest.raises(BadCursor, match="another list"):
        decode_place("t", encode_place("m", "17"))


def test_a_cursor_of_48_partitions_fits_a_header() -> None:
    assert len(encode_position(Position(offsets=dict.fromkeys(range(48), 10**9)))) < 400
