"""How much of a store is read at once, where nobody knows how large the states are. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

PORTION_BYTES: Final = 256 * 1024
"""A page of a list, and each part of a large answer, ends with the state that brings it to this size or beyond. A
thousand jobs may have 80 MB of states, which nobody should hold for somebody who only asked."""

FIRST: Final = 16
MOST: Final = 128


class Stride:
    """How many states to read next, so that they are about a portion: judged by the largest so far.

    It begins low, since the first may be large, and grows by four at most, since the next may be larger. With small
    states that is four round trips for a page of 200.
    """

    __slots__ = ("_largest", "count")

    def __init__(self) -> None:
        self.count = FIRST
        self._largest = 1

    def learn(self, sizes: Iterable[int]) -> None:
        """Judge by the states that were just read."""
        self._largest = max((self._largest, *sizes))
        self.count = max(1, min(PORTION_BYTES // self._largest, 4 * self.count, MOST))
