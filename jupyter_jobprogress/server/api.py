"""The REST part: list, read, delete, cancel, health, metrics (docs/protocol.md, rule 22)."""

from __future__ import annotations

import sys
from typing import Any, ClassVar, Final, cast

from msgspec import json
from tornado.http1connection import HTTP1Connection
from tornado.web import stream_request_body

from jupyter_jobprogress.errors import BodyTooLargeError, InvalidArgumentError, JobProgressError, UnknownJobError
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.protocol.state import Status
from jupyter_jobprogress.server.auth import Actions, Guarded
from jupyter_jobprogress.server.grants import UserGrant
from jupyter_jobprogress.server.metrics import CONTENT_TYPE
from jupyter_jobprogress.server.site import Site
from jupyter_jobprogress.server.tenants import Tenant
from jupyter_jobprogress.store.base import Store

MAX_LIMIT: Final = 1000

BODY_S: Final = 10.0
"""Longest time that a body may take to arrive."""


@stream_request_body
class Rest(Guarded):
    """What the REST handlers share. A body is read after the request was let in, and no further than its limit."""

    body_limit_bytes: int = 4096

    def initialize(self, *, site: Site) -> None:
        super().initialize(site=site)
        self.body = bytearray()
        self._read_bytes = 0

    def admitted(self) -> None:
        if self.request.headers.get("Content-Encoding", "identity") != "identity":
            raise InvalidArgumentError("Content-Encoding", self.request.headers["Content-Encoding"], "absent")
        length = self.request.headers.get("Content-Length", "0")
        if length.isdigit() and int(length) > self.body_limit_bytes:
            raise BodyTooLargeError(int(length), self.body_limit_bytes)
        connection = cast("HTTP1Connection", self.request.connection)
        # Of a chunked body, whose length is not told, ``data_received`` sees the end of the limit first.
        connection.set_max_body_size(2 * self.body_limit_bytes)
        connection.set_body_timeout(BODY_S)

    async def data_received(self, chunk: bytes) -> None:
        if self._finished:
            return
        try:
            self._read_bytes += len(chunk)
            if self._read_bytes > self.body_limit_bytes:
                raise BodyTooLargeError(self._read_bytes, self.body_limit_bytes)
            self.body += chunk
            await self.take()
        except JobProgressError:
            # Answered now: Tornado then closes the connection and reads no more.
            self.send_error(exc_info=sys.exc_info())

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if status_code < 500 and status_code != 404:
            # Tornado closes it, since the body was not read; a proxy that is not told sends its next request into it.
            self.set_header("Connection", "close")
        super().write_error(status_code, **kwargs)

    async def take(self) -> None:
        """Make what can be made of the part of the body that is there."""

    @property
    def tenant(self) -> Tenant:
        return self.site.service.tenant(self.grant.tenant)

    @property
    def store(self) -> Store:
        return self.tenant.store

    def answer(self, body: bytes, *, status: int = 200, content_type: str = "application/json") -> None:
        """Finish with a body."""
        self.set_status(status)
        self.set_header("Content-Type", content_type)
        self.finish(body)


class JobsHandler(Rest):
    """``api/jobs``."""

    actions: ClassVar[Actions] = {"GET": "watch"}

    async def get(self) -> None:
        status = self.get_query_argument("status", None)
        if status is not None and status not in frozenset(Status):
            raise InvalidArgumentError("status", status, f"one of {', '.join(Status)}")
        parent_id = self.get_query_argument("parent_id", None)
        page = await self.store.list(
            status=None if status is None else Status(status),
            parent_id=None if parent_id is None else check_job_id(parent_id),
            limit=self._integer("limit", default=100, most=MAX_LIMIT) or 100,
            after=self._integer("after", default=None, most=2**63 - 1),
        )
        jobs = b",".join(stored.data for stored in page.jobs)
        rest = json.encode({"next": page.next, "now_us": self.store.now_us()})
        self.answer(b'{"jobs":[' + jobs + b"]," + rest[1:])

    def _integer(self, name: str, *, default: int | None, most: int) -> int | None:
        text = self.get_query_argument(name, None)
        if text is None:
            return default
        # No longer than any that could be right: Python reads no number of thousands of digits.
        if not (text.isascii() and text.isdigit() and len(text) < 20 and 1 <= int(text) <= most):
            raise InvalidArgumentError(name, text, f"a whole number from 1 to {most}")
        return int(text)


class JobHandler(Rest):
    """``api/jobs/{job_id}``."""

    actions: ClassVar[Actions] = {"GET": "watch", "DELETE": "cancel"}
    ticket_opens = frozenset({"GET"})

    async def get(self, job_id: str) -> None:
        found = await self.store.read([job_id])
        if job_id not in found:
            raise UnknownJobError(job_id)
        self.answer(found[job_id].data)

    async def delete(self, job_id: str) -> None:
        if not await self.store.delete(job_id):
            raise UnknownJobError(job_id)
        self.set_status(204)
        self.finish()


class CancelHandler(Rest):
    """``api/jobs/{job_id}/cancel``."""

    actions: ClassVar[Actions] = {"POST": "cancel"}

    async def post(self, job_id: str) -> None:
        if not await self.tenant.reporters.request_cancel(job_id):
            raise UnknownJobError(job_id)
        self.answer(b'{"cancel_requested":true}', status=202)


class HealthHandler(Rest):
    """``health``: whether what this server shows is up to date, not merely whether it runs."""

    actions: ClassVar[Actions] = {"GET": "watch"}

    async def get(self) -> None:
        if (await self.site.service.health()).up:
            self.answer(b'{"status":"ok"}')
        else:
            reason = self.reason()
            self.answer(json.encode({"status": "degraded"} | ({"reason": reason} if reason else {})), status=503)

    def reason(self) -> str:
        """Return why the store does not answer, or nothing for somebody whom it does not concern."""
        concerned = isinstance(self.grant, UserGrant) and self.grant.operator
        return self.site.service.store.health.reason if concerned else ""


class MetricsHandler(Rest):
    """``metrics``: what this server counts about itself, for Prometheus. Of all users, and so not for each of them."""

    actions: ClassVar[Actions] = {"GET": "watch"}

    def permits(self) -> bool:
        return super().permits() and isinstance(self.grant, UserGrant) and self.grant.operator

    async def get(self) -> None:
        self.answer(self.site.service.metrics.text(), content_type=CONTENT_TYPE)
