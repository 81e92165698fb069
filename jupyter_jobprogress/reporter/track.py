"""Iterate and report: the count is what the loop's body has finished."""

from __future__ import annotations

import operator
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Generic, TypeVar, cast

from jupyter_jobprogress.protocol import limits
from jupyter_jobprogress.protocol.payload import number
from jupyter_jobprogress.reporter import display as display_hooks
from jupyter_jobprogress.reporter import exits, loops
from jupyter_jobprogress.reporter.job import Job
from jupyter_jobprogress.settings import Settings

_T = TypeVar("_T")


class track(Generic[_T]):
    """Iterate over ``iterable`` and report each finished item. ``job`` is the job, for messages and metrics.

    The job completes when the items are used up, and fails or is cancelled by an exception of ``iterable`` itself. A
    loop left by ``break`` or ``return`` completes with the message "Stopped at n of total", a second after nothing
    refers to the iterator any more; ``close`` does that at once. An iterator cannot see an exception in the loop's
    body: in a notebook the end of the cell tells it, in a script the end of the process, or ``sys.exit`` itself. Where
    the exception is caught in between, the loop counts as stopped a minute later, or at the end of the cell or process.
    ``with track(…) as items`` sees it always.

    An asynchronous iterable is iterated with ``async for``. Keywords are those of ``Job``. Unless ``total`` is given it
    is ``initial`` and the length of ``iterable``. The cost of an item: a few nanoseconds for lists, tuples, ranges,
    strings, dicts, sets and arrays of NumPy, whose iterators tell their position; some 30 for everything else.
    """

    def __init__(
        self,
        iterable: Iterable[_T] | AsyncIterable[_T],
        job_id: str | None = None,
        *,
        total: float | None = None,
        title: str | None = None,
        unit: str | None = None,
        initial: float = 0,
        parent_id: str | None = None,
        url: str | None = None,
        display: bool = True,
        heartbeat_s: float | None = limits.HEARTBEAT_S,
        raise_on_cancel: bool = True,
        handle_sigterm: bool = False,
        settings: Settings | None = None,
    ) -> None:
        self._length = _length(iterable)
        self._items: Iterator[_T] | None = None
        self._async_items: AsyncIterator[_T] | None = None
        # Before there is a job, so that what cannot be iterated leaves none behind.
        iterator = _iterator(iterable)
        self.job = Job(
            job_id,
            total=_expected(iterable, initial) if total is None else total,
            title=title,
            unit=unit,
            initial=initial,
            parent_id=parent_id,
            url=url,
            display=display,
            heartbeat_s=heartbeat_s,
            raise_on_cancel=raise_on_cancel,
            handle_sigterm=handle_sigterm,
            settings=settings,
        )
        exits.watch()
        display_hooks.call(display_hooks.on_track, self.job)
        generator: object
        if isinstance(iterator, AsyncIterator):
            self.job._loop, self._async_items = loops.begin_async(iterator, self.job)
            generator = self._async_items
        else:
            self.job._loop, self._items, generator = loops.begin(iterable, iterator, self.job)
        # Not ``__del__``, which would run at exit, too: there the process ends its open jobs itself. The generator
        # refers to the job and not to this object, so that it goes at once when the loop that alone refers to it is
        # left.
        finalizer = weakref.finalize(generator, self.job._abandon, at_once=self._async_items is None)
        finalizer.atexit = False

    def __iter__(self) -> Iterator[_T]:
        if self._items is None:
            raise TypeError("this tracks an asynchronous iterable, for 'async for'; got 'for' or 'next'")
        return self._items

    def __aiter__(self) -> AsyncIterator[_T]:
        if self._async_items is None:
            raise TypeError("this tracks an ordinary iterable, for 'for'; got 'async for'")
        return self._async_items

    def __next__(self) -> _T:
        return next(iter(self))

    def close(self) -> None:
        """Stop. The item that was handed out last is not counted: its body did not come back. Idempotent."""
        self.job._stop()
        if self._items is not None:
            self._items = iter(())

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("the iterable that is tracked has no len()")
        return self._length

    def __enter__(self) -> track[_T]:
        return self

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if exc is not None:
            self.job._end_by(exc)
        self.close()

    async def __aenter__(self) -> track[_T]:
        return self

    async def __aexit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        self.__exit__(kind, exc, trace)


def _iterator(iterable: Iterable[_T] | AsyncIterable[_T]) -> Iterator[_T] | AsyncIterator[_T]:
    if isinstance(iterable, AsyncIterable) and not isinstance(iterable, Iterable):
        return aiter(iterable)
    return iter(cast("Iterable[_T]", iterable))  # or a class with __getitem__ alone


def _length(iterable: object) -> int | None:
    try:
        return len(iterable)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 — a length is nice to have, and some raise an error of their own
        return None


def _expected(iterable: object, initial: object) -> int | float | None:
    """Return how far the count will come, or None: what an earlier run did is not in ``iterable`` any more."""
    try:
        hint = operator.length_hint(iterable, -1)
    except Exception:  # noqa: BLE001 — the same
        return None
    return None if hint < 0 else (number(initial) or 0) + hint
