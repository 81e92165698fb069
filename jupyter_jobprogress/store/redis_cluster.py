"""A Redis Cluster: which of its nodes has a slot, and what to do when that has changed.

Not the cluster client of redis-py, for the reasons of redis_client, and because it has no deadline: it asks again, and
asks all nodes, for as long as its own timeouts allow. Pushes need no map: a Cluster carries what is published to all of
its nodes, so that one connection to any of them serves all jobs, and stays right while slots move.
"""

from __future__ import annotations

import asyncio
import bisect
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, cast

from redis.asyncio.connection import AbstractConnection
from redis.crc import key_slot
from redis.exceptions import AuthenticationError, AuthorizationError
from redis.exceptions import ConnectionError as RedisConnectionError

from jupyter_jobprogress.backoff import OWN_RANDOM
from jupyter_jobprogress.store.redis_pool import FOREIGN, Pool
from jupyter_jobprogress.store.redis_url import Address, Target
from jupyter_jobprogress.store.redis_wire import Command, ErrorReply, Reply

ASK_AGAIN_S: Final = 0.05
"""Wait before a slot is tried again that is moving, or has lost its master."""

MAP_SHARE: Final = 0.25
"""Share of a deadline after which a node that does not tell the map is left for another."""

REFUSED: Final = (AuthenticationError, AuthorizationError)
"""What every node would answer."""

_ELSEWHERE: Final = ("MOVED", "ASK")
_LATER: Final = ("TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "READONLY")


class Cluster:
    """A Route. ``deadline_s`` is the longest that a command may take, as in Settings."""

    def __init__(self, target: Target, *, deadline_s: float) -> None:
        self._target = target
        self._deadline_s = deadline_s
        self._pools: dict[Address, Pool] = {}
        self._masters: list[Address] = []
        self._ends: list[int] = []
        self._owners: list[Address] = []
        self._learning: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._stale = True
        self._pushed_by: Address | None = None
        self._turn = OWN_RANDOM.randrange(256)

    async def exchange(self, commands: Sequence[Command], *, key: str, deadline: float) -> list[Reply]:
        async with asyncio.timeout_at(deadline):
            address = await self._owner(key)
            asking = False
            while True:
                try:
                    replies = await self._ask(address, commands, asking=asking, deadline=deadline)
                except (TimeoutError, *REFUSED):
                    self._stale = True
                    raise
                except FOREIGN:
                    self._stale = True
                    if not self._others(address):
                        raise
                    error = None
                else:
                    error = _redirection(replies)
                    if error is None:
                        return replies
                asking = error is not None and error.code == "ASK"
                if error is not None and error.code in _ELSEWHERE:
                    self._stale |= error.code == "MOVED"
                    address = _address_in(error, address)
                else:
                    await asyncio.sleep(ASK_AGAIN_S)
                    self._stale = True
                    address = await self._owner(key, but=address if error is None else None)

    async def each(self, calls: Sequence[tuple[str, Command]], *, deadline: float) -> list[Reply]:
        async with asyncio.timeout_at(deadline):
            groups: dict[Address, list[int]] = defaultdict(list)
            for index, (key, _) in enumerate(calls):
                groups[await self._owner(key)].append(index)
        replies: list[Reply] = [None] * len(calls)

        async def ask(address: Address, indices: list[int]) -> None:
            try:
                found = await self._ask(address, [calls[index][1] for index in indices], deadline=deadline)
            except (TimeoutError, *REFUSED):
                self._stale = True
                raise
            except FOREIGN as exc:
                self._stale = True
                found = [ErrorReply(f"TRYAGAIN {exc}")] * len(indices)
            for index, reply in zip(indices, found, strict=True):
                if _redirection([reply]) is not None:
                    key, command = calls[index]
                    (reply,) = await self.exchange([command], key=key, deadline=deadline)
                replies[index] = reply

        try:
            async with asyncio.TaskGroup() as group:
                for address, indices in groups.items():
                    group.create_task(ask(address, indices))
        except BaseExceptionGroup as exc:
            raise exc.exceptions[0] from None
        return replies

    async def dial(self) -> AbstractConnection:
        """Take another node each time, so that one which is gone is soon left alone."""
        known = self._masters or list(self._target.hosts)
        self._turn += 1
        self._pushed_by = known[self._turn % len(known)]
        return self._connection(self._pushed_by)

    async def close(self) -> None:
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.gather(self._learning, return_exceptions=True)
        for pool in self._pools.values():
            await pool.close()
        await asyncio.gather(*self._closing)

    async def _ask(
        self, address: Address, commands: Sequence[Command], *, deadline: float, asking: bool = False
    ) -> list[Reply]:
        pool = self._pools.get(address)
        if pool is None:

            async def dial() -> AbstractConnection:
                return self._connection(address)

            pool = self._pools[address] = Pool(dial)
        if asking:  # holds for the next command alone
            asked = [part for command in commands for part in (("ASKING",), command)]
            return (await pool.exchange(asked, deadline=deadline))[1::2]
        return await pool.exchange(commands, deadline=deadline)

    def _connection(self, address: Address) -> AbstractConnection:
        host, port = address
        return self._target.connection_class(**self._target.options | {"host": host, "port": port})

    def _others(self, address: Address) -> bool:
        return any(known != address for known in (*self._masters, *self._target.hosts))

    async def _owner(self, key: str, *, but: Address | None = None) -> Address:
        """Return the node that has a key; for "" any, but not the one that pushes come from: what is published there
        proves less. ``but``: one that does not answer, as long as the map names another.

        Raises RedisConnectionError where no node tells the map.
        """
        if self._stale:
            if self._learning is None or self._learning.done():
                self._learning = asyncio.create_task(self._learn(), name="jobprogress cluster map")
                # All who waited may have reached their deadlines, and then nobody takes its error.
                self._learning.add_done_callback(lambda task: task.cancelled() or task.exception())
            # Shared by all who wait; one who gives up must not take it from the others.
            await asyncio.shield(self._learning)
        if key:
            place = bisect.bisect_left(self._ends, key_slot(key.encode()))
            if place < len(self._owners):
                return self._owners[place]
        known = [known for known in self._masters if known not in (but, self._pushed_by)]
        return OWN_RANDOM.choice(known or self._masters)

    async def _learn(self) -> None:
        """Ask one node after the other for the map. Raises RedisConnectionError if none has told it."""
        said: object = "none is known"
        for address in self._candidates():
            try:
                deadline = asyncio.get_running_loop().time() + self._deadline_s * MAP_SHARE
                (reply,) = await self._ask(address, [("CLUSTER", "SLOTS")], deadline=deadline)
            except REFUSED:
                raise
            except FOREIGN as exc:  # TimeoutError is an OSError
                said = exc
                continue
            if isinstance(reply, ErrorReply):
                said = reply
                continue
            ranges = sorted(_ranges(reply, address))
            if ranges:
                self._ends, self._owners = [end for end, _ in ranges], [owner for _, owner in ranges]
                self._masters = list(dict.fromkeys(self._owners))
                self._stale = False
                self._forget_others()
                return
            said = "it has no slots yet"
        if isinstance(said, ErrorReply):
            raise said
        raise RedisConnectionError(
            f"no node of the cluster told its map; the last one: {str(said) or type(said).__name__}"
        )

    def _candidates(self) -> list[Address]:
        known = list(dict.fromkeys((*self._masters, *self._target.hosts)))
        OWN_RANDOM.shuffle(known)
        return known

    def _forget_others(self) -> None:
        kept = {*self._masters, *self._target.hosts}
        for address in [address for address in self._pools if address not in kept]:
            # Waits for what is under way there, and nobody should wait for that.
            task = asyncio.create_task(self._pools.pop(address).close(), name="jobprogress old cluster node")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def _redirection(replies: Sequence[Reply]) -> ErrorReply | None:
    for reply in replies:
        if isinstance(reply, ErrorReply) and reply.code in (*_ELSEWHERE, *_LATER):
            return reply
    return None


def _address_in(error: ErrorReply, asked: Address) -> Address:
    """Read ``MOVED 3999 127.0.0.1:6381``. A node that does not know its own name leaves the host out."""
    host, _, port = str(error).split()[2].rpartition(":")
    return host or asked[0], int(port)


def _ranges(reply: Reply, asked: Address) -> Iterator[tuple[int, Address]]:
    """Return the last slot of each range, and its master. No range is missing in a cluster that is whole; in one that
    is not, the owner of the next range answers where a key is, or that nobody has it."""
    for _, end, master, *_ in cast("list[tuple[int, int, tuple[bytes | None, int], object]]", reply):
        host, port = master[0], master[1]
        yield end, (host.decode() if host else asked[0], port)
