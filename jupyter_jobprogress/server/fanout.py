"""From one store to many viewers: one subscription and one read for a job, however many watch it.

Knows neither Tornado nor which store it is. Runs in one event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from jupyter_jobprogress.backoff import full_jitter_s
from jupyter_jobprogress.errors import ProtocolError, StoreError
from jupyter_jobprogress.protocol.liveness import expected
from jupyter_jobprogress.protocol.messages import Stored, decode_state
from jupyter_jobprogress.server.metrics import Metrics, Present
from jupyter_jobprogress.server.topic import Pace, Seat, Topic
from jupyter_jobprogress.store.base import Health, Store

READ_AT_ONCE = 256
"""Most jobs in one read."""

SETTLING_READS = 3
"""Most reads of a job in a row, where pushes without ``seq`` come in between."""

_log = logging.getLogger(__name__)


class Viewer(Protocol):
    """Who is told whether the store answers. Must not block, await or raise."""

    def store_health(self, *, up: bool) -> None:
        """Learn that the store does not answer, or that what is watched was read again (rule 29)."""


class Fanout:
    """See the module. ``close`` ends its tasks; the store stays open, it belongs to the caller. So do ``metrics``."""

    def __init__(self, store: Store, metrics: Metrics | None = None) -> None:
        self._store = store
        self._subscription = store.subscribe(self)
        self._topics: dict[str, Topic] = {}
        self._viewers: set[Viewer] = set()
        self._paces: dict[float, Pace] = {}
        self._subscriptions = 0
        self._stale: set[str] = set()
        self._refresher: asyncio.Task[None] | None = None
        self._openings: set[asyncio.Task[None]] = set()
        self._up = True
        self.metrics = metrics or Metrics()
        self.metrics.present.add(self._present)
        store.on_health = self._on_health

    @property
    def viewer_count(self) -> int:
        return len(self._viewers)

    @property
    def job_count(self) -> int:
        return len(self._topics)

    def watches(self, job_id: str) -> bool:
        """Whether somebody watches a job."""
        return job_id in self._topics

    def expects(self, job_id: str) -> bool:
        """Whether there is more to come of a job that somebody watches."""
        topic = self._topics.get(job_id)
        if topic is None or topic.latest is None or topic.latest.status.terminal:
            return False
        try:
            return expected(decode_state(topic.latest.data), now_us=self._store.now_us())
        except ProtocolError:
            return True  # another program's, with a field that only pages pass over

    def enter(self, viewer: Viewer) -> None:
        """Count a viewer in, and tell it if the store is down."""
        self._viewers.add(viewer)
        if not self._up:
            viewer.store_health(up=False)

    def leave(self, viewer: Viewer) -> None:
        """Count a viewer out. It has let go of its jobs by ``unwatch``. Idempotent."""
        self._viewers.discard(viewer)

    async def open(self, job_ids: Iterable[str]) -> dict[str, Stored | None]:
        """Make jobs ready to be watched: subscribe, wait for the confirmation, then read (rule 17).

        Returns the newest state of each, None where there is none yet or the store does not answer: it then arrives
        later. A job that is watched already costs nothing. Follow with ``watch`` without an await between.
        """
        topics = [self._topic(job_id) for job_id in job_ids]
        fresh = [topic for topic in topics if topic.opening is None]
        if fresh:
            opening = asyncio.create_task(self._open(fresh))
            self._openings.add(opening)
            opening.add_done_callback(self._openings.discard)
            for topic in fresh:
                topic.opening = opening
        if waits_for := {topic.opening for topic in topics if topic.opening and not topic.opening.done()}:
            for topic in topics:
                topic.openers += 1
            try:
                # Shielded: one viewer that leaves must not take the others' topic with it.
                for opening in waits_for:
                    await asyncio.shield(opening)
            except BaseException:
                for topic in topics:
                    topic.openers -= 1
                    self._drop_if_unwatched(topic)
                raise
            for topic in topics:
                topic.openers -= 1
        return {topic.job_id: topic.latest for topic in topics}

    def watch(self, seat: Seat, job_id: str, interval_s: float = 0.0, *, instead_of_s: float | None = None) -> None:
        """Deliver the newest state of a job that ``open`` has just made ready, and later ones at an interval (0: all).

        ``instead_of_s`` is the interval at which the seat watches the job already, if it does.
        """
        topic = self._topics[job_id]
        if instead_of_s is None:
            self._subscriptions += 1
        elif instead_of_s != interval_s:
            topic.discard(seat, instead_of_s)
        topic.add(seat, interval_s)

    def unwatch(self, seat: Seat, job_id: str, interval_s: float = 0.0) -> None:
        """Stop delivering a job to a seat that watches it at an interval. Idempotent."""
        topic = self._topics.get(job_id)
        if topic is not None:
            seat.forget(topic)
            self._subscriptions -= topic.discard(seat, interval_s)
            self._drop_if_unwatched(topic)

    def release(self, job_ids: Iterable[str]) -> None:
        """Let go of jobs that ``open`` has made ready, where nobody is left to watch them."""
        for job_id in job_ids:
            if topic := self._topics.get(job_id):
                self._drop_if_unwatched(topic)

    async def close(self) -> None:
        """Stop tasks, timers and the subscription. Idempotent."""
        self.metrics.present.discard(self._present)
        tasks = [*self._openings]
        if self._refresher is not None:
            tasks.append(self._refresher)
            self._refresher = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for topic in self._topics.values():
            topic.close()
        for pace in self._paces.values():
            pace.close()
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

    def _present(self) -> Present:
        # Also while Redis loads its file: it pushes then, but cannot be read.
        up = self._up and self._store.health.up
        return Present(len(self._viewers), self._subscriptions, len(self._topics), up)

    def _topic(self, job_id: str) -> Topic:
        topic = self._topics.get(job_id)
        if topic is None:
            topic = self._topics[job_id] = Topic(job_id, self.metrics.counts, self._pace)
        return topic

    def _pace(self, interval_s: float) -> Pace:
        pace = self._paces.get(interval_s)
        if pace is None:
            pace = self._paces[interval_s] = Pace(interval_s, self.metrics.counts)
        return pace

    async def _open(self, topics: list[Topic]) -> None:
        try:
            await self._subscribe([topic.job_id for topic in topics])
            await self._read(topics)
        except StoreError as exc:
            _log.info("%d jobs, job %r first, are read later: %s", len(topics), topics[0].job_id, exc)
            self.gap([topic.job_id for topic in topics])

    async def _subscribe(self, job_ids: list[str]) -> None:
        wanted = [job_id for job_id in job_ids if job_id in self._topics]
        added = await asyncio.gather(*map(self._subscription.add, wanted), return_exceptions=True)
        for job_id in wanted:
            if job_id not in self._topics:
                # Let go while it was added, perhaps before its turn came.
                self._subscription.discard(job_id)
        for job_id, failure in zip(wanted, added, strict=True):
            if failure is not None and job_id in self._topics:
                raise failure

    async def _read(self, topics: list[Topic]) -> None:
        """Show the states of jobs as the store has them."""
        for _ in range(SETTLING_READS):
            pushes = {topic: topic.pushes for topic in topics}
            found = {}
            for first in range(0, len(topics), READ_AT_ONCE):
                part = [topic.job_id for topic in topics[first : first + READ_AT_ONCE]]
                with self.metrics.round_trip():
                    found.update(await self._store.read(part))
            # A push during the read may be older or newer than what was read, and without seq nobody can tell. Its
            # program stored before it pushed, so that reading once more settles it; or the next push does.
            unsettled = [topic for topic in topics if topic.pushes != pushes[topic] and not _ordered(topic)]
            for topic in set(topics).difference(unsettled):
                if stored := found.get(topic.job_id):
                    topic.take(stored)
            topics = unsettled

    async def _refresh(self) -> None:
        """Read what may have been missed until everything is read, with backoff."""
        attempt = 0
        while self._stale:
            # Taken out before they are read: what is missed meanwhile has to be read again.
            topics = [self._topics[self._stale.pop()] for _ in range(min(READ_AT_ONCE, len(self._stale)))]
            try:
                await self._read(topics)
                attempt = 0
            except StoreError:
                self._stale.update(topic.job_id for topic in topics if self._topics.get(topic.job_id) is topic)
                attempt += 1
                await asyncio.sleep(full_jitter_s(attempt, base_s=0.1, cap_s=2.0))
        self._refresher = None
        if not self._up and self._store.health.up:
            self._up = True
            self._tell(up=True)

    def _drop_if_unwatched(self, topic: Topic) -> None:
        if topic.groups or topic.openers or self._topics.get(topic.job_id) is not topic:
            return
        topic.close()
        del self._topics[topic.job_id]
        self._stale.discard(topic.job_id)
        self._subscription.discard(topic.job_id)


def _ordered(topic: Topic) -> bool:
    return topic.latest is not None and topic.latest.seq is not None
