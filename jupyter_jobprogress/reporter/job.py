"""A job as its own code sees it: count, say, end. Nothing here waits for a store, and nothing raises into the job."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Final

from jupyter_jobprogress.protocol import limits
from jupyter_jobprogress.protocol.names import check_job_id, child_job_id, make_job_id
from jupyter_jobprogress.protocol.payload import mapping, number
from jupyter_jobprogress.protocol.state import Status
from jupyter_jobprogress.reporter import display as display_hooks
from jupyter_jobprogress.reporter import endings, joining, process
from jupyter_jobprogress.reporter.destination import destination
from jupyter_jobprogress.reporter.facts import Facts, Number, counted
from jupyter_jobprogress.reporter.reported import Reported
from jupyter_jobprogress.reporter.said import label
from jupyter_jobprogress.reporter.stages import announced, stage_name
from jupyter_jobprogress.reporter.words import fit_progress
from jupyter_jobprogress.settings import Settings

_current: Final[contextvars.ContextVar[Job | None]] = contextvars.ContextVar("jobprogress_current_job", default=None)


def current_job() -> Job | None:
    """Return the job whose ``with`` block or ``track_job`` function this code runs in, the innermost; or None."""
    return _current.get()


@contextmanager
def within(job: Job) -> Iterator[None]:
    """Make a job the one that ``current_job`` finds, and leave its end to somebody else."""
    token = _current.set(job)
    try:
        yield
    finally:
        _current.reset(token)


class Job(Reported):
    """One execution of some work, reported from its construction to its end.

    In a ``with`` block the job completes at the end of the block, fails with an exception and is cancelled by
    JobCancelled, KeyboardInterrupt, asyncio.CancelledError or GeneratorExit; the exception goes on. Without one, call
    ``complete``, ``fail`` or ``cancel``. A job that is open when the process ends fails with the exception that ended
    the process, or is cancelled.

    ``total``, ``initial`` and the counts count ``unit``; ``initial`` is what an earlier run had done. ``stages``
    announces stages by name, or with their weights, for ``stage``. ``heartbeat_s`` is the longest silence in seconds,
    None for no promise. ``url`` names the store, else the environment does; ``settings`` says all of it. Where
    somebody asks to cancel the job, its next ``update``, ``report`` or item raises JobCancelled, unless
    ``raise_on_cancel`` is False. ``handle_sigterm`` ends all jobs of the process as cancelled at SIGTERM, and then
    does what SIGTERM did before.

    All methods may be called from any thread, and a thread of its own does the sending, at most ten times a second. A
    forked or spawned child, or whoever calls ``join``, may count and report, and adds to what its owner has done; it
    cannot end the job.

    Raises:
        InvalidJobIdError: ``job_id`` or ``parent_id`` breaks rule 1. Nothing after the construction raises, but for
            JobCancelled.
        SettingsError: ``url`` has a scheme that no store has.
    """

    def __init__(
        self,
        job_id: str | None = None,
        *,
        total: float | None = None,
        title: str | None = None,
        unit: str | None = None,
        initial: float = 0,
        stages: Iterable[str] | Mapping[str, float] | None = None,
        parent_id: str | None = None,
        url: str | None = None,
        display: bool = True,
        heartbeat_s: float | None = limits.HEARTBEAT_S,
        raise_on_cancel: bool = True,
        handle_sigterm: bool = False,
        settings: Settings | None = None,
    ) -> None:
        super().__init__(
            make_job_id(label(title)) if job_id is None else check_job_id(job_id),
            title=title,
            unit=unit,
            total=total,
            initial=initial,
            stages=announced(stages),
            parent_id=None if parent_id is None else check_job_id(parent_id),
            heartbeat_s=heartbeat_s,
            raise_on_cancel=raise_on_cancel,
            settings=destination(url, settings),
        )
        if handle_sigterm:
            process.handle_sigterm()
        if self._settings is not None:
            self._begin()
            if display:
                display_hooks.call(display_hooks.on_start, self)
                display_hooks.call(display_hooks.on_plain_start, self)

    @classmethod
    def join(cls, job_id: str, *, url: str | None = None, settings: Settings | None = None) -> Job:
        """Return a job that another process owns, to add to it: ``update`` counts on top of all others, exactly.

        What it reports is said by the owner, within a fifth of a second while that lives. It cannot end the job.

        Raises:
            InvalidJobIdError, SettingsError
        """
        job = cls.__new__(cls)
        joining.attach(job, check_job_id(job_id), destination(url, settings))
        return job

    # What a job does in its innermost loops. No clock, no lock, no call: see said.py.

    def update(self, n: float = 1) -> None:
        """Count ``n`` more units of work done. Stores and returns: cheap enough for the innermost loop.

        A scalar of NumPy, PyTorch or JAX counts as the number that it is; one on a GPU is waited for.

        Raises:
            JobCancelled: somebody asked for it.
        """
        if n is not self._quick:
            n = self._looked_at(n)
        self._n += n

    # Not keyword-only: CPython looks each missing keyword-only argument up in a dict, a third of what this costs.
    def report(
        self,
        stage: str | None = None,
        progress: float | None = None,
        message: str | None = None,
        metadata: Mapping[str, object] | None = None,
        n: float | None = None,
        total: float | None = None,
        title: str | None = None,
    ) -> None:
        """Say something new; what is None stays as it was.

        ``progress`` is 0 to 1 and holds until the count moves. ``n`` sets the count. ``metadata`` replaces the former.

        Raises:
            JobCancelled: somebody asked for it.
        """
        if self._quick is None:
            self._attend()
        if progress is not None:
            try:
                if 0.0 <= progress <= 1.0:
                    self._explicit = progress
                    self._explicit_n = self._n if self._loop is None else self._counted(self._n)
                else:
                    self._say_progress(progress)
            except Exception:  # noqa: BLE001 — whatever was passed, comparing it may raise
                self._say_progress(progress)
        if message is not None:
            self._message = message
        if stage is not None:
            self._stage = stage
        if metadata is not None or n is not None or total is not None or title is not None:
            self._say(metadata, n, total, title)

    def add(self, n: float = 1) -> None:
        """Count as ``update`` does, under a lock: exact with threads of an interpreter without a GIL, too."""
        with self._lock:
            self.update(n)

    def log(self, **values: object) -> None:
        """Report scalars by name, as ``loss=0.25``; others stay. What is not finite becomes null.

        A scalar on a GPU is read when it is sent, ten times a second at most, so that training does not wait for it.
        """
        if self._quick is None:
            self._attend()
        with self._lock:
            self._merge_metrics(values)

    def stage(
        self, name: str, *, weight: float | None = None, total: float | None = None, unit: str | None = None
    ) -> _StageBlock:
        """Go into a stage, and count it anew: ``n`` starts at 0, ``total`` and ``unit`` are those of the stage.

        The whole moves by the shares of the stages, as announced to ``Job(stages=…)``, or by ``weight``, 0 to 1: the
        share of this one. Without either, the whole is what is counted. As a ``with`` block it is done at the end of
        the block. In another process than the owner's it only names what is going on there.
        """
        if self._quick is None:
            self._attend()
        name = stage_name(name)
        with self._lock:
            stages = self._stages.enter(name, weight=weight, progress=self._stage_progress(), now_s=time.monotonic())
            if self._owned and (total is not None or stages.share is not None):
                self._set_n(0)
                self._total = total
                self._explicit = None
            if unit is not None:
                self._unit = unit
            self._stage = name
            self._stages = stages
        return _StageBlock(self, name)

    def set_total(self, total: float | None) -> None:
        """Say how much work there is; None: nobody knows."""
        self._total = total

    def child(self, name: str, *, total: float | None = None, title: str | None = None, unit: str | None = None) -> Job:
        """Start a job that is a part of this one, as ``job.child("rank3")``. Viewers show it below, and add parts up.

        Its id is that of this job, a dot, and the name, with other characters than those of rule 1 replaced by "-".
        """
        return Job(
            child_job_id(self._id, str(name)),
            total=total,
            title=str(name) if title is None else title,
            unit=unit,
            parent_id=self._id,
            display=False,
            heartbeat_s=self._heartbeat_s,
            raise_on_cancel=self._raise_on_cancel,
            settings=self._settings,
        )

    def complete(self, result: object = None, message: str = "Job completed") -> None:
        """End well. The first end wins."""
        self._end(lambda facts: endings.completed(result, message))

    def fail(self, error: BaseException | str) -> None:
        """End with an error; an exception brings its traceback along. The first end wins."""
        self._end(lambda facts: endings.failed(error, facts.metadata))

    def cancel(self, message: str = "Job cancelled") -> None:
        """End before the work is done. The first end wins."""
        self._end(lambda facts: endings.cancelled(message))

    def requeue(self, message: str = "Waiting to be tried again") -> None:
        """Leave the job to a later run, as a queue does that tries again: it shows as queued. An end wins over it."""
        self._end(lambda facts: endings.requeued(message))

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until the last word is delivered, and return whether it was. For scripts and tests."""
        self._over.wait(timeout_s)
        return self._delivered

    def watch(self, callback: Callable[[bytes], object]) -> Callable[[], None]:
        """Call back with each newer state, as stored: the bytes of one JSON object. Returns the function that stops it.

        The callback runs in the sender's thread, soon after a state is in the store, and must not block. This is how
        a kernel feeds a bar where ``in_process`` says that no server sees the store.
        """
        if self._settings is None:
            return lambda: None
        return process.sender_for(self._settings).watch(self._id, callback)

    @property
    def id(self) -> str:
        """The job id."""
        return self._id

    @property
    def total(self) -> Number | None:
        """Units of work expected, or None."""
        return number(self._total)

    @property
    def status(self) -> Status:
        """Where the job stands, as far as this process knows."""
        return Status.PROCESSING if self._final is None else self._final.facts.status

    @property
    def run(self) -> int | None:
        """Fencing number of this execution, or None until the store has given it."""
        return self._run

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody asked to cancel the job. Known within a heartbeat, over a server at once."""
        return self._cancel_requested

    @property
    def closed(self) -> bool:
        """Whether the job has ended, or was left to a later run."""
        return self._final is not None

    @property
    def in_process(self) -> bool:
        """Whether the store lives in this process, so that nobody outside can watch it."""
        return self._settings is not None and self._settings.url is None

    def __enter__(self) -> Job:
        self._within.append(_current.set(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(ValueError, IndexError):  # entered in another context, as a generator may be
            _current.reset(self._within.pop())
        if exc is None:
            self.complete()
        else:
            self._end_by(exc)

    def __repr__(self) -> str:
        return f"Job({self._id!r}, n={self.n}, total={self.total}, status={self.status.value!r})"

    def __reduce__(self) -> tuple[Callable[..., Reported], tuple[object, ...]]:
        return joining.reduce(self)

    def _say(self, metadata: object, n: object, total: object, title: object) -> None:
        if n is not None:
            self._set_n(n)
        if total is not None:
            self._total = total
        if title is not None:
            self._title = title
        if metadata is not None:
            self._metadata = mapping(metadata)  # now, and not when it is sent: it may change until then

    def _say_progress(self, progress: object) -> None:
        """Take a progress that is no number of 0 to 1: fit now, so that the user hears of it."""
        fitted = fit_progress(progress, previous=None, job_id=self._id, once=self._once)
        if fitted is not None:
            self._explicit, self._explicit_n = fitted, self._counted(self._n)

    def _set_n(self, n: object) -> None:
        """Let the whole count be ``n`` now: what workers have added and what the loop has done are part of it."""
        found = self._amount(n)
        if found is not None:
            self._n = found - self._counted(0) - self._added

    def _looked_at(self, n: object) -> Number:
        """Return what ``update`` counts where that is no plain 1, or where something comes first."""
        if self._quick is None:
            self._attend()
        # Not NaN, and no integer of a thousand digits. Nearly all amounts are these, and ``number`` takes its time.
        if (type(n) is int or type(n) is float) and -(2**53) < n < 2**53:
            return n
        return self._amount(n) or 0

    def _amount(self, n: object) -> Number | None:
        """Return a count as a plain number, or None with a warning.

        Added as it is, an amount of another library would make the count one of its kind from then on: an integer of
        8 bits that wraps, a float that no 1 adds to any more, a value of JAX that only its own function may read.
        """
        found = number(n)
        if found is None:
            self._once.warn("n", "Job %s cannot count %.40r; it is ignored.", self._id, n)
        return found

    def _stage_progress(self) -> float | None:
        return counted(Facts(total=number(self._total)), number(self.n))

    def _stage_done(self, name: str) -> None:
        with self._lock:
            stages = self._stages
            present = stages.present >= 0 and stages.visits[stages.present].name == name
            if self._owned and present and self._total is not None:
                self._set_n(self._total)


class _StageBlock:
    """A stage as a ``with`` block."""

    def __init__(self, job: Job, name: str) -> None:
        self._job = job
        self._name = name

    def __enter__(self) -> Job:
        return self._job

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if exc is None:
            self._job._stage_done(self._name)
