"""``@track_job``: every call of a function is a job."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast, overload

from jupyter_jobprogress.reporter.job import Job

_P = ParamSpec("_P")
_R = TypeVar("_R")


@overload
def track_job(function: Callable[_P, _R], /) -> Callable[_P, _R]: ...
@overload
def track_job(**keywords: Any) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]: ...
def track_job(function: Callable[..., Any] | None = None, /, **keywords: Any) -> Any:
    """Run each call of a function, ordinary or asynchronous, as a job, which ``current_job()`` returns in it.

    ``@track_job`` or ``@track_job(total=100, unit="step")``; keywords are those of ``Job``. The title is the name of
    the function unless given. The job ends with the call, as in a ``with`` block.
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

    @functools.wraps(function)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with Job(**given):
            return function(*args, **kwargs)

    return called
