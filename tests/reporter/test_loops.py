"""Every kind of iterable is counted exactly, at every moment, and can be left for a reason that comes from outside."""

from __future__ import annotations

import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from threading import Timer

import numpy as np
import pytest

from jupyter_jobprogress.reporter import loops
from jupyter_jobprogress.reporter.loops import Begun


class Job:
    """What a loop needs of a job."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.leave = False

    def _check(self) -> None:
        self.ended.append("checked")
        if self.leave:
            raise InterruptedError

    def complete(self) -> None:
        self.ended.append("complete")

    def _end_by(self, exc: BaseException) -> None:
        self.ended.append(type(exc).__name__)


class Indexed:
    """Iterable by ``__getitem__`` alone, with a length that must not be asked in another thread."""

    def __getitem__(self, index: int) -> int:
        if index >= 50:
            raise IndexError
        return index


class Lying(list[int]):
    """A list whose length is wrong."""

    def __len__(self) -> int:
        return 7


def begin(iterable: Iterable[object]) -> tuple[Job, Begun[object]]:
    job = Job()
    return job, loops.begin(iterable, iter(iterable), job)


KINDS: dict[str, Callable[[], Iterable[object]]] = {
    "list": lambda: list(range(50)),
    "tuple": lambda: tuple(range(50)),
    "range": lambda: range(50),
    "long range": lambda: range(1 << 70, (1 << 70) + 50),
    "string": lambda: "abcde" * 10,
    "wide string": lambda: "äbcdé" * 10,
    "bytes": lambda: b"x" * 50,
    "set": lambda: set(range(50)),
    "frozenset": lambda: frozenset(range(50)),
    "dict": lambda: dict.fromkeys(range(50)),
    "values": lambda: dict.fromkeys(range(50)).values(),
    "items": lambda: dict.fromkeys(range(50)).items(),
    "ordered dict": lambda: OrderedDict.fromkeys(range(50)),
    "deque": lambda: deque(range(50)),
    "array": lambda: np.arange(50),
    "generator": lambda: (number for number in range(50)),
    "iterator": lambda: iter(range(50)),
    "enumerate": lambda: enumerate(range(50)),
    "by index": Indexed,  # type: ignore[dict-item]
    "lying": lambda: Lying(range(50)),
}
QUICK = frozenset(list(KINDS)[:12]) | {"deque", "array"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_done_is_known_at_every_item(kind: str) -> None:
    job, begun = begin(KINDS[kind]())

    seen = []
    for _ in begun.items:
        seen.append(begun.loop.done)

    assert seen == list(range(50))
    assert begun.loop.done == 50
    assert job.ended == ["complete"]
    assert (type(begun.items).__name__ == "chain") == (kind in QUICK)
    assert list(begun.items) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_items_are_those_of_the_iterable(kind: str) -> None:
    assert list(begin(KINDS[kind]())[1].items) == list(KINDS[kind]())


@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_is_left_at_the_next_item_when_somebody_wants_it(kind: str) -> None:
    job, begun = begin(KINDS[kind]())
    job.leave = True

    seen = []

    def loop() -> None:
        for item in begun.items:
            seen.append(item)
            if len(seen) == 20:
                begun.loop.interrupt()

    with pytest.raises(InterruptedError):
        loop()

    assert len(seen) == 20


@pytest.mark.parametrize("kind", ["list", "generator"])
def test_an_interrupt_that_changes_nothing_loses_no_item(kind: str) -> None:
    job, begun = begin(KINDS[kind]())

    seen = []
    for item in begun.items:
        seen.append(item)
        if len(seen) % 7 == 0:
            begun.loop.interrupt()

    assert seen == list(KINDS[kind]())
    assert begun.loop.done == 50
    assert job.ended.count("checked") == 7
    assert job.ended[-1] == "complete"


def test_a_loop_that_was_quick_and_is_slow_now_is_left_soon() -> None:
    """Nothing that was planned for quick items runs on for hours, as after steps that a resumed run skips."""
    job, begun = begin(range(10**7))
    job.leave = True
    left_s = 0.0

    def interrupt() -> None:
        nonlocal left_s
        left_s = time.monotonic()
        begun.loop.interrupt()

    timer = Timer(0.3, interrupt)

    def loop() -> None:
        for item in begun.items:
            if item == 500_000:
                timer.start()
            if item >= 500_000:
                time.sleep(0.02)

    with pytest.raises(InterruptedError):
        loop()

    assert 0 < time.monotonic() - left_s < 1.0


def test_a_list_that_grows_is_counted_to_its_new_end() -> None:
    growing = [0, 1, 2]
    _, begun = begin(growing)

    seen = []
    for item in begun.items:
        seen.append(begun.loop.done)
        if item < 10:
            growing.append(item + 3)  # type: ignore[operator]

    assert seen == list(range(len(growing)))
    assert begun.loop.done == len(growing)


def test_an_error_of_the_iterable_is_told_and_goes_on() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("disk")

    job, begun = begin(broken())

    with pytest.raises(OSError, match="disk"):
        list(begun.items)

    assert job.ended == ["OSError"]
    assert begun.loop.done == 1


def test_a_released_loop_holds_nothing_and_still_hands_out_its_items() -> None:
    class Data(list[int]):
        """A list that can be referred to weakly."""

    data = Data(range(5))
    _, begun = begin(data)
    loop, items = begun.loop, begun.items
    assert next(items) == 0
    assert next(items) == 1
    loop.release()
    assert list(items) == [2, 3, 4]
    assert loop.done == 1

    gone = weakref.ref(data)
    del data, items, begun
    assert gone() is None


async def test_an_asynchronous_iterable_is_counted() -> None:
    async def numbers():  # type: ignore[no-untyped-def]
        for number in range(5):
            yield number

    job = Job()
    loop, items = loops.begin_async(numbers(), job)

    assert [(item, loop.done) async for item in items] == [(number, number) for number in range(5)]
    assert loop.done == 5
    assert job.ended == ["complete"]
