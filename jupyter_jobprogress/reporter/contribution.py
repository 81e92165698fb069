"""What a worker adds to a job that another process owns, on its way to the store (rule 33)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from jupyter_jobprogress.errors import StoreError
from jupyter_jobprogress.protocol.messages import Contribution, Receipt, decode_state
from jupyter_jobprogress.reporter.carrier import Carrier, Speaker
from jupyter_jobprogress.reporter.link import Link, wait_until
from jupyter_jobprogress.reporter.pace import POLL_S

AGAIN_S: Final = 10.0
"""Longest time between two of one worker, in case that the store has forgotten what it said."""


class Worker(Speaker, Protocol):
    """A job that was joined, as the sender's loop sees it."""

    def _contribution(self) -> Contribution: ...


class Contributing(Carrier):
    """Carries what one worker has done. ``started_at`` names the run where its number is not known yet."""

    def __init__(
        self,
        job_id: str,
        worker: Worker,
        *,
        run: int | None,
        started_at: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(job_id, worker)
        self._worker = worker
        self._run_number = run
        self._started_at = started_at
        self._part = secrets.token_hex(8)
        self._clock = clock

    async def _carry(self, link: Link) -> bool:
        sent: Contribution | None = None
        sent_s = self._clock()
        while True:
            self.wake.clear()
            if self._run_number is None and self._started_at is not None:
                await self._find_run(link)
            if self._worker._contribution() != sent or self._asked or self._clock() - sent_s >= AGAIN_S:
                self._asked = False
                receipt, sent = await self._add(link)
                sent_s = self._clock()
                if receipt is None or self._refused(receipt):
                    return False
                self._worker._on_receipt(receipt)
            elif self._finishing:
                return True
            if not self._finishing:  # or a process would wait for its turn before it may end
                await wait_until(self.wake, within_s=link.pace.until_next_s())

    async def _add(self, link: Link) -> tuple[Receipt | None, Contribution]:
        taken = self._worker._contribution()

        async def add() -> Receipt:
            nonlocal taken
            taken = self._worker._contribution()
            named = msgspec.structs.replace(taken, part=self._part)
            return await link.add(self.job_id, part=self._part, contribution=named, run=self._run_number)

        receipt = await link.until_taken(self.job_id, add, wake=self.wake)
        return receipt, taken

    async def _find_run(self, link: Link) -> None:
        """Wait for the owner's first state: a worker may be quicker, and the start of a run forgets who came before.

        Less and less often, since it may never come: the owner has died, or the job was started again elsewhere.
        """
        pause_s = POLL_S
        while True:
            self.wake.clear()
            try:
                found = (await link.read([self.job_id])).get(self.job_id)
            except StoreError:
                found = None
            if found is not None and (state := decode_state(found.data)).started_at == self._started_at:
                self._run_number = state.run
                return
            if self._finishing:
                return
            await wait_until(self.wake, within_s=pause_s)
            pause_s = min(2 * pause_s, AGAIN_S)
