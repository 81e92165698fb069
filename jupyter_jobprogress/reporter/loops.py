"""Loops that count themselves: at the speed of C where the iterator tells its position, else with one store an item.

An item is done when the loop's body came back for the next one. ``done`` may be read from any thread at any time.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Iterator, Sized
from itertools import chain, compress
from typing import Final, Generic, NamedTuple, Protocol, TypeVar, cast

_T = TypeVar("_T")

PLAIN_MARKS: Final = 1023
"""How many items are handed on between two looks, which costs 0.1 ns an item."""

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
        parts = telling.parts(job)
        return Begun(telling, cast("Iterator[_T]", chain.from_iterable(parts)), parts)
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


class _Telling:
    """Counts nothing: the iterator that runs underneath is asked how far it is, by whoever wants to know."""

    def __init__(self, iterable: Sized, iterator: Iterator[object]) -> None:
        self._source: tuple[Sized, Iterator[object]] | None = (iterable, iterator)
        self._look = _Look()
        self.interrupt: Callable[[], None] = self._look.ask_for
        self._finished = False
        self._done = 0

    @property
    def done(self) -> int:
        source = self._source
        if source is None:
            return self._done
        iterable, iterator = source
        # Both at this moment: a list may grow while it is iterated.
        served = len(iterable) - operator.length_hint(iterator)
        return served if self._finished else max(served - 1, 0)

    def release(self) -> None:
        self._done = self.done
        self._source = None

    def parts(self, job: Looping) -> Generator[Iterator[object]]:
        """Yield the only one, so that its end is seen."""
        assert self._source is not None
        look = self._look
        look.job = job
        try:
            yield compress(self._source[1], look.marks)
            if not look.raised:
                self._finished = True
                job.complete()
        finally:
            look.close()


class _Look:
    """The last of the marks of a loop's items, at which it looks up from them.

    ``itertools.compress`` hands an item on when its mark is true. Of this one it has to ask, in the iterating thread.
    """

    __slots__ = ("_wanted", "job", "marks")

    def __init__(self) -> None:
        self.job: Looping | None = None
        self.marks = cast("_Marks", iter((*(True,) * PLAIN_MARKS, self)))
        self._wanted = False

    def ask_for(self) -> None:
        """Have the loop look up before the next item. From any thread."""
        # In this order, and below in the opposite one: whichever comes second sees what the other did.
        self._wanted = True
        self.marks.__setstate__(PLAIN_MARKS)

    def __bool__(self) -> bool:
        self.marks.__setstate__(0)
        while self._wanted and self.job is not None:
            self._wanted = False
            self.marks.__setstate__(PLAIN_MARKS + 1)  # nothing follows what is raised
            self.job._check()
            self.marks.__setstate__(0)
        return True

    @property
    def raised(self) -> bool:
        """Whether the check of the job ended the loop: the marks are used up."""
        return operator.length_hint(self.marks) == 0

    def close(self) -> None:
        """Let go of the marks, which refer to this."""
        self.marks = cast("_Marks", iter(()))
        self.job = None


class _Marks(Iterator[object], Protocol):
    """The iterator of a tuple."""

    def __setstate__(self, index: int) -> None:
        """Go on with this one. From any thread."""


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
