"""The sender's way to its store: outages are noticed, said once, and outlived."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import msgspec

from jupyter_jobprogress.backoff import full_jitter_s
from jupyter_jobprogress.errors import (
    ProtocolError,
    StoreDeniedError,
    StoreError,
    StoreUnavailableError,
)
from jupyter_jobprogress.protocol.messages import Contribution, Receipt, Stored
from jupyter_jobprogress.protocol.state import State
from jupyter_jobprogress.reporter.pace import Pace
from jupyter_jobprogress.settings import Settings, mask_url
from jupyter_jobprogress.store.base import Health, Listener, Page, Store, Subscription

BACKOFF_CAP_S: Final = 10.0
DENIED_RETRY_S: Final = 60.0
HURRIED_RETRY_S: Final = 0.2
REFUSALS_REMEMBERED: Final = 100
GRACE_S: Final = 1.0
"""A store answers within ``Settings.deadline_s`` by contract; this much later it is taken for silent."""

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

Connect = Callable[[Settings], Store]

FORK_WAIT_S: Final = 2.0
_connecting = threading.Lock()
_held_for_fork = False


def _before_fork() -> None:
    """Let a store be made in full before the process forks.

    Making it imports its modules. A child that is forked in the midst of that inherits their import locks, which nobody
    in it will ever release, and would hang when it imports the same store.
    """
    global _held_for_fork
    _held_for_fork = _connecting.acquire(timeout=FORK_WAIT_S)


def _after_fork() -> None:
    if _held_for_fork:
        _connecting.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


class Link:
    """A store that may be away. Used in the sender's loop alone, by every job that reports to it."""

    def __init__(self, settings: Settings, connect: Connect, *, on_cancel: Callable[[str], None]) -> None:
        self._settings = settings
        self._on_cancel = on_cancel
        self._connect = connect
        self._store: Store | None = None
        self._outage: StoreError | None = None
        self._answers = 0
        self._waiting: set[asyncio.Event] = set()
        self._refusals: set[str] = set()
        self._hurried = False
        self.pace = Pace()
        self.name = mask_url(settings.url) if settings.url else "in this process"

    @property
    def outage(self) -> StoreError | None:
        """How the last attempt found the store away, or None if it did not. May be read from any thread."""
        return self._outage

    def hurry(self) -> None:
        """Try again soon from now on: the process is about to end."""
        self._hurried = True
        self._wake_all()

    async def deliver(
        self,
        job_id: str,
        newest: Callable[[], State],
        *,
        start: Callable[[], bool],
        wake: asyncio.Event,
        tell: Callable[[StoreError | ProtocolError], object] | None = None,
    ) -> Receipt | None:
        """Publish until a receipt comes; each attempt sends what is newest by then.

        ``wake`` cuts a wait short. Returns None if the store will never take the state. ``tell`` is called with the
        error of each attempt that failed. Cancellation leaves the state delivered or not.
        """
        return await self.until_taken(job_id, lambda: self.publish(newest(), start=start()), wake=wake, tell=tell)

    async def add(self, job_id: str, *, part: str, contribution: Contribution, run: int | None) -> Receipt:
        """Contribute to a job, once. Raises StoreError."""
        return await self._guard(self.store().add(job_id, part=part, contribution=contribution, run=run))

    async def until_taken(
        self,
        job_id: str,
        attempt: Callable[[], Awaitable[Receipt]],
        *,
        wake: asyncio.Event,
        tell: Callable[[StoreError | ProtocolError], object] | None = None,
    ) -> Receipt | None:
        """Try until a receipt comes, as ``deliver`` does."""
        failures = 0
        denied = ""
        tell = tell or (lambda _: None)
        while True:
            wake.clear()  # before the attempt is composed: whoever sets it later has something newer to say
            answers = self._answers
            try:
                receipt = await attempt()
            except ProtocolError as exc:
                tell(exc)
                _log.warning("The store does not take a state of job %s, and it is left out: %s", job_id, exc)
                return None
            except StoreDeniedError as exc:
                tell(exc)
                denied = str(exc)
                self._refused(denied)
                await self._rest(DENIED_RETRY_S, wake)
            except StoreError as exc:
                tell(exc)
                failures += 1
                self._failed(exc, answers)
                await self._rest(full_jitter_s(failures, cap_s=BACKOFF_CAP_S), wake)
            else:
                self._succeeded(denied)
                return receipt

    async def read(self, job_ids: Sequence[str]) -> dict[str, Stored]:
        """Read states through the store. Raises StoreError, which is no outage of its own."""
        return await self._guard(self.store().read(job_ids))

    async def list(self, *, limit: int, after: int | None) -> Page:
        """Page through all jobs of the store. Raises StoreError, which is no outage of its own."""
        return await self._guard(self.store().list(limit=limit, after=after))

    def subscribe(self, listener: Listener) -> Subscription:
        """Make a subscription of the store. Raises StoreError."""
        return self.store().subscribe(listener)

    def store(self) -> Store:
        """Return the store, made on first use.

        Raises:
            StoreUnavailableError: it cannot be made, for whatever reason. That is tried again like any outage.
        """
        if self._store is None:
            try:
                with _connecting:
                    self._store = self._connect(self._settings)
                    self._store.on_cancel = self._on_cancel
                    self._store.on_health = self._healthy
            except StoreError:
                raise
            except Exception as exc:
                raise StoreUnavailableError(self.name, f"{type(exc).__name__}: {exc}") from exc
        return self._store

    async def close(self) -> None:
        """Close the store, if one was made."""
        if self._store is not None:
            store, self._store = self._store, None
            await store.close()

    async def publish(self, state: State, *, start: bool) -> Receipt:
        """Publish a state, once. Raises StoreError, and ProtocolError where the store will never take it."""
        store = self.store()
        try:
            return await self._guard(store.publish(state, start=start))
        except ProtocolError:
            # The limits are kept before; should a store be stricter, the bar matters more than what hangs on it.
            bare = msgspec.structs.replace(state, metadata=None, result=None, metrics=None, history=None)
            return await self._guard(store.publish(bare, start=start))

    async def _guard(self, answer: Awaitable[_T]) -> _T:
        """Await a store, and turn what it should not do, hang or raise something else, into an outage."""
        try:
            async with asyncio.timeout(self._settings.deadline_s + GRACE_S):
                return await answer
        except (StoreError, ProtocolError):
            raise
        except TimeoutError:
            raise StoreUnavailableError(self.name, "no answer") from None
        except Exception as exc:
            if self._outage is None:
                _log.debug("The store failed in a way of its own.", exc_info=True)
            raise StoreUnavailableError(self.name, f"it failed with {type(exc).__name__}") from exc

    async def _rest(self, delay_s: float, wake: asyncio.Event) -> None:
        if self._hurried:
            await asyncio.sleep(HURRIED_RETRY_S)
            return
        self._waiting.add(wake)
        await wait_until(wake, within_s=delay_s)
        self._waiting.discard(wake)

    def _healthy(self, health: Health) -> None:
        # A store with a connection of its own knows before anybody asks, and what it refused may be another server's.
        if health.up:
            self._wake_all()

    def _wake_all(self) -> None:
        for wake in self._waiting:
            wake.set()

    def _failed(self, exc: StoreError, answers: int) -> None:
        # An attempt that began before the last answer says nothing about now: a hung store fails many, one by one.
        if self._outage is None and answers == self._answers:
            self._outage = exc
            _log.warning("%s Jobs go on; their newest states are sent when it is back.", exc)

    def _refused(self, reason: str) -> None:
        # Not an outage: a ticket may be good for another job on the same link, and each success would end it.
        if reason not in self._refusals:
            if len(self._refusals) >= REFUSALS_REMEMBERED:
                self._refusals.clear()
            self._refusals.add(reason)
            _log.warning("%s Jobs go on; it is tried again every %d s.", reason, DENIED_RETRY_S)

    def _succeeded(self, denied: str) -> None:
        self._answers += 1
        if denied in self._refusals:
            self._refusals.discard(denied)
            _log.info("The store %s takes the credential now.", self.name)
        if self._outage is not None:
            self._outage = None
            _log.info("The store %s answers again.", self.name)
            self._wake_all()


async def wait_until(event: asyncio.Event, *, within_s: float) -> None:
    """Wait for an event, and set it if it did not come in time."""
    # Not asyncio.timeout, which cancels the task and raises through it: twice the work, at each look at each job.
    timer = asyncio.get_running_loop().call_later(within_s, event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()
