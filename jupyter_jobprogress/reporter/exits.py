"""Calls of ``sys.exit`` that are on their way: what tells a loop that was left by one from a loop left by ``break``.

The end of a process tells other errors (``sys.last_value``), but of SystemExit nothing is left by then. So ``sys.exit``
is wrapped: it raises as before, and which instructions it was called through is remembered until the error is gone. A
bare ``raise SystemExit`` is not seen.
"""

from __future__ import annotations

import functools
import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Final, NamedTuple, NoReturn

from jupyter_jobprogress.reporter.places import Place, leads_through

_MARK: Final = "_jobprogress_on_its_way"


class _Mark:
    """Hangs on an error and dies with it. Errors themselves take no weak references, and a strong one would keep alive
    all that their frames hold."""


class _Exit(NamedTuple):
    status: object
    thread: int
    places: tuple[Place, ...]
    mark: weakref.ref[_Mark]


_newest: _Exit | None = None
_watching = False


def watch() -> None:
    """See calls of ``sys.exit`` from now on. Idempotent."""
    global _watching
    if not _watching:
        _watching = True
        sys.exit = _seen(sys.exit)


def exit_at(place: Place | None) -> SystemExit | None:
    """Return a copy of the error of ``sys.exit`` that is leaving this place now, or None.

    ``place`` is None where no Python runs any more in the main thread: the error that ended it is gone.
    """
    found = _newest
    if found is None or found.thread != threading.get_ident():
        return None
    if place is not None and (found.mark() is None or not leads_through(found.places, place)):
        return None
    return SystemExit(found.status)


def _seen(exit_: Callable[..., object]) -> Callable[..., NoReturn]:
    @functools.wraps(exit_)
    def exit(status: object = None, /) -> NoReturn:
        global _newest
        try:
            exit_(status)
        except SystemExit as exc:
            mark = _Mark()
            vars(exc)[_MARK] = mark
            _newest = _Exit(exc.code, threading.get_ident(), _places(sys._getframe(1)), weakref.ref(mark))
            raise
        raise SystemExit(status)  # somebody else's sys.exit that returns

    return exit


def _places(frame: FrameType | None) -> tuple[Place, ...]:
    found = []
    while frame is not None:
        found.append(Place(frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return tuple(found)
