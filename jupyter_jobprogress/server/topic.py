"""One job that somebody watches, and those who watch it at one pace.

A frame is built once for each update, and every viewer of a group is sent the same bytes. What a group pays for is the
number of sends, hardly their size: frames that come in quick succession leave together.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final, Protocol

from jupyter_jobprogress.protocol.messages import Stored, newer
from jupyter_jobprogress.server.frames import text_frame
from jupyter_jobprogress.server.mailbox import Source
from jupyter_jobprogress.server.metrics import Counts

DUTY: Final = 3.0
"""A group rests this many times as long as its last round took, while updates keep coming."""

REST_MOST_S: Final = 0.020
"""Longest rest between two rounds of a group that gets every update."""

REST_LEAST_S: Final = 0.001
"""Below it a round waits for the present turn of the loop instead: timers of epoll have no finer step."""

MEASURED_SEATS: Final = 64
"""Rounds of fewer viewers are not measured: the clock of the processor is a call of the kernel, and two of them are a
part of what an update for one viewer costs that can be seen."""

ROUND_S: Final = 15e-6
SEAT_S: Final = 5e-6
"""What such a round takes, and more for each viewer, as measured. What one read of the store gave comes faster, and
leaves together."""

JOINED_BYTES: Final = 64 * 1024
"""Frames that wait are sent before they grow past it, so that one send still fits into a socket's buffer."""


MAX_INTERVAL_S: Final = 60.0


def pace_s(interval_ms: float) -> float:
    """Return the interval in seconds at which a viewer that asks for ``interval_ms`` is served.

    Rounded up to 10 ms below a second and to whole seconds above, so that viewers share their groups and timers, and
    there are at most 160 of them for a job. 0 is every update.
    """
    if not interval_ms > 0:
        return 0.0
    if interval_ms <= 1000:
        return math.ceil(interval_ms / 10) / 100
    return min(float(math.ceil(interval_ms / 1000)), MAX_INTERVAL_S)


class Seat(Protocol):
    """Where the frames of one viewer go; ``Mailbox`` says what the methods do."""

    def deliver(self, frames: bytes, source: Source) -> bool: ...

    def send(self, frames: bytes) -> bool: ...

    def owe(self, source: Source) -> None: ...

    def forget(self, source: Source) -> None: ...


class Group:
    """Viewers of a job who get every update, in order.

    The first update after silence leaves at once. While more come, those that wait leave in one send: at the end of
    the loop's turn, in which one read of the store gave them, or when the group has rested in proportion to the time
    that its last round took. A terminal state waits for nothing and takes along what waits.
    """

    __slots__ = ("_bytes", "_counts", "_frames", "_handle", "_row", "_topic", "free_at_s", "seats")

    def __init__(self, topic: Topic, counts: Counts) -> None:
        self.seats: dict[Seat, None] = {}
        self.free_at_s = 0.0
        self._topic = topic
        self._counts = counts
        self._row: tuple[Seat, ...] | None = None
        self._frames: list[bytes] = []
        self._bytes = 0
        self._handle: asyncio.Handle | None = None

    def add(self, seat: Seat) -> None:
        # Without what waits: the newcomer is shown the newest state, and older ones must not follow it.
        self.flush()
        self.seats[seat] = None
        self._row = None

    def discard(self, seat: Seat) -> None:
        self.seats.pop(seat, None)
        self._row = None

    def push(self) -> None:
        """Take in that the topic has a newer state."""
        frame = self._topic.frame
        loop = asyncio.get_running_loop()
        rest_s = self.free_at_s - loop.time()
        if rest_s <= 0 and not self._frames:
            self._send(frame, 1)
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        if self._topic.terminal or self._bytes >= JOINED_BYTES:
            self.flush()
        elif self._handle is None and rest_s < REST_LEAST_S:
            self._handle = loop.call_soon(self.flush)
        elif self._handle is None:
            self._handle = loop.call_later(rest_s, self.flush)

    def flush(self) -> None:
        """Send what waits. Does nothing where nothing does."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if not self._frames:
            return
        frames, self._frames, self._bytes = self._frames, [], 0
        self._send(frames[0] if len(frames) == 1 else b"".join(frames), len(frames))

    def _send(self, frames: bytes, count: int) -> None:
        seats = self._seats()
        if len(seats) < MEASURED_SEATS:
            send_round(frames, count, seats, self._topic, self._counts)
            took_s = ROUND_S + len(seats) * SEAT_S
        else:
            # Time on the processor: a neighbour that took it away in between must not lengthen the rest.
            begin_s = time.thread_time()
            send_round(frames, count, seats, self._topic, self._counts)
            took_s = time.thread_time() - begin_s
        self.free_at_s = asyncio.get_running_loop().time() + min(DUTY * took_s, REST_MOST_S)

    def close(self) -> None:
        """Drop what waits. Idempotent."""
        self._frames.clear()
        self._bytes = 0
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _seats(self) -> tuple[Seat, ...]:
        if self._row is None:
            self._row = tuple(self.seats)
        return self._row


class PacedGroup:
    """Viewers of a job who get its newest state at most once in an interval."""

    __slots__ = ("_counts", "_pace", "_row", "_topic", "due_s", "seats", "waits")

    def __init__(self, topic: Topic, counts: Counts, pace: Pace) -> None:
        self.seats: dict[Seat, None] = {}
        self.due_s = 0.0
        self.waits = False
        self._topic = topic
        self._counts = counts
        self._pace = pace
        self._row: tuple[Seat, ...] | None = None

    def add(self, seat: Seat) -> None:
        self.seats[seat] = None
        self._row = None

    def discard(self, seat: Seat) -> None:
        self.seats.pop(seat, None)
        self._row = None

    def push(self) -> None:
        """Take in that the topic has a newer state."""
        now_s = asyncio.get_running_loop().time()
        if self.waits:
            self._counts.coalesced += len(self.seats)
        if self._topic.terminal or now_s >= self.due_s:
            self.flush(now_s)
        elif not self.waits:
            self.waits = True
            self._pace.wait(self)

    def flush(self, now_s: float) -> None:
        """Send the newest state."""
        self.leave_line(now_s)
        send_round(self._topic.frame, 1, self.row(), self._topic, self._counts)

    def leave_line(self, now_s: float) -> Topic:
        """Count as flushed; the caller sends."""
        self.waits = False
        self.due_s = now_s + self._pace.interval_s
        return self._topic

    def row(self) -> tuple[Seat, ...]:
        if self._row is None:
            self._row = tuple(self.seats)
        return self._row

    def close(self) -> None:
        """Drop what waits. Idempotent."""
        self.waits = False


class Pace:
    """One timer for all groups of one interval.

    A timer for each job would send a viewer of many jobs as many small frames; here the jobs of a viewer that are due
    together leave in one send. They come together by themselves: who was flushed together is due together.
    """

    def __init__(self, interval_s: float, counts: Counts) -> None:
        self.interval_s = interval_s
        self._slack_s = interval_s / 8
        self._counts = counts
        self._waiting: dict[PacedGroup, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._gathering = False

    def wait(self, group: PacedGroup) -> None:
        """Flush a group once it is due; where others wait, too, up to an eighth of the interval later."""
        self._waiting[group] = None
        if self._timer is None:
            self._start(group.due_s)

    def close(self) -> None:
        self._waiting.clear()
        self._gathering = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self, at_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_at(at_s, self._tick)

    def _tick(self) -> None:
        # A hair beyond now: a timer may be woken that much too early, and would be set for the same time again.
        now_s = asyncio.get_running_loop().time() + 1e-4
        self._gathering = len(self._waiting) > 1 and not self._gathering
        if self._gathering:
            self._start(now_s + self._slack_s)
            return
        due = [group for group in self._waiting if group.waits and group.due_s <= now_s]
        self._waiting = {group: None for group in self._waiting if group.waits and group.due_s > now_s}
        if len(due) == 1:
            due[0].flush(now_s)
        else:
            self._flush_together(due, now_s)
        self._timer = None
        if self._waiting:
            self._start(min(group.due_s for group in self._waiting))

    def _flush_together(self, due: list[PacedGroup], now_s: float) -> None:
        topics_of: dict[Seat, list[Topic]] = {}
        for group in due:
            topic = group.leave_line(now_s)
            for seat in group.row():
                topics_of.setdefault(seat, []).append(topic)
        for seat, topics in topics_of.items():
            if len(topics) == 1:
                send_round(topics[0].frame, 1, (seat,), topics[0], self._counts)
            elif seat.send(b"".join([topic.frame for topic in topics])):
                self._counts.frames_out += len(topics)
            else:
                self._counts.coalesced += len(topics)
                for topic in topics:
                    seat.owe(topic)


class Topic:
    """A job: its newest state, and its groups of viewers by their interval (0: every update)."""

    def __init__(self, job_id: str, counts: Counts, pace_of: Callable[[float], Pace]) -> None:
        self.job_id = job_id
        self.latest: Stored | None = None
        self.pushes = 0
        self.openers = 0
        self.opening: asyncio.Task[None] | None = None
        self.groups: dict[float, Group | PacedGroup] = {}
        self._counts = counts
        self._pace_of = pace_of
        self._frame: bytes | None = None

    @property
    def frame(self) -> bytes:
        """The newest state as a frame, built when it is first asked for."""
        if self._frame is None:
            assert self.latest is not None, "frames are asked for where there is a state"
            self._frame = text_frame(self.latest.data)
        return self._frame

    @property
    def terminal(self) -> bool:
        return self.latest is not None and self.latest.status.terminal

    def take(self, stored: Stored) -> None:
        """Show a state to everybody, unless it is not news."""
        if newer(stored, self.latest):
            self.latest = stored
            self._frame = None
            self._counts.updates_in += 1
            for group in self.groups.values():
                group.push()

    def add(self, seat: Seat, interval_s: float) -> None:
        """Show a viewer the newest state now, and later ones at its pace."""
        group = self.groups.get(interval_s)
        if group is None:
            group = Group(self, self._counts) if interval_s == 0 else self._paced(interval_s)
            self.groups[interval_s] = group
        group.add(seat)
        if self.latest is not None:
            seat.deliver(self.frame, self)

    def discard(self, seat: Seat, interval_s: float) -> bool:
        """Take a seat out of the group of an interval; False: it was not in."""
        group = self.groups.get(interval_s)
        if group is None or seat not in group.seats:
            return False
        group.discard(seat)
        if not group.seats:
            group.close()
            del self.groups[interval_s]
        return True

    def close(self) -> None:
        for group in self.groups.values():
            group.close()
        self.groups.clear()

    def _paced(self, interval_s: float) -> PacedGroup:
        return PacedGroup(self, self._counts, self._pace_of(interval_s))


def send_round(frames: bytes, count: int, seats: tuple[Seat, ...], topic: Topic, counts: Counts) -> None:
    """Send ``count`` frames of a job to each of some viewers."""
    behind = 0
    for seat in seats:
        if not seat.deliver(frames, topic):
            behind += 1
    counts.frames_out += count * (len(seats) - behind)
    counts.coalesced += count * behind
