"""What a server of progress consists of, in a Jupyter server or alone: store, fan-out, sessions, limits, metrics."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from jupyter_jobprogress.errors import StoreError
from jupyter_jobprogress.protocol.codes import CloseCode
from jupyter_jobprogress.server.grants import Grant
from jupyter_jobprogress.server.idle import Idlers
from jupyter_jobprogress.server.keeper import TICK_S, Keeper, Rota
from jupyter_jobprogress.server.limits import Door
from jupyter_jobprogress.server.mailbox import Outlet
from jupyter_jobprogress.server.metrics import Metrics
from jupyter_jobprogress.server.open_sockets import OpenSockets
from jupyter_jobprogress.server.session import Session
from jupyter_jobprogress.server.tenants import Tenant, Tenants
from jupyter_jobprogress.server.turns import Turns
from jupyter_jobprogress.server.watchman import Check, Watchman, still_in
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store import connect
from jupyter_jobprogress.store.base import Health

PROBE_S: Final = 30.0
"""How often a viewer is asked for a sign of life by a ping of the WebSocket protocol."""

HEALTH_JOB: Final = "health"
"""What is read in order to learn whether the store answers; whether there is such a job does not matter."""

COMPLAIN_EVERY_S: Final = 60.0

_log = logging.getLogger(__name__)


class Service:
    """Owns the store, the fan-out and every session. Made in the event loop that it lives in."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = connect(settings)
        self.metrics = Metrics()
        self._tenants = Tenants(self.store, self.metrics, lasting=bool(settings.url or settings.database))
        self.fanout = self._tenants.only.fanout
        self.reporters = self._tenants.only.reporters
        self._door = Door(settings)
        self.turns = Turns()
        self._sessions: dict[Session, tuple[Outlet, str, Tenant]] = {}
        self._watchman = Watchman(settings.recheck_s)
        self.sockets = OpenSockets()
        self._closing: set[asyncio.Task[None]] = set()
        self._complained_s = -COMPLAIN_EVERY_S
        self._pings = Rota(settings.ping_interval_s, Session.ping)
        self._probes = Rota(PROBE_S, Session.probe)
        self._idlers = Idlers(settings.idle_socket_s)
        self._first = Rota(settings.first_message_s, Session.silent, repeats=False)
        period_s = min(TICK_S, settings.ping_interval_s or TICK_S)
        self._keeper = Keeper(self._tick, self.metrics.loop_lag, period_s=period_s)

    def tenant(self, name: str) -> Tenant:
        """Return what belongs to one tenant, or with an empty name to the only one. Raises SettingsError."""
        return self._tenants.of(name, asyncio.get_running_loop().time())

    def allows_request(self, who: str) -> bool:
        """Whether ``who`` may make one more request or handshake now; 429 is the answer if not."""
        if self._door.allows_request(who):
            return True
        self.metrics.counts.refused += 1
        now_s = asyncio.get_running_loop().time()
        if now_s - self._complained_s >= COMPLAIN_EVERY_S:
            self._complained_s = now_s
            _log.warning(
                "More than requests_per_s = %g requests a second came from one user or address; they are answered by "
                "429. This is said once a minute.",
                self.settings.requests_per_s,
            )
        return False

    def open_session(
        self, *, grant: Grant, outlet: Outlet, who: str = "", job_id: str | None = None, check: Check = still_in
    ) -> Session | None:
        """Make a session; ``await session.start()`` next. None: ``who`` is over a limit, and the outlet was closed.

        ``check`` is asked every ``Settings.recheck_s`` seconds what the other end may do now.
        """
        guest = self._door.enter(who)
        if isinstance(guest, str):
            self.metrics.counts.refused += 1
            outlet.close(CloseCode.TOO_MANY, guest)
            return None
        tenant = self.tenant(grant.tenant)
        tenant.sessions += 1
        session = Session(
            store=tenant.store,
            fanout=tenant.fanout,
            reporters=tenant.reporters,
            children=tenant.children,
            settings=self.settings,
            grant=grant,
            guest=guest,
            outlet=outlet,
            job_id=job_id,
            spoke=self._first.discard,
        )
        self._sessions[session] = (outlet, who, tenant)
        now_s = asyncio.get_running_loop().time()
        self._pings.add(session, now_s)
        self._probes.add(session, now_s)
        self._idlers.add(session, now_s)
        self._watchman.add(session, grant, check, now_s)
        if job_id is None:
            self._first.add(session, now_s)
        self._keeper.start()
        return session

    def close_session(self, session: Session) -> None:
        """Let a session end. For callbacks that cannot await; ``close`` waits for what it leaves. Idempotent."""
        entry = self._sessions.pop(session, None)
        if entry is None:
            return
        _, who, tenant = entry
        self._door.leave(who)
        tenant.sessions -= 1
        self._watchman.discard(session)
        for rota in (self._pings, self._probes, self._idlers, self._first):
            rota.discard(session)
        for task in session.stop():
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        if not self._sessions:
            self._keeper.stop()

    async def health(self) -> Health:
        """Ask whether what this server shows is up to date, within ``Settings.deadline_s``.

        Pushes are watched all the time by the store itself; a read tells of the rest, and of a store that nobody uses.
        """
        if (health := self.store.health).up:
            try:
                with self.metrics.round_trip():
                    await self.store.read([HEALTH_JOB])
            except StoreError as exc:
                return Health(False, getattr(exc, "reason", str(exc)))
        return health

    async def close(self) -> None:
        """Send viewers away to come back (1012), end sessions, then the fan-out, then the store. Idempotent."""
        for session, (outlet, _, _) in list(self._sessions.items()):
            outlet.close(CloseCode.SERVICE_RESTART, "The server stops")
            self.close_session(session)
        self._keeper.stop()
        await self._watchman.close()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._tenants.close()

    def _tick(self, now_s: float) -> None:
        self._watchman.tick(now_s)
        for tenant in self._tenants.idle(now_s):
            task = asyncio.create_task(tenant.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        for rota in (self._pings, self._probes, self._idlers, self._first):
            rota.tick(now_s)
