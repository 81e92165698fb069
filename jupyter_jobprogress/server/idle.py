"""Lets go of sockets on whose end nothing runs.

A proxy counts what comes over a socket, answers to pings too, as activity of the server behind it: a tab that somebody
forgot would keep a user's server of a JupyterHub for ever.
"""

from __future__ import annotations

from typing import Final

from jupyter_jobprogress.protocol.codes import CloseCode
from jupyter_jobprogress.server.keeper import Rota
from jupyter_jobprogress.server.session import Session

LOOKS: Final = 4
"""A socket is closed at the so manieth look in a row that found nothing."""


class Idlers:
    """Closes sockets with 4410 that were not busy for ``after_s``, or a quarter less; 0 closes none."""

    def __init__(self, after_s: float) -> None:
        self._rota = Rota(after_s / LOOKS, self._look)
        self._looks: dict[Session, int] = {}

    def add(self, session: Session, now_s: float) -> None:
        self._rota.add(session, now_s)

    def discard(self, session: Session) -> None:
        """Idempotent."""
        self._rota.discard(session)
        self._looks.pop(session, None)

    def tick(self, now_s: float) -> None:
        self._rota.tick(now_s)

    def _look(self, session: Session) -> None:
        if session.busy:
            self._looks.pop(session, None)
            return
        looks = self._looks[session] = self._looks.get(session, 0) + 1
        if looks >= LOOKS:
            session.dismiss(CloseCode.IDLE, "no job runs that it watches")
