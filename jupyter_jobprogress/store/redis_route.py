"""Which server a command goes to: the one of the URL, or the master that Sentinels name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import Sentinel

from jupyter_jobprogress.store.redis_pool import Pool
from jupyter_jobprogress.store.redis_url import Target
from jupyter_jobprogress.store.redis_wire import Command, Reply


class Route(Protocol):
    """A way to Redis. Deadlines are in the loop's time; TimeoutError is raised where one is over."""

    async def exchange(self, commands: Sequence[Command], *, key: str, deadline: float) -> list[Reply]:
        """Send commands about keys in the slot of ``key`` in one round trip; "" where none has a key. Return their
        replies, errors among them. What is sent may come twice."""

    async def each(self, calls: Sequence[tuple[str, Command]], *, deadline: float) -> list[Reply]:
        """The same for commands with a key each, in as few round trips as there are servers."""

    async def dial(self) -> AbstractConnection:
        """Make a connection for pushes, not connected yet."""

    async def close(self) -> None:
        """Let what is under way end, then close all. Idempotent."""


class Direct:
    """One server at a time: always the same, or whichever the Sentinels call the master."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._pool = Pool(self.dial)
        self._sentinel = None
        if target.kind == "sentinel":
            own = target.sentinel_options
            self._sentinel = Sentinel(target.hosts, sentinel_kwargs=own)  # type: ignore[no-untyped-call]

    async def exchange(self, commands: Sequence[Command], *, key: str, deadline: float) -> list[Reply]:
        return await self._pool.exchange(commands, deadline=deadline)

    async def each(self, calls: Sequence[tuple[str, Command]], *, deadline: float) -> list[Reply]:
        return await self._pool.exchange([command for _, command in calls], deadline=deadline)

    async def dial(self) -> AbstractConnection:
        # Asked anew for each connection. A demoted master is told by Sentinel to drop the connections that it has, and
        # one that hangs loses its own by their deadlines.
        own: dict[str, Any] = {}
        if self._sentinel is not None:
            own["host"], own["port"] = await self._sentinel.discover_master(self._target.service)
        return self._target.connection_class(**self._target.options | own)

    async def close(self) -> None:
        await self._pool.close()
        if self._sentinel is not None:
            for sentinel in self._sentinel.sentinels:
                await sentinel.aclose()
