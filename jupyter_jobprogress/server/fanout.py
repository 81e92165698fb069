"""From one store to many viewers: one subscription and one read for a job, however many watch it.

Knows neither Tornado nor which store it is. Runs in one event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from jupyter_jobprogress.backoff import full_jitter_s
from jupyter_jobprogress.errors import StoreError
from jupyter_jobprogress.protocol.messages import Stored, newer
from jupyter_jobprogress.store.base import Health, Store

_log = logging.getLogger(__name__)


class Viewer(Protocol):
    """Who gets states. Both methods must not block, await or raise."""

    def deliver(self, stored: Stored) -> None:
        """Take a state that is newer than the last one of that job."""

    def store_health(self, *, up: bool) -> None:
        """Learn that the store does not answer, or that what is watched was read again (rule 29)."""


class _Topic:
    """One job that somebody watches."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.viewers: set[Viewer] = set()
        self.latest: Stored | None = None
        self.pushes = 0
        self.openers = 0
        self.opening: asyncio.Task[None] | None = None

    def take(self, stored: Stored) -> None:
        if newer(stored, self.latest):
            self.latest = stored
            for viewer in tuple(self.viewers):
                viewer.deliver(stored)


class Fanout:
    """See the module. ``close`` ends its tasks; the store stays open, it belongs to the caller."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._subscription = store.subscribe(self)
        self._topics: dict[str, _Topic] = {}
        self._viewers: set[Viewer] = set()
        self._stale: set[str] = set()
        self._refresher: asyncio.Task[None] | None = None
        self._up = True
        store.on_health = self._on_health

    @property
    def viewer_count(self) -> int:
        return len(self._viewers)

    @property
    def job_count(self) -> int:
        return len(self._topics)

    def enter(self, viewer: Viewer) -> None:
        """Count a viewer in, and tell it if the store is down."""
        self._viewers.add(viewer)
        if not self._up:
            viewer.store_health(up=False)

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer and everything that it watches. Idempotent."""
        self._viewers.discard(viewer)
        for job_id in [job_id for job_id, topic in self._topics.items() if viewer in topic.viewers]:
            self.unwatch(viewer, job_id)

    async def open(self, job_ids: Iterable[str]) -> dict[str, Stored | None]:
        """Make jobs ready to be watched: subscribe, wait for the confirmation, then read (rule 17).

        Returns the newest state of each, None where there is none yet or the store does not answer: it then arrives
        later. A job that is watched already costs nothing. Follow with ``watch`` without an await between.
        """
        topics = [self._topics.setdefault(job_id, _Topic(job_id)) for job_id in job_ids]
        for topic in topics:
            topic.openers += 1
            if topic.opening is None:
                topic.opening = asyncio.create_task(self._open(topic))
        try:
            # Shielded: one viewer that leaves must not take the others' topic with it.
            await asyncio.gather(*(asyncio.shield(topic.opening) for topic in topics if topic.opening))
        except BaseException:
            for topic in topics:
                topic.openers -= 1
                self._drop_if_unwatched(topic)
            raise
        for topic in topics:
            topic.openers -= 1
        return {topic.job_id: topic.latest for topic in topics}

    def watch(self, viewer: Viewer, job_id: str) -> None:
        """Deliver the newest state of a job that ``open`` has just made ready, and every later one."""
        topic = self._topics[job_id]
        topic.viewers.add(viewer)
        if topic.latest is not None:
            viewer.deliver(topic.latest)

    def unwatch(self, viewer: Viewer, job_id: str) -> None:
        """Stop delivering a job to a viewer. Idempotent."""
        topic = self._topics.get(job_id)
        if topic is None:
            return
        topic.viewers.discard(viewer)
        self._drop_if_unwatched(topic)

    async def close(self) -> None:
        """Stop tasks and the subscription. Idempotent."""
        tasks = [topic.opening for topic in self._topics.values() if topic.opening and not topic.opening.done()]
        if self._refresher is not None:
            tasks.append(self._refresher)
            self._refresher = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._topics.clear()
        self._viewers.clear()
        await self._subscription.close()

    # What the store calls.

    def pushed(self, stored: Stored) -> None:
        if topic := self._topics.get(stored.job_id):
            topic.pushes += 1
            topic.take(stored)

    def gap(self, job_ids: Iterable[str]) -> None:
        self._stale.update(job_id for job_id in job_ids if job_id in self._topics)
        if self._stale and self._refresher is None:
            self._refresher = asyncio.create_task(self._refresh())

    def _on_health(self, health: Health) -> None:
        if not health.up and self._up:
            self._up = False
            self._tell(up=False)
        elif health.up and not self._up and self._refresher is None:
            self._up = True
            self._tell(up=True)

    def _tell(self, *, up: bool) -> None:
        for viewer in tuple(self._viewers):
            viewer.store_health(up=up)

    async def _open(self, topic: _Topic) -> None:
        try:
            await self._subscription.add(topic.job_id)
            while True:
                pushes = topic.pushes
                found = await self._store.read([topic.job_id])
                # A push during the read may be older or newer than what was read, and without seq nobody can
                # tell. Its program stored before it pushed, so that reading once more settles it.
                if pushes == topic.pushes or (topic.latest and topic.latest.seq is not None):
                    break
            if stored := found.get(topic.job_id):
                topic.take(stored)
        except StoreError as exc:
            _log.info("Job %r is read later: %s", topic.job_id, exc)
            self.gap([topic.job_id])

    async def _refresh(self) -> None:
        """Read what may have been missed until everything is read, with backoff."""
        attempt = 0
        while self._stale:
            batch = list(self._stale)[:256]
            try:
                found = await self._store.read(batch)
            except StoreError:
                attempt += 1
                await asyncio.sleep(full_jitter_s(attempt, base_s=0.1, cap_s=2.0))
                continue
            attempt = 0
            self._stale.difference_update(batch)
            for stored in found.values():
                if topic := self._topics.get(stored.job_id):
                    topic.take(stored)
        self._refresher = None
        if not self._up and self._store.health.up:
            self._up = True
            self._tell(up=True)

    def _drop_if_unwatched(self, topic: _Topic) -> None:
        if topic.viewers or topic.openers or self._topics.get(topic.job_id) is not topic:
            return
        if topic.opening is not None:
            topic.opening.cancel()
        del self._topics[topic.job_id]
        self._stale.discard(topic.job_id)
        self._subscription.discard(topic.job_id)
