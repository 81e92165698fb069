"""A thread and a selector of the system, also where gevent has put its own in their place.

In a greenlet the event loop of the sender would count as running in all greenlets of its thread, so that nobody could
call ``asyncio.run`` any more, and a task that computes without a pause would keep it from its heartbeats.
"""

from __future__ import annotations

import selectors
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol


class Thread(Protocol):
    """What is needed of a thread that runs."""

    def join(self, timeout: float | None = None) -> None: ...


def selector() -> selectors.BaseSelector:
    """Make a selector that blocks its thread."""
    gevent = _gevent()
    kind = selectors.DefaultSelector if gevent is None else gevent.get_original("selectors", "DefaultSelector")
    made: selectors.BaseSelector = kind()
    return made


def start(main: Callable[[], object], name: str) -> Thread:
    """Run a function in a daemon thread. Raises RuntimeError where none can be started any more."""
    if (gevent := _gevent()) is not None:
        return _Native(gevent, main)
    thread = threading.Thread(target=main, name=name, daemon=True)
    thread.start()
    return thread


def greenlets() -> bool:
    """Whether the threads of this process are greenlets."""
    return _gevent() is not None


def _gevent() -> Any:
    """Return ``gevent.monkey`` if it has replaced threads, else None."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey if monkey is not None and monkey.is_module_patched("threading") else None


class _Native:
    def __init__(self, gevent: Any, main: Callable[[], object]) -> None:
        self._running = gevent.get_original("_thread", "allocate_lock")()
        self._running.acquire()
        gevent.get_original("_thread", "start_new_thread")(self._run, (main,))

    def _run(self, main: Callable[[], object]) -> None:
        try:
            main()
        finally:
            self._running.release()

    def join(self, timeout: float | None = None) -> None:
        self._running.acquire(timeout=-1 if timeout is None else timeout)
