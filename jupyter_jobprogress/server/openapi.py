"""``api/openapi.json``: the REST part for programs. A test asks a running server for every path and status of it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar, Final

import msgspec

from jupyter_jobprogress._version import __version__
from jupyter_jobprogress.protocol.limits import UPDATES
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.protocol.tickets import TicketAnswer, TicketRequest
from jupyter_jobprogress.server.api import MAX_LIMIT, Rest
from jupyter_jobprogress.server.auth import Actions

_Json = dict[str, Any]

_ERROR: Final[_Json] = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
}
_RECEIPT: Final[_Json] = {
    "type": "object",
    "required": ["job_id", "seq", "run", "outcome", "cancel_requested"],
    "properties": {
        "job_id": {"type": "string"},
        "seq": {"type": "integer"},
        "run": {"type": ["integer", "null"]},
        "outcome": {"enum": ["accepted", "superseded", "ended"]},
        "cancel_requested": {"type": "boolean"},
    },
}
_PAGE: Final[_Json] = {
    "type": "object",
    "required": ["jobs", "next", "now_us"],
    "properties": {
        "jobs": {"type": "array", "items": {"$ref": "#/components/schemas/State"}},
        "next": {"type": ["integer", "null"], "description": "`after` of the following page; null at the end"},
        "now_us": {"type": "integer", "description": "the store's clock, microseconds since 1970"},
    },
}
_HEALTH: Final[_Json] = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"enum": ["ok", "degraded"]}, "reason": {"type": "string"}},
}
_CANCELLED: Final[_Json] = {"type": "object", "properties": {"cancel_requested": {"const": True}}}


def describe(url: str) -> _Json:
    """Return the description of a server whose paths begin with ``url``."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "jobprogress",
            "version": __version__,
            "description": "Progress of jobs. docs/protocol.md has the rules, and describes the WebSockets.",
        },
        "servers": [{"url": url.rstrip("/")}],
        "security": [{"token": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "a user's token"},
                "ticket": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`JobProgress <ticket>`, for one job or prefix",
                },
            },
            "schemas": _schemas(),
        },
    }


def _paths() -> _Json:
    job = [_parameter("job_id", "path", {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:@+=-]{0,199}$"})]
    pages = [
        _parameter("status", "query", {"enum": [str(status) for status in Status]}),
        _parameter("parent_id", "query", {"type": "string"}),
        _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 100}),
        _parameter("after", "query", {"type": "integer", "minimum": 1}),
    ]
    start = [_parameter("start", "query", {"type": "boolean", "default": False})]
    lines = {"type": "string", "description": f"one update a line, at most {UPDATES}"}
    update = {"application/json": _as("Update"), "application/x-ndjson": {"schema": lines}}
    receipts = {
        "application/json": _as("Receipt"),
        "application/x-ndjson": {"schema": {"type": "string", "description": "a receipt or an error a line"}},
    }
    return {
        "/api/jobs": {"get": _operation("List jobs, newest first", {200: _as("Page")}, 400, 503, also=pages)},
        "/api/jobs/{job_id}": {
            "parameters": job,
            "get": _operation("Read one state", {200: _as("State")}, 400, 404, 503, ticket=True),
            "delete": _operation("Forget a job", {204: None}, 400, 404, 503),
        },
        "/api/jobs/{job_id}/updates": {
            "parameters": job,
            "post": _operation("Report", {200: receipts}, 400, 413, 503, also=start, body=update, ticket=True),
        },
        "/api/jobs/{job_id}/cancel": {
            "parameters": job,
            "post": _operation("Ask a job to stop", {202: _as("Cancelled")}, 400, 404, 413, 503),
        },
        "/api/tickets": {
            "post": _operation(
                "Make a ticket", {201: _as("TicketAnswer")}, 400, 413, body={"application/json": _as("TicketRequest")}
            )
        },
        "/api/tickets/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "delete": _operation("Take a ticket back", {204: None}),
        },
        "/api/openapi.json": {"get": _operation("This description", {200: {"schema": {"type": "object"}}})},
        "/health": {"get": _operation("Whether states are up to date", {200: _as("Health"), 503: _as("Health")})},
        "/metrics": {
            "get": _operation("Counters, for Prometheus", {200: {"text/plain": {"schema": {"type": "string"}}}})
        },
    }


def _operation(
    summary: str,
    answers: dict[int, _Json | None],
    *errors: int,
    also: list[_Json] | None = None,
    body: _Json | None = None,
    ticket: bool = False,
) -> _Json:
    """Describe one method. 401, 403 and 429 may meet every request."""
    responses = {str(code): _response(code, content) for code, content in answers.items()}
    responses |= {str(code): _response(code, _as("Error")) for code in sorted({*errors, 401, 403, 429})}
    found: _Json = {"summary": summary, "responses": responses}
    if also is not None:
        found["parameters"] = also
    if body is not None:
        found["requestBody"] = {"required": True, "content": body}
    if ticket:
        found["security"] = [{"token": []}, {"ticket": []}]
    return found


def _response(code: int, content: _Json | None) -> _Json:
    found: _Json = {"description": HTTPStatus(code).phrase}
    if content is not None:
        found["content"] = {"application/json": content} if "schema" in content else content
    return found


def _parameter(name: str, place: str, schema: _Json) -> _Json:
    return {"name": name, "in": place, "schema": schema} | ({"required": True} if place == "path" else {})


def _as(name: str) -> _Json:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


def _schemas() -> _Json:
    _, found = msgspec.json.schema_components(
        [State, TicketRequest, TicketAnswer],
        schema_hook=lambda _: {"description": "any JSON"},  # ``object``, the one type it does not know
        ref_template="#/components/schemas/{name}",
    )
    state = found["State"]
    # Of a message of the original form a reader gets what is there (rule 6); an update may say even less (rule 35).
    found["Update"] = {name: value for name, value in state.items() if name not in ("required", "title")}
    found["State"] = state | {"required": ["job_id", "status"]}
    return found | {
        "Cancelled": _CANCELLED,
        "Error": _ERROR,
        "Health": _HEALTH,
        "Page": _PAGE,
        "Receipt": _RECEIPT,
    }


class OpenApiHandler(Rest):
    """``api/openapi.json``."""

    actions: ClassVar[Actions] = {"GET": "watch"}

    async def get(self) -> None:
        self.answer(msgspec.json.encode(describe(self.site.url(self.request))))
