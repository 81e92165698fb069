"""Follow jobs through a store from another thread: the seam for a kernel that feeds its own bars."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from jupyter_jobprogress.backoff import full_jitter_s
from jupyter_jobprogress.errors import ProtocolError, StoreDeniedError, StoreError
from jupyter_jobprogress.protocol.messages import Stored, newer
from jupyter_jobprogress.reporter.link import DENIED_RETRY_S, Link

LIST_S: Final = 2.0
"""Time between two looks at the list of all jobs, as a page has it that asks its server."""

TOLD_AGAIN: Final = frozenset({2, 5, 15})
"""Looks after which all is told once more: a page may not have listened yet, and a busy kernel hears no page ask."""

LIST_PAGE: Final = 200
LIST_MOST: Final = 2000
"""Jobs that are followed at most, the newest."""

_log = logging.getLogger(__name__)


class Watch:
    """Calls back with each newer state of a job (rule 17), as the bytes of one JSON object, in the sender's thread."""

    def __init__(self, job_id: str, callback: Callable[[bytes], object]) -> None:
        self.job_id = job_id
        self._callback = callback
        self._latest: Stored | None = None
        self._stale = asyncio.Event()

    def pushed(self, stored: Stored) -> None:
        """Take a state from the store."""
        if not newer(stored, self._latest):
            return
        self._latest = stored
        try:
            self._callback(stored.data)
        except Exception:  # noqa: BLE001 — outermost line of a callback
            _log.exception("A watcher of job %s failed", self.job_id)

    def gap(self, job_ids: Iterable[str]) -> None:
        """Learn that pushes may have been missed."""
        self._stale.set()

    async def run(self, link: Link) -> None:
        """Subscribe, read, and read again after each gap, until cancelled."""
        failures = 0
        while True:
            try:
                await self._follow(link)
            except StoreDeniedError as exc:
                _log.debug("Watching job %s: %s", self.job_id, exc)
                await asyncio.sleep(DENIED_RETRY_S)
            except StoreError as exc:
                failures += 1
                _log.debug("Watching job %s: %s", self.job_id, exc)
                await asyncio.sleep(full_jitter_s(failures, cap_s=10.0))
            except ProtocolError as exc:
                _log.warning("Job %s is not followed: %s", self.job_id, exc)
                return

    async def _follow(self, link: Link) -> None:
        subscription = link.subscribe(self)
        try:
            await subscription.add(self.job_id)
            while True:
                self._stale.clear()
                for stored in (await link.read([self.job_id])).values():
                    self.pushed(stored)
                await self._stale.wait()
        finally:
            await subscription.close()


class Listing:
    """Calls back with the newer states of all jobs, by their ids, in the sender's thread."""

    def __init__(self, callback: Callable[[Mapping[str, bytes]], object]) -> None:
        self._callback = callback
        self._known: dict[str, int | None] = {}

    async def run(self, link: Link) -> None:
        """Look again and again, until cancelled. What the store does not say now it says later."""
        failures = 0
        for looks in itertools.count():
            if looks in TOLD_AGAIN:
                self._known.clear()
            try:
                if found := await self._look(link):
                    self._callback(found)
                failures = 0
            except StoreDeniedError as exc:
                _log.debug("The jobs are not listed: %s", exc)
                await asyncio.sleep(DENIED_RETRY_S)
            except StoreError as exc:
                failures += 1
                _log.debug("The jobs are not listed: %s", exc)
                await asyncio.sleep(full_jitter_s(failures, cap_s=10.0))
            except Exception:  # noqa: BLE001 — outermost line of a callback
                _log.exception("Who lists all jobs failed")
            await asyncio.sleep(LIST_S)

    async def _look(self, link: Link) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        after, seen = None, 0
        while True:
            page = await link.list(limit=LIST_PAGE, after=after)
            # Not what is newer than all that was seen: the order of jobs is read before their states, so that one whose
            # state came in between may be missing from a list with newer ones.
            fresh = [each for each in page.jobs if each.seq is None or each.seq != self._known.get(each.job_id)]
            found.update({stored.job_id: stored.data for stored in fresh})
            for stored in fresh:
                self._known.pop(stored.job_id, None)  # to the end, as the newest
                self._known[stored.job_id] = stored.seq
            seen += len(page.jobs)
            after = page.next
            # The list runs from the newest to the oldest: what follows is known.
            if after is None or len(fresh) < len(page.jobs) or seen >= LIST_MOST:
                break
        while len(self._known) > 2 * LIST_MOST:
            del self._known[next(iter(self._known))]
        return found
