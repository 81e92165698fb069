"""Lines for a log: few, and none for what is over soon."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from jupyter_jobprogress.cli import show
from jupyter_jobprogress.protocol.phrases import WORDS
from jupyter_jobprogress.terminal.row import Row

TICK_S: Final = 0.5

FIRST_S: Final = 10.0
"""Age at which a job gets its first line, unless lines were asked for. A service with many short ones stays quiet."""

STEP: Final = 0.1
STEP_S: Final = 10.0
"""A line for each tenth of the work, but for those that follow so soon."""

SILENCE_S: Final = 60.0
SILENCE_SHARE: Final = 0.05
"""A line after this time without one, or after this share of the job's age: a day's work says a hundred lines or so."""

MOST: Final = 20
REFILL_S: Final = 3.0
"""All jobs together write so many lines at once, and then one in so many seconds. The others are left out."""


def write(line: str) -> None:
    """Write a line to standard error, if there is such a thing."""
    stream = sys.stderr
    if stream is not None:
        with suppress(OSError, ValueError):  # closed, or read by nobody any more
            stream.write(f"{line}\n")
            stream.flush()


class Log:
    """Writes lines about jobs. ``asked``: from their beginning."""

    tick_s = TICK_S

    def __init__(
        self,
        *,
        asked: bool,
        write: Callable[[str], object] = write,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._asked = asked
        self._write = write
        self._clock = clock
        self._entries: dict[Row, _Entry] = {}
        self._left = float(MOST)
        self._left_s = clock()

    def add(self, row: Row) -> None:
        """Show a job from now on."""
        entry = _Entry(row, asked=self._asked)
        self._say(entry)
        self._entries[row] = entry

    @property
    def busy(self) -> bool:
        """Whether there is a job to look at."""
        return bool(self._entries)

    def tick(self) -> None:
        """Look at all jobs."""
        for row, entry in list(self._entries.items()):
            row.look()
            if row.ended:
                del self._entries[row]
            self._say(entry)

    def pause(self) -> None:
        """Learn that a prompt follows. A line in between is no harm."""

    def close(self) -> None:
        """Show how jobs have ended."""
        self.tick()

    def let_go(self) -> None:
        """Show nothing more."""
        self._entries.clear()

    def _say(self, entry: _Entry) -> None:
        now_s = self._clock()
        if entry.due(now_s) and self._may(now_s):
            entry.said(now_s)
            self._write(line(entry.row))

    def _may(self, now_s: float) -> bool:
        self._left = min(float(MOST), self._left + (now_s - self._left_s) / REFILL_S)
        self._left_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


class _Entry:
    """What was said of one job."""

    def __init__(self, row: Row, *, asked: bool) -> None:
        self.row: Final = row
        self._asked = asked
        self._said_s: float | None = None
        self._said_n: float | None = None
        self._step = 0

    def due(self, now_s: float) -> bool:
        row = self.row
        if row.ended:
            return self._asked or self._said_s is not None
        if self._said_s is None:
            return self._asked or now_s - row.begin_s >= FIRST_S
        since_s = now_s - self._said_s
        if since_s >= STEP_S and _step(row) > self._step:
            return True
        silence_s = max(SILENCE_S, SILENCE_SHARE * (now_s - row.begin_s))
        return since_s >= silence_s and row.state.n != self._said_n

    def said(self, now_s: float) -> None:
        self._said_s = now_s
        self._said_n = self.row.state.n
        self._step = _step(self.row)


def _step(row: Row) -> int:
    return int((row.state.progress or 0.0) / STEP + 1e-9)


def line(row: Row) -> str:
    """Return one line about a job."""
    state = row.state
    stage = "" if state.status.terminal else show.stage(state)
    parts = (WORDS[state.status], stage, show.percent(state), *row.facts(), row.said())
    return f"{row.title()}: {', '.join(part for part in parts if part)}"
