"""The reporter of the original service, over the sender of this process. Its surface is a contract."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, cast

import msgspec

from jupyter_jobprogress.errors import StoreUnavailableError
from jupyter_jobprogress.protocol import limits
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.protocol.payload import fit_state, jsonable, mapping, text, timestamp
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.reporter.destination import destination
from jupyter_jobprogress.reporter.process import sender_for
from jupyter_jobprogress.reporter.sender import Sender
from jupyter_jobprogress.reporter.words import Once, fit_progress
from jupyter_jobprogress.settings import Settings

PATIENCE_S: Final = 0.5
CLOSE_S: Final = 2.0
JOBS_REMEMBERED: Final = 4096
"""Most jobs whose last progress is known, for ``report_error``."""


class ProgressReporter:
    """Reports whole states of any number of jobs: no run, no heartbeat, the fields of the original service alone.

    A report is awaited until the store has it, ``PATIENCE_S`` at most; then, or at once while the store is known to be
    away, it is sent from the background, the newest of each job. Methods raise InvalidJobIdError for a bad id and
    nothing for the sake of the store or the payload. May be used in any event loop, in several, and in
    ``asyncio.run`` for each call. Cancelling a report leaves it to be sent.

    ``strict`` is for those who want to know: a report that the store does not have by then raises, after the same half
    second at most. It is sent later all the same, unless the store will never take it (ProtocolError).

    Raises:
        StoreUnavailableError, StoreDeniedError, ProtocolError: by reports, with ``strict`` alone.
    """

    def __init__(self, url: str | None = None, *, settings: Settings | None = None, strict: bool = False) -> None:
        self._strict = strict
        self._settings = destination(url, settings)
        self._undelivered: set[Future[None]] = set()
        self._progress: dict[str, float | None] = {}
        self._once = Once()

    async def initialize(self) -> None:
        """Do nothing: the first report makes the connection. Kept for callers of the original service."""

    async def report(
        self,
        job_id: str,
        stage: str,
        progress: float | None,
        message: str,
        metadata: dict[str, object] | None = None,
    ) -> None:
        """Report progress, 0 to 1, or None where the amount of work is unknown."""
        check_job_id(job_id)
        previous = self._progress.get(job_id)
        fitted = None
        if progress is not None:
            fitted = fit_progress(progress, previous=previous, job_id=job_id, once=self._once)
        self._remember(job_id, fitted)
        await self._send(
            State(
                job_id=job_id,
                status=Status.PROCESSING,
                stage=text(stage, limits.LABEL_BYTES),
                progress=fitted,
                message=text(message, limits.TEXT_BYTES),
                timestamp=timestamp(time.time()),
                metadata=None if metadata is None else mapping(metadata),
            )
        )

    async def report_error(self, job_id: str, error: str, stage: str = "error") -> None:
        """Report that a job failed, at the progress that this reporter saw last."""
        check_job_id(job_id)
        said = text(error, limits.TEXT_BYTES)
        await self._send(
            State(
                job_id=job_id,
                status=Status.FAILED,
                stage=text(stage, limits.LABEL_BYTES),
                progress=self._progress.pop(job_id, None),
                message=text(f"Error: {said}", limits.TEXT_BYTES),
                timestamp=timestamp(time.time()),
                error=said,
            )
        )

    async def report_complete(self, job_id: str, result: object, message: str = "Job completed") -> None:
        """Report that a job completed, with its result."""
        check_job_id(job_id)
        self._progress.pop(job_id, None)
        await self._send(
            State(
                job_id=job_id,
                status=Status.COMPLETED,
                stage="complete",
                progress=1.0,
                message=text(message, limits.TEXT_BYTES),
                timestamp=timestamp(time.time()),
                result=None if result is None else jsonable(result),
            )
        )

    async def get_status(self, job_id: str) -> dict[str, object] | None:
        """Return the newest state of a job, or None if the store knows none.

        Raises:
            StoreError: the store cannot be asked. None would say that there is no such job.
        """
        check_job_id(job_id)
        if (sender := self._sender()) is None:
            return None
        stored = (await asyncio.wrap_future(sender.read([job_id]))).get(job_id)
        return None if stored is None else cast("dict[str, object]", msgspec.json.decode(stored.data))

    async def close(self) -> None:
        """Wait up to ``CLOSE_S`` for what was not delivered yet. The reporter may be used again."""
        await _settled(set(self._undelivered), within_s=CLOSE_S)

    async def __aenter__(self) -> ProgressReporter:
        await self.initialize()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def _sender(self) -> Sender | None:
        # Asked each time: a worker may use a reporter that was made before it was forked.
        settings = self._settings and destination(None, self._settings)
        return None if settings is None else sender_for(settings)

    async def _send(self, state: State) -> None:
        if (sender := self._sender()) is None:
            return
        state, dropped = fit_state(state)
        for name in dropped:
            self._once.warn(name, "The %s of job %s is too large for a state and was left out.", name, state.job_id)
        known = sender.trouble(state.job_id)
        done = sender.submit(state)
        self._undelivered.add(done)
        done.add_done_callback(self._undelivered.discard)
        if known is None:
            await _settled([done], within_s=PATIENCE_S)
        if self._strict:
            if done.done():
                done.result()
            else:
                unanswered = StoreUnavailableError(sender.name, f"it did not come within {PATIENCE_S:g} s")
                raise known or sender.trouble(state.job_id) or unanswered

    def _remember(self, job_id: str, progress: float | None) -> None:
        self._progress.pop(job_id, None)
        self._progress[job_id] = progress
        while len(self._progress) > JOBS_REMEMBERED:
            with suppress(RuntimeError):  # another thread remembered one in between
                self._progress.pop(next(iter(self._progress)), None)


async def _settled(futures: Collection[Future[None]], *, within_s: float) -> None:
    """Wait for futures of the sender's thread without owning them.

    ``asyncio.wrap_future`` would cancel them with their waiter, and fail in the sender's thread where the waiter's loop
    is closed by the time they are done, as it is after ``asyncio.run``.
    """
    loop = asyncio.get_running_loop()
    left = len(futures)
    settled = asyncio.Event()

    def one_less() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            settled.set()

    def tell(_: Future[None]) -> None:
        with suppress(RuntimeError):  # the loop is closed by now
            loop.call_soon_threadsafe(one_less)

    for future in futures:
        future.add_done_callback(tell)
    if futures:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await settled.wait()
