"""What a server of progress consists of, in a Jupyter server or alone: store, fan-out, sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from jupyter_jobprogress.protocol.codes import CloseCode
from jupyter_jobprogress.server.fanout import Fanout
from jupyter_jobprogress.server.grants import Grant
from jupyter_jobprogress.server.reporters import Reporters
from jupyter_jobprogress.server.session import Session
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store import connect


class Service:
    """Owns the store, the fan-out and every session. Made in the event loop that it lives in."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = connect(settings)
        self.fanout = Fanout(self.store)
        self.reporters = Reporters(self.store)
        self._sessions: dict[Session, Callable[[CloseCode, str], None]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def open_session(
        self,
        *,
        grant: Grant,
        send: Callable[[bytes], Awaitable[None]],
        try_send: Callable[[bytes], bool] = lambda _: False,
        close: Callable[[CloseCode, str], None],
        job_id: str | None = None,
    ) -> Session:
        """Make a session; ``await session.start()`` next."""
        session = Session(
            store=self.store,
            fanout=self.fanout,
            reporters=self.reporters,
            settings=self.settings,
            grant=grant,
            send=send,
            try_send=try_send,
            close=close,
            job_id=job_id,
        )
        self._sessions[session] = close
        return session

    def close_session(self, session: Session) -> None:
        """Let a session end. For callbacks that cannot await; ``close`` waits for it."""
        if self._sessions.pop(session, None) is not None:
            task = asyncio.create_task(session.stop())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Send viewers away to come back (1012), end sessions, then the fan-out, then the store. Idempotent."""
        for session, close in list(self._sessions.items()):
            close(CloseCode.SERVICE_RESTART, "The server stops")
            self.close_session(session)
        await asyncio.gather(*self._closing)
        await self.fanout.close()
        await self.store.close()
