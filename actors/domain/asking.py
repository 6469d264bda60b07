"""How a match asks a forecaster replica on its machine: frames of msgpack over a Unix socket.

A frame is its length (4 bytes, big-endian) and so many bytes. A question is a list of `ForecastInputs`; its answer
holds a prediction for each, or what went wrong. Floats go as their 64 bits, so a prediction arrives as it was made.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from actors.domain.distribution import MAX_REMAINING, ForecastInputs, Prediction

HEAD_BYTES = 4
MOST_BYTES = 64 * 1024 * 1024  # of a frame: beyond it, it is none of ours
SOCKETS = "*.sock"  # a replica's name in the folder that all replicas of a machine share


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction for each row that was asked, all by one model; none and a `problem` where it could not be."""

    predictions: tuple[Prediction, ...] = ()
    problem: str = ""


def framed(body: bytes) -> bytes:
    """Return a frame."""
    return struct.pack(">I", len(body)) + body


def body_bytes(head: bytes) -> int:
    """Read how many bytes follow a head; raises ValueError for more than a frame may have."""
    (count,) = struct.unpack(">I", head)
    if count > MOST_BYTES:
        raise ValueError(f"a frame has at most {MOST_BYTES} bytes, this one says {count}")
    return int(count)


def encode_question(inputs: Sequence[ForecastInputs]) -> bytes:
    return _encoder.encode(inputs)


def decode_question(body: bytes) -> list[ForecastInputs]:
    """Raises msgspec.DecodeError."""
    return _question.decode(body)


def encode_answer(answer: Answer) -> bytes:
    return _encoder.encode(answer)


def decode_answer(body: bytes) -> Answer:
    """Raises msgspec.DecodeError, ValueError where a grid has not the shape of one."""
    return _answer.decode(body)


def replica_socket(folder: Path, replica: str) -> Path:
    """Return where a replica answers."""
    return folder / SOCKETS.replace("*", replica)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else np.asarray(value, dtype="<f8").tobytes()


def _grid(_kind: type, value: Any) -> Any:
    return np.frombuffer(value, dtype="<f8").reshape(MAX_REMAINING + 1, MAX_REMAINING + 1)  # cannot be changed


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_question = msgspec.msgpack.Decoder(list[ForecastInputs])
_answer = msgspec.msgpack.Decoder(Answer, dec_hook=_grid)
