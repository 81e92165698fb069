"""Follows jobs through a store until all have ended: what is pushed, and what may have been missed (rule 17)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, NamedTuple, Self

from jupyter_jobprogress.errors import ProtocolError, StoreUnavailableError
from jupyter_jobprogress.protocol.messages import Stored, decode_state, decode_update, newer
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.store.base import Health, Store

WAITING: Final = 1024
"""Most states that wait to be taken; then the newest one of each job is kept. The newest wins (rule 3)."""

AGAIN_S: Final = 1.0
"""How often what was missed is asked for while the store is away."""


class News(NamedTuple):
    """A state as it came, and as it was read."""

    stored: Stored
    state: State


class Follower:
    """Listens while its ``async with`` block lasts, and owns the store no longer than that: leaving closes it.

    ``on_health`` is told when the store goes away and comes back.

    Raises:
        InvalidJobIdError: when it is made. StoreUnavailableError, StoreDeniedError: on entry, where the store does not
        answer, or lets nobody in; later only the latter, by ``news``. A store that goes away is waited for.
    """

    def __init__(
        self, store: Store, job_ids: Iterable[str], *, on_health: Callable[[Health], None] = lambda _: None
    ) -> None:
        self._store = store
        self._job_ids = [check_job_id(job_id) for job_id in dict.fromkeys(job_ids)]
        self._on_health = on_health
        self._stale = set(self._job_ids)
        self._latest: dict[str, Stored] = {}
        self._waiting: list[Stored] = []
        self._came = asyncio.Event()
        self.ends: dict[str, Status] = {}
        """How the jobs ended that have."""

    async def __aenter__(self) -> Self:
        try:
            self._store.on_health = self._health_changed
            self._subscription = self._store.subscribe(self)
            # Asked before it is awaited: a store that cannot be reached is an error now, and an outage later.
            await self._store.read(self._job_ids)
            for job_id in self._job_ids:
                await self._subscription.add(job_id)
            await self._read()
        except BaseException:
            await self._store.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.on_health = None
        await self._subscription.close()
        await self._store.close()

    @property
    def done(self) -> bool:
        """Whether all jobs have ended, and the last news of them was taken."""
        return len(self.ends) == len(self._job_ids) and not self._waiting

    async def news(self, *, within_s: float | None = None) -> list[News]:
        """Return what came since the last call, in order; wait for it, so long at most, where nothing did."""
        loop = asyncio.get_running_loop()
        until_s = None if within_s is None else loop.time() + within_s
        while not self._waiting and not self.done and (until_s is None or loop.time() < until_s):
            again_s = loop.time() + AGAIN_S
            try:
                async with asyncio.timeout_at(again_s if until_s is None else min(again_s, until_s)):
                    await self._came.wait()
            except TimeoutError:
                pass
            self._came.clear()
            if self._stale:
                await self._read()
        found, self._waiting = self._waiting, []
        return [News(stored, read_state(stored)) for stored in found]

    # The store calls these.

    def pushed(self, stored: Stored) -> None:
        if not newer(stored, self._latest.get(stored.job_id)):
            return
        self._latest[stored.job_id] = stored
        self._waiting.append(stored)
        if len(self._waiting) > WAITING:
            self._waiting = list({each.job_id: each for each in self._waiting}.values())
        if stored.status.terminal:
            self.ends[stored.job_id] = stored.status
        else:
            self.ends.pop(stored.job_id, None)  # it runs again
        self._came.set()

    def gap(self, job_ids: Iterable[str]) -> None:
        self._stale.update(job_ids)
        self._came.set()

    def _health_changed(self, health: Health) -> None:
        # Read again also while it is down: only the answer tells a store that is away from one that lets nobody in.
        self._stale.update(self._job_ids)
        self._came.set()
        self._on_health(health)

    async def _read(self) -> None:
        """Read what may have been missed; where the store is away, at the next call."""
        stale, self._stale = self._stale, set()
        try:
            for stored in (await self._store.read(sorted(stale))).values():
                self.pushed(stored)
        except StoreUnavailableError:
            self._stale |= stale


def read_state(stored: Stored) -> State:
    """Return what there is of a state that any program may have written, however loosely (rules 6 and 13)."""
    try:
        return decode_state(stored.data)
    except ProtocolError:
        pass
    try:
        return decode_update(stored.job_id, stored.data, timestamp="")
    except ProtocolError:
        return State(
            job_id=stored.job_id,
            status=stored.status,
            stage="",
            progress=None,
            message="",
            timestamp="",
            seq=stored.seq,
        )
