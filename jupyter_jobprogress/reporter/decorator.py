"""``@track_job``: every call of a function is a job."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, ParamSpec, TypeVar, cast, overload

from jupyter_jobprogress.reporter.job import Job, within

_P = ParamSpec("_P")
_R = TypeVar("_R")


@overload
def track_job(function: Callable[_P, _R], /) -> Callable[_P, _R]: ...
@overload
def track_job(**keywords: Any) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]: ...
def track_job(function: Callable[..., Any] | None = None, /, **keywords: Any) -> Any:
    """Run each call of a function, ordinary or asynchronous, as a job, which ``current_job()`` returns in it.

    ``@track_job`` or ``@track_job(total=100, unit="step")``; keywords are those of ``Job``. The title is the name of
    the function unless given. The job ends with the call, as in a ``with`` block. That of a generator begins with its
    first item and ends with its last; one that is left before is cancelled.
    """
    if function is None:
        return functools.partial(_decorate, keywords)
    return _decorate(keywords, function)


def _decorate(keywords: dict[str, Any], function: Callable[_P, _R]) -> Callable[_P, _R]:
    given: dict[str, Any] = {"title": getattr(function, "__name__", None)} | keywords
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            with Job(**given):
                return await function(*args, **kwargs)

        return cast("Callable[_P, _R]", awaited)

    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        items: Callable[..., Any] = _items if inspect.isgeneratorfunction(function) else _async_items

        @functools.wraps(function)
        def generated(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            return items(given, function(*args, **kwargs))

        return cast("Callable[_P, _R]", generated)

    @functools.wraps(function)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with Job(**given):
            return function(*args, **kwargs)

    return called


def _items(given: dict[str, Any], generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run a generator as a job, which is the current one while that runs, and not while its items are used."""
    job = Job(**given)
    step: Callable[[], Any] = functools.partial(next, generator)
    try:
        while True:
            with within(job):
                item = step()
            try:
                step = functools.partial(generator.send, (yield item))
            except BaseException as exc:  # noqa: BLE001 — whatever is thrown in is the generator's
                step = functools.partial(generator.throw, exc)
    except StopIteration as end:
        job.complete()
        return end.value
    except BaseException as exc:
        job._end_by(exc)
        raise


async def _async_items(given: dict[str, Any], generator: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    """Do the same with an asynchronous generator."""
    job = Job(**given)
    step: Callable[[], Any] = functools.partial(anext, generator)
    try:
        while True:
            with within(job):
                item = await step()
            try:
                step = functools.partial(generator.asend, (yield item))
            except BaseException as exc:  # noqa: BLE001 — whatever is thrown in is the generator's
                step = functools.partial(generator.athrow, exc)
    except StopAsyncIteration:
        job.complete()
    except BaseException as exc:
        job._end_by(exc)
        raise
