"""An error that left a loop is told from one that came after the loop was left on purpose."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain

import pytest

from jupyter_jobprogress.reporter.places import Place, dropped_at, left_on_purpose, passed


class Dropped:
    """An iterator that notes where it was dropped. Over a chain, as ``track`` makes it for lists, or by itself."""

    def __init__(self) -> None:
        self.at: Place | None = None

    def note(self) -> None:
        self.at = dropped_at()

    def items(self, kind: str) -> Iterator[int]:
        chunks = ([number] for number in range(9)) if kind == "chained" else None
        items = (number for number in range(9)) if chunks is None else chain.from_iterable(chunks)
        weakref.finalize(chunks or items, self.note)
        return items


def refuse(item: int) -> None:
    if item == 3:
        raise ValueError(item)


def call(items: Callable[[], Iterator[int]]) -> None:
    for item in items():
        refuse(item)


def operate(items: Callable[[], Iterator[int]]) -> None:
    for item in items():
        1 / (3 - item)


def in_a_block(items: Callable[[], Iterator[int]]) -> None:
    for item in items():
        with open("/dev/null"):
            refuse(item)


def cleaned_up(items: Callable[[], Iterator[int]]) -> None:
    for item in items():
        try:
            refuse(item)
        finally:
            del item


def raised_again(items: Callable[[], Iterator[int]]) -> None:
    for item in items():
        try:
            refuse(item)
        except ValueError:
            raise


def replaced(items: Callable[[], Iterator[int]]) -> None:
    for item in items():
        try:
            refuse(item)
        except ValueError:
            raise KeyError(item) from None


def replaced_outside(items: Callable[[], Iterator[int]]) -> None:
    try:
        call(items)
    except ValueError as exc:
        raise KeyError from exc


def grouped_outside(items: Callable[[], Iterator[int]]) -> None:
    try:
        call(items)
    except ValueError as exc:
        raise ExceptionGroup("several", [OSError(), exc]) from None


def inside_of_c(items: Callable[[], Iterator[int]]) -> None:
    list(map(refuse, items()))


def interrupt(items: Callable[[], Iterator[int]]) -> None:
    for item in items():
        if item == 3:
            raise KeyboardInterrupt


def stop_and_fail(items: Callable[[], Iterator[int]]) -> None:
    for item in items():
        if item == 3:
            break
    refuse(3)


def return_and_fail(items: Callable[[], Iterator[int]]) -> None:
    def first(items: Callable[[], Iterator[int]]) -> int | None:
        for item in items():
            return item
        return None

    first(items)
    refuse(3)


def drop_and_fail(items: Callable[[], Iterator[int]]) -> None:
    held = items()
    next(held)
    del held
    refuse(3)


def survive_and_fail(items: Callable[[], Iterator[int]]) -> None:
    with suppress(ValueError):
        call(items)
    1 / 0  # noqa: B018


BY_AN_ERROR = [
    *(call, operate, in_a_block, cleaned_up, raised_again, replaced, replaced_outside, grouped_outside),
    *(inside_of_c, interrupt),
]
ON_PURPOSE = [stop_and_fail, return_and_fail, drop_and_fail, survive_and_fail]


@pytest.mark.parametrize("kind", ["chained", "plain"])
@pytest.mark.parametrize("leave", [*BY_AN_ERROR, *ON_PURPOSE], ids=lambda leave: leave.__name__)
def test_an_error_is_known_by_the_place_where_the_loop_was_left(leave: Callable[..., None], kind: str) -> None:
    dropped = Dropped()

    with pytest.raises(BaseException) as caught:  # noqa: PT011 — whatever it is
        leave(lambda: dropped.items(kind))

    assert dropped.at is not None
    assert passed(caught.value, dropped.at) == (leave in BY_AN_ERROR)
    assert left_on_purpose(dropped.at) == (leave in ON_PURPOSE and leave is not survive_and_fail)


def test_what_no_finalizer_calls_was_dropped_nowhere() -> None:
    assert dropped_at() is None
