"""What a client of the stream does: parse frames, merge deltas, remember the position."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from serve_app.frames import Frame


@dataclass
class Client:
    """Merges images and deltas; keeps every forecast it was told of, in order."""

    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    seqs: dict[str, list[int]] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    beats: list[dict[str, Any]] = field(default_factory=list)
    cursor: str | None = None

    def take(self, event: str, cursor: str | None, data: Any) -> None:
        """Apply one message; fails on a delta of a match that it knows nothing of."""
        self.events.append(event)
        match event:
            case "image":
                self.bodies[data["match_id"]] = data
            case "delta":
                self.bodies[data["match_id"]] = {**self.bodies[data["match_id"]], **data}
            case "heartbeat":
                self.beats.append(data)
        if event in ("image", "delta"):
            self.seqs.setdefault(data["match_id"], []).append(data["seq"])
        self.cursor = cursor or self.cursor

    def take_frame(self, frame: Frame) -> None:
        event, cursor, data = parse(frame.sse.decode().splitlines())
        assert {"event": event, "id": cursor, "data": data} == msgspec.json.decode(frame.text)
        self.take(event, cursor, data)


def parse(lines: list[str]) -> tuple[str, str | None, Any]:
    """Parse the lines of one server-sent event."""
    fields = dict(line.split(": ", 1) for line in lines if line)
    return fields["event"], fields.get("id"), msgspec.json.decode(fields["data"])


def events(lines: Iterator[str]) -> Iterator[tuple[str, str | None, Any]]:
    """Split a stream's lines into its events."""
    block: list[str] = []
    for line in lines:
        if line:
            block.append(line)
        elif any(each.startswith("event") for each in block):
            yield parse(block)
            block = []
        else:
            block = []
