"""What is behind a job: its end, its sender, and its life in a forked or spawned child. ``Job`` is the face of it."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from jupyter_jobprogress.errors import JobCancelled
from jupyter_jobprogress.protocol.messages import Contribution, Receipt
from jupyter_jobprogress.protocol.payload import metrics, number, timestamp
from jupyter_jobprogress.protocol.state import State
from jupyter_jobprogress.reporter import endings, process
from jupyter_jobprogress.reporter.carrier import Carrier, Words
from jupyter_jobprogress.reporter.composer import Composer
from jupyter_jobprogress.reporter.contribution import Contributing
from jupyter_jobprogress.reporter.delivery import Delivery
from jupyter_jobprogress.reporter.destination import destination
from jupyter_jobprogress.reporter.exits import exit_at
from jupyter_jobprogress.reporter.facts import Facts, Number, own_origin
from jupyter_jobprogress.reporter.loops import Loop
from jupyter_jobprogress.reporter.places import Place, dropped_at, left_on_purpose, passed
from jupyter_jobprogress.reporter.said import Said
from jupyter_jobprogress.reporter.sender import Sender
from jupyter_jobprogress.reporter.stages import Stages
from jupyter_jobprogress.settings import Settings

GRACE_S: Final = 1.0
"""How long after a loop was left the end of its cell or process may still tell that an error did it. An exception
closes the loop's iterator on its way up, like ``break`` does, and nothing tells them apart until it has arrived."""

ERROR_GRACE_S: Final = 60.0
"""The same where it looks as if an error did it: on its way up it may save a checkpoint, or end many other jobs."""

WORKERS_HEARD: Final = 1000
"""Most workers whose words are remembered, to tell what is new of the next ones."""


class Reported(Said):
    """One execution of some work, and what this process does to have it known."""

    def __init__(
        self,
        job_id: str,
        *,
        title: object,
        unit: object,
        total: object,
        initial: object,
        stages: Stages,
        parent_id: str | None,
        heartbeat_s: object,
        raise_on_cancel: bool,
        settings: Settings | None,
        owned: bool = True,
    ) -> None:
        super().__init__(job_id, title=title, unit=unit, total=total, stages=stages)
        self._parent_id = parent_id
        self._n = number(initial) or 0
        self._started_at: str | None = timestamp(time.time()) if owned else None
        beat_s = number(heartbeat_s)
        self._heartbeat_s = beat_s if beat_s is not None and beat_s > 0 else None
        self._raise_on_cancel = raise_on_cancel
        self._settings = settings
        self._init_process(owned=owned, run=None)

    def _init_process(self, *, owned: bool, run: int | None) -> None:
        """Set what belongs to this process and is not pickled."""
        self._init_facts()
        self._owned = owned
        self._run = run
        self._run_known = threading.Event()
        self._over = threading.Event()
        self._delivered = False
        self._final: Words | None = None
        self._added: Number = 0
        self._words_seq = 0
        self._heard: dict[str, Contribution] = {}
        self._cancel_requested = False
        self._abandoned_s: float | None = None
        self._left_at: Place | None = None
        self._left_by: SystemExit | None = None
        self._loop: Loop | None = None
        # The contexts of ``with`` blocks that this job is in.
        self._within: list[contextvars.Token[Any]] = []
        self._sender: Sender | None = None
        self._carrier: Carrier | None = None
        self._lock = threading.RLock()
        self._quick = 1 if owned else None

    @property
    def n(self) -> Number:
        """Units of work done by this process, and, as far as its owner knows, by those who joined the job."""
        final = self._final
        return (self._counted(self._n) if final is None else final.n or 0) + self._added

    def _counted(self, n: Number) -> Number:
        """Return what this process has done, of which ``n`` outside of its loop."""
        loop = self._loop
        return n if loop is None else n + loop.done

    def _attend(self) -> None:
        """Do what has to be done before the job goes on."""
        if not self._owned and self._carrier is None and self._final is None:
            self._begin()
        if self._cancel_requested and self._raise_on_cancel and self._final is None:
            if not self._within and self._loop is None:
                self._end(lambda facts: endings.ended_by(JobCancelled(self._id), facts.metadata))
            raise JobCancelled(self._id)
        self._quick = 1

    def _check(self) -> None:
        """Leave the loop if somebody asked for it."""
        if self._cancel_requested and self._raise_on_cancel and self._final is None:
            exc = JobCancelled(self._id)
            self._end_by(exc)
            raise exc

    def _end_by(self, exc: BaseException) -> None:
        self._end(lambda facts: endings.ended_by(exc, facts.metadata))

    def _end_with(self, error: BaseException | None) -> None:
        """The cell or process of this job's loop has ended, by ``error`` if there was one."""
        if error is not None and (self._left_at is None or passed(error, self._left_at)):
            self._end_by(error)
        self._settle(grace_s=0)

    def _end_at_exit(self, fatal: BaseException | None) -> None:
        self._end_with(fatal)
        self._end(lambda facts: endings.cancelled("The process ended before the job did"))

    def _end_at_sigterm(self) -> None:
        self._end(lambda facts: endings.cancelled("Terminated"))

    def _stop(self) -> None:
        self._end(lambda facts: endings.stopped(number(self.n) or 0, facts.total))

    def _abandon(self, *, at_once: bool) -> None:
        """Note that nothing counts any more. For finalizers: they run in the midst of anything, so it only stores.

        ``at_once``: what dropped the loop's iterator is what runs now.
        """
        if at_once:
            self._left_at = dropped_at()
            self._left_by = exit_at(self._left_at)
        self._abandoned_s = time.monotonic()

    def _settle(self, *, grace_s: float | None = None) -> None:
        """Take an abandoned job for stopped, unless an error has ended it within the time that errors need."""
        if self._abandoned_s is None:
            return
        if self._left_by is not None:
            self._end_by(self._left_by)
            return
        if grace_s is None:
            grace_s = GRACE_S if self._left_at is None or left_on_purpose(self._left_at) else ERROR_GRACE_S
        if time.monotonic() - self._abandoned_s >= grace_s:
            self._stop()

    def _end(self, change: Callable[[Facts], endings.Changes]) -> None:
        if not self._owned:
            return
        with self._lock:
            if self._final is not None:
                return
            own = self._own()
            # A loop that was left has ended then, and not when nobody had come back to it.
            left_s = 0.0 if self._abandoned_s is None else time.monotonic() - self._abandoned_s
            changes = {"ended_s": time.time() - left_s} | change(own.facts)
            final = own._replace(facts=msgspec.structs.replace(own.facts, **changes))
            # A signal handler of the user may have ended the job right here, in this thread, which the lock lets in.
            if self._final is None:
                self._final = final
            if self._loop is not None:
                self._loop.release()
        if self._sender is not None and self._carrier is not None:
            self._sender.wake(self._carrier)
        else:
            self._on_over(False)

    def _drop(self) -> None:
        """Say nothing more, not even an end: somebody else knows it."""
        with self._lock:
            if self._final is None:
                self._final = self._own()
        if self._sender is not None and self._carrier is not None:
            self._sender.drop(self._carrier)

    # What the end of a cell asks, and the terminal.

    def _present(self) -> State:
        """Say what the sender would send now, but for what takes room. It may not have been sent yet."""
        words = self._latest()
        facts = msgspec.structs.replace(words.facts, metadata=None, result=None)
        return self._composer().compose(facts, words.n, run=self._run, now_s=time.monotonic(), wall_s=time.time())

    # What the sender's loop calls.

    def _words(self) -> Words:
        self._settle()
        return self._latest()

    def _latest(self) -> Words:
        """Return the newest words, without ending a job that was left. May be called from any thread."""
        words = self._final or self._own()
        return words if not self._added else words._replace(n=(words.n or 0) + self._added)

    def _own(self) -> Words:
        """Return what this process has said and done, of one moment."""
        # The loop first: where it is a bar of tqdm, it says by this what is new.
        done = self._counted(0)
        facts, n = self._said()
        return Words(facts, number(n + done))

    def _contribution(self) -> Contribution:
        """Say what this process has done for a job of another: all that it counted, and what it said itself."""
        facts, n = self._own()
        return Contribution(
            n=n or 0,
            stage=facts.stage or None,
            message=facts.message or None,
            metrics=facts.metrics,
            metadata=facts.metadata,
        )

    def _on_receipt(self, receipt: Receipt) -> bool:
        self._run = receipt.run
        self._run_known.set()
        if receipt.cancel_requested and not self._cancel_requested:
            self._cancel_requested = True
            if self._raise_on_cancel:
                self._quick = None
                if self._loop is not None:
                    self._loop.interrupt()
        if not self._owned or (receipt.added == self._added and receipt.words_seq == self._words_seq):
            return False
        self._added = receipt.added
        if receipt.words is not None and receipt.words_seq > self._words_seq:
            self._repeat(receipt.words)
        self._words_seq = receipt.words_seq
        return True

    def _repeat(self, whole: Contribution) -> None:
        """Say what a worker said. After the end metrics alone: how the job ended is its owner's to say."""
        words = self._news(whole)
        with self._lock:
            if words.metrics is not None:
                self._merge_metrics(words.metrics)
            if self._final is None:
                self._stage = self._stage if words.stage is None else words.stage
                self._message = self._message if words.message is None else words.message
                self._metadata = self._metadata if words.metadata is None else words.metadata
            elif self._metrics is not None:
                facts = msgspec.structs.replace(self._final.facts, metrics=metrics(self._metrics))
                self._final = self._final._replace(facts=facts)

    def _news(self, words: Contribution) -> Contribution:
        """Return what its worker has not said before. It says all of it with each count, in case that it was not heard,
        and the owner or others may have said something else meanwhile.
        """
        if words.part is None:
            return words
        before = self._heard.pop(words.part, Contribution())
        self._heard[words.part] = words  # at the end, as the newest
        if len(self._heard) > WORKERS_HEARD:
            del self._heard[next(iter(self._heard))]
        known = before.metrics or {}
        return Contribution(
            stage=words.stage if words.stage != before.stage else None,
            message=words.message if words.message != before.message else None,
            metrics={k: v for k, v in (words.metrics or {}).items() if k not in known or known[k] != v} or None,
            metadata=words.metadata if words.metadata != before.metadata else None,
        )

    def _on_over(self, delivered: bool) -> None:
        self._delivered = delivered
        process.forget(self)
        self._run_known.set()
        self._over.set()

    def _begin(self) -> None:
        """Hand the job to the sender of this process."""
        if self._settings is None and not self._owned and process.cut_off() and process.first_of_family():
            self._warn_alone()
        with self._lock:
            if self._settings is None or self._carrier is not None:
                return
            self._carrier = self._delivery() if self._owned else self._contributing()
            self._sender = process.sender_for(self._settings)
        process.remember(self)
        if not self._sender.add(self._carrier):
            self._on_over(False)

    def _warn_alone(self) -> None:
        self._once.warn(
            "alone",
            "What other processes do for job %s is not counted: it has no store but the memory of the process that "
            "started it. Set JOBPROGRESS_URL to a Redis or to a server, which 'jupyter jobprogress serve' starts.",
            self._id,
        )

    def _delivery(self) -> Carrier:
        return Delivery(self._id, self, self._composer(), start=True, heartbeat_s=self._heartbeat_s)

    def _composer(self) -> Composer:
        return Composer(
            job_id=self._id,
            started_at=self._started_at or timestamp(time.time()),
            heartbeat_s=self._heartbeat_s,
            parent_id=self._parent_id,
            origin=own_origin(),
            now_s=time.monotonic(),
            n=number(self._n) or 0,
        )

    def _contributing(self) -> Carrier:
        return Contributing(self._id, self, run=self._run, started_at=self._started_at)

    def _shared_by_fork(self) -> None:
        if self._carrier is not None:
            self._carrier.given = True

    def _forked(self) -> None:
        self._disown(destination(None, self._settings), run=self._run)

    def _disown(self, settings: Settings | None, *, run: int | None) -> None:
        """Belong to another process from now on: what is counted and said here is added to what the owner says."""
        self._n = 0
        self._stage = self._message = ""
        self._metadata = self._metrics = self._explicit = None
        self._settings = settings
        self._init_process(owned=False, run=run)
