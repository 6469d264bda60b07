"""The swap as a machine: it commits only what every replica acknowledged, and whatever fails leaves the old model."""

from datetime import UTC, datetime

import pytest

from actors.domain.models import Answer, Committed, ModelLog, Refused, ReplicaReport, SwapAsked, read_model_record
from actors.machines.models import (
    AT_START,
    RegistryState,
    SwapSettings,
    begun,
    decision,
    left,
    orders,
    recorded,
    reported,
    started,
)

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
SETTINGS = SwapSettings(silent_after_s=3.0, prepare_within_s=60.0)


class Registry:
    """A registry with its log, driven by hand."""

    def __init__(self, configured: str = "a", records: tuple[Committed | Refused | SwapAsked, ...] = ()) -> None:
        self.records, self.now_s = list(records), 100.0
        log = ModelLog()
        for record in records:
            log = read_model_record(log, record)
        self.state: RegistryState = started(configured, log, self.now_s)
        self.round()

    def round(self) -> Committed | Refused | None:
        """Decide once; what is decided is written and read back."""
        self.state = begun(self.state, self.now_s, SETTINGS)
        decided = decision(self.state, self.now_s, NOW, SETTINGS)
        if decided is not None:
            self.add(decided)
        return decided

    def add(self, record: Committed | Refused | SwapAsked) -> None:
        self.records.append(record)
        self.state = recorded(self.state, record)

    def hear(self, *replicas: str, answer: Answer | None = None) -> None:
        for replica in replicas:
            report = ReplicaReport(replica=replica, version=self.state.log.version, answer=answer)
            self.state = reported(self.state, report, self.now_s)

    def wait(self, seconds: float, *reporting: str) -> None:
        self.now_s += seconds
        self.hear(*reporting)

    def ask(self, request: str, version: str | None) -> None:
        self.add(SwapAsked(request=request, version=version, at=NOW))


def serving(*replicas: str) -> Registry:
    """A registry that has served version a for a while."""
    registry = Registry()
    registry.wait(10.0, *replicas)
    registry.round()
    return registry


def ready(request: str, ratio: float | None = None) -> Answer:
    return Answer(request=request, cpu_ratio=ratio)


def swapped(registry: Registry, request: str, version: str | None, *replicas: str) -> Committed | Refused | None:
    registry.ask(request, version)
    registry.round()
    registry.hear(*replicas, answer=ready(request))
    return registry.round()


def test_the_first_start_commits_the_configured_version() -> None:
    registry = Registry("a")
    assert [(r.epoch, r.version, r.previous) for r in registry.records if isinstance(r, Committed)] == [(1, "a", None)]
    assert (orders(registry.state).version, registry.round()) == ("a", None)


def test_a_swap_commits_once_every_replica_has_acknowledged() -> None:
    registry = serving("r1", "r2")
    registry.ask("s", "b")
    assert registry.round() is None
    candidate = orders(registry.state).candidate
    assert candidate is not None and (candidate.version, candidate.was_live) == ("b", False)
    registry.hear("r1", answer=ready("s", 0.5))
    assert registry.round() is None
    registry.hear("r2", answer=ready("s", 1.5))
    decided = registry.round()
    assert isinstance(decided, Committed)
    assert (decided.epoch, decided.version, decided.previous) == (2, "b", "a")
    assert (decided.replicas, decided.cpu_ratio) == (2, 1.5)
    assert (orders(registry.state).version, orders(registry.state).candidate) == ("b", None)


def test_one_failure_refuses_the_swap_and_the_old_model_stays() -> None:
    registry = serving("r1", "r2")
    registry.ask("s", "b")
    registry.round()
    registry.hear("r1", answer=ready("s"))
    registry.hear("r2", answer=Answer(request="s", problem="golden vectors differ by nan"))
    decided = registry.round()
    assert isinstance(decided, Refused) and "r2: golden vectors differ" in decided.why
    assert (orders(registry.state).version, orders(registry.state).candidate) == ("a", None)


def test_a_replica_that_falls_silent_while_preparing_refuses_the_swap() -> None:
    registry = serving("r1", "r2")
    registry.ask("s", "b")
    registry.round()
    registry.hear("r1", answer=ready("s"))
    registry.now_s += 3.5
    registry.hear("r1", answer=ready("s"))
    decided = registry.round()
    assert isinstance(decided, Refused) and "r2 has been silent" in decided.why


def test_a_replica_that_never_gets_ready_refuses_the_swap_in_time() -> None:
    registry = serving("r1", "r2")
    registry.ask("s", "b")
    registry.round()
    for _ in range(70):
        registry.wait(1.0)
        registry.hear("r1", answer=ready("s"))
        registry.hear("r2")
        if decided := registry.round():
            break
    assert isinstance(decided, Refused) and "missing: r2" in decided.why
    assert registry.now_s < 110.0 + 62.0


def test_a_replica_that_died_before_is_not_waited_for_and_one_that_left_neither() -> None:
    registry = serving("r1", "gone", "ending")
    registry.wait(5.0, "r1", "ending")
    registry.ask("s", "b")
    registry.round()
    registry.state = left(registry.state, "ending")
    registry.hear("r1", answer=ready("s"))
    assert isinstance(registry.round(), Committed)


def test_a_replica_that_dies_between_its_word_and_the_commit_changes_nothing() -> None:
    registry = serving("r1", "r2")
    registry.ask("s", "b")
    registry.round()
    registry.hear("r2", answer=ready("s"))
    registry.wait(1.0)  # r2 is dead by now, and not missed yet
    registry.hear("r1", answer=ready("s"))
    assert isinstance(registry.round(), Committed)
    assert orders(registry.state).version == "b"  # what the replica that takes its place starts on


def test_a_replica_that_is_new_while_a_swap_is_under_way_has_to_acknowledge_too() -> None:
    registry = serving("r1")
    registry.ask("s", "b")
    registry.round()
    registry.hear("new")
    registry.hear("r1", answer=ready("s"))
    assert registry.round() is None
    registry.hear("new", answer=ready("s"))
    assert isinstance(registry.round(), Committed)


def test_without_a_replica_nothing_is_committed() -> None:
    registry = serving()
    registry.ask("s", "b")
    registry.round()
    registry.now_s += 61.0
    decided = registry.round()
    assert isinstance(decided, Refused) and "no replica reports" in decided.why


def test_an_answer_to_another_request_does_not_count() -> None:
    registry = serving("r1")
    registry.hear("r1", answer=ready("earlier"))
    registry.ask("s", "b")
    assert registry.round() is None


def test_rollback_goes_to_the_version_before_and_back_again() -> None:
    registry = serving("r1")
    assert isinstance(swapped(registry, "s", "b", "r1"), Committed)
    registry.ask("back", None)
    registry.round()
    candidate = orders(registry.state).candidate
    assert candidate is not None and (candidate.version, candidate.was_live) == ("a", True)
    registry.hear("r1", answer=ready("back"))
    decided = registry.round()
    assert isinstance(decided, Committed)
    assert (decided.epoch, decided.version, decided.previous) == (3, "a", "b")


@pytest.mark.parametrize(("version", "why"), [(None, "no other version was live"), ("a", "a is live already")])
def test_what_cannot_be_swapped_to_is_refused_at_once(version: str | None, why: str) -> None:
    registry = serving("r1")
    registry.ask("s", version)
    decided = registry.round()
    assert isinstance(decided, Refused) and why in decided.why


def test_requests_are_taken_one_after_the_other() -> None:
    registry = serving("r1")
    registry.ask("s", "b")
    registry.ask("t", "c")
    registry.round()
    registry.hear("r1", answer=ready("s"))
    assert isinstance(registry.round(), Committed)
    registry.round()
    candidate = orders(registry.state).candidate
    assert candidate is not None and candidate.version == "c"


def test_a_registry_started_anew_knows_what_is_committed_and_refuses_what_was_under_way() -> None:
    before = serving("r1")
    swapped(before, "s", "b", "r1")
    before.ask("t", "c")
    again = Registry("a", tuple(before.records))
    [answer] = [r for r in again.records[len(before.records) :] if isinstance(r, Refused)]
    assert (answer.request, answer.why) == ("t", AT_START)
    assert (orders(again.state).version, orders(again.state).previous) == ("b", "a")


def test_a_young_registry_waits_until_every_replica_had_time_to_report() -> None:
    registry = Registry("a", tuple(serving("r1").records))
    registry.hear("r1")
    registry.ask("s", "b")
    registry.round()
    registry.hear("r1", answer=ready("s"))
    assert registry.round() is None
    registry.wait(3.1)
    registry.hear("r1", answer=ready("s"))
    assert isinstance(registry.round(), Committed)


def test_another_configured_model_is_committed_at_the_start_and_the_same_one_is_not() -> None:
    before = serving("r1")
    swapped(before, "s", "b", "r1")
    assert orders(Registry("a", tuple(before.records)).state).version == "b"
    other = Registry("c", tuple(before.records))
    assert (orders(other.state).version, orders(other.state).previous, orders(other.state).epoch) == ("c", "b", 3)


def test_of_two_answers_to_one_request_the_first_in_the_log_counts() -> None:
    before = serving("r1")
    before.ask("s", "b")
    log, late = before.state.log, Committed(
        epoch=2, version="b", previous="a", configured="a", request="s", replicas=1, cpu_ratio=None, at=NOW
    )  # fmt: skip
    refused = read_model_record(log, Refused(request="s", why="silent", at=NOW))
    assert read_model_record(refused, late) == refused
    committed = read_model_record(log, late)
    assert read_model_record(committed, late) == committed
    assert read_model_record(committed, Refused(request="s", why="silent", at=NOW)) == committed
