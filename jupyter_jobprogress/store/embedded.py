"""The store without a set-up: in the memory of one process, written behind to a SQLite file.

Memory holds what this process took in; the file holds that and what other servers of the same user, or an earlier
life of this one, left. A terminal state is on disk before it is acknowledged or pushed; others follow within
``FLUSH_S``.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from jupyter_jobprogress.errors import StoreClosedError, StoreUnavailableError
from jupyter_jobprogress.protocol.messages import (
    Contribution,
    Outcome,
    Receipt,
    Stored,
    encode_contribution,
    encode_state,
    join_state,
)
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.base import Health, Listener, Page, Store, Subscription
from jupyter_jobprogress.store.database import Database, Row
from jupyter_jobprogress.store.rules import Fence, Shared, admit, receipt, refuses

FLUSH_S: Final = 0.5
"""Longest time that a state which is not terminal is in memory alone."""

MEMORY_JOBS: Final = 10_000
"""Most jobs in memory; those that were longest silent leave first, once they are in the file."""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def _wall_clock_us() -> int:
    return time.time_ns() // 1000


class EmbeddedStore(Store):
    """See the module. ``clock_us`` returns microseconds since 1970."""

    def __init__(self, settings: Settings | None = None, *, clock_us: Callable[[], int] = _wall_clock_us) -> None:
        self._settings = settings or Settings()
        self._clock_us = clock_us
        self._rows: dict[str, Row] = {}
        self._dirty: set[str] = set()
        self._deleted: set[str] = set()
        self._subscriptions: dict[str, set[_EmbeddedSubscription]] = {}
        # Without a file, SQLite in memory is the index, so that there is one way to list and to read.
        self._database = Database(self._settings.database or ":memory:")
        self._flusher: asyncio.Task[None] | None = None
        self._flushing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._failing = False
        self._closed = False

    @property
    def label(self) -> str:
        return "embedded"

    @property
    def health(self) -> Health:
        return Health(not self._closed, "closed" if self._closed else "")

    def now_us(self) -> int:
        return self._clock_us()

    def of_tenant(self, name: str) -> Store:
        file = self._settings.database
        database = str(Path(file).with_name("tenants") / f"{name}.sqlite") if file else None
        return EmbeddedStore(replace(self._settings, database=database), clock_us=self._clock_us)

    async def publish(self, state: State, *, start: bool = False) -> Receipt:
        self._check_open()
        body, history = encode_state(state)
        before = await self._fetch(state.job_id)
        # No await from here to the write into memory: two publishers of one job are ordered by it.
        now_us = self.now_us()
        fence_before = before.fence if before else Fence()
        outcome, fence = admit(fence_before, run=state.run, start=start, terminal=state.status.terminal, now_us=now_us)
        shared = Shared() if before is None or fence.run != fence_before.run else _shared(before)
        if outcome is not Outcome.ACCEPTED:
            return receipt(fence, shared, outcome)
        run = fence.run if start else state.run
        ttl_s = self._settings.terminal_ttl_s if state.status.terminal else self._settings.ttl_s
        row = Row(
            state.job_id,
            fence,
            state.status,
            state.parent_id,
            join_state(body, seq=fence.seq, run=run),
            history or (before.history if before and not start else b""),
            _encode_shared(shared),
            now_us + int(ttl_s * 1e6),
        )
        self._keep(row)
        if state.status.terminal:
            await self._flush()
        pushed = join_state(body, seq=fence.seq, run=run, history=history)
        self._push(Stored(state.job_id, pushed, fence.seq, state.status))
        return receipt(fence, shared)

    async def add(self, job_id: str, *, part: str, contribution: Contribution, run: int | None) -> Receipt:
        self._check_open()
        check_job_id(part)
        encode_contribution(contribution)
        row = await self._fetch(job_id)
        if row is None:
            # The owner will bring its state back, and this worker says again what it has done.
            return Receipt(seq=0, run=run)
        shared = _shared(row)
        if (refused := refuses(row.fence, run)) is not None:
            return receipt(row.fence, shared, refused)
        shared = shared.add(part, contribution)
        self._keep(row._replace(shared=_encode_shared(shared)))
        return receipt(row.fence, shared)

    async def read(self, job_ids: Sequence[str]) -> dict[str, Stored]:
        self._check_open()
        for job_id in job_ids:
            check_job_id(job_id)
        unknown = [job_id for job_id in job_ids if job_id not in self._rows and job_id not in self._deleted]
        rows = {row.job_id: row for row in await self._read_rows(unknown)}
        now_us = self.now_us()
        found = {}
        for job_id in job_ids:
            row = self._rows.get(job_id) or rows.get(job_id)
            if row is not None and row.expires_us > now_us:
                found[job_id] = _stored(row)
        return found

    async def list(
        self,
        *,
        status: Status | None = None,
        parent_id: str | None = None,
        limit: int = 100,
        after: int | None = None,
    ) -> Page:
        self._check_open()
        limit = min(max(limit, 1), 1000)
        await self._flush()
        now_us = self.now_us()
        # While the disk fails, the file is behind, if it can be read at all.
        known = list(self._rows.values()) if self._failing else None

        def look() -> tuple[list[Row], bool]:
            with closing(Database(":memory:")) if known is not None else nullcontext(self._database) as database:
                if known is not None:
                    database.write(known, (), now_us=now_us)
                return database.list(status=status, parent_id=parent_id, limit=limit, after=after, now_us=now_us)

        rows, more = await self._run(look)
        return Page([_stored(row) for row in rows], rows[-1].fence.seq if more else None)

    async def request_cancel(self, job_id: str) -> bool:
        self._check_open()
        row = await self._fetch(job_id)
        if row is None or row.status.terminal:
            return False
        self._keep(row._replace(fence=row.fence._replace(cancel=True)))
        return True

    async def delete(self, job_id: str) -> bool:
        self._check_open()
        known = await self._fetch(job_id) is not None
        self._rows.pop(job_id, None)
        self._dirty.discard(job_id)
        self._deleted.add(job_id)
        await self._flush()
        return known

    def subscribe(self, listener: Listener) -> Subscription:
        self._check_open()
        return _EmbeddedSubscription(self._subscriptions, listener, self._begin)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._flusher is not None:
            self._wake.set()
            await self._flusher
        await self._flush()
        await self._run(self._database.close)
        self._database.executor.shutdown()
        self._subscriptions.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError

    def _begin(self) -> None:
        """Begin to write behind and to look at what other servers write, unless that is under way."""
        self._check_open()
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush_behind())

    async def _fetch(self, job_id: str) -> Row | None:
        """Return the row of a job, from memory or else from the file, which is read once per job."""
        check_job_id(job_id)
        if job_id not in self._rows and job_id not in self._deleted:
            for found in await self._read_rows([job_id]):
                # A publisher that came meanwhile has the newer row.
                self._rows.setdefault(job_id, found)
        row = self._rows.get(job_id)
        return row if row is not None and row.expires_us > self.now_us() else None

    async def _read_rows(self, job_ids: Sequence[str]) -> Sequence[Row]:
        rows: Sequence[Row] = ()
        now_us = self.now_us()
        for first in range(0, len(job_ids), 500):
            part = job_ids[first : first + 500]
            try:
                rows = *rows, *await self._run(lambda part=part: self._database.read(part, now_us=now_us))  # type: ignore[misc]
            except StoreUnavailableError as exc:
                # What memory knows is worth more than an error: a job must not end unseen for a broken disk.
                self._disk_failed(exc)
        return rows

    async def _run(self, work: Callable[[], _T]) -> _T:
        try:
            try:
                answer = asyncio.get_running_loop().run_in_executor(self._database.executor, work)
            except RuntimeError:
                # The interpreter is ending, and executors take no more work; the last states are still to be written.
                # Waiting for the executor's thread first keeps one user of the connection at a time.
                self._database.executor.shutdown()
                return work()
            return await answer
        except (sqlite3.Error, OSError) as exc:
            raise StoreUnavailableError(self.label, f"the SQLite file fails: {exc}") from exc

    def _keep(self, row: Row) -> None:
        self._rows.pop(row.job_id, None)  # moves it to the end: the order of the dict is that of the last update
        self._rows[row.job_id] = row
        self._dirty.add(row.job_id)
        self._deleted.discard(row.job_id)
        if self._flusher is None:
            self._begin()

    def _push(self, stored: Stored) -> None:
        for subscription in tuple(self._subscriptions.get(stored.job_id, ())):
            subscription.pushed(stored)

    async def _flush_behind(self) -> None:
        """Write what is dirty every ``FLUSH_S``, and push what other servers wrote; ends with ``close``."""
        while not self._closed:
            try:
                async with asyncio.timeout(FLUSH_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            await self._flush()
            # What leaves memory must be in the file: nobody writes meanwhile.
            async with self._flushing:
                if self._settings.database and not self._closed:
                    await self._look_elsewhere()
                self._evict()

    async def _flush(self) -> None:
        """Write what is dirty now. A failing disk is said once; memory goes on serving, and it is tried again.

        The lock makes a terminal state wait for a batch that has taken it but is not yet written.
        """
        async with self._flushing:
            await self._write_dirty()

    async def _write_dirty(self) -> None:
        dirty, self._dirty = self._dirty, set()
        deleted, self._deleted = self._deleted, set()
        if not dirty and not deleted:
            return
        rows = [self._rows[job_id] for job_id in dirty if job_id in self._rows]
        now_us = self.now_us()
        try:
            await self._run(lambda: self._database.write(rows, deleted, now_us=now_us))
        except StoreUnavailableError as exc:
            self._dirty |= dirty
            self._deleted |= deleted - self._rows.keys()
            self._disk_failed(exc)
        else:
            if self._failing:
                _log.info("Job states are written to disk again.")
            self._failing = False

    def _disk_failed(self, exc: StoreUnavailableError) -> None:
        if not self._failing:
            _log.warning(
                "Job states are in memory alone and are lost with this process until %s can be written: %s. "
                "Make room, or move a damaged file away and start the server again.",
                self._settings.database,
                exc.reason,
            )
        self._failing = True

    async def _look_elsewhere(self) -> None:
        """Take in what another server wrote: push newer states of jobs that are watched here, and forget what memory
        has of all others, so that it is read again."""
        watched = [job_id for job_id, subscriptions in self._subscriptions.items() if subscriptions]
        try:
            if not await self._run(self._database.changed_elsewhere):
                return
        except StoreUnavailableError:
            return  # said by _flush, which meets the same file
        before, self._rows = self._rows, {job_id: row for job_id, row in self._rows.items() if job_id in self._dirty}
        for row in await self._read_rows(list({*watched, *self._rows})):
            here = self._rows.get(row.job_id) or before.get(row.job_id)
            if row.job_id in self._deleted:
                continue
            if here is None or here.age < row.age:
                self._rows[row.job_id] = row
                self._push(_stored(row))
            elif row.fence.cancel and row.fence.run == here.fence.run and row.job_id in self._rows:
                # Reported here all the time, so that memory is newer than the file but for this.
                self._rows[row.job_id] = here._replace(fence=here.fence._replace(cancel=True))

    def _evict(self) -> None:
        now_us = self.now_us()
        for job_id in [job_id for job_id, row in self._rows.items() if row.expires_us <= now_us]:
            if job_id not in self._dirty:
                del self._rows[job_id]
        if self._settings.database:
            excess = len(self._rows) - MEMORY_JOBS
            for job_id in [job_id for job_id in self._rows if job_id not in self._dirty][: max(excess, 0)]:
                del self._rows[job_id]


_shared_decoder: Final = msgspec.json.Decoder(Shared)


def _shared(row: Row) -> Shared:
    return _shared_decoder.decode(row.shared) if row.shared else Shared()


def _encode_shared(shared: Shared) -> bytes:
    return msgspec.json.encode(shared) if shared.parts else b""


def _stored(row: Row) -> Stored:
    data = row.state[:-1] + b',"history":' + row.history + b"}" if row.history else row.state
    return Stored(row.job_id, data, row.fence.seq, row.status)


class _EmbeddedSubscription(Subscription):
    def __init__(
        self, index: dict[str, set[_EmbeddedSubscription]], listener: Listener, begin: Callable[[], None]
    ) -> None:
        self._index = index
        self._listener = listener
        self._begin = begin
        self._jobs: set[str] = set()

    def pushed(self, stored: Stored) -> None:
        try:
            self._listener.pushed(stored)
        except Exception:  # noqa: BLE001 — outermost line of a listener: it must not take the publisher down
            _log.exception("A listener of job %r failed", stored.job_id)

    async def add(self, job_id: str) -> None:
        self._begin()
        self._jobs.add(check_job_id(job_id))
        self._index.setdefault(job_id, set()).add(self)

    def discard(self, job_id: str) -> None:
        self._jobs.discard(job_id)
        if subscriptions := self._index.get(job_id):
            subscriptions.discard(self)
            if not subscriptions:
                del self._index[job_id]

    async def close(self) -> None:
        for job_id in tuple(self._jobs):
            self.discard(job_id)
