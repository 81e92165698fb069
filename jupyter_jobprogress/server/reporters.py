"""Who reports which job through this server, so that a wish to cancel reaches it at once."""

from __future__ import annotations

from typing import Protocol

from jupyter_jobprogress.store.base import Store


class Reporter(Protocol):
    """A client that has reported a job."""

    def cancel(self, job_id: str) -> None:
        """Pass on that somebody asks to cancel a job. Must not block, await or raise."""


class Reporters:
    """Knows the reporters of each job that came through this server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._of_job: dict[str, set[Reporter]] = {}

    def note(self, job_id: str, reporter: Reporter) -> None:
        """Remember that a client reports a job. Idempotent."""
        self._of_job.setdefault(job_id, set()).add(reporter)

    def forget(self, job_id: str, reporter: Reporter) -> None:
        """Forget that. Idempotent."""
        if reporters := self._of_job.get(job_id):
            reporters.discard(reporter)
            if not reporters:
                del self._of_job[job_id]

    async def request_cancel(self, job_id: str) -> bool:
        """Raise the cancel flag in the store, and wake the reporters: each asks the store itself. As ``Store`` does."""
        found = await self._store.request_cancel(job_id)
        if found:
            for reporter in tuple(self._of_job.get(job_id, ())):
                reporter.cancel(job_id)
        return found
