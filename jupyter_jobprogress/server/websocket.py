"""The two sockets: who may open one, and what a session is asked for."""

from __future__ import annotations

from typing import ClassVar

from jupyter_jobprogress.server.auth import Actions, Guarded
from jupyter_jobprogress.server.grants import UserGrant
from jupyter_jobprogress.server.handshake import Handshake
from jupyter_jobprogress.server.site import Site
from jupyter_jobprogress.server.transport import SessionSocket


class _Socket(Guarded, SessionSocket):
    """What both sockets share. Who may open one was decided in ``prepare``."""

    actions: ClassVar[Actions] = {"GET": "watch"}
    ticket_opens = frozenset({"GET"})
    ticket_in_query = True

    def initialize(self, *, site: Site) -> None:
        super().initialize(site=site)
        self._service = site.service

    def set_default_headers(self) -> None:
        """Leave headers alone: they mean nothing on an upgrade."""

    async def get(self, job_id: str | None = None) -> None:
        self.expect(self.grant, who=self.site.door.who(self), job_id=job_id, check=Handshake(self).judge)
        await super().get()


class JobSocket(_Socket):
    """``ws/jobs/{job_id}``: one job, every update. Rule 26."""


class JobsSocket(_Socket):
    """``ws/jobs``: many jobs. Whoever may do anything may open it; each command is judged by itself (rule 27)."""

    def permits(self) -> bool:
        return not isinstance(self.grant, UserGrant) or bool(self.grant.actions)
