"""``api/tickets``: a user hands a small part of what he may do to a job somewhere else (rule 24)."""

from __future__ import annotations

import secrets
import time
from typing import ClassVar

from msgspec import json

from jupyter_jobprogress.errors import ForbiddenError
from jupyter_jobprogress.protocol.payload import timestamp
from jupyter_jobprogress.protocol.tickets import TicketAnswer, decode_request, make_ticket
from jupyter_jobprogress.server.api import Rest
from jupyter_jobprogress.server.auth import Actions


class TicketsHandler(Rest):
    """``api/tickets``. No ticket opens it: it would never expire."""

    actions: ClassVar[Actions] = {"POST": "cancel"}

    async def post(self) -> None:
        request = decode_request(self.body)
        for action in request.actions:
            if not self.grant.allows_all(action):
                raise ForbiddenError(action)
        ticket = make_ticket(request, now_s=time.time(), tenant=self.grant.tenant, id=secrets.token_hex(8))
        self.set_header("Cache-Control", "no-store")
        self.answer(
            json.encode(
                TicketAnswer(
                    url=self.site.url(self.request),
                    token=self.site.key.sign(ticket),
                    expires=timestamp(ticket.expires_s),
                    jobs=ticket.jobs,
                    actions=ticket.actions,
                    id=ticket.id,
                )
            ),
            status=201,
        )


class TicketHandler(Rest):
    """``api/tickets/{id}``: DELETE takes a ticket back. Whether there is one of this id is not known, and not told."""

    actions: ClassVar[Actions] = {"DELETE": "cancel"}

    async def delete(self, id: str) -> None:
        self.site.key.revoke(id, tenant=self.grant.tenant)
        self.set_status(204)
        self.finish()
