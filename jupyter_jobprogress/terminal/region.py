"""The lowest lines of a terminal, drawn again in their place. What else is printed passes above them, unchanged."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TextIO

from rich.console import Console, RenderableType

from jupyter_jobprogress.terminal.passage import Passage, is_terminal

_UP: Final = "\x1b[1A"
_CLEAR: Final = "\r\x1b[2K"


class Region:
    """Draws lines below what is printed.

    The cursor rests at the end of the last one, and is never hidden: whatever happens to the process, the terminal is
    as it was. What writes to the terminal behind Python's back, as a child process does, follows a single line as it
    follows those of tqdm, and nothing of it is lost. In an ``interactive`` session the cursor rests below, where the
    prompt will be. ``before`` is called before something else is printed.
    """

    def __init__(self, stream: TextIO, before: Callable[[], object], *, interactive: bool) -> None:
        self.lock: Final = threading.RLock()
        self._stream = stream
        self._before = before
        self._end = "\n" if interactive else ""
        self._console = Console(file=stream, highlight=False, emoji=False, markup=False)
        self._passages: list[Passage] = []
        self._frame = ""
        self._rows = 0
        self._columns = 0
        self._drawn = False
        self.open_line = False
        """Whether what was printed last has not ended its line, so that nothing can be drawn."""

    @property
    def able(self) -> bool:
        """Whether the terminal can do what this needs."""
        console = self._console
        return console.is_terminal and not console.is_dumb_terminal and not console.legacy_windows

    @property
    def size(self) -> tuple[int, int]:
        """Columns that a line may have, and lines of the terminal."""
        columns, lines = self._console.size
        return max(1, columns - 1), lines  # a full line would make some terminals begin another

    @property
    def ascii_only(self) -> bool:
        """Whether the terminal knows no other characters."""
        return self._console.options.ascii_only

    def enter(self) -> None:
        """Let what is printed pass by the region. Streams that lead elsewhere are left alone."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if is_terminal(stream) and not (isinstance(stream, Passage) and stream in self._passages):
                passage = Passage(stream, name, self.passing)
                setattr(sys, name, passage)
                self._passages.append(passage)
        for passage in self._passages:
            passage.take_logging()

    def finish(self) -> None:
        """Leave what is drawn to the past: what comes next is below it. What could not be drawn is, on a new line."""
        with self.lock:
            if self._frame and self.open_line:
                self.open_line = False
                self._show("\n")
            if self._drawn and not self._end:
                self._write("\n")
            self._frame, self._drawn = "", False

    def let_go(self) -> None:
        """Put the streams back, where nobody else has replaced them. Takes no lock, as a forked child needs it."""
        passages, self._passages = self._passages, []
        for passage in passages:
            passage.end()

    def draw(self, lines: RenderableType) -> None:
        """Draw lines in place of those that are there, as soon as the cursor stands where a line begins."""
        with self.lock:
            columns, _ = self.size
            with self._console.capture() as captured:
                self._console.print(lines, width=columns, no_wrap=True, overflow="ellipsis", crop=True)
            frame = captured.get().removesuffix("\n")
            if frame != self._frame or not self._drawn:
                erased = self._erased()
                self._frame, self._rows, self._columns = frame, frame.count("\n") + 1, columns
                self._show(erased)

    def passing(self, write: Callable[[str], int], text: str) -> int:
        """Write text above the region."""
        with self.lock:
            self._before()
            if self._drawn:
                self._write(self._erased())
                self._drawn = False
            written = write(text)
            if text:
                self.open_line = not text.endswith("\n")
            self._show("")
            return written

    def _show(self, erased: str) -> None:
        if self._frame and not self.open_line:
            self._write(erased + self._frame + self._end)
            self._drawn = True

    def _erased(self) -> str:
        """Return what takes the frame away that is on the screen."""
        if not self._drawn:
            return ""
        # A terminal that was made narrower has broken the lines.
        broken = -(-self._columns // max(1, self._console.width))
        return _CLEAR + (_UP + _CLEAR) * (self._rows * broken - (0 if self._end else 1))

    def _write(self, text: str) -> None:
        if text:
            with suppress(OSError, ValueError):  # closed, or the terminal is gone
                # Python 3.13 asks for its prompt in a terminal that begins no line at its left by itself.
                self._stream.write(text.replace("\n", "\r\n") if self._end else text)
                self._stream.flush()
