"""What this process has of a kind: one sender for each store, its open jobs, its exit and its forks."""

from __future__ import annotations

import asyncio
import atexit
import logging
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import FrameType
from typing import Final, Protocol

from jupyter_jobprogress.reporter.sender import Sender
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store import prepare

EXIT_BUDGET_S: Final = 2.0
"""Longest that the exit of a process is held up by its last states."""

STUCK_S: Final = 0.5
"""How long after that a process of a pool has to end by SIGTERM, before its sender's thread ends it."""

_log = logging.getLogger(__name__)


class OpenJob(Protocol):
    """A job that was started or attached here, and whose last word is not yet delivered."""

    def _end_at_exit(self, fatal: BaseException | None) -> None: ...
    def _end_at_sigterm(self) -> None: ...
    def _shared_by_fork(self) -> None:
        """Learn, in the parent, that a child has a copy."""

    def _forked(self) -> None: ...


# Reentrant: a signal handler may end jobs in the midst of a use of it, in the same thread.
_lock = threading.RLock()
_senders: dict[Settings, Sender] = {}
_open_jobs: set[OpenJob] = set()
_leaving: list[Sender] = []
"""Senders that ``leave`` waits for, which SIGTERM may interrupt: a pool ends processes that are about to leave."""
_inherited: list[dict[Settings, Sender]] = []
_exit_arranged = False
_before_sigterm: Callable[[int, FrameType | None], object] | int | None = None
_family: mmap.mmap | None = None
"""A byte that this process shares with those that are forked from it, where its store cannot be shared."""
_wakeup: int | None = None
"""The end of a pipe that Python writes the numbers of signals to, for the sender's thread."""


def sender_for(settings: Settings) -> Sender:
    """Return the sender for these settings, the same one for every job of this process.

    The first one imports what its store needs, here and not in the sender's thread: that would take the GIL from the
    job for 5 ms, CPython's switch interval, again and again, and leave import locks to a child forked meanwhile.
    """
    global _family
    if settings not in _senders:
        prepare(settings)
    with _lock:
        sender = _senders.get(settings)
        if sender is None:
            sender = _senders[settings] = Sender(settings)
            _arrange_exit(sender)
            if settings.url is None and _family is None:
                _family = mmap.mmap(-1, 1)
        return sender


def install(sender: Sender) -> None:
    """Use this sender for its settings, so that jobs report to a store of one's own."""
    with _lock:
        _senders[sender.settings] = sender
        _arrange_exit(sender)


def remember(job: OpenJob) -> None:
    """Keep a job until its last word is delivered, so that the exit finds it."""
    _open_jobs.add(job)


def forget(job: OpenJob) -> None:
    """Let a job go. Idempotent."""
    _open_jobs.discard(job)


def open_jobs() -> tuple[OpenJob, ...]:
    """Return the jobs that are kept now."""
    return tuple(_open_jobs)


def cut_off() -> bool:
    """Whether this process was forked from one that had reported, so that it must not use an embedded store.

    SQLite has locks of its own that a fork inherits as they are: the child would wait for them for ever. Nobody could
    watch its store anyway.
    """
    return bool(_inherited)


def first_of_family() -> bool:
    """Whether no other process that was forked from the same one has asked this before."""
    if _family is None:
        return True
    asked, _family[0] = _family[0], 1
    return not asked


def _arrange_exit(sender: Sender) -> None:
    global _exit_arranged
    if _exit_arranged:
        return
    _exit_arranged = True
    atexit.register(leave)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        # A forked child of multiprocessing leaves by os._exit, which runs these and no atexit handler.
        from multiprocessing import util

        util.Finalize(None, leave, exitpriority=0)
        _outlast_sigterm(sender)


def _outlast_sigterm(sender: Sender) -> None:
    """Deliver what a process of ``multiprocessing`` has said before SIGTERM ends it.

    A pool sends that as soon as it has all results, at the end of ``with Pool() as pool`` always, and what was counted
    in the last tenth of a second is not sent by then. Where somebody else handles it, nothing is done.
    """
    global _wakeup
    if os.name != "posix" or threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and not _caught(signal.SIGTERM):
        handle_sigterm()
    if signal.getsignal(signal.SIGTERM) is not _at_sigterm:
        return
    # Python handles a signal when the main thread comes back to Python, and the pool waits for that: a query that takes
    # minutes would hold up what SIGTERM ends at once.
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    if (before := signal.set_wakeup_fd(writer, warn_on_full_buffer=False)) != -1:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
        return
    _wakeup = writer

    def look() -> None:
        if signal.SIGTERM in os.read(reader, 512):
            asyncio.get_running_loop().call_later(EXIT_BUDGET_S + STUCK_S, _end_stuck)

    sender.watch_file(reader, look)


def _end_stuck() -> None:
    if signal.getsignal(signal.SIGTERM) is _at_sigterm:  # nobody has decided otherwise meanwhile
        os.kill(os.getpid(), signal.SIGKILL)


def _caught(number: int) -> bool:
    """Whether a function in C handles a signal, of which Python does not know: workers of PyTorch's loaders do so."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            masks = [line.split()[1] for line in status if line.startswith("SigCgt:")]
    except OSError:
        return False
    return bool(masks) and bool(int(masks[0], 16) >> (number - 1) & 1)


def leave() -> None:
    """End what is open and deliver it, within ``EXIT_BUDGET_S``: the process is about to end.

    Called at exit; a process that ends without running exit handlers calls it itself. It goes through the threads that
    run already: none can be started now.
    """
    deadline_s = time.monotonic() + EXIT_BUDGET_S
    fatal = _fatal_error()
    for job in open_jobs():
        job._end_at_exit(fatal)
    with _lock:
        senders = list(_senders.values())
        _leaving.extend(senders)
        _senders.clear()
    _deliver(senders, deadline_s)
    for sender in senders:
        sender.close(within_s=max(0.1, deadline_s - time.monotonic()))


def _deliver(senders: Sequence[Sender], deadline_s: float) -> None:
    """Wait until all that was said is delivered, or until the deadline."""
    for sender, finished in [(sender, sender.finish()) for sender in senders]:
        if not _wait(finished, deadline_s) and sender.busy:
            _log.warning("The process ends before the last states of %d jobs were delivered to the store.", sender.busy)


def handle_sigterm() -> None:
    """End open jobs as cancelled at SIGTERM, deliver that, and go on to what SIGTERM did before. Idempotent.

    Outside the main thread, where Python sets no handlers, it says so and does nothing.
    """
    global _before_sigterm
    if signal.getsignal(signal.SIGTERM) is _at_sigterm:
        return
    try:
        _before_sigterm = signal.signal(signal.SIGTERM, _at_sigterm)
    except ValueError:
        _log.warning("SIGTERM is not handled: that can be asked for in the main thread only.")


def _at_sigterm(number: int, frame: FrameType | None) -> None:
    for job in open_jobs():
        job._end_at_sigterm()
    with _lock:
        senders = [*_senders.values(), *_leaving]
    _deliver(senders, time.monotonic() + EXIT_BUDGET_S)
    if callable(_before_sigterm):
        _before_sigterm(number, frame)
    elif _before_sigterm is not signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _wait(finished: Future[None], deadline_s: float) -> bool:
    try:
        finished.result(max(0.0, deadline_s - time.monotonic()))
    except Exception:  # noqa: BLE001 — a timeout or a broken sender; either way nothing more can be done
        return False
    return True


def _fatal_error() -> BaseException | None:
    """Return the exception that ends this process, as far as the interpreter tells. At a prompt it is an old one."""
    if sys.flags.interactive or hasattr(sys, "ps1"):
        return None
    found = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return found if isinstance(found, BaseException) else None


def _in_child() -> None:
    """Forget the parent's senders and disown its jobs.

    The senders let go of the parent's connections and are kept unused: nobody in this process runs their loops.
    """
    global _lock, _senders, _exit_arranged, _wakeup
    _lock = threading.RLock()
    if _wakeup is not None:
        # Signals of this process are none of the parent's.
        if (other := signal.set_wakeup_fd(-1)) != _wakeup:
            signal.set_wakeup_fd(other)
        os.close(_wakeup)
        _wakeup = None
    if _senders:
        for sender in _senders.values():
            sender.let_go()
        _inherited.append(_senders)
    _senders = {}
    _leaving.clear()
    _exit_arranged = False
    for job in open_jobs():
        job._forked()
    _open_jobs.clear()


def _in_parent() -> None:
    for job in open_jobs():
        job._shared_by_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child, after_in_parent=_in_parent)
