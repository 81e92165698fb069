"""Commands to Redis: few connections, one deadline, and one place where foreign errors become ours."""

from __future__ import annotations

import asyncio

# redis-py looks its own version up when it makes a connection, which imports this: not in the thread of a sender, where
# it would take the GIL from the job.
import email.parser  # noqa: F401
import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

from redis.asyncio import Connection
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from jupyter_jobprogress.errors import (
    SettingsError,
    StoreClosedError,
    StoreDeniedError,
    StoreError,
    StoreUnavailableError,
)
from jupyter_jobprogress.settings import Settings, mask_url
from jupyter_jobprogress.store.redis_pool import FOREIGN, Pool
from jupyter_jobprogress.store.redis_wire import Command, ErrorReply, Reply

_DENIED: Final = (AuthenticationError, AuthorizationError, NoPermissionError)
_DENIED_WORDS: Final = ("NOAUTH", "WRONGPASS", "NOPERM", "unauthenticated")
"""In the text of other errors: Redis before 7 wraps that of a command within a script, and whoever has not signed in is
told "unauthenticated multibulk length" for a command of more than ten arguments."""

_IGNORED_OPTIONS: Final = ("max_connections", "timeout", "retry_on_error", "legacy_responses", "encoding_errors")


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
        self._connection_class, self._options = _connection_options(settings)
        self._pool = Pool(self.dial)
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
        """Make a connection, not connected yet, whose reads and writes have no timeout of their own."""
        return self._connection_class(**self._options)

    async def commands(self, *commands: Command) -> list[Any]:
        """Send commands in one round trip, not as a transaction, and return their replies; learn the time by the way.

        Raises the first error among the replies.
        """
        started = self._clock()
        (seconds, microseconds), *replies = cast("list[Any]", await self._within_deadline([("TIME",), *commands]))
        self._learn(started, int(seconds) * 1_000_000 + int(microseconds))
        return replies

    async def script(self, script: Script, keys: Sequence[str], args: Command, *, time_at: int | None = None) -> Any:
        """Run a script in one round trip; in two if Redis does not have it. ``time_at``: where its reply has the time.

        EVAL brings it back after a restart or SCRIPT FLUSH. Not SCRIPT LOAD, which a tight ACL denies.
        """
        started = self._clock()
        call = (len(keys), *keys, *args)
        evalsha, evaluate = ("EVALSHA", script.sha, *call), ("EVAL", script.source, *call)
        (reply,) = cast("list[Any]", await self._within_deadline([evalsha], evaluate))
        if time_at is not None:
            self._learn(started, reply[time_at])
        return reply

    async def close(self) -> None:
        """Let commands under way end (each has its deadline), then close the connections. Idempotent."""
        self.closed = True
        await self._pool.close()

    async def _within_deadline(self, commands: Sequence[Command], otherwise: Command | None = None) -> list[Reply]:
        self.check_open()
        try:
            deadline = asyncio.get_running_loop().time() + self._deadline_s
            replies = await self._pool.exchange(commands, deadline=deadline)
            if otherwise is not None and isinstance(replies[0], ErrorReply) and replies[0].code == "NOSCRIPT":
                replies = await self._pool.exchange([otherwise], deadline=deadline)
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


def _connection_options(settings: Settings) -> tuple[type[AbstractConnection], dict[str, Any]]:
    """Return the class of connection that a URL asks for, and its arguments.

    Options in the URL (database, TLS, client name) are kept, but not those that would undo the deadline or the
    format of replies.

    Raises:
        SettingsError: redis-py cannot make a connection of this URL.
    """
    expected = "a Redis URL with options that redis-py knows"
    try:
        parsed: dict[str, Any] = dict(parse_url(settings.url or ""))
    except ValueError:
        # Its text may hold a part of the URL, so that it must not become the context of what is raised, either.
        parsed = {"connection_class": None}
    connection_class = parsed.pop("connection_class", Connection)
    options = {name: value for name, value in parsed.items() if name not in _IGNORED_OPTIONS}
    options |= {
        "protocol": 2,  # half the cost per message of RESP3 in redis-py
        "decode_responses": False,
        # The deadline is around the whole of a command; timers of redis-py within it would only cost time.
        "socket_timeout": None,
        "socket_connect_timeout": settings.deadline_s,
        # By default redis-py tries 11 times: 59 s with a Redis that hangs.
        "retry": Retry(NoBackoff(), 0),
        "retry_on_timeout": False,
        "health_check_interval": 0,
    }
    try:
        connection_class(**options)
    except (TypeError, ValueError, RedisError):
        pass
    else:
        return connection_class, options
    raise SettingsError("the store URL", mask_url(settings.url or ""), expected)
