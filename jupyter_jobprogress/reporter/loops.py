"""Loops that count themselves: at the speed of C where the iterator tells its position, else with one store an item.

An item is done when the loop's body came back for the next one. ``done`` may be read from any thread at any time.
"""

from __future__ import annotations

import operator
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Iterator, Sized
from itertools import chain, islice
from typing import Final, Generic, NamedTuple, Protocol, TypeVar, cast

_T = TypeVar("_T")
_I = TypeVar("_I")

CHUNK_S: Final = 0.01
"""Aim for the length of a chunk: between chunks somebody's wish to cancel is looked at, every 20 ms at the latest."""

GROWTH: Final = 8
"""A chunk is at most this many times as long as the one before, so that one quick item proves little."""

_CUT_SHORT: Final = getattr(islice, "__setstate__", None)
"""Ends a chunk that runs, from another thread: it sets how many items were taken. Gone with Python 3.14."""

MOST_ITEMS: Final = 1 << 20 if _CUT_SHORT is not None else 64
"""Longest chunk. Items may turn slow in the midst of one; where none can be cut short, this bounds the wait."""

_CONTAINERS: Final[tuple[Iterable[object], ...]] = (
    *([], (), range(0), range(1 << 70), "", "\xff", b"", bytearray(), set(), deque()),
    *({}, {}.values(), {}.items()),
)
_TELLING: Final = frozenset(type(iter(container)) for container in _CONTAINERS)
"""Iterators whose ``length_hint`` is exact at each moment and runs no Python. Not those of classes with
``__getitem__``, whose hint calls the ``__len__`` of the user, in a thread that the user does not know."""


class Loop(Protocol):
    """What the job knows of its loop."""

    @property
    def done(self) -> int:
        """Items whose body has finished."""

    def interrupt(self) -> None:
        """Have the check of the job called before the next item, as soon as that can be arranged. From any thread."""

    def release(self) -> None:
        """Hold the count as it is, and let go of what is iterated. Idempotent."""


class Looping(Protocol):
    """The job, as its loop sees it. All are called in the iterating thread."""

    def _check(self) -> None:
        """After an interrupt, before the next item. What it raises leaves the loop."""

    def complete(self) -> None:
        """The items are used up."""

    def _end_by(self, exc: BaseException) -> None:
        """The iterable raised, where that is seen: not of iterators that tell their position, which hardly do."""


class Begun(NamedTuple, Generic[_T]):
    """``items`` is what to iterate over; ``generator`` dies with it, when the loop that alone refers to it is left."""

    loop: Loop
    items: Iterator[_T]
    generator: object


def begin(iterable: object, iterator: Iterator[_T], job: Looping) -> Begun[_T]:
    """Return a loop for an iterator of ``iterable``. Errors of the iterable go through as they are."""
    if iterator is not iterable and _tells(iterable, iterator):
        telling = _Telling(cast("Sized", iterable), iterator)
        chunks = telling.chunks(job)
        return Begun(telling, cast("Iterator[_T]", chain.from_iterable(chunks)), chunks)
    counting = _Counting()
    items = counting.items(iterator, job)
    return Begun(counting, items, items)


def begin_async(iterator: AsyncIterator[_T], job: Looping) -> tuple[Loop, AsyncIterator[_T]]:
    """Do the same for an asynchronous iterator."""
    counting = _AsyncCounting()
    return counting, counting.items(iterator, job)


class _ByIndex:
    def __getitem__(self, index: int) -> object:
        raise IndexError


_SEQUENCE_ITERATOR: Final = type(iter(_ByIndex()))


def _tells(iterable: object, iterator: object) -> bool:
    kind = type(iterator)
    # An array of NumPy is iterated as a class with __getitem__ is, but its length is no Python of the user.
    if kind not in _TELLING and not (kind is _SEQUENCE_ITERATOR and type(iterable).__module__ == "numpy"):
        return False
    try:
        return len(iterable) == operator.length_hint(iterator)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 — a container whose length fails is counted the other way
        return False


def _served(iterable: Sized, iterator: object) -> int:
    """Return how many items were handed out. Both at this moment: a list may grow while it is iterated."""
    return len(iterable) - operator.length_hint(iterator)


class _Telling:
    """Counts nothing: the iterator that runs underneath is asked how far it is, by whoever wants to know."""

    def __init__(self, iterable: Sized, iterator: Iterator[object]) -> None:
        self._source: tuple[Sized, Iterator[object]] | None = (iterable, iterator)
        self._chunk: islice[object] | None = None
        self._size = 1
        self._interrupted = False
        self._finished = False
        self._done = 0

    @property
    def done(self) -> int:
        source = self._source
        if source is None:
            return self._done
        served = _served(*source)
        return served if self._finished else max(served - 1, 0)

    def interrupt(self) -> None:
        # In this order, and ``chunks`` in the opposite one: whichever comes second sees the other's.
        self._interrupted = True
        if self._chunk is not None and _CUT_SHORT is not None:
            try:
                _CUT_SHORT(self._chunk, self._size)
            except Exception:  # noqa: BLE001 — a warning of Python 3.12 and 3.13, made an error; the chunk ends by itself
                return

    def release(self) -> None:
        self._done = self.done
        self._source = self._chunk = None

    def chunks(self, job: Looping) -> Generator[Iterator[object]]:
        """Yield parts of the iterator, each as long as it may run without a look at what else is wanted."""
        assert self._source is not None
        iterable, iterator = self._source
        while True:
            before, began_s = _served(iterable, iterator), time.perf_counter()
            chunk: islice[object] = islice(iterator, self._size)
            self._chunk = chunk
            if self._interrupted:
                self._interrupted = False
                job._check()
            yield chunk
            served = _served(iterable, iterator) - before
            if served < self._size and not self._interrupted:
                break
            took_s = max(time.perf_counter() - began_s, 1e-9)
            self._size = min(max(1, int(served * CHUNK_S / took_s)), max(1, served) * GROWTH, MOST_ITEMS)
        self._finished = True
        job.complete()


class _Counting:
    """Counts by itself: 20 ns an item, and a generator takes as much again.

    The count is a variable that functions share, since an attribute of an object takes longer. So is what is added to
    it: None means that somebody asks for a look, and costs no question where nobody does.
    """

    __slots__ = ("_read", "interrupt")

    def __init__(self) -> None:
        self._read: Callable[[], int] = int
        self.interrupt: Callable[[], None] = _nothing

    @property
    def done(self) -> int:
        return self._read()

    def release(self) -> None:
        """Hold nothing: the generator has the iterator, and its count is harmless."""

    def items(self, iterator: Iterator[_T], job: Looping) -> Generator[_T]:
        n = 0
        one: int | None = 1

        def interrupt() -> None:
            nonlocal one
            one = None

        def loop() -> Generator[_T]:
            nonlocal n, one
            with _Told(job):
                for item in iterator:
                    yield item
                    try:
                        n += one  # type: ignore[operator]
                    except TypeError:
                        one = 1
                        n += 1
                        job._check()

        self._read, self.interrupt = lambda: n, interrupt
        return loop()


class _AsyncCounting:
    """Counts an asynchronous iterator, of which an item takes a microsecond in any case."""

    __slots__ = ("_interrupted", "done")

    def __init__(self) -> None:
        self.done = 0
        self._interrupted = False

    def interrupt(self) -> None:
        self._interrupted = True

    def release(self) -> None:
        """Hold nothing: the generator has the iterator, and its count is harmless."""

    async def items(self, iterator: AsyncIterator[_T], job: Looping) -> AsyncGenerator[_T]:
        with _Told(job):
            async for item in iterator:
                yield item
                self.done += 1
                if self._interrupted:
                    self._interrupted = False
                    job._check()


class _Told:
    """Tells a job how its loop ended: used up, or by an error of what is iterated. One that is left tells nothing."""

    def __init__(self, job: Looping) -> None:
        self._job = job

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if exc is None:
            self._job.complete()
        elif not isinstance(exc, GeneratorExit):
            self._job._end_by(exc)


def _nothing() -> None:
    """Interrupt a loop that has not begun."""
