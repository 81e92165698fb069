"""What the sender runs for one job, and what it asks of the job."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol

from jupyter_jobprogress.protocol.messages import Outcome, Receipt
from jupyter_jobprogress.reporter.facts import Facts, Number
from jupyter_jobprogress.reporter.link import Link

_log = logging.getLogger(__name__)


class Words(NamedTuple):
    """What a job says at this moment. ``n`` includes what workers have contributed."""

    facts: Facts
    n: Number | None


class Speaker(Protocol):
    """A job, as the sender's loop sees it."""

    def _words(self) -> Words: ...
    def _settle(self, *, grace_s: float | None = None) -> None:
        """End the job if its loop was left, this long ago; None: as long as an error may take to tell of itself."""

    def _on_receipt(self, receipt: Receipt) -> bool:
        """Take an answer in, and return whether it brings news of workers."""

    def _on_over(self, delivered: bool) -> None:
        """Learn that nothing more is sent, and whether the last word is in the store."""


class Carrier(ABC):
    """What the sender runs for one job, in its loop, until there is nothing more to carry."""

    def __init__(self, job_id: str, speaker: Speaker) -> None:
        self.job_id = job_id
        self.wake = asyncio.Event()
        # True: another process was given the job, and may add to it. Set from any thread.
        self.given = False
        self._speaker = speaker
        self._asked = False
        self._finishing = False

    def finish(self) -> None:
        """Send what is new and then stop: the process is about to end."""
        self._finishing = True
        self.wake.set()

    def ask(self) -> None:
        """Ask the store now whether it has news for the job: somebody said so."""
        self._asked = True
        self.wake.set()

    async def run(self, link: Link) -> None:
        """Own this job's reporting. The job is told at the end whether the last word was delivered."""
        delivered = False
        try:
            delivered = await self._carry(link)
        except Exception:  # noqa: BLE001 — outermost line of a task
            _log.exception("Reporting of job %s stopped by an error of its own; the job goes on.", self.job_id)
        finally:
            self._speaker._on_over(delivered)

    @abstractmethod
    async def _carry(self, link: Link) -> bool:
        """Carry until the end, and return whether the last word is in the store."""

    def _refused(self, receipt: Receipt) -> bool:
        """Whether the store takes nothing more of this run."""
        if receipt.outcome is Outcome.SUPERSEDED:
            _log.warning(
                "Job %s was started again elsewhere. This run goes on working and reports no more.", self.job_id
            )
        return receipt.outcome is not Outcome.ACCEPTED
