"""The actor of one live match: runs its session in a thread, pulses from another, and says how far it is."""

import logging
import threading
from collections.abc import Callable

from msgspec import Struct

from actors.domain.errors import Fenced, ForecastingError, OffsetOutOfRange, Transient
from actors.domain.fixtures import Fixture
from actors.session import MatchPorts, MatchSession, MatchSettings

logger = logging.getLogger("touchline.match")

_PULSE_EVERY_S = 1.0


class Progress(Struct, frozen=True, kw_only=True):
    """How far a match is, for its supervisor."""

    match_id: str
    epoch: int
    offset: int  # of the last record folded
    next_offset: int  # where it reads on; on a shared partition others' records lie between
    phase: str
    is_settled: bool
    failed: str | None
    is_fenced: bool


class MatchActor:
    """Runs one match in a thread of its own and says how far it is. Ray restarts it by calling `__init__` again."""

    def __init__(self, fixture: Fixture, ports: Callable[[], MatchPorts], settings: MatchSettings) -> None:
        if fixture.lease is None:
            raise ValueError(f"{fixture.match_id} has no lease")
        self._fixture, self._lease, self._settings = fixture, fixture.lease, settings
        self._ports = ports()
        self._session: MatchSession | None = None
        self._pulsing = threading.Lock()  # held while a session pulses: its successor's marker would fence it
        self._failed: str | None = None
        self._is_fenced = False
        self._stop = threading.Event()
        self._runner = threading.Thread(target=self._run, name="match", daemon=True)
        self._pulser = threading.Thread(target=self._pulse, name="pulse", daemon=True)
        self._runner.start()
        self._pulser.start()

    def progress(self) -> Progress:
        """Say how far the match is."""
        session = self._session
        state = session.state if session else None
        return Progress(
            match_id=self._fixture.match_id,
            epoch=session.epoch if session else -1,
            offset=state.offset if state else -1,
            next_offset=session.next_offset if session else -1,
            phase=state.summary.phase if state else "scheduled",
            is_settled=session.is_settled if session else False,
            failed=self._failed,
            is_fenced=self._is_fenced,
        )

    def until_stopped(self) -> None:
        """Return when the match is stopped; a caller is told at once when its process dies."""
        self._stop.wait()

    def stop(self) -> None:
        """End the threads, saving a snapshot; the actor is of no use afterwards."""
        self._stop.set()
        self._runner.join(timeout=10.0)
        self._pulser.join(timeout=10.0)
        self._ports.snapshots.close()

    def _run(self) -> None:
        wait_s, behind_since = self._settings.retry_first_s, None
        while not self._stop.is_set():
            with self._pulsing:
                behind_since = self._session.behind_since if self._session else behind_since
                self._session = None
            try:
                session = MatchSession(self._fixture, self._lease, self._ports, self._settings, behind_since)
                self._session = session
                while not self._stop.is_set():
                    session.advance()
                    wait_s = self._settings.retry_first_s
                session.close()
            except Fenced as fenced:
                self._give_up(fenced)
            except OffsetOutOfRange as error:
                self._failed = str(error)
                logger.error("Match cannot be read", extra={"problem": self._failed})
                return
            except ForecastingError as error:
                if not isinstance(error, Transient):
                    self._failed = str(error)
                    logger.exception("Match stopped")
                    return
                logger.warning("Match begins anew", extra={"problem": str(error), "wait_s": wait_s})
                self._stop.wait(wait_s)
                wait_s = min(2 * wait_s, self._settings.retry_most_s)
            except Exception as error:
                self._failed = repr(error)
                logger.exception("Match stopped")
                return

    def _pulse(self) -> None:
        while not self._stop.wait(_PULSE_EVERY_S):
            try:
                with self._pulsing:
                    if self._session is not None and self._failed is None:
                        self._session.pulse()
            except Fenced as fenced:
                self._give_up(fenced)
            except ForecastingError as error:
                logger.warning("Pulse not sent", extra={"problem": str(error)})
            except Exception as error:  # the supervisor's decision: without a pulse nobody would know
                self._failed = repr(error)
                logger.exception("Match has no pulse")
                return

    def _give_up(self, fenced: Fenced) -> None:
        self._is_fenced = True
        logger.warning("Match is owned by another", extra={"problem": str(fenced)})
        self._stop.set()
