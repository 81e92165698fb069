"""The store behind a jobprogress server: one authenticated WebSocket to its ``ws/jobs`` (docs/protocol.md, rule 27)."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct

from jupyter_jobprogress.backoff import full_jitter_s
from jupyter_jobprogress.errors import (
    JobProgressError,
    ProtocolError,
    StoreClosedError,
    StoreDeniedError,
    StoreError,
    StoreUnavailableError,
)
from jupyter_jobprogress.protocol import messages
from jupyter_jobprogress.protocol.messages import (
    Contribution,
    Receipt,
    Stored,
    encode_contribution,
    encode_state,
    read_stored,
)
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.settings import Settings, mask_url
from jupyter_jobprogress.store.base import Health, Listener, Page, Store, Subscription
from jupyter_jobprogress.store.remote_link import BATCH, Link

LET_GO_S: Final = 1800.0
"""Rest after a server has let go of this end, since nothing runs here, unless something is asked sooner."""

DENIED_S: Final = 10.0
"""Rest after a refusal: who is not let in knocks six times a minute at most, and is soon heard once he may come in."""

_HELLO: Final = messages.encode(messages.Unsubscribe(job_ids=[]))
"""Says nothing, so that a server which waits for a first message does not close a store that wants nothing now."""

_log = logging.getLogger(__name__)


class _Answer(Struct, frozen=True):
    """What a server message may hold; a state has no ``type``."""

    type: str = ""
    id: int | None = None
    job_id: str = ""
    job_ids: list[str] = []
    code: str = ""
    message: str = ""
    now_us: int | None = None
    up: bool = True
    found: bool = False
    next: int | None = None
    left: list[str] = []
    states: list[msgspec.Raw] = []
    jobs: list[msgspec.Raw] = []


class _Id(Struct, frozen=True):
    job_id: str


_answers = msgspec.json.Decoder(_Answer)
_receipts = msgspec.json.Decoder(Receipt)
_ids = msgspec.json.Decoder(_Id)


class RemoteStore(Store):
    """See the module. Connects when first used, and again by itself while anything is wanted."""

    def __init__(self, settings: Settings, *, clock_s: Callable[[], float] = time.time) -> None:
        assert settings.url is not None
        self._settings = settings
        self._clock_s = clock_s
        self._offset_us = 0
        self._ids = itertools.count(1)
        self._pending: dict[int, asyncio.Future[bytes]] = {}
        self._subscriptions: set[_RemoteSubscription] = set()
        # Wanted jobs whose pushes may have been missed: they get a gap when they are confirmed.
        self._owed: set[str] = set()
        self._health = Health(True)
        self._denied: StoreDeniedError | None = None
        self._owner: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._connected = asyncio.Event()
        self._asked = asyncio.Event()
        self._closed = False

    @property
    def label(self) -> str:
        assert self._settings.url is not None
        return mask_url(self._settings.url)

    @property
    def health(self) -> Health:
        return self._health

    def now_us(self) -> int:
        return int(self._clock_s() * 1e6) + self._offset_us

    async def publish(self, state: State, *, start: bool = False) -> Receipt:
        encode_state(state)  # raises here what the server would answer
        answer = await self._ask(messages.Report(state=state, id=next(self._ids), start=start))
        return _receipts.decode(answer)

    async def add(self, job_id: str, *, part: str, contribution: Contribution, run: int | None) -> Receipt:
        encode_contribution(contribution)
        command = messages.Add(
            job_id=check_job_id(job_id), part=check_job_id(part), contribution=contribution, run=run, id=next(self._ids)
        )
        return _receipts.decode(await self._ask(command))

    async def read(self, job_ids: Sequence[str]) -> dict[str, Stored]:
        unread = [check_job_id(job_id) for job_id in job_ids]
        found: dict[str, Stored] = {}
        while unread:
            command = messages.Read(job_ids=unread[:BATCH], id=next(self._ids))
            answer = _answers.decode(await self._ask(command))
            found.update((stored.job_id, stored) for stored in map(_stored, answer.states))
            unread = [*answer.left, *unread[BATCH:]]
        return found

    async def list(
        self,
        *,
        status: Status | None = None,
        parent_id: str | None = None,
        limit: int = 100,
        after: int | None = None,
    ) -> Page:
        command = messages.ListJobs(id=next(self._ids), status=status, parent_id=parent_id, limit=limit, after=after)
        answer = _answers.decode(await self._ask(command))
        return Page([_stored(raw) for raw in answer.jobs], answer.next)

    async def request_cancel(self, job_id: str) -> bool:
        command = messages.Cancel(job_id=check_job_id(job_id), id=next(self._ids))
        return _answers.decode(await self._ask(command)).found

    async def delete(self, job_id: str) -> bool:
        command = messages.Delete(job_id=check_job_id(job_id), id=next(self._ids))
        return _answers.decode(await self._ask(command)).found

    def subscribe(self, listener: Listener) -> Subscription:
        self._check_open()
        subscription = _RemoteSubscription(self, listener)
        self._subscriptions.add(subscription)
        return subscription

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._set_health(Health(False, "closed"))
        self._subscriptions.clear()
        if self._owner is not None:
            self._owner.cancel()
            await asyncio.gather(self._owner, return_exceptions=True)
        self._fail_pending(StoreClosedError())

    # For the subscriptions.

    def wanted(self) -> set[str]:
        return {job_id for subscription in self._subscriptions for job_id in subscription.jobs}

    def forget(self, subscription: _RemoteSubscription) -> None:
        self._subscriptions.discard(subscription)

    async def watch(self, job_ids: Sequence[str]) -> None:
        try:
            await self._ask(messages.Subscribe(job_ids=list(job_ids), interval_ms=0, id=next(self._ids)))
        except StoreUnavailableError:
            self._owed.update(job_ids)
            raise

    def unwatch(self, job_id: str) -> None:
        if self._link is not None and job_id not in self.wanted():
            self._link.put(messages.encode(messages.Unsubscribe(job_ids=[job_id])))

    # Asking and answering.

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError

    async def _ask(self, command: messages.Command) -> bytes:
        """Send a command and return its answer, all within the deadline."""
        self._check_open()
        if self._owner is None:
            self._owner = asyncio.create_task(self._own())
        id = command.id  # type: ignore[union-attr]
        assert id is not None
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                self._asked.set()
                while self._link is None:
                    if self._denied is not None:
                        raise self._denied
                    await self._connected.wait()
                self._pending[id] = future
                self._link.put(messages.encode(command))
                return await future
        except TimeoutError:
            reason = self._health.reason or f"no answer within {self._settings.deadline_s:g} s"
            raise StoreUnavailableError(self.label, reason) from None
        finally:
            self._pending.pop(id, None)

    def _take(self, data: bytes) -> None:
        """Handle one message of the server."""
        answer = _answers.decode(data)
        if answer.now_us is not None:
            self._offset_us = answer.now_us - int(self._clock_s() * 1e6)
        if answer.type == "subscribed":
            self._pay(answer.job_ids)
        future = self._pending.get(answer.id) if answer.id is not None else None
        if answer.type == "":
            self._push(read_stored(answer.job_id, data))
        elif answer.type == "cancel":
            if self.on_cancel is not None:
                self.on_cancel(answer.job_id)
        elif answer.type == "store":
            self._set_health(Health(answer.up, "" if answer.up else "the server cannot reach its store"))
        elif future is not None and not future.done():
            if answer.type == "error":
                future.set_exception(self._error(answer))
            else:
                future.set_result(data)

    def _error(self, answer: _Answer) -> JobProgressError:
        if answer.code in ("forbidden", "unauthorized"):
            return StoreDeniedError(self.label, answer.message)
        if answer.code in ("store_unavailable", "internal"):
            return StoreUnavailableError(self.label, answer.message)
        return ProtocolError(answer.message)

    def _push(self, stored: Stored) -> None:
        for subscription in tuple(self._subscriptions):
            subscription.pushed(stored)

    # The connection.

    async def _own(self) -> None:
        """Keep one connection; the only task that makes, reads and ends it."""
        attempt = 0
        # Asked, too: a task group that ends by an error in the very turn of a cancellation swallows it (Python 3.11).
        while not self._closed:
            link = Link(self._settings)
            try:
                async with link:
                    attempt = 0
                    self._denied = None
                    self._link = link
                    self._connected.set()
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._read(link))
                        tasks.create_task(self._resubscribe())
            except* StoreError as group:
                self._lost(group.exceptions[0], let_go=link.let_go)
            attempt += 1
            if link.let_go:
                await self._until_asked()
            elif self._denied is not None:
                await asyncio.sleep(DENIED_S + full_jitter_s(attempt, base_s=0.2, cap_s=5.0))
            else:
                await asyncio.sleep(full_jitter_s(attempt, base_s=0.2, cap_s=5.0))

    async def _until_asked(self) -> None:
        """Wait for a command. Where a job is wanted, look again now and then: it may run one day."""
        self._asked.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(LET_GO_S if self.wanted() else None):
                await self._asked.wait()

    def _lost(self, exc: BaseException, *, let_go: bool) -> None:
        while isinstance(exc, BaseExceptionGroup):
            exc = exc.exceptions[0]
        if self._link is not None:
            self._owed = self.wanted()
        self._link = None
        self._connected.clear()
        if isinstance(exc, StoreDeniedError):
            self._denied = exc
            # Wakes those who wait, so that they learn it now and not at their deadline.
            self._connected.set()
            self._connected.clear()
        assert isinstance(exc, StoreError)
        self._fail_pending(exc)
        if not let_go:  # which is no outage
            self._set_health(Health(False, getattr(exc, "reason", str(exc))))

    async def _read(self, link: Link) -> None:
        async for data in link:
            try:
                self._take(data)
            except (ProtocolError, msgspec.MsgspecError) as exc:
                _log.warning("A message of %s is passed over: %s", self.label, exc)
        raise StoreUnavailableError(self.label, "the connection ended")

    async def _resubscribe(self) -> None:
        jobs = sorted(self._owed & self.wanted())
        self._owed.intersection_update(jobs)
        for first in range(0, len(jobs), BATCH):
            batch = jobs[first : first + BATCH]
            try:
                await self.watch(batch)
            except ProtocolError as exc:  # the server has other limits than before
                raise StoreUnavailableError(self.label, str(exc)) from exc
        if not jobs and self._link is not None:
            self._link.put(_HELLO)
        self._set_health(Health(True))

    def _pay(self, job_ids: Sequence[str]) -> None:
        """Tell of the gap in jobs that are confirmed again, or later than their ``add`` waited."""
        paid = self._owed.intersection(job_ids)
        self._owed -= paid
        if paid:
            for subscription in tuple(self._subscriptions):
                subscription.gap(paid)

    def _fail_pending(self, exc: StoreError) -> None:
        for future in self._pending.values():
            if not future.done():
                future.set_exception(exc)
        self._pending.clear()

    def _set_health(self, health: Health) -> None:
        changed = health.up != self._health.up
        self._health = health
        if changed and self.on_health is not None:
            self.on_health(health)


def _stored(raw: msgspec.Raw) -> Stored:
    data = bytes(raw)
    return read_stored(_ids.decode(data).job_id, data)


class _RemoteSubscription(Subscription):
    def __init__(self, store: RemoteStore, listener: Listener) -> None:
        self._store = store
        self._listener = listener
        self.jobs: set[str] = set()

    def pushed(self, stored: Stored) -> None:
        if stored.job_id in self.jobs:
            try:
                self._listener.pushed(stored)
            except Exception:  # noqa: BLE001 — outermost line of a listener: it must not take the reader down
                _log.exception("A listener of job %r failed", stored.job_id)

    def gap(self, job_ids: set[str]) -> None:
        if mine := self.jobs & job_ids:
            self._listener.gap(mine)

    async def add(self, job_id: str) -> None:
        self.jobs.add(check_job_id(job_id))
        await self._store.watch([job_id])

    def discard(self, job_id: str) -> None:
        if job_id in self.jobs:
            self.jobs.discard(job_id)
            self._store.unwatch(job_id)

    async def close(self) -> None:
        for job_id in tuple(self.jobs):
            self.discard(job_id)
        self._store.forget(self)
