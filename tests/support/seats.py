"""A viewer of a fan-out without a socket: takes frames while its gate is open, and reads them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from jupyter_jobprogress.protocol.codes import CloseCode
from jupyter_jobprogress.server.fanout import Fanout
from jupyter_jobprogress.server.mailbox import Mailbox


def unframe(frames: bytes) -> list[bytes]:
    """Return the messages of whole, unmasked text frames."""
    messages = []
    while frames:
        assert frames[0] == 0x81, "a whole text frame"
        length, head = frames[1], 2
        if length == 126:
            length, head = int.from_bytes(frames[2:4], "big"), 4
        elif length == 127:
            length, head = int.from_bytes(frames[2:10], "big"), 10
        messages.append(frames[head : head + length])
        frames = frames[head + length :]
    return messages


class Viewer:
    """An outlet with its mailbox. Clear ``reading`` to let it fall behind, and ``read`` on."""

    def __init__(self) -> None:
        self.mailbox = Mailbox(self)
        self.reading = True
        self.writes: list[bytes] = []
        self.health: list[bool] = []
        self.closed: list[tuple[CloseCode, str]] = []
        self._changed = asyncio.Event()

    def send(self, frames: bytes) -> bool:
        if self.reading:
            self.writes.append(frames)
            self._changed.set()
        return self.reading

    def probe(self) -> None:
        pass

    def close(self, code: CloseCode, reason: str) -> None:
        self.closed.append((code, reason))

    def store_health(self, *, up: bool) -> None:
        self.health.append(up)
        self._changed.set()

    def read(self) -> None:
        """Take frames again, as a socket that has written everything."""
        self.reading = True
        self.mailbox.drained()

    @property
    def seen(self) -> list[dict[str, Any]]:
        """Every message that arrived, in order."""
        return [json.loads(message) for write in self.writes for message in unframe(write)]

    @property
    def numbers(self) -> list[Any]:
        return [message.get("n") for message in self.seen]

    async def until(self, condition: Callable[[Viewer], object]) -> None:
        async with asyncio.timeout(30):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()


async def watch(fanout: Fanout, viewer: Viewer, *job_ids: str, interval_s: float = 0.0) -> None:
    """Do what a session does in order to watch."""
    fanout.enter(viewer)
    await fanout.open(job_ids)
    for job_id in job_ids:
        fanout.watch(viewer.mailbox, job_id, interval_s)
