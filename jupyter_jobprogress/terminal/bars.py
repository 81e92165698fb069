"""Bars at the lower end of a terminal, one line a job. Loads rich."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import Final, Literal, TextIO

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jupyter_jobprogress.cli import show
from jupyter_jobprogress.cli.screen import LOOKS
from jupyter_jobprogress.terminal.region import Region
from jupyter_jobprogress.terminal.row import Row

TICK_S: Final = 0.2

MOST: Final = 10
"""Lines at most. Jobs that have ended give way first."""

_PROMPTS: Final = ("prompt_toolkit", "_pyrepl.reader", "_pyrepl.readline")
"""Modules that read a line of an interactive session; where Python reads it in C, there is no frame at all."""


class Bars:
    """Draws jobs when they have news. Without news nothing is drawn: somebody may be asked something meanwhile.

    A job stays until all have ended. One with the title of another that has ended, or without any as that, takes its
    line: the loop in a loop is one line. All methods may be called from any thread.
    """

    tick_s = TICK_S

    def __init__(self, stream: TextIO, *, interactive: bool) -> None:
        self._region = Region(stream, self._before, interactive=interactive)
        self._rows: list[Row] = []
        self._interactive = interactive
        self._news = False
        # Whether a prompt was announced since the last tick, which may not be seen yet.
        self._paused = False

    @property
    def able(self) -> bool:
        """Whether the terminal can do what this needs."""
        return self._region.able

    @property
    def busy(self) -> bool:
        """Whether there is a job to look at."""
        return bool(self._rows)

    def add(self, row: Row) -> None:
        """Show a job from now on."""
        with self._region.lock:
            self._region.enter()
            self._before()
            places = [index for index, old in enumerate(self._rows) if old.ended and old.name == row.name]
            if places:
                self._rows[places[0]] = row
            else:
                self._rows.append(row)
            self._draw()

    def tick(self) -> None:
        """Draw what is new."""
        for row in list(self._rows):
            self._news = row.look() or self._news
        with self._region.lock:
            if self._interactive and (self._paused or reads_a_line()):
                # What has ended is drawn before the next output or prompt: here somebody may be writing.
                self._paused = False
                self._region.finish()
                return
            if self._news:
                self._news = False
                self._draw()
            if self._finish_if_ended():
                self._region.let_go()

    def pause(self) -> None:
        """Leave what is drawn to the past. The next command has its jobs below it."""
        with self._region.lock:
            self._before()
            self._region.finish()
            self._paused = True

    def close(self) -> None:
        """Draw for the last time, and give the terminal back."""
        for row in self._rows:
            row.look()
        with self._region.lock:
            self._draw()
            self._finish()
        self._region.let_go()

    def let_go(self) -> None:
        """Give the terminal back as it is. Takes no lock."""
        self._rows = []
        self._region.let_go()

    def _before(self) -> None:
        """Draw how jobs ended before what is printed after that."""
        behind = [row for row in self._rows if row.behind]
        if [row for row in behind if row.look()]:
            self._draw()
        self._finish_if_ended()

    def _finish_if_ended(self) -> bool:
        """Finish when all have ended, but wait for the end of a line that somebody is printing."""
        if self._region.open_line or not all(row.ended for row in self._rows):
            return False
        self._draw()  # another thread may have looked at the end and not drawn it yet
        self._finish()
        return True

    def _finish(self) -> None:
        self._region.finish()
        self._rows.clear()

    def _draw(self) -> None:
        if not self._rows:
            return
        columns, height = self._region.size
        room = max(1, min(MOST, height - 1))
        rows = self._rows
        if len(rows) > room:
            kept = sorted(rows, key=lambda row: row.ended)[:room]
            rows = [row for row in rows if row in kept]
            # Those that have ended are gone for good, so that a thousand jobs in one cost what ten cost.
            self._rows = [row for row in self._rows if row in kept or not row.ended]
        self._region.draw(_table(rows, ascii_only=self._region.ascii_only, columns=columns))


def _table(rows: list[Row], *, ascii_only: bool, columns: int) -> Table:
    cells = [(_sign(row, ascii_only=ascii_only), _title(row), show.percent(row.state), _facts(row)) for row in rows]
    # Given outright: rich would make all columns narrower alike, and the sign and the percentage would be gone first.
    title = min(max(8, columns // 4), max(title.cell_len for _, title, _, _ in cells))
    track = max(6, min(30, columns // 8))
    widths = (1, title, track, 5, max(0, columns - (1 + title + track + 5) - 4))
    table = Table.grid(padding=(0, 1))
    for place, width in enumerate(widths):
        justify: Literal["left", "right"] = "right" if place == 3 else "left"
        last = place == len(widths) - 1
        table.add_column(
            width=None if last else width, max_width=width, justify=justify, no_wrap=True, overflow="ellipsis"
        )
    for row, (sign, named, percent, facts) in zip(rows, cells, strict=True):
        table.add_row(sign, named, _track(row), percent, facts)
    return table


def _sign(row: Row, *, ascii_only: bool) -> Text:
    sign, plain, colour, _ = LOOKS[row.state.status]
    return Text(plain if ascii_only else sign, style=colour)


def _title(row: Row) -> Text:
    title = Text(row.title(), style="bold")
    if not row.ended and (stage := show.stage(row.state)):
        title.append(f"  {stage}", style="not bold")
    return title


def _track(row: Row) -> ProgressBar:
    """Return the bar. That of an unknown amount stays empty: what is drawn with news alone cannot show a motion."""
    state = row.state
    colour = LOOKS[state.status][2]
    done = 1.0 if state.status == "completed" else state.progress or 0.0
    return ProgressBar(total=1.0, completed=done, complete_style=colour, finished_style=colour)


def _facts(row: Row) -> Text:
    # In the terminal's own colour, since what is grey in one is invisible in another.
    _, _, colour, word = LOOKS[row.state.status]
    facts = Text("  ".join(row.facts()))
    if row.ended and row.state.status != "completed":
        facts = Text.assemble((word, colour), "  ", facts)
    if said := row.said():
        facts.append(f"  {said}", style="red" if row.state.error else "")
    return facts


def reads_a_line() -> bool:
    """Whether the main thread of an interactive session waits for its user to write a line."""
    frame: FrameType | None = sys._current_frames().get(threading.main_thread().ident or 0)
    if frame is None:
        return True
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).startswith(_PROMPTS):
            return True
        frame = frame.f_back
    return False
