"""Who is at the other end, and may he: one check in front of every handler (rules 23 and 24)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar, Final

from msgspec import json
from tornado.web import HTTPError, RequestHandler

from jupyter_jobprogress.errors import (
    BodyTooLargeError,
    ForbiddenError,
    ForeignHostError,
    ForeignOriginError,
    JobProgressError,
    ProtocolError,
    StoreError,
    TicketError,
    UnauthorizedError,
    UnknownJobError,
)
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.protocol.tickets import PREFIX, Action, Ticket
from jupyter_jobprogress.server.grants import Grant, UserGrant
from jupyter_jobprogress.server.site import Site

SCHEME: Final = "JobProgress"

Actions = Mapping[str, Action]
"""What each method of a handler needs."""

STATUS: Final[Mapping[type[JobProgressError], int]] = {
    UnauthorizedError: 401,
    ForbiddenError: 403,
    ForeignHostError: 403,
    ForeignOriginError: 403,
    UnknownJobError: 404,
    BodyTooLargeError: 413,
    ProtocolError: 400,
    StoreError: 503,
}
"""The first that fits; 500 for what is not here."""

TOO_MANY_REQUESTS: Final = b'{"code":"too_many_requests","message":"Expected fewer requests a second."}'
"""What comes with 429."""

_log = logging.getLogger(__name__)


class Guarded(RequestHandler):
    """Base of all handlers. ``prepare`` refuses whoever may not go on, before a body is read or a method runs.

    ``actions`` says what each method needs. A ticket opens the methods in ``ticket_opens``; on others, and wherever
    it does not allow just this, it is answered by 401, whatever is wrong with it. ``ticket_in_query`` is for sockets,
    with which a page can send no header. Handlers raise what this package raises; ``STATUS`` makes an answer of it.
    """

    actions: ClassVar[Actions] = {}
    ticket_opens: ClassVar[frozenset[str]] = frozenset()
    ticket_in_query: ClassVar[bool] = False

    owner: str | None = None
    """The user of the path whose jobs are asked for, where that is not whoever asks."""

    def initialize(self, *, site: Site) -> None:
        self.site = site
        self.user: UserGrant | None = None

    async def prepare(self) -> None:
        await self.site.service.turns.take()
        if (prepared := super().prepare()) is not None:
            await prepared
        await asyncio.sleep(0)  # who the user is took a Jupyter server a third of what all takes: let others go on
        # A browser's preflight has no credential, and learns nothing but headers.
        if self._finished or self.request.method == "OPTIONS":
            return
        if not self.site.service.allows_request(self.site.door.who(self)):
            self.set_status(429)
            self.set_header("Retry-After", "1")
            self.set_header("Content-Type", "application/json")
            # By hand: an error page, with its line in the log, costs more than the request which is refused.
            self.finish(TOO_MANY_REQUESTS)
            return
        if (ticket_text := self.ticket_text()) is not None:
            self.grant: Grant = self._ticket_grant(ticket_text)
        else:
            self.user = await self.site.door.user(self)
            if self.user is None:
                raise UnauthorizedError
            if self.request.method not in self.actions:
                raise HTTPError(405)
            self.grant = self.user
            if not self.permits():
                raise ForbiddenError(self.actions[self.request.method])
        self.admitted()

    def admitted(self) -> None:
        """Go on with a request that may; for those who look at more of its head before its body is read."""

    def permits(self) -> bool:
        """Whether the grant allows this method, on the job of the path or else on all. May raise InvalidJobIdError."""
        action = self.actions[str(self.request.method)]
        job_id = self.path_kwargs.get("job_id")
        return self.grant.allows_all(action) if job_id is None else self.grant.allows(action, check_job_id(job_id))

    def check_xsrf_cookie(self) -> None:
        """Leave out the check where there is a ticket: it alone counts, and no page makes a browser send one."""
        if self.ticket_text() is None:
            super().check_xsrf_cookie()

    def ticket_text(self) -> str | None:
        """Return the ticket that came along, whatever it is worth."""
        scheme, _, text = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == SCHEME.lower():
            return text.strip()
        token = self.get_query_argument("token", "") if self.ticket_in_query else ""
        return token if token.startswith(PREFIX) else None

    def _ticket_grant(self, text: str) -> Ticket:
        try:
            if self.request.method not in self.ticket_opens:
                raise TicketError("it does not open this path")
            self.grant = ticket = self.site.key.read(text)
            if not self.permits():
                raise TicketError("it does not allow this")
        except (TicketError, ProtocolError) as exc:
            # One answer for all: which part was wrong would help to guess.
            _log.info("A ticket was refused on %s: %s", self.request.path[:200], exc)
            raise UnauthorizedError from exc
        return ticket

    def _log(self) -> None:
        if self.get_status() != 429:  # the service says it once a minute
            super()._log()

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, JobProgressError):
            status_code = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)
        super().send_error(status_code, **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer ``{"code":…,"message":…}``, never a traceback."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        code, message = "internal", f"{HTTPStatus(status_code).phrase}."
        if status_code < 500:
            code = {401: "unauthorized", 403: "forbidden"}.get(status_code, "invalid_message")
        if isinstance(error, JobProgressError) and status_code != 500:
            code, message = error.code, str(error)
        self.set_header("Content-Type", "application/json")
        self.finish(json.encode({"code": code, "message": message}))

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        """Log what failed, without the query of the request: a token may be in it."""
        method, path = self.request.method, self.request.path[:200]
        if isinstance(value, (HTTPError, JobProgressError)):
            _log.debug("%s %s: %s", method, path, value)
        else:
            _log.error("%s %s failed", method, path, exc_info=value)
