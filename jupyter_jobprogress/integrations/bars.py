"""What makes a bar of tqdm a job: a mixin in front of any of its classes. Imports no tqdm.

The sender looks at the bar, ten times a second at most, and the bar does nothing for it: it counts in attributes of its
own, so that a loop costs what it costs with tqdm. Which job a bar is follows from where it is made:

- alone, it is a job of its own;
- inside another bar, a ``with Job(…)`` block or a script of ``jupyter jobprogress run`` it is a part of that. Bars that
  are made by the same line, one after the other, are runs of one part: an inner loop is one line and not a thousand.
"""

from __future__ import annotations

import contextvars
import os
import sys
import time
import weakref
from collections.abc import Mapping
from numbers import Number
from pathlib import Path
from typing import Any, Final, NamedTuple

from jupyter_jobprogress.errors import JobCancelled
from jupyter_jobprogress.protocol.names import check_job_id, child_job_id, make_job_id
from jupyter_jobprogress.protocol.payload import is_device_array
from jupyter_jobprogress.reporter import display as display_hooks
from jupyter_jobprogress.reporter.job import Job, current_job

PARENT: Final = "JOBPROGRESS_PARENT"
"""Environment: the job of the script that this process belongs to, and the process that runs it."""

RIPE_S: Final = 0.25
"""An inner bar becomes a job when it is this old: thousands of short loops are no news."""

_LIBRARY: Final = (__name__, "tqdm", "jupyter_jobprogress.tqdm", "contextlib")

_outermost: Final[contextvars.ContextVar[weakref.ref[Reporting] | None]] = contextvars.ContextVar(
    "jobprogress_bar", default=None
)
_open: Final[weakref.WeakValueDictionary[str, Reporting]] = weakref.WeakValueDictionary()
_pid: Final = os.getpid()


class _Plan(NamedTuple):
    """The job that a bar is going to be. ``parent`` is None where it lives in another process."""

    job_id: str
    title: str | None
    parent_id: str | None
    parent: Job | Reporting | None
    url: str | None
    display: bool
    ripe_s: float


class Reporting:
    """Stands before a class of tqdm, whose arguments are unchanged but for two more.

    ``job_id`` names the job, else it gets an id of its own; ``url`` names the store, else the environment does.
    ``display=False`` shows nothing in a notebook.
    """

    _job: Job | None = None
    _looking: Looking | None = None
    _said: tuple[object, Mapping[str, object]] | None = None
    _dying = False

    def __init__(
        self, *args: Any, job_id: str | None = None, url: str | None = None, display: bool = True, **kwargs: Any
    ) -> None:
        if job_id is not None:
            check_job_id(job_id)
        # Not a WeakSet, over which no other thread may go while this one adds to it.
        self._inner: set[weakref.ref[Reporting]] = set()
        super().__init__(*args, **kwargs)
        bar: Any = self
        if not bar.disable:
            self._waiting = _plan(self, job_id, url, display)
            self._ripen()

    def refresh(self, *args: Any, **kwargs: Any) -> Any:
        if "_waiting" in self.__dict__:
            self._ripen()
        return super().refresh(*args, **kwargs)  # type: ignore[misc]

    def set_postfix(self, ordered_dict: Any = None, refresh: bool = True, **kwargs: Any) -> None:
        pairs = {} if ordered_dict is None else dict(ordered_dict)
        super().set_postfix(pairs, False, **kwargs)  # type: ignore[misc]
        self._said = self.postfix, {**pairs, **kwargs}  # type: ignore[attr-defined]
        if refresh:
            self.refresh()

    def close(self) -> None:
        was_open = not getattr(self, "disable", True)
        super().close()  # type: ignore[misc]
        if was_open:
            self.__dict__.pop("_waiting", None)
            if self._job is not None:
                self._finish(self._job)

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if exc is not None and self._job is not None:
            self._job._end_by(exc)
        super().__exit__(kind, exc, trace)  # type: ignore[misc]

    def __del__(self) -> None:
        self._dying = True
        super().__del__()  # type: ignore[misc]

    def _ripen(self) -> None:
        """Start the job of this bar, if it is time. Also called by the sender's thread, for an outer bar."""
        plan: _Plan | None = self.__dict__.get("_waiting")
        if plan is None or time.monotonic() < plan.ripe_s or self.__dict__.pop("_waiting", None) is None:
            return
        bar: Any = self
        base = bar.n  # read once: where this is the sender's thread, the loop goes on meanwhile
        job = Job(
            plan.job_id,
            title=plan.title,
            unit=bar.unit,
            initial=base * _scale(bar),
            parent_id=plan.parent_id,
            url=plan.url,
            display=False,
        )
        looking = Looking(self, job, plan, base)
        job._loop = looking  # type: ignore[assignment]
        self._looking = looking
        self._job = job
        if plan.parent_id is None:
            if plan.display:
                display_hooks.call(display_hooks.on_start, job)
            display_hooks.call(display_hooks.on_track, job)
        if bar.disable:  # closed meanwhile, in another thread
            self._finish(job)

    def _finish(self, job: Job) -> None:
        """End the job as the bar ended. What an iterator cannot see is left to the end of the cell or the process."""
        bar: Any = self
        exc = sys.exc_info()[1]
        if self._looking is not None:
            self._looking.take(bar)  # the bar may be gone before its job ends
        if self._looking is not None and self._looking.cancelled:
            job._end_by(JobCancelled(job.id))
        elif exc is not None and not isinstance(exc, _EXHAUSTED) and _came_through(exc, self):
            if isinstance(exc, GeneratorExit):
                job._abandon(at_once=False)
            else:
                job._end_by(exc)
        elif self._dying or (bar.total and bar.n < bar.total):
            job._abandon(at_once=False)
        else:
            job.complete()


_EXHAUSTED: Final = (StopIteration, StopAsyncIteration)


class Looking:
    """A bar, as the sender sees it. Holds it weakly, so that a bar which nobody holds ends as tqdm ends it."""

    def __init__(self, bar: Reporting, job: Job, plan: _Plan, base: int | float) -> None:
        self._bar = weakref.ref(bar)
        self._job = job
        self._plan = plan
        self._scale = _scale(bar)
        self._base = base
        self._words: tuple[object, ...] = ()
        self._done: int | float = 0
        self.cancelled = False

    @property
    def done(self) -> int | float:
        bar: Any = self._bar()
        if bar is not None:
            self.take(bar)
            for reference in bar._inner.copy():
                if (inner := reference()) is not None:
                    inner._ripen()
            if not self.cancelled and _cancelled(self._plan.parent):
                self.interrupt()
        return self._done

    def take(self, bar: Any) -> None:
        """Take in what the bar says now."""
        self._done = (bar.n - self._base) * self._scale
        words = (bar.desc, bar.total, bar.unit, bar.postfix, bar._said)
        if len(words) != len(self._words) or any(a is not b for a, b in zip(words, self._words, strict=True)):
            self._words = words
            self._tell(bar)

    def interrupt(self) -> None:
        """Have the next ``update`` leave the loop; the loop itself calls it within ``mininterval``."""
        bar: Any = self._bar()
        if bar is None or self.cancelled:
            return
        self.cancelled = True
        job_id = self._job.id

        def update(n: object = 1) -> None:
            raise JobCancelled(job_id)

        bar.update = update
        bar.miniters = 0

    def release(self) -> None:
        bar: Any = self._bar()
        if bar is not None:
            self._done = (bar.n - self._base) * self._scale
        self._bar = lambda: None  # type: ignore[assignment]

    def _tell(self, bar: Any) -> None:
        job = self._job
        desc = str(bar.desc or "").strip().removesuffix(":")
        job._title = desc or self._plan.title
        job._total = None if bar.total is None else bar.total * self._scale
        job._unit = bar.unit
        if bar._said is not None and bar._said[0] is bar.postfix:
            metrics, words = _postfix(bar._said[1])
            with job._lock:
                job._merge_metrics(metrics)
            job._message = words
        else:
            job._message = bar.postfix or ""


def _scale(bar: Any) -> int | float:
    scale = bar.unit_scale
    return 1 if isinstance(scale, bool) or not scale else scale


def _postfix(said: Mapping[str, object]) -> tuple[dict[str, object], str]:
    """Split a postfix into numbers, which people also pass formatted, and the rest."""
    metrics: dict[str, object] = {}
    words = []
    for name, value in said.items():
        if isinstance(value, str):
            try:
                metrics[name] = float(value)
            except ValueError:
                words.append(f"{name}={value}")
        elif isinstance(value, Number) or is_device_array(value):
            metrics[name] = value
        else:
            words.append(f"{name}={value}")
    return metrics, ", ".join(words)


def _plan(bar: Any, job_id: str | None, url: str | None, display: bool) -> _Plan:
    """Say which job a bar is going to be."""
    now_s = time.monotonic()
    ripe_s = now_s + bar.delay
    desc = str(bar.desc or "").strip().removesuffix(":") or None
    reference = _outermost.get()
    outer = None if reference is None else reference()
    if outer is None or getattr(outer, "disable", True) or outer is bar:
        _outermost.set(weakref.ref(bar))
        outer = None
    parent: Job | Reporting | None = current_job()
    parent_id = parent.id if isinstance(parent, Job) else None
    script, script_pid = script_job()
    if parent_id is None and outer is not None:
        outer_id = outer.__dict__.get("_planned_id")
        if outer_id is not None:
            parent, parent_id = outer, outer_id
            outer._inner.add(weakref.ref(bar, outer._inner.discard))
            ripe_s = max(ripe_s, now_s + RIPE_S)
    if parent_id is None and script:
        parent_id = script
    if job_id is None and parent_id is None:
        job_id = make_job_id(desc)
    elif job_id is None:
        place = _place()
        desc = desc or place
        name = place.replace(".py:", "-")
        if os.getpid() != script_pid:
            name += f"-p{os.getpid()}"
        job_id = child_job_id(str(parent_id), name)
        if (other := _open.get(job_id)) is not None and not getattr(other, "disable", True):
            job_id = child_job_id(str(parent_id), f"{name}-{abs(bar.pos)}")
    bar._planned_id = job_id
    _open[job_id] = bar
    return _Plan(job_id, desc, parent_id, parent, url, display, ripe_s)


def script_job() -> tuple[str, int]:
    """Return the job of the script that this process belongs to, or nothing, and the process that runs the script."""
    job_id, _, pid = os.environ.get(PARENT, "").partition(" ")
    try:
        return check_job_id(job_id) if job_id else "", int(pid or _pid)
    except ValueError:  # somebody else set it; a bar is not worth an error
        return "", _pid


def _place() -> str:
    """Return the file and line that makes a bar, outside of tqdm."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if not module.startswith(_LIBRARY):
            break
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _cancelled(parent: Job | Reporting | None) -> bool:
    if isinstance(parent, Job):
        return parent.cancel_requested and parent._raise_on_cancel
    job = None if parent is None else parent._job
    return job is not None and job.cancel_requested


def _came_through(exc: BaseException, bar: object) -> bool:
    """Whether an exception is on its way through the loop of this bar, and is not one that the caller handles."""
    trace = exc.__traceback__
    if trace is None:
        return isinstance(exc, GeneratorExit)
    return trace.tb_frame.f_locals.get("self") is bar
