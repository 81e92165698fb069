"""Streams of a terminal whose text passes by what is drawn there."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, TextIO

Passing = Callable[[Callable[[str], int], str], int]
"""Calls the function with the text, and returns what that returns, when there is room for it."""


class Passage:
    """Stands before a stream of the terminal. In all else it is that stream."""

    def __init__(self, stream: TextIO, name: str, passing: Passing) -> None:
        self._stream = stream
        self._name = name
        self._passing: Passing | None = passing
        self._handlers: list[logging.StreamHandler[Any]] = []

    def write(self, text: str) -> int:
        """Write, by way of the region while there is one."""
        passing = self._passing
        return self._stream.write(text) if passing is None else passing(self._stream.write, text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write one after the other."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def take_logging(self) -> None:
        """Have the handlers of the root logger pass here, too, which remember the stream that they were made with."""
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is self._stream:
                handler.stream = self  # not setStream, whose lock a thread may hold that waits for the region
                self._handlers.append(handler)

    def end(self) -> None:
        """Be the stream alone from now on."""
        self._passing = None
        if getattr(sys, self._name) is self:
            setattr(sys, self._name, self._stream)
        for handler in self._handlers:
            if handler.stream is self:
                handler.stream = self._stream
        self._handlers.clear()


def is_terminal(stream: object) -> bool:
    """Whether a stream leads to a terminal."""
    try:
        return bool(stream.isatty()) and os.isatty(stream.fileno())  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):  # no file, or a closed one
        return False
