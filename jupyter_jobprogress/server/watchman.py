"""Asks again, while sockets are open, whether those at the other end may still be there.

A handshake is judged once and a socket lives for days: meanwhile its user signs out, is deleted or loses a right, its
token is revoked, its ticket expires.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from jupyter_jobprogress.errors import ForbiddenError, UnauthorizedError
from jupyter_jobprogress.protocol.codes import CloseCode
from jupyter_jobprogress.server.grants import Grant
from jupyter_jobprogress.server.keeper import Rota
from jupyter_jobprogress.server.session import Session

Check = Callable[[Grant], Awaitable[Grant]]
"""Returns what the other end of a socket may do now; takes what it might before.

Raises UnauthorizedError for one who is nobody any more, ForbiddenError for one who may not be here any more. Any other
error means that it cannot be known now, and leaves the socket as it is.
"""

AT_ONCE: Final = 8
"""Most questions under way: with thousands of sockets, whoever answers them has other work, too."""

_log = logging.getLogger(__name__)


async def still_in(grant: Grant) -> Grant:
    """Let everybody stay who came in: for servers whose users do not change."""
    return grant


class Watchman:
    """Closes sockets with 4401 or 4403, which tell a page not to come back; with 1012, after which it comes back with
    its new rights, where these have changed."""

    def __init__(self, interval_s: float) -> None:
        self._rota = Rota(interval_s, self._look)
        self._watched: dict[Session, tuple[Grant, Check]] = {}
        self._looks: dict[Session, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    def add(self, session: Session, grant: Grant, check: Check, now_s: float) -> None:
        self._watched[session] = (grant, check)
        self._rota.add(session, now_s)

    def discard(self, session: Session) -> None:
        """Idempotent."""
        self._rota.discard(session)
        self._watched.pop(session, None)

    def tick(self, now_s: float) -> None:
        self._rota.tick(now_s)

    async def close(self) -> None:
        """Stop asking. Idempotent."""
        looks = list(self._looks.values())
        for task in looks:
            task.cancel()
        await asyncio.gather(*looks, return_exceptions=True)

    def _look(self, session: Session) -> None:
        if session not in self._looks:
            task = self._looks[session] = asyncio.create_task(self._ask(session))
            task.add_done_callback(lambda _: self._looks.pop(session, None))

    async def _ask(self, session: Session) -> None:
        async with self._room:
            if (watched := self._watched.get(session)) is None:
                return
            grant, check = watched
            try:
                now = await check(grant)
            except UnauthorizedError:
                session.dismiss(CloseCode.UNAUTHORIZED, "not signed in any more, or the ticket has expired")
            except ForbiddenError:
                session.dismiss(CloseCode.FORBIDDEN, "not allowed any more")
            except Exception as exc:  # noqa: BLE001 — whoever knows users may be away, and must not take the bars along
                _log.warning("Whether a viewer is still signed in is asked again later: %s", type(exc).__name__)
            else:
                if now != grant:
                    session.dismiss(CloseCode.SERVICE_RESTART, "what it may do has changed")
