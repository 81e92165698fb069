"""Where a loop was left, and whether an error passed there: what tells ``break`` from an error after the fact.

Both drop the loop's iterator, and no finalizer can see the error that is on its way. But it sees which instruction
drops the iterator. That one is in the traceback of an error that left the loop, and not in that of a later one.
"""

from __future__ import annotations

import sys
import weakref
from opcode import opmap
from types import CodeType, FrameType
from typing import Final, NamedTuple

_RAISE_AGAIN: Final = frozenset(opmap[name] for name in ("RERAISE", "RAISE_VARARGS"))
"""Instructions that may send an error on its way again, as ``finally`` and a bare ``raise`` do. The traceback keeps the
place where it came from."""


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
    again = place.code.co_code[place.instruction] in _RAISE_AGAIN
    seen: set[int] = set()
    found: list[BaseException | None] = [error]
    while found:
        one = found.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        trace = one.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code is place.code and (again or trace.tb_lasti == place.instruction):
                return True
            trace = trace.tb_next
        found += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            found += one.exceptions
    return False


_FINALIZING = weakref.finalize.__call__.__code__
