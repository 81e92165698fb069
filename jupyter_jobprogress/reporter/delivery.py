"""One job's way out: look at it now and then (pace.py), send what is newest, and its last word at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from jupyter_jobprogress.errors import StoreDeniedError
from jupyter_jobprogress.protocol.messages import Contribution, Outcome, Receipt
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.reporter.carrier import Carrier, Speaker
from jupyter_jobprogress.reporter.composer import Composer
from jupyter_jobprogress.reporter.facts import Facts
from jupyter_jobprogress.reporter.link import Link, wait_until

SHARED_POLL_S: Final = 0.2
"""Time between two states of a job that workers contribute to: each brings back what they have done meanwhile."""

GIVEN_POLL_S: Final = 1.0
"""The same for a job that another process was given, until one has contributed. The owner may have nothing to say
while it waits for its workers, and what they do would show at its next heartbeat."""

SETTLED_S: Final = 0.5
"""How long workers have to be silent before a job that they may contribute to is completed. Their results are back by
then, and what they counted last is on its way: each sends ten times a second, unless that costs it too much."""

UNSETTLED_S: Final = 1.0
"""The longest that such an end waits, for workers who are not silent or have left the total unreached."""

AGAIN_S: Final = 0.05
"""Time between two looks at what workers have done, while an end waits for them."""


class Delivery(Carrier):
    """Carries the states of a job that this process owns.

    ``heartbeat_s`` is None for a job that promised none. ``start`` asks for a new run.
    """

    def __init__(
        self,
        job_id: str,
        speaker: Speaker,
        composer: Composer,
        *,
        start: bool,
        heartbeat_s: float | None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(job_id, speaker)
        self._composer = composer
        self._start = start
        self._run_number: int | None = None
        self._heartbeat_s = heartbeat_s
        self._clock = clock
        self._wall = wall
        self._sent: Facts | None = None
        self._shared = False
        self._former: Delivery | None = None
        self._followed = False
        self._begun, self._over = asyncio.Event(), asyncio.Event()

    def follow(self, former: Delivery | None) -> None:
        """Begin after a former run of the same job, which this process started, too.

        The store takes the run that begins later for the newer one. Where both wait for it to come back, that could be
        the former. A loop that was left has ended when it begins again.
        """
        if former is not None:
            former._speaker._settle(grace_s=0)
            self._former, former._followed = former, True
            former.wake.set()

    def leave(self) -> None:
        """Let the next run of the job begin: nothing more is sent of this one."""
        self._begun.set()
        self._over.set()

    @property
    def _ended(self) -> bool:
        return self._speaker._words().facts.last

    async def _carry(self, link: Link) -> bool:
        if (former := self._former) is not None:
            await (former._over if former._ended else former._begun).wait()
            self._former = None
            if self._followed and self._ended:  # not one after the other: the newest is what counts
                return False
        sent_s = self._clock()
        while True:
            self.wake.clear()
            words = self._speaker._words()
            if self._start or self._asked or self._beats(sent_s) or self._composer.has_news(*words):
                if words.facts.last and not self._start:
                    await self._collect(link)
                self._asked = False
                receipt = await link.deliver(self.job_id, self._newest, start=lambda: self._start, wake=self.wake)
                sent_s = self._clock()
                if (over := self._judge(receipt)) is not None:
                    return over
            elif self._finishing:
                return False
            if not self._finishing:  # or a process would wait for its turn before it may end
                await wait_until(self.wake, within_s=link.pace.until_next_s())

    def _beats(self, sent_s: float) -> bool:
        silence_s = self._clock() - sent_s
        if (self._shared and silence_s >= SHARED_POLL_S) or (self.given and silence_s >= GIVEN_POLL_S):
            return True
        return self._heartbeat_s is not None and silence_s >= self._heartbeat_s

    async def _collect(self, link: Link) -> None:
        """Learn what workers have done last: nothing is taken of them after the end.

        Always, since anybody may have joined by the id of the job since the last receipt. It is tried until the store
        answers, as the last word is: it could not be told either before.
        """

        async def ask() -> Receipt:
            try:
                return await link.add(self.job_id, part="owner", contribution=Contribution(), run=self._run_number)
            except StoreDeniedError:  # who may publish and not add has no workers, and must get its last word out
                return Receipt(seq=0, run=None, outcome=Outcome.ENDED)

        begun_s = silent_s = self._clock()
        added: float | None = None
        while True:
            receipt = await link.until_taken(self.job_id, ask, wake=self.wake)
            if receipt is None or receipt.outcome is not Outcome.ACCEPTED:
                return
            self._shared = self._speaker._on_receipt(receipt) or self._shared
            now_s = self._clock()
            if receipt.added != added:
                added, silent_s = receipt.added, now_s
            if self._all_here(silence_s=now_s - silent_s) or now_s - begun_s >= UNSETTLED_S:
                return
            await asyncio.sleep(AGAIN_S)

    def _all_here(self, *, silence_s: float) -> bool:
        """Whether nothing more is expected of workers: there are none, or the work is done, or was not to be."""
        facts, n = self._speaker._words()
        if not (self.given or self._shared) or facts.status is not Status.COMPLETED:
            return True
        if facts.total is not None and n is not None and n >= facts.total:
            return True
        return silence_s >= SETTLED_S and (facts.total is None or not self._shared)

    def _newest(self) -> State:
        words = self._speaker._words()
        self._sent = words.facts
        return self._composer.compose(*words, run=self._run_number, now_s=self._clock(), wall_s=self._wall())

    def _judge(self, receipt: Receipt | None) -> bool | None:
        """Take a receipt in. Returns None to go on, else whether the last word is in the store."""
        last = self._sent is not None and self._sent.last
        if receipt is None:
            self._start = self._start and not last
            return False if last or self._finishing else None
        self._start = False
        if self._refused(receipt):
            # Ended by us, if the answer to an earlier attempt was lost; if not, somebody ended this run for us.
            return last and receipt.outcome is Outcome.ENDED
        self._run_number = receipt.run
        self._begun.set()
        self._shared = self._speaker._on_receipt(receipt) or self._shared
        return True if last else None
