"""Iterate and report: the count is what the loop's body has finished."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Generator, Iterable, Iterator
from typing import Generic, TypeVar

from jupyter_jobprogress.protocol import limits
from jupyter_jobprogress.reporter import display as display_hooks
from jupyter_jobprogress.reporter.job import Job
from jupyter_jobprogress.settings import Settings

_T = TypeVar("_T")


class track(Generic[_T]):
    """Iterate over ``iterable`` and report each finished item. ``job`` is the job, for messages and metrics.

    The job completes when the items are used up, and fails or is cancelled by an exception of ``iterable`` itself. A
    loop left by ``break`` or ``return`` completes with the message "Stopped at n of total", a second after nothing
    refers to the iterator any more; ``close`` does that at once. An iterator cannot see an exception in the loop's
    body: in a notebook the end of the cell tells it, in a script the end of the process, and where the exception is
    caught in between the loop counts as stopped. ``with track(…) as items`` sees it always.

    Keywords are those of ``Job``. ``total`` is the length of ``iterable`` unless given.
    """

    def __init__(
        self,
        iterable: Iterable[_T],
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
        settings: Settings | None = None,
    ) -> None:
        self._length = _length(iterable)
        iterator = iter(iterable)
        self.job = Job(
            job_id,
            total=_length_hint(iterable) if total is None else total,
            title=title,
            unit=unit,
            initial=initial,
            parent_id=parent_id,
            url=url,
            display=display,
            heartbeat_s=heartbeat_s,
            settings=settings,
        )
        display_hooks.call(display_hooks.on_track, self.job)
        # A generator of its own, since calling one costs a third of a Python ``__next__``. It does not refer to this
        # object, so that it goes at once when the loop that alone refers to it is left.
        self._items = _count(iterator, self.job)
        # Not ``__del__``, which would run at exit, too: there the process ends its open jobs itself.
        weakref.finalize(self._items, self.job._abandon).atexit = False

    def __iter__(self) -> Iterator[_T]:
        return self._items

    def __next__(self) -> _T:
        return next(self._items)

    def close(self) -> None:
        """Stop. The item that was handed out last is not counted: its body did not come back. Idempotent."""
        self._items.close()
        self.job._stop()

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


def _count(iterator: Iterator[_T], job: Job) -> Generator[_T, None, None]:
    try:
        for item in iterator:
            yield item
            job._n += 1  # the body came back for the next one
    except GeneratorExit:
        raise
    except BaseException as exc:
        job._end_by(exc)
        raise
    job.complete()


def _length(iterable: object) -> int | None:
    try:
        return len(iterable)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 — a length is nice to have, and some raise an error of their own
        return None


def _length_hint(iterable: object) -> int | None:
    try:
        hint = operator.length_hint(iterable, -1)
    except Exception:  # noqa: BLE001 — the same
        return None
    return None if hint < 0 else hint
