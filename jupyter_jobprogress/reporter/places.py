"""Where a loop was left, and whether an error passed there: what tells ``break`` from an error after the fact.

Both drop the loop's iterator, and no finalizer can see the error that is on its way. But it sees which instruction
drops the iterator. That one is in the traceback of an error that left the loop, and not in that of a later one.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable, Iterator
from opcode import opmap
from types import CodeType, FrameType
from typing import Final, NamedTuple

_RAISE_AGAIN: Final = frozenset(opmap[name] for name in ("RERAISE", "RAISE_VARARGS"))
"""Instructions that may send an error on its way again, as ``finally`` and a bare ``raise`` do. The traceback keeps the
place where it came from."""


_DROPPING: Final = frozenset(
    opmap[name]
    for name in (
        *("POP_TOP", "POP_ITER", "END_FOR", "RETURN_VALUE", "RETURN_CONST"),
        *("DELETE_FAST", "DELETE_NAME", "DELETE_GLOBAL", "DELETE_DEREF", "DELETE_ATTR", "DELETE_SUBSCR"),
        *("STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF", "STORE_ATTR", "STORE_SUBSCR"),
    )
    if name in opmap
)
"""Instructions that drop things as they should: ``break`` and ``return`` end in one. An error drops the iterator from
the stack at the instruction that raised."""


class Place(NamedTuple):
    """One instruction. The frame itself would keep alive what the user's function holds."""

    code: CodeType
    instruction: int


def dropped_at() -> Place | None:
    """Return where the object was dropped whose ``weakref.finalize`` calls this, directly or through a method."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not _FINALIZING:
        frame = frame.f_back
    if frame is None or frame.f_back is None:
        return None
    return Place(frame.f_back.f_code, frame.f_back.f_lasti)


def passed(error: BaseException, place: Place) -> bool:
    """Whether an error, or one that it came of or is made of, went through a place."""
    seen: set[int] = set()
    found: list[BaseException | None] = [error]
    while found:
        one = found.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if leads_through(_trace(one), place):
            return True
        found += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            found += one.exceptions
    return False


def leads_through(places: Iterable[Place], place: Place) -> bool:
    """Whether an error that came through some places went through this one."""
    again = place.code.co_code[place.instruction] in _RAISE_AGAIN
    return any(one.code is place.code and (again or one.instruction == place.instruction) for one in places)


def left_on_purpose(place: Place) -> bool:
    """Whether nothing speaks for an error on its way. Otherwise there may be one, or a function returned that had
    the iterator in a variable."""
    return place.code.co_code[place.instruction] in _DROPPING


def _trace(error: BaseException) -> Iterator[Place]:
    trace = error.__traceback__
    while trace is not None:
        yield Place(trace.tb_frame.f_code, trace.tb_lasti)
        trace = trace.tb_next


_FINALIZING = weakref.finalize.__call__.__code__
