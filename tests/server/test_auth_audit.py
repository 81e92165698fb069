"""Every route of the extension, with no, a wrong and another user's credential. New routes are found by themselves."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from jupyter_server.auth.authorizer import Authorizer
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.serverapp import ServerApp
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketHandler, websocket_connect

from jupyter_jobprogress.protocol.names import URL_PREFIX
from jupyter_jobprogress.protocol.tickets import Ticket
from jupyter_jobprogress.server.auth import TicketKey
from tests.server.conftest import close

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
"""Without OPTIONS, which Jupyter's base class answers to everybody, with headers alone."""


class NobodyMay(Authorizer):
    """Knows every user and allows them nothing here: what another user's credential meets."""

    def is_authorized(self, handler: JupyterHandler, user: Any, action: str, resource: str) -> bool:
        return resource != "jobprogress"


def routes(app: ServerApp) -> list[tuple[str, type]]:
    """Return the path of every route of ours, filled in, with its handler class."""
    found = []
    for rule in app.web_app.wildcard_router.rules + [
        rule for group in app.web_app.default_router.rules for rule in getattr(group.target, "rules", [])
    ]:
        pattern = getattr(rule.matcher, "regex", None)
        if pattern is not None and f"/{URL_PREFIX}/" in pattern.pattern:
            path = pattern.pattern.rstrip("$").replace("(?P<job_id>[^/]+)", "job-1").replace("\\", "")
            found.append((path, rule.target))
    return found


def ticket(app: ServerApp, **fields: Any) -> str:
    key: TicketKey = app.extension_manager.extension_points["jupyter_jobprogress"].app._ticket_key
    given = {"jobs": "job-1", "actions": ("report",), "expires_s": int(time.time()) + 60} | fields
    return key.sign(Ticket(**given))


def credentials(app: ServerApp) -> dict[str, dict[str, str]]:
    """Return headers that must open nothing at all."""
    good = ticket(app)
    return {
        "none": {},
        "wrong token": {"Authorization": "token 0123456789abcdef"},
        "wrong cookie": {"Cookie": "username-localhost=forged"},
        "wrong ticket": {"Authorization": "JobProgress jp1.e30.AAAA"},
        "bent ticket": {"Authorization": f"JobProgress {good[:-2]}{'A' if good[-2] != 'A' else 'B'}{good[-1]}"},
        "expired ticket": {"Authorization": f"JobProgress {ticket(app, expires_s=1)}"},
    }


async def status_of(app: ServerApp, path: str, handler: type, method: str, headers: dict[str, str]) -> int:
    url = f"127.0.0.1:{app.http_server_port_for_tests}{path}"
    if issubclass(handler, WebSocketHandler) and method == "GET":
        try:
            socket = await websocket_connect(HTTPRequest(f"ws://{url}", headers=headers))
        except HTTPClientError as exc:
            return exc.code
        await close(socket)
        return 101
    body = "" if method in ("POST", "PUT", "PATCH") else None
    request = HTTPRequest(f"http://{url}", method=method, headers=headers, body=body, follow_redirects=False)
    response = await AsyncHTTPClient(force_instance=True).fetch(request, raise_error=False)
    return response.code


@pytest.fixture
def app(jp_serverapp: ServerApp, http_server: Any, jp_http_port: Any) -> ServerApp:
    jp_serverapp.http_server_port_for_tests = http_server._sockets[next(iter(http_server._sockets))].getsockname()[1]
    return jp_serverapp


async def test_the_audit_sees_every_route(app: ServerApp) -> None:
    assert len(routes(app)) == 7
    assert all(issubclass(handler, JupyterHandler) for _, handler in routes(app))


async def test_no_route_opens_without_a_right_credential(app: ServerApp) -> None:
    for path, handler in routes(app):
        for method in METHODS:
            for name, headers in credentials(app).items():
                status = await status_of(app, path, handler, method, headers)

                # 302 leads to the login page, 405 to nothing; neither has run a line of a handler.
                assert status in (302, 401, 403, 404, 405), f"{method} {path} with {name}: {status}"


async def test_another_users_credential_opens_nothing(app: ServerApp, jp_auth_header: dict[str, str]) -> None:
    app.web_app.settings["authorizer"] = NobodyMay(parent=app)

    for path, handler in routes(app):
        for method in METHODS:
            status = await status_of(app, path, handler, method, jp_auth_header)

            assert status in (401, 403, 404, 405), f"{method} {path}: {status}"


async def test_a_ticket_opens_ws_jobs_alone(app: ServerApp) -> None:
    headers = {"Authorization": f"JobProgress {ticket(app, jobs='*', actions=('report', 'watch', 'cancel'))}"}

    for path, handler in routes(app):
        for method in METHODS:
            status = await status_of(app, path, handler, method, headers)

            if method == "GET" and path.endswith("/ws/jobs"):
                assert status == 101
            else:
                assert status in (302, 401, 403, 404, 405), f"{method} {path}: {status}"


async def test_a_ticket_allows_what_it_says(app: ServerApp) -> None:
    path = next(path for path, _ in routes(app) if path.endswith("/ws/jobs"))
    url = f"ws://127.0.0.1:{app.http_server_port_for_tests}{path}"
    state = '{"job_id":"%s","status":"processing","stage":"","progress":null,"message":"","timestamp":""}'
    socket = await websocket_connect(HTTPRequest(url, headers={"Authorization": f"JobProgress {ticket(app)}"}))

    async def answer(text: str) -> str:
        await socket.write_message(text)
        async with asyncio.timeout(5):
            while True:
                message = await socket.read_message()
                assert isinstance(message, str)
                if '"type":"ping"' not in message and '"type":"connected"' not in message:
                    return message

    assert '"receipt"' in await answer('{"type":"report","id":1,"state":%s}' % (state % "job-1"))
    for refused in (
        '{"type":"report","id":2,"state":%s}' % (state % "job-2"),
        '{"type":"read","id":3,"job_ids":["job-1"]}',
        '{"type":"list","id":4}',
        '{"type":"subscribe","id":5,"job_ids":["job-1"]}',
        '{"type":"cancel","id":6,"job_id":"job-1"}',
        '{"type":"delete","id":7,"job_id":"job-1"}',
    ):
        assert '"forbidden"' in await answer(refused), refused
    await close(socket)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1.evil.example"])
async def test_a_foreign_origin_is_refused(app: ServerApp, origin: str) -> None:
    # Without a credential first, so that nothing but the origin differs from the request that works: the header
    # of a token would make Jupyter skip the check, since knowing the token is the proof.
    app.web_app.settings["identity_provider"].token = ""
    for path, handler in routes(app):
        if issubclass(handler, WebSocketHandler):
            assert await status_of(app, path, handler, "GET", {"Origin": origin}) == 403


def test_only_the_sockets_authenticate_by_hand(jp_serverapp: ServerApp) -> None:
    for _, handler in routes(jp_serverapp):
        by_hand = bool(getattr(handler.get, "__allow_unauthenticated", False))

        assert by_hand is issubclass(handler, WebSocketHandler)
