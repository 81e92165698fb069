"""Pushes from Redis: one connection, owned by one task, for any number of subscriptions and jobs.

Not the PubSub of redis-py: it reconnects by itself, so that a gap is not seen, it breaks when one task reads while
another subscribes, and a Redis that hangs is never noticed. Here the owner task alone writes, what arrives is handled
in the turn of the loop that reads it, and nothing reconnects but the owner, which makes a new connection each time.

What is wanted and what Redis has confirmed are two sets; the owner brings the second to the first. Every message to
itself through the probe channel that comes back proves the whole way from PUBLISH to here; PING would prove less.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Final, NoReturn, cast

from jupyter_jobprogress.backoff import OWN_RANDOM
from jupyter_jobprogress.errors import StoreClosedError, StoreDeniedError, StoreError, StoreUnavailableError
from jupyter_jobprogress.protocol.messages import Stored
from jupyter_jobprogress.protocol.names import RedisNames, check_job_id
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.base import Health, Listener, Subscription
from jupyter_jobprogress.store.readable import Readable
from jupyter_jobprogress.store.redis_client import RedisClient, store_error
from jupyter_jobprogress.store.redis_pool import FOREIGN
from jupyter_jobprogress.store.redis_wire import ErrorReply, Reply, Wire

BACKOFF_FIRST_S: Final = 0.1
BACKOFF_MOST_S: Final = 5.0
DENIED_RETRY_S: Final = 60.0
"""Longest wait after a refused credential: a person must act first."""

BATCH: Final = 256
"""Most channels in one command: with the longest ids 56 kB, below the buffers of a socket."""

_log = logging.getLogger(__name__)


class _Wanted:
    """Who wants a job. ``subscriptions`` tells of each whether it was ever told that pushes arrive."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.subscriptions: dict[RedisSubscription, bool] = {}
        self.waiters: dict[RedisSubscription, list[asyncio.Future[None]]] = {}


class RedisPush:
    """Owns the push connection. ``report`` is told when it is lost and when all that is wanted is confirmed again."""

    def __init__(
        self,
        client: RedisClient,
        names: RedisNames,
        settings: Settings,
        readable: Readable,
        *,
        report: Callable[[Health], None],
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = OWN_RANDOM.random,
    ) -> None:
        self._client = client
        self._settings = settings
        self._readable = readable
        self._report = report
        self._clock = clock
        self._jitter = jitter
        self._owner: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._probe_channel = names.probe().encode()
        self._wanted: dict[bytes, _Wanted] = {}
        self._denied: StoreDeniedError | None = None
        self._interrupted = False
        self._gaps: dict[RedisSubscription, list[str]] = {}
        self._gaps_handle: asyncio.Handle | None = None
        self._forget_connection()

    @property
    def started(self) -> bool:
        """Whether there was ever a subscription, so that this connection speaks for the health of the store."""
        return self._owner is not None

    def probe_soon(self) -> None:
        """Ask for a probe now, not after silence: something else has failed."""
        self._probe_asked = True
        self._wake.set()

    async def add(self, subscription: RedisSubscription, job_id: str) -> None:
        channel = subscription.channel(job_id)
        self._client.check_open()
        wanted = self._wanted.get(channel)
        if wanted is None:
            wanted = self._wanted[channel] = _Wanted(job_id)
            self._changed(channel)
        wanted.subscriptions.setdefault(subscription, False)
        if channel in self._confirmed:
            wanted.subscriptions[subscription] = True
            return
        if self._owner is None:
            self._owner = asyncio.create_task(self._own(), name="jobprogress push connection")
        if self._denied is not None:
            raise StoreDeniedError(self._denied.url, self._denied.reason)
        await self._confirmation(wanted, subscription)

    async def _confirmation(self, wanted: _Wanted, subscription: RedisSubscription) -> None:
        waiter = asyncio.get_running_loop().create_future()
        waiters = wanted.waiters.setdefault(subscription, [])
        waiters.append(waiter)
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                await waiter
        except TimeoutError as exc:
            if waiter.done() and not waiter.cancelled():
                return  # confirmed in the very turn of the deadline: there will be no gap to tell of it
            reason = f"the subscription was not confirmed within {self._settings.deadline_s:g} s"
            raise StoreUnavailableError(self._client.url, reason) from exc
        finally:
            waiters.remove(waiter)

    def discard(self, subscription: RedisSubscription, job_id: str) -> None:
        channel = subscription.channel(job_id)
        wanted = self._wanted.get(channel)
        if wanted is None:
            return
        wanted.subscriptions.pop(subscription, None)
        for waiter in wanted.waiters.pop(subscription, ()):
            if not waiter.done():
                waiter.set_result(None)  # nobody wants to hear of it any more
        if not wanted.subscriptions:
            del self._wanted[channel]
            self._changed(channel)

    async def close(self) -> None:
        """End the owner and its connection. Who waits for a confirmation gets StoreClosedError. Idempotent."""
        if self._owner is not None:
            self._owner.cancel()
            await asyncio.gather(self._owner, return_exceptions=True)
        self._fail_waiters(StoreClosedError)
        self._wanted.clear()
        self._gaps.clear()
        if self._gaps_handle is not None:
            self._gaps_handle.cancel()

    def _changed(self, channel: bytes) -> None:
        self._dirty[channel] = None
        self._wake.set()

    async def _own(self) -> None:
        failures = 0
        while True:
            try:
                await self._serve()
            except Exception as exc:  # noqa: BLE001 — outermost line of a task; whatever it was is said, and healed
                error = store_error(self._client.url, exc, self._settings.deadline_s)
                if not isinstance(exc, (StoreError, *FOREIGN)):
                    _log.exception("The push connection to %s fell over an error of our own", self._client.url)
            failures = 1 if self._up else failures + 1
            self._lost(error)
            if isinstance(error, StoreDeniedError):
                delay_s = DENIED_RETRY_S * (1 + self._jitter()) / 2
            else:
                delay_s = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2 ** min(failures, 10)) * self._jitter()
            await asyncio.sleep(delay_s)

    def _lost(self, error: StoreError) -> None:
        self._forget_connection()
        if isinstance(error, StoreDeniedError):
            self._denied = error
            self._fail_waiters(lambda: StoreDeniedError(error.url, error.reason))
        if not self._interrupted:
            self._interrupted = True
            _log.warning("Live updates are interrupted. %s", error)
        self._report(Health(False, getattr(error, "reason", str(error))))

    def _forget_connection(self) -> None:
        """Start from nothing: on a new connection nothing is asked for, and all that is wanted is yet to be."""
        self._up = False
        self._probe_asked = False
        self._heard_at = self._clock()
        # When a message to ourselves was sent whose echo has not come yet.
        self._probed_at: float | None = None
        # ``_asked``: channels whose last command was SUBSCRIBE. ``_due``: how many confirmations of a channel are still
        # to come. Only the last one proves that an UNSUBSCRIBE sent in between is past.
        self._asked: set[bytes] = set()
        self._due: dict[bytes, int] = {}
        self._confirmed: set[bytes] = set()
        self._dirty: dict[bytes, None] = {}

    async def _serve(self) -> NoReturn:
        """Connect, and keep Redis's set of subscriptions equal to what is wanted until the connection is lost."""
        async with asyncio.timeout(self._settings.deadline_s):
            wire = await Wire.open(await self._client.dial(), pushed=self._received, ended=self._wake.set)
        try:
            # The probe's channel goes last: Redis answers in order, so that its confirmation, which counts as the first
            # echo, stands for all that is wanted now.
            self._dirty = dict.fromkeys([*self._wanted, self._probe_channel])
            self._heard_at = self._probed_at = self._clock()
            while wire.error is None:
                self._wake.clear()
                await self._reconcile(wire)
                await self._probe()
                await self._rest()
            raise wire.error
        finally:
            await wire.close()
            await asyncio.sleep(0)  # the turn in which the transport closes its socket

    async def _reconcile(self, wire: Wire) -> None:
        dirty, self._dirty = self._dirty, {}
        subscribe, unsubscribe = [], []
        for channel in dirty:
            is_wanted = channel in self._wanted or channel == self._probe_channel
            if is_wanted and channel not in self._asked:
                subscribe.append(channel)
            elif not is_wanted and channel in self._asked:
                unsubscribe.append(channel)
        # All of it is noted before the first await: ``add`` must not take a channel for confirmed that is about to go.
        self._asked.difference_update(unsubscribe)
        self._confirmed.difference_update(unsubscribe)
        self._asked.update(subscribe)
        for channel in subscribe:
            self._due[channel] = self._due.get(channel, 0) + 1
        for command, channels in (("UNSUBSCRIBE", unsubscribe), ("SUBSCRIBE", subscribe)):
            for first in range(0, len(channels), BATCH):
                async with asyncio.timeout(self._settings.deadline_s):
                    await wire.tell((command, *channels[first : first + BATCH]))

    async def _probe(self) -> None:
        now = self._clock()
        if self._probed_at is not None:
            if now - self._probed_at >= self._settings.probe_deadline_s:
                reason = f"a message to ourselves did not come back within {self._settings.probe_deadline_s:g} s"
                raise StoreUnavailableError(self._client.url, reason)
        elif self._probe_asked or now - self._heard_at >= self._settings.probe_idle_s:
            self._probe_asked = False
            self._probed_at = now
            await self._client.commands(("PUBLISH", self._probe_channel, b""))

    async def _rest(self) -> None:
        """Wait until there is something to do: a change, the end of the reader, or the time of the probe."""
        if self._probed_at is not None:
            until = self._probed_at + self._settings.probe_deadline_s
        else:
            until = self._heard_at + self._settings.probe_idle_s
        try:
            async with asyncio.timeout(max(until - self._clock(), 0)):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _received(self, replies: Iterable[Reply]) -> None:
        self._heard_at = self._clock()
        for reply in replies:
            if isinstance(reply, ErrorReply):
                raise reply
            kind, channel, content = cast("tuple[bytes, bytes, bytes]", reply)
            if kind == b"message":
                self._pushed(channel, content)
            elif kind == b"subscribe":
                self._confirm(channel)

    def _pushed(self, channel: bytes, data: bytes) -> None:
        wanted = self._wanted.get(channel)
        if wanted is None:
            if channel == self._probe_channel:
                self._echo()
            return
        stored = self._readable.read(wanted.job_id, data)
        if stored is not None:
            for subscription in tuple(wanted.subscriptions):
                subscription.pushed(stored)

    def _confirm(self, channel: bytes) -> None:
        left = self._due.get(channel, 0) - 1
        if left > 0:
            self._due[channel] = left
            return
        self._due.pop(channel, None)
        if channel not in self._asked:
            return
        self._confirmed.add(channel)
        if channel == self._probe_channel:
            self._echo()
        elif (wanted := self._wanted.get(channel)) is not None:
            for subscription, was_confirmed in wanted.subscriptions.items():
                waiting = [waiter for waiter in wanted.waiters.get(subscription, ()) if not waiter.done()]
                for waiter in waiting:
                    waiter.set_result(None)
                # Who waits will read (rule 17). Who does not wait, or no longer, must be told to.
                if was_confirmed or not waiting:
                    self._gap(subscription, wanted.job_id)
                wanted.subscriptions[subscription] = True

    def _gap(self, subscription: RedisSubscription, job_id: str) -> None:
        """Collect what the replies that are here already confirm: thousands of jobs make few calls of a listener."""
        self._gaps.setdefault(subscription, []).append(job_id)
        if self._gaps_handle is None:
            self._gaps_handle = asyncio.get_running_loop().call_soon(self._tell_gaps)

    def _tell_gaps(self) -> None:
        gaps, self._gaps = self._gaps, {}
        if self._gaps_handle is not None:
            self._gaps_handle.cancel()
            self._gaps_handle = None
        for subscription, job_ids in gaps.items():
            subscription.gap(job_ids)

    def _echo(self) -> None:
        self._probed_at = None
        if not self._up:
            self._up = True
            self._denied = None
            if self._interrupted:
                self._interrupted = False
                _log.info("Live updates from %s are back", self._client.url)
            self._tell_gaps()
            self._report(Health(True))

    def _fail_waiters(self, make_error: Callable[[], StoreError]) -> None:
        for wanted in self._wanted.values():
            for waiters in wanted.waiters.values():
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_exception(make_error())


class RedisSubscription(Subscription):
    """What one listener wants. An error of a listener is logged once and never reaches the reader."""

    def __init__(self, push: RedisPush, names: RedisNames, listener: Listener) -> None:
        self._push = push
        self._names = names
        self._listener = listener
        self._job_ids: set[str] = set()
        self._closed = False
        self._failed = False

    def channel(self, job_id: str) -> bytes:
        """Return the channel of a job, in the namespace of the store that this was made by."""
        return self._names.channel(job_id).encode()

    async def add(self, job_id: str) -> None:
        if self._closed:
            raise StoreClosedError
        self._job_ids.add(check_job_id(job_id))
        await self._push.add(self, job_id)

    def discard(self, job_id: str) -> None:
        self._job_ids.discard(job_id)
        self._push.discard(self, job_id)

    async def close(self) -> None:
        self._closed = True
        for job_id in tuple(self._job_ids):
            self.discard(job_id)

    def pushed(self, stored: Stored) -> None:
        try:
            self._listener.pushed(stored)
        except Exception:  # noqa: BLE001 — a listener's error must not stop the reader of all others
            self._log_once()

    def gap(self, job_ids: Iterable[str]) -> None:
        try:
            self._listener.gap(job_ids)
        except Exception:  # noqa: BLE001 — as above
            self._log_once()

    def _log_once(self) -> None:
        if not self._failed:
            self._failed = True
            _log.exception("A listener of job states failed; further errors of it are not logged")
