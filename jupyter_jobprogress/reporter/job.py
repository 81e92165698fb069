"""A job as its own code sees it: count, say, end. Nothing here waits for a store, and nothing raises into the job."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

import msgspec

from jupyter_jobprogress.protocol import limits
from jupyter_jobprogress.protocol.messages import Receipt
from jupyter_jobprogress.protocol.names import check_job_id, make_job_id
from jupyter_jobprogress.protocol.payload import mapping, metrics, number, text, timestamp
from jupyter_jobprogress.protocol.state import Status
from jupyter_jobprogress.reporter import display as display_hooks
from jupyter_jobprogress.reporter import endings, process
from jupyter_jobprogress.reporter.composer import Composer
from jupyter_jobprogress.reporter.delivery import Delivery
from jupyter_jobprogress.reporter.destination import destination
from jupyter_jobprogress.reporter.facts import Facts, Number, own_origin
from jupyter_jobprogress.reporter.sender import Sender
from jupyter_jobprogress.reporter.words import Once, fit_progress
from jupyter_jobprogress.settings import Settings

GRACE_S: Final = 1.0
"""How long after a loop was left the end of its cell or process may still tell that an error did it. An exception
closes the loop's iterator on its way up, like ``break`` does, and the iterator cannot tell them apart."""

PICKLE_WAIT_S: Final = 0.5
"""How long pickling waits for the store to number the run, so that a worker can join it."""


class Job:
    """One execution of some work, reported from its construction to its end.

    In a ``with`` block the job completes at the end of the block, fails with an exception and is cancelled by
    KeyboardInterrupt, asyncio.CancelledError or GeneratorExit; the exception goes on. Without one, call ``complete``,
    ``fail`` or ``cancel``. A job that is open when the process ends fails with the exception that ended the process,
    or is cancelled.

    ``total``, ``initial`` and the counts count ``unit``. ``heartbeat_s`` is the longest silence in seconds, None for no
    promise. ``url`` names the store, else the environment does; ``settings`` says all of it. All methods may be called
    from any thread, and a thread of its own does the sending, at most ten times a second. In a forked or spawned child
    a job may count and report, but not end.

    Raises:
        InvalidJobIdError: ``job_id`` or ``parent_id`` breaks rule 1. Nothing after the construction raises.
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
        parent_id: str | None = None,
        url: str | None = None,
        display: bool = True,
        heartbeat_s: float | None = limits.HEARTBEAT_S,
        settings: Settings | None = None,
    ) -> None:
        self._id = make_job_id(_label(title)) if job_id is None else check_job_id(job_id)
        self._parent_id = None if parent_id is None else check_job_id(parent_id)
        self._n: Number = number(initial) or 0
        self._facts = Facts(title=_label(title), unit=_label(unit), total=number(total))
        self._started_at = timestamp(time.time())
        self._heartbeat_s = _positive(heartbeat_s)
        self._settings = destination(url, settings)
        self._init_process(owned=True, run=None)
        if self._settings is not None:
            self._report(start=True)
            if display:
                display_hooks.call(display_hooks.on_start, self)

    def _init_process(self, *, owned: bool, run: int | None) -> None:
        """Set what belongs to this process and is not pickled."""
        self._owned = owned
        self._run = run
        self._run_known = threading.Event()
        self._over = threading.Event()
        self._delivered = False
        self._cancel_requested = False
        self._abandoned_s: float | None = None
        self._sender: Sender | None = None
        self._delivery: Delivery | None = None
        self._lock = threading.RLock()
        self._once = Once()

    def update(self, n: float = 1) -> None:
        """Count ``n`` more units of work done. Stores and returns: cheap enough for the innermost loop."""
        try:
            self._n += n
        except Exception:  # noqa: BLE001 — whatever was passed, counting does not fail the work
            self._once.warn("n", "Job %s cannot count %.40r; it is ignored.", self._id, n)

    def report(
        self,
        *,
        stage: str | None = None,
        progress: float | None = None,
        n: float | None = None,
        total: float | None = None,
        message: str | None = None,
        metadata: dict[str, object] | None = None,
        title: str | None = None,
    ) -> None:
        """Say something new; what is None stays as it was.

        ``progress`` is 0 to 1 and holds until the count moves. ``n`` sets the count. ``metadata`` replaces the former.
        """
        changes: dict[str, object] = {}
        if n is not None:
            self._set_n(n)
        if stage is not None:
            changes["stage"] = text(stage, limits.LABEL_BYTES)
        if message is not None:
            changes["message"] = text(message, limits.TEXT_BYTES)
        if title is not None:
            changes["title"] = _label(title)
        if total is not None:
            changes["total"] = number(total)
        if metadata is not None:
            changes["metadata"] = mapping(metadata)
        if progress is not None:
            previous = self._facts.explicit
            changes["explicit"] = fit_progress(progress, previous=previous, job_id=self._id, once=self._once)
            changes["explicit_n"] = number(self._n)
        self._say(changes)

    def log(self, **values: object) -> None:
        """Report scalars by name, as ``loss=0.25``; others stay. What is not finite becomes null."""
        found = metrics(values)
        with self._lock:
            merged = {**(self._facts.metrics or {}), **found}
            if len(merged) > limits.METRICS:
                self._once.warn(
                    "metrics", "Job %s logs more than %d metrics; the others are left out.", self._id, limits.METRICS
                )
                merged = dict(list(merged.items())[: limits.METRICS])
            self._say({"metrics": merged})

    def complete(self, result: object = None, message: str = "Job completed") -> None:
        """End well. The first end wins."""
        self._end(endings.completed(result, message))

    def fail(self, error: BaseException | str) -> None:
        """End with an error; an exception brings its traceback along. The first end wins."""
        self._end(endings.failed(error, self._facts.metadata))

    def cancel(self, message: str = "Job cancelled") -> None:
        """End before the work is done. The first end wins."""
        self._end(endings.cancelled(message))

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
    def n(self) -> Number:
        """Units of work done."""
        return self._n

    @property
    def total(self) -> Number | None:
        """Units of work expected, or None."""
        return self._facts.total

    @property
    def status(self) -> Status:
        """Where the job stands, as far as this process knows."""
        return self._facts.status

    @property
    def run(self) -> int | None:
        """Fencing number of this execution, or None until the store has given it."""
        return self._run

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody asked to cancel the job. Known after the next receipt."""
        return self._cancel_requested

    @property
    def closed(self) -> bool:
        """Whether the job has ended."""
        return self.status.terminal

    @property
    def in_process(self) -> bool:
        """Whether the store lives in this process, so that nobody outside can watch it."""
        return self._settings is not None and self._settings.url is None

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if exc is None:
            self.complete()
        else:
            self._end_by(exc)

    def __repr__(self) -> str:
        return f"Job({self._id!r}, n={self._n}, total={self.total}, status={self.status.value!r})"

    def _end_by(self, exc: BaseException) -> None:
        self._end(endings.ended_by(exc, self._facts.metadata))

    def _end_at_exit(self, fatal: BaseException | None) -> None:
        if fatal is not None:
            self._end_by(fatal)
        self._settle(grace_s=0)
        self.cancel("The process ended before the job did")

    def _stop(self) -> None:
        self._end(endings.stopped(number(self._n) or 0, self._facts.total))

    def _abandon(self) -> None:
        """Note that nothing counts any more. For finalizers: they run in the midst of anything, so it only stores."""
        self._abandoned_s = time.monotonic()

    def _settle(self, *, grace_s: float = GRACE_S) -> None:
        """Take an abandoned job for stopped, unless an error has ended it within the time that errors need."""
        if self._abandoned_s is not None and time.monotonic() - self._abandoned_s >= grace_s:
            self._stop()

    def _end(self, changes: endings.Changes) -> None:
        if not self._owned or not self._replace(changes):
            return
        if self._sender is not None and self._delivery is not None:
            self._sender.wake(self._delivery)
        else:
            self._on_over(False)

    def _say(self, changes: endings.Changes) -> None:
        self._replace(changes)
        if self._delivery is None and not self._owned:
            self._report(start=False)

    def _replace(self, changes: endings.Changes) -> bool:
        """Change what is said, and return whether it could be: nothing is said after the end."""
        with self._lock:
            while not self._facts.status.terminal:
                before = self._facts
                after = msgspec.structs.replace(before, **changes)
                # A signal handler of the user may end the job right here, in this thread, which the lock lets in.
                if self._facts is before:
                    self._facts = after
                    return True
        return False

    def _set_n(self, n: object) -> None:
        found = number(n)
        if found is None:
            self._once.warn("n", "Job %s cannot count %.40r; it is ignored.", self._id, n)
        else:
            self._n = found

    def _words(self) -> tuple[Facts, Number | None]:
        self._settle()
        return self._facts, number(self._n)

    def _report(self, *, start: bool) -> None:
        """Hand the job to the sender of this process."""
        if self._settings is None:
            return
        composer = Composer(
            job_id=self._id,
            started_at=self._started_at,
            heartbeat_s=self._heartbeat_s,
            parent_id=self._parent_id,
            origin=own_origin(),
            now_s=time.monotonic(),
            n=number(self._n) or 0,
        )
        self._delivery = Delivery(
            self._id,
            composer,
            self._words,
            start=start,
            run=self._run,
            # An attached job leaves the heartbeat to its owner: two would overwrite each other with old counts.
            heartbeat_s=self._heartbeat_s if self._owned else None,
            on_receipt=self._on_receipt,
            on_over=self._on_over,
        )
        self._sender = process.sender_for(self._settings)
        process.remember(self)
        if not self._sender.add(self._delivery):
            self._on_over(False)

    def _on_receipt(self, receipt: Receipt) -> None:
        self._run = receipt.run
        self._cancel_requested = self._cancel_requested or receipt.cancel_requested
        self._run_known.set()

    def _on_over(self, delivered: bool) -> None:
        self._delivered = delivered
        process.forget(self)
        self._run_known.set()
        self._over.set()

    def _forked(self) -> None:
        self._settings = destination(None, self._settings)
        self._init_process(owned=False, run=self._run)

    def __reduce__(self) -> tuple[Callable[..., Job], tuple[object, ...]]:
        """Pickle what another process needs to join this run. The token stays here: the environment has the child's."""
        if self._delivery is not None:
            self._run_known.wait(PICKLE_WAIT_S)
        settings = None if self._settings is None else dataclasses.replace(self._settings, token=None)
        words = (self._facts, self._n, self._started_at, self._heartbeat_s)
        return _joined, (type(self), self._id, self._parent_id, self._run, settings, *words)


def _joined(
    cls: type[Job],
    job_id: str,
    parent_id: str | None,
    run: int | None,
    settings: Settings | None,
    facts: Facts,
    n: Number,
    started_at: str,
    heartbeat_s: float | None,
) -> Job:
    """Return the job that was pickled: itself in its own process, else one that joins its run."""
    for job in process.open_jobs():
        if isinstance(job, Job) and (job._id, job._started_at) == (job_id, started_at):
            return job
    job = cls.__new__(cls)
    job._id, job._parent_id, job._facts, job._n = job_id, parent_id, facts, n
    job._started_at, job._heartbeat_s = started_at, heartbeat_s
    if settings is not None:
        settings = dataclasses.replace(settings, token=os.environ.get("JOBPROGRESS_TOKEN") or None)
        settings = destination(None, settings)
    job._settings = settings
    job._init_process(owned=False, run=run)
    if not facts.status.terminal:
        job._report(start=False)
    return job


def _label(value: str | None) -> str | None:
    return None if value is None else text(value, limits.LABEL_BYTES)


def _positive(heartbeat_s: float | None) -> float | None:
    found = number(heartbeat_s)
    return found if found is not None and found > 0 else None
