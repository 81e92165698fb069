"""One job's way out: look at it ten times a second, send what is newest, and its last word at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Final

from jupyter_jobprogress.protocol.messages import Outcome, Receipt
from jupyter_jobprogress.protocol.state import State
from jupyter_jobprogress.reporter.composer import Composer
from jupyter_jobprogress.reporter.facts import Facts, Number
from jupyter_jobprogress.reporter.link import Link, wait_until

POLL_S: Final = 0.1
"""Time between two looks at a job, so that it sends ten states a second at most. An eye follows no more."""

_log = logging.getLogger(__name__)


class Delivery:
    """Carries the states of one job to the store until its last word is there, or the store wants no more.

    ``words`` returns what the job says at this moment; ``on_receipt`` and ``on_over`` are called in the sender's loop.
    ``heartbeat_s`` is None for a job that was attached: its owner answers for it. ``start`` asks for a new run.
    """

    def __init__(
        self,
        job_id: str,
        composer: Composer,
        words: Callable[[], tuple[Facts, Number | None]],
        *,
        start: bool,
        run: int | None,
        heartbeat_s: float | None,
        on_receipt: Callable[[Receipt], None],
        on_over: Callable[[bool], None],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.job_id = job_id
        self.wake = asyncio.Event()
        self._composer = composer
        self._words = words
        self._start = start
        self._run_number = run
        self._heartbeat_s = heartbeat_s
        self._on_receipt = on_receipt
        self._on_over = on_over
        self._clock = clock
        self._wall = wall
        self._sent: Facts | None = None
        self._finishing = False

    def finish(self) -> None:
        """Send what is new and then stop: the process is about to end."""
        self._finishing = True
        self.wake.set()

    async def run(self, link: Link) -> None:
        """Own this job's reporting. ``on_over`` is told at the end whether the last word was delivered."""
        delivered = False
        try:
            delivered = await self._carry(link)
        except Exception:  # noqa: BLE001 — outermost line of a task
            _log.exception("Reporting of job %s stopped by an error of its own; the job goes on.", self.job_id)
        finally:
            self._on_over(delivered)

    async def _carry(self, link: Link) -> bool:
        due_s = sent_s = self._clock()
        while True:
            self.wake.clear()
            facts, n = self._words()
            beat = self._heartbeat_s is not None and self._clock() - sent_s >= self._heartbeat_s
            if beat or self._start or self._composer.has_news(facts, n):
                receipt = await link.deliver(self._newest, start=lambda: self._start, wake=self.wake)
                sent_s = self._clock()
                if (over := self._judge(receipt)) is not None:
                    return over
            elif self._finishing:
                return False
            # By deadline and not by sleep: a busy interpreter wakes this thread late, and lateness would add up.
            due_s = max(due_s + POLL_S, self._clock())
            await wait_until(self.wake, within_s=due_s - self._clock())

    def _newest(self) -> State:
        facts, n = self._words()
        self._sent = facts
        return self._composer.compose(facts, n, run=self._run_number, now_s=self._clock(), wall_s=self._wall())

    def _judge(self, receipt: Receipt | None) -> bool | None:
        """Take a receipt in. Returns None to go on, else whether the last word is in the store."""
        last = self._sent is not None and self._sent.status.terminal
        if receipt is None:
            self._start = self._start and not last
            return False if last or self._finishing else None
        self._start = False
        if receipt.outcome is Outcome.SUPERSEDED:
            _log.warning(
                "Job %s was started again elsewhere. This run goes on working and reports no more.", self.job_id
            )
            return False
        if receipt.outcome is Outcome.ENDED:
            # Ours, if the answer to an earlier attempt was lost; if not, somebody ended this run for us.
            return last
        self._run_number = receipt.run
        self._on_receipt(receipt)
        return True if last else None


class Courier:
    """Carries whole states of one job that somebody else composed. The newest waits; older ones give way to it."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.wake = asyncio.Event()
        self._waiting: tuple[State, Future[None]] | None = None

    def put(self, state: State, done: Future[None]) -> None:
        """Take a state. ``done`` is resolved when it is delivered, given up, or no longer the newest."""
        if self._waiting is not None:
            resolve(self._waiting[1])
        self._waiting = (state, done)
        # Others wait for their turn: a loop that reports during an outage must not storm the store.
        if state.status.terminal:
            self.wake.set()

    async def run(self, link: Link) -> None:
        """Deliver until nothing waits. Without an ``await`` between the last look and the end nothing is missed."""
        try:
            while self._waiting is not None:
                taken = self._waiting

                def newest() -> State:
                    nonlocal taken
                    taken = self._waiting or taken
                    return taken[0]

                await link.deliver(newest, start=lambda: False, wake=self.wake)
                resolve(taken[1])
                if self._waiting is taken:
                    self._waiting = None
        except Exception:  # noqa: BLE001 — outermost line of a task
            _log.exception("A state of job %s was lost by an error of the reporter.", self.job_id)
        finally:
            if self._waiting is not None:
                resolve(self._waiting[1])


def resolve(done: Future[None]) -> None:
    """Resolve a future that its waiter may have given up."""
    with suppress(InvalidStateError):
        done.set_result(None)
