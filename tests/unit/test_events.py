"""The feed envelope: what is written comes back, and what cannot be read is refused with a reason."""

import json
import string

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.domain.errors import RecordRejected
from actors.domain.events import (
    MAX_PRICE,
    MAX_RECORD_BYTES,
    BallEvent,
    Clock,
    FeedRecord,
    Goal,
    Odds,
    Snapshot,
    Tick,
    decode_record,
    encode_record,
    kind_of,
)
from tests.unit.builders import MATCH, a_book, a_pass, a_record, a_snapshot, changed, goal, minute, told, whole_match
from tests.unit.drawn_feed import PATIENT, Drawn, feeds


def refusal(value: bytes | None, key: str | None = MATCH) -> RecordRejected:
    """Return why a record is refused."""
    with pytest.raises(RecordRejected) as caught:
        decode_record(key, value)
    return caught.value


@PATIENT
@given(feeds())
def test_whatever_a_provider_sends_comes_back_from_the_log_as_it_was(feed: Drawn) -> None:
    for record in feed.records:
        assert decode_record(MATCH, encode_record(record)) == record


def test_a_record_is_one_json_object_whose_payload_is_tagged_by_its_kind() -> None:
    raw = json.loads(encode_record(a_record(7, goal("away", (0, 1)), minute(5))))
    assert raw["payload"]["kind"] == "goal"
    assert raw["payload"]["score"] == [0, 1]
    assert raw["clock"] == {"period": 1, "ms": 300_000}
    assert raw["schema"] == 1


def test_every_kind_has_a_name_of_its_own() -> None:
    records = [*whole_match((goal(), minute(5))), a_book(1), a_snapshot(9, (0, 0), clock=minute(5))]
    assert [record.kind for record in records] == [
        "lineups",
        "kick_off",
        "goal",
        "period_end",
        "period_start",
        "period_end",
        "full_time",
        "odds",
        "snapshot",
    ]
    assert kind_of(Tick()) == "tick"


def test_fields_that_this_code_does_not_know_are_let_pass_in_the_envelope_and_refused_in_the_payload() -> None:
    assert decode_record(MATCH, changed(a_record(1, goal()), producer="x")).provider_seq == 1
    assert refusal(changed(a_record(1, goal()), payload__extra=1)).reason == "malformed_payload"


@PATIENT
@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf{}")
@example(b'{"payload":{"kind":[]},"provider":1,"provider_seq":true}')
@example(b'"\\ud800"')
def test_garbage_is_refused_and_raises_nothing_else(value: bytes) -> None:
    assert refusal(value).reason in ("empty", "malformed")


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(string.printable, max_size=8)
_JSON = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))
_FIELDS = ["match_id", "provider", "provider_seq", "event_id", "version", "occurred_at", "clock", "payload", "schema"]


@PATIENT
@given(st.sampled_from(_FIELDS), _JSON)
def test_a_field_of_anything_is_read_or_refused(field: str, anything: object) -> None:
    raw = json.loads(encode_record(a_record(1, goal("home", (1, 0)), minute(5))))
    value = json.dumps({**raw, field: anything}).encode()
    try:
        record = decode_record(MATCH, value)
    except RecordRejected as rejection:
        assert rejection.reason in ("malformed", "malformed_payload", "unknown_schema", "wrong_key")
    else:
        assert decode_record(MATCH, encode_record(record)) == record


@PATIENT
@given(st.sampled_from([goal(), a_pass(), a_book(1).payload]), st.data())
def test_a_payload_of_anything_is_read_or_refused(payload: Goal | BallEvent | Odds, data: st.DataObject) -> None:
    raw = json.loads(encode_record(a_record(1, payload, minute(5))))
    field = data.draw(st.sampled_from(sorted(raw["payload"])))
    raw["payload"][field] = data.draw(_JSON)
    try:
        record = decode_record(MATCH, json.dumps(raw).encode())
    except RecordRejected as rejection:
        assert rejection.reason in ("malformed", "malformed_payload")
        assert rejection.provider in ("p", None)
    else:
        assert decode_record(MATCH, encode_record(record)) == record


def test_a_refusal_says_who_sent_it_under_which_number_and_what_it_was() -> None:
    rejection = refusal(changed(a_record(7, a_pass()), clock__ms=-1))
    assert (rejection.reason, rejection.kind, rejection.provider, rejection.provider_seq) == (
        "malformed",
        "ball",
        "p",
        7,
    )
    rejection = refusal(changed(a_record(7, goal()), payload__side="third"))
    assert (rejection.reason, rejection.kind, rejection.provider_seq) == ("malformed_payload", "goal", 7)
    assert str(rejection).startswith("malformed_payload: Invalid enum value 'third'")


@pytest.mark.parametrize("seq", [True, 0, -4, 2**53 + 1, 1.5, "7", None])
def test_a_number_that_is_none_is_not_taken_from_a_refused_record(seq: object) -> None:
    value = changed(a_record(7, goal()), provider_seq=seq, clock__ms=-1)
    assert refusal(value).provider_seq == 0


def test_the_size_is_bounded_before_anything_is_read() -> None:
    value = encode_record(a_record(1, goal()))
    padded = value + b" " * (MAX_RECORD_BYTES - len(value))
    assert decode_record(MATCH, padded).provider_seq == 1
    assert refusal(padded + b" ").reason == "too_large"


@pytest.mark.parametrize("price", [1.0, 0.0, -2.0, MAX_PRICE + 1, 1e9, float("nan"), float("inf"), float("-inf")])
def test_a_price_that_is_none_cannot_be_held(price: float) -> None:
    with pytest.raises(ValueError, match="decimal price"):
        Odds(market="1x2", selections=("home", "draw", "away"), prices=(price, 3.0, 4.0))


def test_a_market_needs_one_price_per_selection_and_some() -> None:
    for selections, prices in ((("home",), (2.0, 3.0)), ((), ())):
        with pytest.raises(ValueError, match="one price per selection"):
            Odds(market="1x2", selections=selections, prices=prices)
    assert Odds(market="1x2", selections=("home",), prices=(None,)).prices == (None,)


def test_a_snapshot_of_more_events_than_a_match_has_is_refused() -> None:
    events = [told(f"e{n}", goal(), minute(5)) for n in range(501)]
    assert refusal(encode_record(a_snapshot(1, (0, 0), *events, clock=minute(5)))).reason == "malformed_payload"
    whole = decode_record(MATCH, encode_record(a_snapshot(1, (0, 0), *events[:500], clock=minute(5))))
    assert isinstance(whole.payload, Snapshot) and len(whole.payload.events) == 500


def test_clocks_are_ordered_by_period_first() -> None:
    assert Clock(1, 2_800_000) < Clock(2, 0) < Clock(2, 1)


def test_a_record_cannot_be_edited() -> None:
    record = a_record(1, goal())
    with pytest.raises(AttributeError):
        record.version = 2  # type: ignore[misc]
    assert isinstance(record, FeedRecord) and msgspec.structs.asdict(record)["version"] == 1
