"""A program in a terminal of its own: what a person would see there, and type."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pyte

from tests.support.kernel import kernel_environment

WITHIN_S = 30.0


class Terminal:
    """A terminal with a program in it."""

    def __init__(self, process: subprocess.Popen[bytes], master: int, columns: int, lines: int) -> None:
        self.process = process
        self.written = b""
        self._master = master
        self._screen = pyte.HistoryScreen(columns, lines, history=1000)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def lines(self) -> list[str]:
        """Lines on the screen that are not empty."""
        return [line for line in map(str.rstrip, self._screen.display) if line]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def cursor(self) -> tuple[bool, int]:
        """Whether the cursor is seen, and its column."""
        return not self._screen.cursor.hidden, self._screen.cursor.x

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def until(self, found: Callable[[list[str]], bool], *, within_s: float = WITHIN_S) -> list[str]:
        """Read on until the screen is as wished, and return its lines."""
        deadline_s = time.monotonic() + within_s
        while not found(self.lines):
            assert self._read(deadline_s), f"the screen is still\n{self.text}\n{self.written[-2000:]!r}"
        return self.lines

    def shows(self, *parts: str) -> list[str]:
        """Wait for a line with all of these."""
        return self.until(lambda lines: any(all(part in line for part in parts) for line in lines))

    def end(self) -> int:
        """Read to the end of the program, and return its exit code."""
        deadline_s = time.monotonic() + WITHIN_S
        while self._read(deadline_s):
            pass
        return self.process.wait(max(0.1, deadline_s - time.monotonic()))

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.type("\x03")

    def _read(self, deadline_s: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline_s - time.monotonic()))
        try:
            data = os.read(self._master, 65536) if ready else b""
        except OSError:  # nobody has the other end any more
            return False
        self.written += data
        self._stream.feed(data)
        return bool(data)


@contextmanager
def in_terminal(
    *command: str, columns: int = 100, lines: int = 24, environment: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """Run Python with these arguments in a terminal until the block ends."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    other = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")  # of the terminal that the tests run in, or of none
    inherited = {name: value for name, value in kernel_environment().items() if name not in other}
    env = inherited | {"TERM": "xterm-256color", "LANG": "C.UTF-8"} | dict(environment or {})

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, *command], stdin=slave, stdout=slave, stderr=slave, env=env, preexec_fn=own_terminal
    )
    os.close(slave)
    try:
        yield Terminal(process, master, columns, lines)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        os.close(master)
