"""One job, as its own process shows it: from what it says, so that it goes on while its store is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec

from jupyter_jobprogress.cli import show
from jupyter_jobprogress.protocol.names import is_unnamed
from jupyter_jobprogress.protocol.payload import number
from jupyter_jobprogress.protocol.state import State
from jupyter_jobprogress.reporter.carrier import Words
from jupyter_jobprogress.reporter.composer import Composer
from jupyter_jobprogress.reporter.facts import own_origin
from jupyter_jobprogress.reporter.job import Job


class Row:
    """Composes the states of one job. Takes no lock of the job, whose own thread may be in the midst of a ``print``."""

    def __init__(
        self, job: Job, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self.job: Final = job
        self.begin_s: Final = clock()
        self._clock = clock
        self._wall = wall
        self._begin_us: Final = int(wall() * 1e6)
        self._words: Words | None = None
        self._looking = threading.Lock()
        self._composer = Composer(
            job_id=job.id,
            started_at=job._started_at or "",
            heartbeat_s=None,
            parent_id=None,
            origin=own_origin(),
            now_s=self.begin_s,
            n=number(job.n) or 0,
        )
        self.state: State
        self.look()

    @property
    def ended(self) -> bool:
        """Whether ``state`` is the last."""
        return self._words is not None and self._words.facts.last

    @property
    def behind(self) -> bool:
        """Whether the job has ended and ``state`` does not say so yet."""
        return self.job.closed and not self.ended

    def look(self) -> bool:
        """Take in what the job says now, and return whether that is new. False while another thread does it.

        It never waits: making words fit may log, and so print, while a thread that prints looks here.
        """
        if not self._looking.acquire(blocking=False):
            return False
        try:
            return self._take()
        finally:
            self._looking.release()

    def _take(self) -> bool:
        # Not ``_words``, which may end a job that was left, and would take its lock for that. The sender does it.
        words = self.job._latest()
        before = self._words
        if before is not None and before.facts is words.facts and before.n == words.n:
            return False
        # Neither is shown, and the sender's thread says what is wrong with them.
        facts = msgspec.structs.replace(words.facts, metadata=None, result=None)
        now_s, wall_s = self._clock(), self._wall()
        self.state = self._composer.compose(facts, words.n, run=self._begin_us, now_s=now_s, wall_s=wall_s)
        self._words = words
        return True

    def title(self) -> str:
        """Return what the job is called, on one line."""
        return show.clean(self.state.title or self.state.job_id)

    @property
    def name(self) -> str:
        """What the next run of the same loop is called, too: empty where nobody gave it a name."""
        title = self.title()
        return "" if is_unnamed(title) else title

    def facts(self) -> list[str]:
        """Return how much is done and how fast, what counts most first: a terminal may cut the rest off."""
        facts = show.facts(self.state, now_us=int(self._wall() * 1e6))
        return sorted(facts, key=lambda fact: not fact.endswith(" left"))

    def said(self) -> str:
        """Return what the job says beside its numbers: its error, or its metrics and message."""
        if self.state.error:
            return show.clean(self.state.error)
        return "  ".join(part for part in (show.metrics(self.state), show.message(self.state)) if part)
