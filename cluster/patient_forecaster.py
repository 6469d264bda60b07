"""How a match asks the forecaster, whatever happens to a replica."""

import time
from pathlib import Path

from actors.adapters.forecaster_socket import ForecasterSocket
from actors.domain.distribution import ForecastInputs, Prediction
from actors.domain.errors import ForecasterUnavailable

_TRY_S = 5.0  # one replica has so long: it may be stopped, and Serve replaces it
_ALONE_S = 15.0  # a replica that was killed is back by then; else the machine has none any more


class PatientForecaster:
    """A match's call of the forecaster: waits for a replica of its machine, and again if that ended, within a bound.

    Serve is asked where the machine has no replica. Only then it is imported: its client takes 60 MB and a second of
    CPU in every process, and a call of it 8 ms.
    """

    def __init__(self, sockets: Path, timeout_s: float) -> None:
        self._socket, self._timeout_s = ForecasterSocket(sockets), timeout_s
        self._sockets = sockets
        self._alone_since: float | None = None

    def __call__(self, inputs: list[ForecastInputs]) -> list[Prediction]:
        """Return a prediction per input, all by one model; raises ForecasterUnavailable."""
        deadline, wait_s = time.monotonic() + self._timeout_s, 0.05
        while True:
            try:
                return self._ask(inputs, deadline)
            except ForecasterUnavailable as error:
                if time.monotonic() + wait_s > deadline:
                    raise ForecasterUnavailable(self._timeout_s, error.cause) from error
                time.sleep(wait_s)
                wait_s = min(2 * wait_s, 1.0)

    def _ask(self, inputs: list[ForecastInputs], deadline: float) -> list[Prediction]:
        try:
            predictions = self._socket.predict(inputs, min(deadline - time.monotonic(), _TRY_S))
        except ForecasterUnavailable:
            if not self._is_alone():
                raise
            from cluster.served import ask_for_match

            return ask_for_match(inputs, deadline - time.monotonic())
        self._alone_since = None
        return predictions

    def _is_alone(self) -> bool:
        """Say whether this machine has no replica, and is not about to have one again."""
        if self._alone_since is None:
            self._alone_since = time.monotonic()
        return not self._sockets.is_dir() or time.monotonic() - self._alone_since >= _ALONE_S
