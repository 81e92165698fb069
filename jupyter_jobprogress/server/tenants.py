"""The parts of a server that belong to one tenant each: store, fan-out, reporters, children.

A server of one user, or with one token, has a single tenant, whose name is empty. As a service of a JupyterHub it has
one for each user, and nothing of one can reach another's: not by a check that could be forgotten, but because each asks
a store that has no other's jobs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from jupyter_jobprogress.server.children import Children
from jupyter_jobprogress.server.fanout import Fanout
from jupyter_jobprogress.server.metrics import Metrics
from jupyter_jobprogress.server.reporters import Reporters
from jupyter_jobprogress.store.base import Store

IDLE_S: Final = 300.0
"""How long a tenant is kept whom nobody asks for."""


@dataclass(eq=False)
class Tenant:
    """What belongs to one tenant. ``sessions`` counts its sockets; ``used_s`` is when it was asked for last."""

    store: Store
    fanout: Fanout
    reporters: Reporters
    children: Children
    used_s: float = 0.0
    sessions: int = field(default=0)

    async def close(self) -> None:
        """End what runs for it, and the store last."""
        await self.children.close()
        await self.fanout.close()
        await self.store.close()


class Tenants:
    """Makes tenants when they are asked for, out of one store. ``lasting``: it keeps what it is not asked for."""

    def __init__(self, store: Store, metrics: Metrics, *, lasting: bool) -> None:
        self._lasting = lasting  # or what a tenant leaves would be lost with it
        self._metrics = metrics
        self._store = store
        self._tenants: dict[str, Tenant] = {}
        self.only = self._make(store)
        """Of a server that is not shared, and of what concerns all."""

    def of(self, name: str, now_s: float) -> Tenant:
        """Return the tenant of that name. Raises SettingsError where the store cannot be divided."""
        if not name:
            return self.only
        tenant = self._tenants.get(name)
        if tenant is None:
            tenant = self._tenants[name] = self._make(self._store.of_tenant(name))
        tenant.used_s = now_s
        return tenant

    def idle(self, now_s: float) -> list[Tenant]:
        """Take out, and return for the caller to close, who has no socket and was not asked for in ``IDLE_S``."""
        names = [
            name
            for name, tenant in self._tenants.items()
            if self._lasting and not tenant.sessions and now_s - tenant.used_s > IDLE_S
        ]
        return [self._tenants.pop(name) for name in names]

    async def close(self) -> None:
        """End all, and the store that they share."""
        for tenant in (*self._tenants.values(), self.only):
            await tenant.close()
        self._tenants.clear()

    def _make(self, store: Store) -> Tenant:
        return Tenant(store, Fanout(store, self._metrics), Reporters(store), Children(store))
