"""Asks the forecaster replicas of this machine, over the sockets on which they answer matches."""

import os
import random
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from actors.domain.asking import (
    HEAD_BYTES,
    SOCKETS,
    body_bytes,
    decode_answer,
    encode_question,
    framed,
)
from actors.domain.distribution import ForecastInputs, Prediction
from actors.domain.errors import ForecasterUnavailable

_CONNECT_S = 0.5
_QUESTIONS = 500  # over one connection: then another replica may have come


class ForecasterSocket:
    """A connection to one replica at a time, kept. Not thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._connection: socket.socket | None = None
        self._asked = 0

    def predict(self, inputs: Sequence[ForecastInputs], within_s: float) -> list[Prediction]:
        """Return a prediction per input, all by one model.

        Raises:
            ForecasterUnavailable: No replica answers here, or the one that did could not; asking again is safe.
        """
        try:
            return self._ask(encode_question(inputs), time.monotonic() + within_s)
        except (OSError, EOFError, ValueError, msgspec.DecodeError) as error:
            self.close()
            raise ForecasterUnavailable(within_s, repr(error)) from error

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, question: bytes, deadline: float) -> list[Prediction]:
        connection = self._connected()
        connection.settimeout(_left(deadline))
        connection.sendall(framed(question))
        answer = decode_answer(_read(connection, body_bytes(_read(connection, HEAD_BYTES, deadline)), deadline))
        if answer.problem:
            raise ValueError(answer.problem)
        return list(answer.predictions)

    def _connected(self) -> socket.socket:
        self._asked += 1
        if self._connection is None or self._asked % _QUESTIONS == 0:
            self.close()
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> socket.socket:
        if self._folder.is_dir() and self._folder.stat().st_uid != os.getuid():  # numbers from there are not ours
            raise PermissionError(f"{self._folder} belongs to another user")
        paths = list(self._folder.glob(SOCKETS))
        for path in random.sample(paths, len(paths)):
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(_CONNECT_S)
            try:
                connection.connect(str(path))
            except OSError as error:
                connection.close()
                if isinstance(error, ConnectionRefusedError):  # left by a replica that was killed
                    path.unlink(missing_ok=True)
            else:
                return connection
        raise FileNotFoundError(f"no forecaster replica answers in {self._folder}")


def _read(connection: socket.socket, count: int, deadline: float) -> bytes:
    read = bytearray()
    while len(read) < count:
        connection.settimeout(_left(deadline))
        if not (part := connection.recv(count - len(read))):
            raise EOFError("the replica ended the connection")
        read += part
    return bytes(read)


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)  # 0 would mean not to wait at all
