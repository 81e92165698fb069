"""The two sockets of the Jupyter server: who may come, and what a session is asked for."""

from __future__ import annotations

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.web import HTTPError
from tornado.websocket import WebSocketHandler

from jupyter_jobprogress.errors import InvalidJobIdError
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.server.auth import RESOURCE, TicketKey, socket_grant, who_asks
from jupyter_jobprogress.server.service import Service
from jupyter_jobprogress.server.transport import SessionSocket


class _Socket(SessionSocket, WebSocketMixin, WebSocketHandler, JupyterHandler):
    """What both sockets share. From the mixin it takes the origin check and ``prepare``; its pings are not used."""

    auth_resource = RESOURCE
    ticket_welcome = False

    def initialize(self, *, service: Service, ticket_key: TicketKey) -> None:
        self._service = service
        self._ticket_key = ticket_key

    def set_default_headers(self) -> None:
        """Leave headers alone: they mean nothing on an upgrade."""

    # Decorated, and authenticated in the first line: ``ws_authenticated`` knows no tickets.
    @allow_unauthenticated
    async def get(self, job_id: str | None = None) -> None:
        grant = await socket_grant(self, self._ticket_key, ticket_welcome=self.ticket_welcome)
        who = who_asks(self)
        if not self._service.allows_request(who):
            self.too_many()
            return
        if job_id is not None:
            try:
                check_job_id(job_id)
            except InvalidJobIdError as exc:
                raise HTTPError(400, reason="Invalid job id") from exc
            if not grant.allows("watch", job_id):
                raise HTTPError(403)
        self.admitted(grant, who=who, job_id=job_id)
        await super().get()


class JobSocket(_Socket):
    """``ws/jobs/{job_id}``: one job, every update. Rule 26."""


class JobsSocket(_Socket):
    """``ws/jobs``: many jobs, and the only path that a ticket opens. Rules 24 and 27."""

    ticket_welcome = True
