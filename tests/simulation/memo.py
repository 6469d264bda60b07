"""Pure functions that are called again and again with the same arguments, remembered for the length of a run.

Each is keyed by all that it depends on. What is immutable and cannot be hashed is keyed by its identity, and held, so
that no other object can come to have it. `test_what_is_remembered_changes_nothing` runs schedules both ways.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import actors.domain.assemble as assembling
import actors.domain.chain as chain
import actors.history_writer as history_writer
import actors.match as match
import actors.ownership as ownership
import actors.session as session
import actors.supervisor as supervisor
import tests.simulation.reader as reader
import tests.simulation.verdict as verdict
import tests.simulation.world as world
from actors.domain.forecast import Forecast
from tests.simulation.hub import Hub
from tests.simulation.threads import datetime_of, threading_of, time_of, uuid4_of

Function = Callable[..., Any]
_MOST = 200_000  # remembered results of one function; then it begins anew


class _Kept(dict[Any, Any]):
    """Results by argument; what is not there yet is computed."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, key: Any) -> Any:
        if len(self) >= _MOST:
            self.clear()
        found = self[key] = self._function(key)
        return found


def by_value(function: Function) -> Function:
    """Remember by one argument, which can be hashed."""
    return _Kept(function).__getitem__


def by_values(function: Function) -> Function:
    """Remember by two arguments, which can be hashed."""
    kept = _Kept(lambda key: function(*key))
    return lambda *key: kept[key]


def by_identity(function: Function) -> Function:
    """Remember by one argument's identity."""
    kept: dict[int, tuple[Any, Any]] = {}

    def remembered(value: Any) -> Any:
        found = kept.get(id(value))
        if found is None:
            if len(kept) >= _MOST:
                kept.clear()
            found = kept[id(value)] = (value, function(value))
        return found[1]

    return remembered


def _stepping(function: Function) -> Function:
    kept: dict[Any, Any] = {}

    def step_decoded(state: Any, entry: Any) -> Any:
        key = (id(state), entry.offset, entry.key, entry.value, entry.problem)
        found = kept.get(key)
        if found is None:
            found = kept[key] = (state, function(state, entry))
        return found[1]

    return step_decoded


def _drafting(function: Function) -> Function:
    kept: dict[Any, Any] = {}

    def draft(state: Any, effect: Any, record: Any, feed_record: Any) -> Any:
        key = (id(state), effect.trigger, id(record), id(feed_record))
        found = kept.get(key)
        if found is None:
            found = kept[key] = ((state, record, feed_record), function(state, effect, record, feed_record))
        return found[1]

    return draft


def _replacing(function: Function) -> Function:
    kept: dict[Any, Any] = {}

    def replace(draft: Any, conflated: int) -> Any:
        found = kept.get((id(draft), conflated))
        if found is None:
            found = kept[id(draft), conflated] = (draft, function(draft, conflated=conflated))
        return found[1]

    return replace


def _assembling(function: Function) -> Function:
    kept: dict[Any, Any] = {}

    def assemble(draft: Any, prediction: Any, markets: Any, place: Any, inferred: Any, published: Any) -> Any:
        key = (id(draft), id(prediction), place.epoch, place.prev_hash, inferred, published)
        found = kept.get(key)
        if found is None:
            found = kept[key] = ((draft, prediction), function(draft, prediction, markets, place, inferred, published))
        return found[1]

    return assemble


def _hashing(function: Function) -> Function:
    kept: dict[Any, Any] = {}

    def row_hash(prev_hash: str, forecast: Any) -> Any:
        found = kept.get((prev_hash, id(forecast)))
        if found is None:
            found = kept[prev_hash, id(forecast)] = (forecast, function(prev_hash, forecast))
        return found[1]

    return row_hash


def _encoding(function: Function) -> Function:
    remembered = by_identity(function)

    def encode(record: Any) -> bytes:
        return remembered(record) if isinstance(record, Forecast) else function(record)

    return encode


def _deriving(function: Function) -> Function:
    one = by_identity(lambda distribution: function([distribution])[0])
    return lambda distributions: list(map(one, distributions))


def _predicting(function: Function) -> Function:
    one = by_value(lambda inputs: function([inputs])[0])
    return lambda rows: list(map(one, rows))


class _NoMetrics:
    """Counts nothing."""

    def applied(self, records: int) -> None: ...
    def rejected(self, reason: str) -> None: ...
    def gap(self) -> None: ...
    def published(self, forecast: Forecast) -> None: ...


_REMEMBERED: tuple[tuple[str, Callable[[Function], Function], tuple[Any, ...]], ...] = (
    ("step_decoded", _stepping, (session,)),
    ("feed_status", by_identity, (session,)),
    ("_draft", _drafting, (session,)),
    ("replace", _replacing, (session,)),
    ("assemble", _assembling, (session,)),
    ("encode_published", _encoding, (session,)),
    ("encode_state", by_identity, (session,)),
    ("decode_state", by_values, (session, world)),
    ("state_hash", by_identity, (session,)),
    ("new_match", by_identity, (session,)),
    ("derive_all", _deriving, (session,)),
    ("fair", by_values, (assembling,)),
    ("decode_published", by_value, (ownership, history_writer, chain, reader, world, verdict)),
    ("feature_snapshot", by_value, (history_writer,)),
    ("decode_fixture", by_value, (supervisor,)),
    ("row_hash", _hashing, (chain,)),
    ("read_inputs", by_values, (chain,)),
    ("predict", _predicting, (world,)),
)


@contextmanager
def simulated(remembering: bool = True, kind: type[Hub] = Hub) -> Iterator[Hub]:
    """Give the real code threads, clocks and names that are the hub's, and a memory for what is pure."""
    hub = kind()
    with pytest.MonkeyPatch.context() as patch:
        for module in (match, history_writer):
            patch.setattr(module, "threading", threading_of(hub))
        patch.setattr(session, "time", time_of(hub))
        patch.setattr(session, "datetime", datetime_of(hub))
        patch.setattr(session, "uuid4", uuid4_of(hub))
        patch.setattr(session, "MatchMetrics", _NoMetrics)
        patch.setattr(session, "_HEAD_EVERY_S", 10.0)
        for name, how, modules in _REMEMBERED if remembering else ():
            remembered = how(getattr(modules[0], name))
            for module in modules:
                patch.setattr(module, name, remembered)
        yield hub
