"""``api/openapi.json`` against a running server: every path, method and status that it names, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jsonschema
import pytest
from openapi_spec_validator import validate
from tornado.httpclient import HTTPResponse
from tornado.websocket import WebSocketHandler

from jupyter_jobprogress.protocol.names import JOB_PATH
from jupyter_jobprogress.server.page import PageFileHandler, PageHandler
from jupyter_jobprogress.server.routes import ROUTES
from tests.support.redis_server import free_port
from tests.support.standalone import TOKEN, Mounted, fetch, mounted

USER = {"Authorization": f"token {TOKEN}"}
LINES = {"Content-Type": "application/x-ndjson"}
LONG = "x" * 200_000


class Try(NamedTuple):
    """A request that leads to a status. ``on``: the server that is well, has no store, or has had enough."""

    status: int
    method: str
    path: str
    body: str | None = None
    headers: Mapping[str, str] = MappingProxyType({})
    on: str = "well"


TICKET = "(?P<id>[0-9a-f]{16})"
TRIES = [
    Try(200, "GET", "/api/jobs?status=queued&parent_id=p&limit=2&after=9"),
    Try(200, "GET", "/api/jobs"),
    Try(400, "GET", "/api/jobs?limit=0"),
    Try(503, "GET", "/api/jobs", on="storeless"),
    Try(200, "GET", "/api/jobs/known"),
    Try(400, "GET", "/api/jobs/%20"),
    Try(404, "GET", "/api/jobs/nobody"),
    Try(503, "GET", "/api/jobs/known", on="storeless"),
    Try(204, "DELETE", "/api/jobs/forgotten"),
    Try(400, "DELETE", "/api/jobs/%20"),
    Try(404, "DELETE", "/api/jobs/nobody"),
    Try(503, "DELETE", "/api/jobs/known", on="storeless"),
    Try(200, "POST", "/api/jobs/known/updates", '{"progress":0.5}'),
    Try(200, "POST", "/api/jobs/lines/updates?start=true", '{"n":1,"total":2}\n{"progress":7}', LINES),
    Try(400, "POST", "/api/jobs/known/updates", '{"progress":40}'),
    Try(413, "POST", "/api/jobs/known/updates", LONG),
    Try(503, "POST", "/api/jobs/known/updates", "{}", on="storeless"),
    Try(202, "POST", "/api/jobs/known/cancel"),
    Try(400, "POST", "/api/jobs/%20/cancel"),
    Try(404, "POST", "/api/jobs/nobody/cancel"),
    Try(413, "POST", "/api/jobs/known/cancel", LONG),
    Try(503, "POST", "/api/jobs/known/cancel", on="storeless"),
    Try(201, "POST", "/api/tickets", '{"job_id":"a","actions":["report","watch"]}'),
    Try(400, "POST", "/api/tickets", "{}"),
    Try(413, "POST", "/api/tickets", LONG),
    Try(204, "DELETE", "/api/tickets/0123456789abcdef"),
    Try(200, "GET", "/api/openapi.json"),
    Try(200, "GET", "/health"),
    Try(503, "GET", "/health", on="storeless"),
    Try(200, "GET", "/metrics"),
]
"""401, 403 and 429 are tried on every method."""


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[dict[str, Mounted]]:
    nowhere = f"redis://127.0.0.1:{free_port()}"
    async with (
        mounted(tmp_path) as well,
        mounted(tmp_path, redis_url=nowhere) as storeless,
        mounted(tmp_path, requests_per_s=0.01) as tired,
    ):
        for job_id in ("known", "forgotten"):
            answer = await fetch(f"{well.url}api/jobs/{job_id}/updates", method="POST", body="{}", headers=USER)
            assert answer.code == 200
        assert (await fetch(f"{tired.url}health", headers=USER)).code == 429
        yield {"well": well, "storeless": storeless, "tired": tired}


@pytest.fixture
async def described(servers: dict[str, Mounted]) -> dict[str, Any]:
    answer = await fetch(f"{servers['well'].url}api/openapi.json", headers=USER)
    found: dict[str, Any] = json.loads(answer.body)
    assert found["servers"] == [{"url": servers["well"].url.rstrip("/")}]
    return found


def operations(described: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, item in described["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }


def test_every_route_is_described_and_no_other(described: dict[str, Any]) -> None:
    routed = {
        (method, f"/{pattern.replace(JOB_PATH, '{job_id}').replace(TICKET, '{id}')}".replace("\\", ""))
        for pattern, handler in ROUTES
        if not issubclass(handler, (WebSocketHandler, PageHandler, PageFileHandler))
        for method in handler.actions
    }

    assert set(operations(described)) == routed


def test_it_is_openapi(described: dict[str, Any]) -> None:
    validate(described)


async def test_every_status_that_is_described_is_given_as_described(
    servers: dict[str, Mounted], described: dict[str, Any]
) -> None:
    found = operations(described)
    tries = TRIES[:]
    for method, path in found:
        filled = path.replace("{job_id}", "known").replace("{id}", "0123456789abcdef")
        tries += [
            Try(401, method, filled, headers={"Authorization": "token 0"}),
            Try(403, method, filled, headers={"Host": "elsewhere.example"}),
            Try(429, method, filled, on="tired"),
        ]
    seen = set()
    for each in tries:
        body = each.body if each.body is not None or each.method != "POST" else ""
        url = servers[each.on].url.rstrip("/") + each.path
        answer = await fetch(url, method=each.method, body=body, headers=USER | dict(each.headers))
        assert answer.code == each.status, f"{each}: {answer.code} {answer.body[:200]!r}"
        template = re.sub(r"/api/jobs/[^/?]+", "/api/jobs/{job_id}", each.path).partition("?")[0]
        template = re.sub(r"/api/tickets/.+", "/api/tickets/{id}", template)
        response = found[each.method, template]["responses"][str(each.status)]
        check(answer, response, described)
        seen.add((each.method, template, str(each.status)))

    assert seen == {(*key, status) for key, operation in found.items() for status in operation["responses"]}


def check(answer: HTTPResponse, response: dict[str, Any], described: dict[str, Any]) -> None:
    """Compare the type and the content of an answer with what is said of them."""
    kind = answer.headers.get("Content-Type", "").partition(";")[0]
    if "content" not in response:
        assert answer.body == b""
        return
    schema = response["content"][kind]["schema"]
    value = json.loads(answer.body) if kind == "application/json" else answer.body.decode()
    jsonschema.validate(value, {"components": described["components"], **schema})


async def test_a_jupyter_server_describes_itself(jp_fetch: Any, jp_serverapp: Any) -> None:
    answer = await jp_fetch("jobprogress", "api", "openapi.json")

    (server,) = json.loads(answer.body)["servers"]
    assert server["url"].endswith(f"{jp_serverapp.base_url}jobprogress")
