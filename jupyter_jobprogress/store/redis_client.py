"""Commands to Redis: few connections, one deadline, and one place where foreign errors become ours."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Connection
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    NoScriptError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jupyter_jobprogress.errors import (
    SettingsError,
    StoreClosedError,
    StoreDeniedError,
    StoreError,
    StoreUnavailableError,
)
from jupyter_jobprogress.settings import Settings, mask_url

COMMAND_CONNECTIONS: Final = 3
"""Most connections for commands. With the push connection a store has four, for any number of jobs."""

FOREIGN: Final = (RedisError, OSError, AttributeError, RuntimeError, ValueError)
"""What redis-py lets through when a connection breaks: its own errors, those of sockets, TLS and DNS, a host name that
cannot be encoded (ValueError), and slips on a writer that is gone (AttributeError, RuntimeError; seen up to 8.1)."""

_DENIED: Final = (AuthenticationError, AuthorizationError, NoPermissionError)
_DENIED_WORDS: Final = ("NOAUTH", "WRONGPASS", "NOPERM", "unauthenticated")
"""In the text of other errors: Redis before 7 wraps that of a command within a script, and whoever has not signed in is
told "unauthenticated multibulk length" for a command of more than ten arguments."""

_IGNORED_OPTIONS: Final = ("max_connections", "timeout", "retry_on_error", "legacy_responses", "encoding_errors")

Command = Sequence[str | bytes | int]


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
        self._idle: list[AbstractConnection] = []
        self._permits = asyncio.Semaphore(COMMAND_CONNECTIONS)
        self._closing = asyncio.Lock()
        self._drained = 0
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

    def make_connection(self) -> AbstractConnection:
        """Make a connection, not connected yet, whose reads and writes have no timeout of their own."""
        return self._connection_class(**self._options)

    async def commands(self, *commands: Command) -> list[Any]:
        """Send commands in one round trip, not as a transaction, and return their replies; learn the time by the way.

        Raises the first error among the replies.
        """
        started = self._clock()
        (seconds, microseconds), *replies = await self._within_deadline(("TIME",), *commands)
        self._learn(started, int(seconds) * 1_000_000 + int(microseconds))
        return replies

    async def script(self, script: Script, keys: Sequence[str], args: Command, *, time_at: int | None = None) -> Any:
        """Run a script in one round trip; in two if Redis does not have it. ``time_at``: where its reply has the time.

        EVAL brings it back after a restart or SCRIPT FLUSH. Not SCRIPT LOAD, which a tight ACL denies.
        """
        started = self._clock()
        call = (len(keys), *keys, *args)
        (reply,) = await self._within_deadline(("EVALSHA", script.sha, *call), otherwise=("EVAL", script.source, *call))
        if time_at is not None:
            self._learn(started, reply[time_at])
        return reply

    async def close(self) -> None:
        """Let commands under way end (each has its deadline), then close the connections. Idempotent."""
        self.closed = True
        async with self._closing:
            # Counted, so that a close that was cancelled can be taken up again.
            while self._drained < COMMAND_CONNECTIONS:
                await self._permits.acquire()
                self._drained += 1
        while self._idle:
            with contextlib.suppress(*FOREIGN):  # it is closed, if not politely
                await self._idle.pop().disconnect()

    async def _within_deadline(self, *commands: Command, otherwise: Command | None = None) -> list[Any]:
        self.check_open()
        try:
            async with asyncio.timeout(self._deadline_s), self._permits:
                self.check_open()
                try:
                    result = await self._exchange(commands)
                except NoScriptError:
                    if otherwise is None:
                        raise
                    result = await self._exchange([otherwise])
        except FOREIGN as exc:
            error = store_error(self.url, exc, self._deadline_s)
            self._done(error)
            raise error from exc
        self._done(None)
        return result

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands on a connection and read their replies.

        Redis may have closed a connection that rested, which shows only now: then a new one is tried. Every command
        of a store may come twice.
        """
        while self._idle:
            try:
                return await self._exchange_on(self._idle.pop(), commands)
            except (RedisConnectionError, ConnectionResetError, BrokenPipeError):
                continue
        return await self._exchange_on(self.make_connection(), commands)

    async def _exchange_on(self, connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
        replies: list[Any] = []
        try:
            if not connection.is_connected:
                await connection.connect()  # type: ignore[no-untyped-call]
            packed = _pack(connection, commands)
            await connection.send_packed_command(packed, check_health=False)
            for _ in commands:
                try:
                    replies.append(await connection.read_response())
                except ResponseError as exc:
                    replies.append(exc)
        except BaseException:
            # After a cancellation, too: a reply that is still to come must not become the answer to the next command
            # (CVE-2023-28858).
            await connection.disconnect(nowait=True)
            raise
        error = next((reply for reply in replies if isinstance(reply, ResponseError)), None)
        if error is not None and "Protocol error" in str(error):
            # Redis closes such a connection a moment later.
            await connection.disconnect(nowait=True)
        else:
            self._idle.append(connection)
        if error is not None:
            raise error
        return replies

    def _learn(self, started: float, time_us: int) -> None:
        self._offset_us = time_us - (started + self._clock()) / 2 * 1e6


def _pack(connection: AbstractConnection, commands: Sequence[Command]) -> list[bytes]:
    if len(commands) == 1:
        return connection.pack_command(*commands[0])
    return connection.pack_commands(commands)


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
