"""Where the matches of this machine ask a forecaster replica: a Unix socket, so past Serve and past every client.

Through Serve a call takes 8 ms and each match's process the 60 MB and the second of CPU that Serve's client costs; and
no connection of a client can keep a match from being answered here.
"""

import asyncio
import contextlib
import logging
from pathlib import Path

import msgspec

from actors.domain.asking import (
    HEAD_BYTES,
    Answer,
    body_bytes,
    decode_question,
    encode_answer,
    framed,
    replica_socket,
)
from serve_app.batcher import Batcher

logger = logging.getLogger("touchline.match_door")


class MatchDoor:
    """Answers from `open` to `close`, on the running loop. What is cut off is asked again, which changes nothing."""

    def __init__(self, batcher: Batcher, folder: Path, replica: str) -> None:
        self._batcher, self._path = batcher, replica_socket(folder, replica)
        self._open = set[asyncio.StreamWriter]()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to answer; raises OSError."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        coming = self._path.with_suffix(".coming")  # matches take a socket that is there and refuses for a dead one
        self._server = await asyncio.start_unix_server(self._serve, coming)
        coming.rename(self._path)

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                body = await reader.readexactly(body_bytes(await reader.readexactly(HEAD_BYTES)))
                writer.write(framed(encode_answer(await self._answer(body))))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # whoever asked went away
        except ValueError as error:
            logger.error("Not a frame", extra={"problem": str(error)})
        finally:
            self._open.discard(writer)
            with contextlib.suppress(OSError):
                writer.close()

    async def _answer(self, body: bytes) -> Answer:
        try:
            inputs = decode_question(body)
            return Answer(predictions=tuple(await self._batcher.predict(inputs, is_match=True)))
        except msgspec.DecodeError as error:
            return Answer(problem=f"not forecast inputs: {error}")
        except Exception as error:  # whatever the model raised, the match must hear of it
            logger.exception("Not predicted")
            return Answer(problem=repr(error))
