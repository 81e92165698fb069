"""Where the jobs of this process are shown: bars in a terminal, lines in a log, or nowhere."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from typing import Final, Protocol

from jupyter_jobprogress.reporter import native, process
from jupyter_jobprogress.reporter.job import Job
from jupyter_jobprogress.terminal.log import Log
from jupyter_jobprogress.terminal.passage import is_terminal
from jupyter_jobprogress.terminal.row import Row

JOIN_S: Final = 1.0

SHARE: Final = 50
"""A drawing is followed by a rest of so many times its length: it takes 2 % of the interpreter at most."""

_log = logging.getLogger(__name__)


class Display(Protocol):
    """Shows rows. Where nothing else is said, it is called in the thread that ticks, or when there is none any more."""

    tick_s: float

    @property
    def busy(self) -> bool: ...
    def add(self, row: Row) -> None:
        """Show a job from now on. May be called from any thread."""

    def tick(self) -> None: ...
    def pause(self) -> None:
        """Learn that a prompt follows. Called on the main thread."""

    def close(self) -> None: ...
    def let_go(self) -> None: ...


# Reentrant: a signal handler may start a job in the midst of a use of it, in the same thread.
_lock = threading.RLock()
_closing = threading.Event()
_display: Display | None = None
_thread: native.Thread | None = None
_child = False
_exit_arranged = False


def show(job: Job, how: str = "") -> None:
    """Show a job until it ends: ``how`` is "bar", "lines", or empty for what suits standard error."""
    global _display, _thread
    if _child or native.greenlets() or _is_worker():
        return
    row = Row(job)
    with _lock:
        # First: an interrupt may come at any time from the first drawing on.
        _arrange_exit()
        _arrange_prompt()
        display = _display = _display or _choose(how)
        display.add(row)
        if _thread is None:
            _thread = native.start(lambda: _main(display), name="jobprogress-terminal")


def _choose(how: str) -> Display:
    # What a notebook runs by "!" has a terminal that cannot move its cursor up.
    moves = how == "bar" or (not how and "JPY_PARENT_PID" not in os.environ)
    if moves and is_terminal(sys.stderr):
        from jupyter_jobprogress.terminal.bars import Bars

        bars = Bars(sys.stderr, interactive=_is_interactive())
        if bars.able:
            return bars
    return Log(asked=how == "lines")


def _main(display: Display) -> None:
    global _display, _thread
    took_s = 0.0
    try:
        while not _closing.wait(max(display.tick_s, SHARE * took_s)):
            begin_s = time.monotonic()
            display.tick()
            took_s = time.monotonic() - begin_s
            with _lock:
                if not display.busy:
                    _display = _thread = None
                    return
    except Exception:  # noqa: BLE001 — outermost line of a thread; the jobs go on unseen
        _log.debug("Jobs are not shown any more.", exc_info=True)
        display.let_go()
        _display = _thread = None


def _is_interactive() -> bool:
    ipython = sys.modules.get("IPython")
    return hasattr(sys, "ps1") or (ipython is not None and ipython.get_ipython() is not None)


def _is_worker() -> bool:
    """Whether this is a process of a pool, which has the terminal in common with the one that counts."""
    module = sys.modules.get("multiprocessing.process")
    return module is not None and module.parent_process() is not None


def _arrange_exit() -> None:
    global _exit_arranged
    if not _exit_arranged:
        _exit_arranged = True
        atexit.register(_leave)


def end_command() -> None:
    """Leave the terminal to the prompt of an interactive session."""
    if _display is not None:
        _display.pause()


class _Prompt(str):
    """A prompt of Python that says when it is shown: Python asks anything but a plain string for its text each time.

    A string for all that, since the line editor of Python 3.13 takes nothing else. That one formats it again at each
    key, when somebody is writing.
    """

    _prompt: object

    def __new__(cls, prompt: object) -> _Prompt:
        self = super().__new__(cls, prompt)
        self._prompt = prompt
        return self

    def __str__(self) -> str:
        end_command()
        return str(self._prompt)

    def __format__(self, spec: str) -> str:
        if _begins_a_line():
            end_command()
        return format(str(self._prompt), spec)


def _begins_a_line() -> bool:
    """Whether the line editor of Python 3.13 prepares for a line, and does not draw one again."""
    frame = sys._getframe(2)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("_pyrepl"):
        if frame.f_code.co_name == "prepare":
            return True
        frame = frame.f_back
    return False


def _arrange_prompt() -> None:
    prompt = getattr(sys, "ps1", None)
    if prompt is not None and not isinstance(prompt, _Prompt):
        sys.ps1 = _Prompt(prompt)


def _leave() -> None:
    """Show how the last jobs end, which the reporter's own exit handler would tell too late: it was there before."""
    process.leave()
    _closing.set()
    thread, display = _thread, _display
    if thread is not None:
        thread.join(JOIN_S)
    if display is not None:
        display.close()


def _in_child() -> None:
    """Leave the terminal to the parent."""
    global _child, _display, _lock
    _child = True
    _lock = threading.RLock()
    if _display is not None:
        _display.let_go()
    _display = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
