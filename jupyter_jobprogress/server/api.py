"""The REST part: list, read, delete, cancel, health, metrics (docs/protocol.md, rule 22)."""

from __future__ import annotations

from typing import Final

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from msgspec import json
from tornado.web import HTTPError, authenticated

from jupyter_jobprogress.errors import InvalidJobIdError, StoreError
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.protocol.state import Status
from jupyter_jobprogress.server.auth import RESOURCE, who_asks
from jupyter_jobprogress.server.metrics import CONTENT_TYPE
from jupyter_jobprogress.server.service import Service

MAX_LIMIT: Final = 1000


class _Handler(APIHandler):
    """What the REST handlers share. Errors are JSON: ``{"code":…,"message":…}``, never a traceback."""

    auth_resource = RESOURCE

    def initialize(self, *, service: Service) -> None:
        self._service = service

    async def prepare(self) -> None:  # type: ignore[override] # as in its own base class
        await super().prepare()
        if not self._finished and not self._service.allows_request(who_asks(self)):
            self.set_header("Retry-After", "1")
            self._answer(b'{"code":"too_many_requests","message":"Expected fewer requests a second."}', status=429)

    def _log(self) -> None:
        if self.get_status() != 429:  # the service says it once a minute
            super()._log()

    def _job_id(self, job_id: str) -> str:
        try:
            return check_job_id(job_id)
        except InvalidJobIdError as exc:
            raise HTTPError(400, str(exc)) from exc

    def _answer(self, body: bytes, *, status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(body)

    def _unavailable(self, exc: StoreError) -> None:
        self._answer(json.encode({"code": exc.code, "message": str(exc)}), status=503)

    def _unknown(self, job_id: str) -> None:
        message = f"No job {job_id!r} is known here: it never reported, or its state has expired."
        self._answer(json.encode({"code": "unknown_job", "message": message}), status=404)


class JobsHandler(_Handler):
    """``api/jobs``."""

    @authenticated
    @authorized("read")
    async def get(self) -> None:
        status = self.get_query_argument("status", None)
        if status is not None and status not in frozenset(Status):
            raise HTTPError(400, f"Expected status to be one of {', '.join(Status)}, got {status!r:.40}.")
        parent_id = self.get_query_argument("parent_id", None)
        try:
            page = await self._service.store.list(
                status=None if status is None else Status(status),
                parent_id=None if parent_id is None else self._job_id(parent_id),
                limit=self._integer("limit", default=100, most=MAX_LIMIT) or 100,
                after=self._integer("after", default=None, most=2**63),
            )
        except StoreError as exc:
            self._unavailable(exc)
            return
        jobs = b",".join(stored.data for stored in page.jobs)
        rest = json.encode({"next": page.next, "now_us": self._service.store.now_us()})
        self._answer(b'{"jobs":[' + jobs + b"]," + rest[1:])

    def _integer(self, name: str, *, default: int | None, most: int) -> int | None:
        text = self.get_query_argument(name, None)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= most):
            raise HTTPError(400, f"Expected {name} to be a whole number from 1 to {most}, got {text!r:.40}.")
        return int(text)


class JobHandler(_Handler):
    """``api/jobs/{job_id}``."""

    @authenticated
    @authorized("read")
    async def get(self, job_id: str) -> None:
        try:
            found = await self._service.store.read([self._job_id(job_id)])
        except StoreError as exc:
            self._unavailable(exc)
            return
        if job_id in found:
            self._answer(found[job_id].data)
        else:
            self._unknown(job_id)

    @authenticated
    @authorized("execute")
    async def delete(self, job_id: str) -> None:
        try:
            known = await self._service.store.delete(self._job_id(job_id))
        except StoreError as exc:
            self._unavailable(exc)
            return
        if known:
            self.set_status(204)
            self.finish()
        else:
            self._unknown(job_id)


class CancelHandler(_Handler):
    """``api/jobs/{job_id}/cancel``."""

    @authenticated
    @authorized("execute")
    async def post(self, job_id: str) -> None:
        try:
            found = await self._service.reporters.request_cancel(self._job_id(job_id))
        except StoreError as exc:
            self._unavailable(exc)
            return
        if found:
            self._answer(b'{"cancel_requested":true}', status=202)
        else:
            self._unknown(job_id)


class HealthHandler(_Handler):
    """``health``: whether what this server shows is up to date, not merely whether it runs."""

    @authenticated
    @authorized("read")
    async def get(self) -> None:
        health = await self._service.health()
        if health.up:
            self._answer(b'{"status":"ok"}')
        else:
            self._answer(json.encode({"status": "degraded", "reason": health.reason}), status=503)


class MetricsHandler(_Handler):
    """``metrics``: what this server counts about itself, for Prometheus."""

    @authenticated
    @authorized("read")
    async def get(self) -> None:
        self.set_header("Content-Type", CONTENT_TYPE)
        self.finish(self._service.metrics.text())
