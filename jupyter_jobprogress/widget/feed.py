"""The thread that hands newest states to bars: a store's callbacks must not wait for a page, nor a page for a cell."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final, Protocol

FEED_S: Final = 0.1
"""Least time between two rounds: as often as a reporter speaks."""

SHARE: Final = 4
"""A round is followed by a rest of so many times its length: hundreds of bars leave the cells their processor."""

_log = logging.getLogger(__name__)


class Fed(Protocol):
    """A bar."""

    def _deliver(self) -> None:
        """Show what has come. Called in the feeding thread."""


class Feed:
    """Calls bars that have news, each at most once in ``FEED_S``. Its thread is made when the first one has."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._due: set[Fed] = set()
        self._thread: threading.Thread | None = None

    def wake(self, bar: Fed) -> None:
        """Deliver to a bar soon. May be called from any thread, and does not block."""
        with self._news:
            self._due.add(bar)
            if self._thread is None or not self._thread.is_alive():  # a fork takes no threads along
                self._thread = threading.Thread(target=self._main, name="jobprogress-feed", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter is ending
                    self._thread = None
            self._news.notify()

    def _main(self) -> None:
        while True:
            with self._news:
                while not self._due:
                    self._news.wait()
                due, self._due = self._due, set()
            begin_s = time.monotonic()
            for bar in due:
                try:
                    bar._deliver()
                except Exception:  # noqa: BLE001 — outermost line of a round: a page or an observer may raise anything
                    _log.debug("A bar is not fed.", exc_info=True)
            time.sleep(max(FEED_S, SHARE * (time.monotonic() - begin_s)))


feed: Final = Feed()
