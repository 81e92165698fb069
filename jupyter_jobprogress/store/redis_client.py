"""Commands to Redis: few connections, one deadline, and one place where foreign errors become ours."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.utils import get_lib_version

from jupyter_jobprogress.errors import StoreClosedError, StoreDeniedError, StoreError, StoreUnavailableError
from jupyter_jobprogress.settings import Settings, mask_url
from jupyter_jobprogress.store.redis_cluster import Cluster
from jupyter_jobprogress.store.redis_pool import FOREIGN
from jupyter_jobprogress.store.redis_route import Direct, Route
from jupyter_jobprogress.store.redis_url import read_url
from jupyter_jobprogress.store.redis_wire import Command, ErrorReply, Reply

_DENIED: Final = (AuthenticationError, AuthorizationError, NoPermissionError)
_DENIED_WORDS: Final = ("NOAUTH", "WRONGPASS", "NOPERM", "unauthenticated")
"""In the text of other errors: Redis before 7 wraps that of a command within a script, and whoever has not signed in is
told "unauthenticated multibulk length" for a command of more than ten arguments."""

# redis-py looks its own version up whenever it makes a connection, which imports modules the first time, others with
# each Python: not in the thread of a sender, where that would take the GIL from the job.
get_lib_version()  # type: ignore[no-untyped-call]


def store_error(url: str, exc: BaseException, deadline_s: float) -> StoreError:
    """Say what an error of redis-py means for a store. ``url`` is masked."""
    if isinstance(exc, StoreError):
        return exc
    reason = str(exc) or type(exc).__name__
    if isinstance(exc, _DENIED) or (isinstance(exc, ResponseError) and any(word in reason for word in _DENIED_WORDS)):
        return StoreDeniedError(url, reason)
    if isinstance(exc, (TimeoutError, RedisTimeoutError)):
        reason = f"it did not come within {deadline_s:g} s"
    return StoreUnavailableError(url, reason)


class Script:
    """A Lua file beside this module, called by its digest."""

    def __init__(self, name: str) -> None:
        self.source = Path(__file__).with_name(name).read_bytes()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()


class RedisClient:
    """Runs commands within ``Settings.deadline_s``, DNS and the wait for a connection included.

    Over connections of redis-py, but not through its client and pool, which take longer over a command than Redis
    does. ``done`` is told of every command's end: None, or the error that was raised.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        done: Callable[[StoreError | None], None],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.url = mask_url(settings.url or "")
        self._deadline_s = settings.deadline_s
        target = read_url(settings)
        self._route: Route = (
            Cluster(target, deadline_s=settings.deadline_s) if target.kind == "cluster" else Direct(target)
        )
        self._done = done
        self._clock = clock
        # On the monotonic clock, so that a step of the local clock does not move the store's.
        self._offset_us = (wall() - clock()) * 1e6
        self.closed = False

    def now_us(self) -> int:
        """Estimate the clock of Redis by the newest answer that told it."""
        return int(self._clock() * 1e6 + self._offset_us)

    def check_open(self) -> None:
        """Raise StoreClosedError after ``close``."""
        if self.closed:
            raise StoreClosedError

    async def dial(self) -> AbstractConnection:
        """Make a connection for pushes, not connected yet, whose reads and writes have no timeout of their own."""
        return await self._route.dial()

    async def commands(self, *commands: Command, key: str = "") -> list[Any]:
        """Send commands in one round trip, not as a transaction, and return their replies; learn the time by the way.

        ``key`` tells where in a Cluster all of them belong. Raises the first error among the replies.
        """
        started = self._clock()
        replies = await self._within_deadline(
            lambda deadline: self._route.exchange([("TIME",), *commands], key=key, deadline=deadline)
        )
        (seconds, microseconds), *answers = cast("list[Any]", replies)
        self._learn(started, int(seconds) * 1_000_000 + int(microseconds))
        return answers

    async def each(self, calls: Sequence[tuple[str, Command]]) -> list[Any]:
        """Send commands with the key of each, in as few round trips as there are servers, and return their replies.

        Raises the first error among the replies.
        """
        return await self._within_deadline(lambda deadline: self._route.each(calls, deadline=deadline))

    async def script(self, script: Script, keys: Sequence[str], args: Command, *, time_at: int | None = None) -> Any:
        """Run a script in one round trip; in two if Redis does not have it. ``time_at``: where its reply has the time.

        EVAL brings it back after a restart or SCRIPT FLUSH. Not SCRIPT LOAD, which a tight ACL denies. In a Cluster all
        keys have one slot.
        """
        started = self._clock()
        call, key = (len(keys), *keys, *args), keys[0]

        async def run(deadline: float) -> list[Reply]:
            replies = await self._route.exchange([("EVALSHA", script.sha, *call)], key=key, deadline=deadline)
            if isinstance(replies[0], ErrorReply) and replies[0].code == "NOSCRIPT":
                replies = await self._route.exchange([("EVAL", script.source, *call)], key=key, deadline=deadline)
            return replies

        (reply,) = cast("list[Any]", await self._within_deadline(run))
        if time_at is not None:
            self._learn(started, reply[time_at])
        return reply

    async def close(self) -> None:
        """Let commands under way end (each has its deadline), then close the connections. Idempotent."""
        self.closed = True
        await self._route.close()

    async def _within_deadline(self, ask: Callable[[float], Awaitable[list[Reply]]]) -> list[Reply]:
        self.check_open()
        try:
            replies = await ask(asyncio.get_running_loop().time() + self._deadline_s)
            for reply in replies:
                if isinstance(reply, ErrorReply):
                    raise reply
        except FOREIGN as exc:
            error = store_error(self.url, exc, self._deadline_s)
            self._done(error)
            raise error from exc
        self._done(None)
        return replies

    def _learn(self, started: float, time_us: int) -> None:
        self._offset_us = time_us - (started + self._clock()) / 2 * 1e6
