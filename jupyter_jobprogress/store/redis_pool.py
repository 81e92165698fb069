"""Few connections for commands to one Redis, each with one question at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from jupyter_jobprogress.store.redis_wire import Command, ErrorReply, Reply, Wire, pack

COMMAND_CONNECTIONS: Final = 3
"""Most connections for commands. With the push connection a store has four, for any number of jobs."""

FOREIGN: Final = (RedisError, OSError, AttributeError, RuntimeError, ValueError)
"""What redis-py lets through when it cannot connect: its own errors, those of sockets, TLS and DNS, a host name that
cannot be encoded (ValueError), and slips on a writer that is gone (AttributeError, RuntimeError; seen up to 8.1)."""

Dial = Callable[[], Awaitable[AbstractConnection]]
"""Makes a connection that is not connected yet, to where commands should go now."""


class Pool:
    """Not redis-py's, which takes longer over a command than Redis does."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._idle: list[Wire] = []
        self._permits = asyncio.Semaphore(COMMAND_CONNECTIONS)
        self._closing = asyncio.Lock()
        self._drained = 0

    async def exchange(self, commands: Sequence[Command], *, deadline: float) -> list[Reply]:
        """Send commands in one round trip and return their replies, errors among them.

        Raises TimeoutError at ``deadline``, in the loop's time, wherever it has come to by then: the wait for a
        connection, name resolution, sign-in, the replies.

        Redis may have closed a connection that rested, which shows only now: then a new one is tried. So it is after
        READONLY, which a master answers that became a replica. Every command of a store may come twice.

        Cancellation closes the connection that was in use.
        """
        packed, count = pack(commands), len(commands)
        if self._permits.locked():
            async with asyncio.timeout_at(deadline):
                await self._permits.acquire()
        else:
            await self._permits.acquire()
        try:
            while self._idle:
                with contextlib.suppress(RedisConnectionError, ConnectionResetError, BrokenPipeError):
                    replies = await self._exchange_on(self._idle.pop(), packed, count, deadline)
                    if not _any_error(replies, "READONLY"):
                        return replies
                    await self._forget_idle()
            async with asyncio.timeout_at(deadline):
                wire = await Wire.open(await self._dial())
            return await self._exchange_on(wire, packed, count, deadline)
        finally:
            self._permits.release()

    async def close(self) -> None:
        """Let commands under way end, then close the connections. Idempotent."""
        async with self._closing:
            # Counted, so that a close that was cancelled can be taken up again.
            while self._drained < COMMAND_CONNECTIONS:
                await self._permits.acquire()
                self._drained += 1
        await self._forget_idle()
        await asyncio.sleep(0)  # the turn in which transports close their sockets

    async def _forget_idle(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    async def _exchange_on(self, wire: Wire, packed: bytes, count: int, deadline: float) -> list[Reply]:
        try:
            replies = await wire.ask(packed, count, deadline=deadline)
        except BaseException:
            await wire.close()
            raise
        if _any_error(replies, "Protocol error"):
            # Redis closes such a connection a moment later.
            await wire.close()
        else:
            self._idle.append(wire)
        return replies


def _any_error(replies: Sequence[Reply], words: str) -> bool:
    # Not by the code of the error: Redis before 7 wraps that of a command within a script.
    return any(isinstance(reply, ErrorReply) and words in str(reply) for reply in replies)
