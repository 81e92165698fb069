"""Whole states that somebody else composed, carried to the store: the newest waits, older ones give way to it."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from jupyter_jobprogress.errors import JobProgressError, ProtocolError, StoreDeniedError, StoreError
from jupyter_jobprogress.protocol.state import State
from jupyter_jobprogress.reporter.link import Link

_log = logging.getLogger(__name__)


class Courier:
    """Carries the states of one job."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.wake = asyncio.Event()
        self._waiting: tuple[State, Future[None]] | None = None
        self._error: StoreError | ProtocolError | None = None

    @property
    def denied(self) -> StoreDeniedError | None:
        """How the store refused the credential at the last attempt. May be read from any thread."""
        error = self._error
        return error if isinstance(error, StoreDeniedError) else None

    def put(self, state: State, done: Future[None]) -> None:
        """Take a state. ``done`` is resolved when it is delivered or no longer the newest, and fails if given up."""
        if self._waiting is not None:
            resolve(self._waiting[1])
        self._waiting = (state, done)
        # Others wait for their turn: a loop that reports during an outage must not storm the store.
        if state.status.terminal:
            self.wake.set()

    def _failed(self, error: StoreError | ProtocolError) -> None:
        self._error = error

    async def run(self, link: Link) -> None:
        """Deliver until nothing waits. Without an ``await`` between the last look and the end nothing is missed."""
        try:
            while self._waiting is not None:
                taken = self._waiting

                def newest() -> State:
                    nonlocal taken
                    taken = self._waiting or taken
                    return taken[0]

                receipt = await link.deliver(
                    self.job_id, newest, start=lambda: False, wake=self.wake, tell=self._failed
                )
                resolve(taken[1], self._error if receipt is None else None)
                self._error = None
                if self._waiting is taken:
                    self._waiting = None
        except Exception:  # noqa: BLE001 — outermost line of a task
            _log.exception("A state of job %s was lost by an error of the reporter.", self.job_id)
        finally:
            if self._waiting is not None:
                resolve(self._waiting[1])


def resolve(done: Future[None], error: JobProgressError | None = None) -> None:
    """Resolve a future that its waiter may have given up, or have it fail with an error."""
    with suppress(InvalidStateError):
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
