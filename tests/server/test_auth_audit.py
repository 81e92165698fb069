"""Every route of both servers, with credentials that must not open it. New routes are found by themselves."""

from __future__ import annotations

import asyncio
import http.client
import random
import re
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jupyter_server.auth.authorizer import Authorizer
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.serverapp import ServerApp
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.web import Application
from tornado.websocket import WebSocketHandler, websocket_connect

from jupyter_jobprogress.protocol.names import URL_PREFIX
from jupyter_jobprogress.protocol.tickets import Ticket
from jupyter_jobprogress.server.auth import Guarded
from jupyter_jobprogress.server.routes import ROUTES
from jupyter_jobprogress.server.ticket_key import TicketKey
from tests.server.conftest import close
from tests.support.standalone import TOKEN, fetch, mounted

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
"""Without OPTIONS, which is answered to everybody, with headers alone."""

PARTS = {"job_id": "job-1", "id": "0123456789abcdef", "name": "page.js"}
"""What stands in a path for its groups."""

OPENED_BY = {
    "report": {"GET ws/jobs", "POST api/jobs/job-1/updates"},
    "watch": {"GET ws/jobs", "GET ws/jobs/job-1", "GET api/jobs/job-1"},
}


OPEN_TO = {
    "none": set[str](),
    "read": {
        f"GET {path}"
        for path in (
            *("ws/jobs", "ws/jobs/job-1", "api/jobs", "api/jobs/job-1", "api/openapi.json", "health", "metrics"),
            *("", "jobs/job-1", "static/page.js"),
        )
    },
    "write": {"GET ws/jobs", "POST api/jobs/job-1/updates"},
    "execute": {
        *("GET ws/jobs", "DELETE api/jobs/job-1", "POST api/jobs/job-1/cancel"),
        *("POST api/tickets", f"DELETE api/tickets/{PARTS['id']}"),
    },
}
"""What is open to a user whom the authorizer of a Jupyter server allows this alone. A new route is to be named here."""


class Only(Authorizer):
    """Knows every user, and allows them one action here; ``none`` is what another user's credential meets."""

    allowed = "none"

    def is_authorized(self, handler: JupyterHandler, user: Any, action: str, resource: str) -> bool:
        return resource != "jobprogress" or action == self.allowed


class Audited(NamedTuple):
    """One of the servers. ``root`` is the path of its routes, ``url`` ends with it."""

    name: str
    url: str
    root: str
    application: Application
    key: TicketKey
    user: dict[str, str]

    def routes(self) -> list[tuple[str, type]]:
        """Return the path of every route of ours below the root, filled in, with its handler class."""
        found = {}
        for rule in self.application.wildcard_router.rules + [
            rule for group in self.application.default_router.rules for rule in getattr(group.target, "rules", [])
        ]:
            pattern = getattr(rule.matcher, "regex", None)
            if pattern is not None and pattern.pattern.startswith(re.escape(self.root)):
                path = pattern.pattern.removeprefix(re.escape(self.root)).rstrip("$").replace("\\", "")
                found[re.sub(r"\(\?P<(\w+)>.*?\)", lambda group: PARTS[group[1]], path)] = rule.target
        return list(found.items())

    def ticket(self, **fields: Any) -> str:
        given = {"jobs": "job-1", "actions": ("report",), "expires_s": int(time.time()) + 60} | fields
        return self.key.sign(Ticket(**given))

    async def status(self, path: str, handler: type, method: str, headers: dict[str, str]) -> int:
        if issubclass(handler, WebSocketHandler) and method == "GET":
            try:
                socket = await websocket_connect(HTTPRequest(f"ws{self.url[4:]}{path}", headers=headers))
            except HTTPClientError as exc:
                return exc.code
            await close(socket)
            return 101
        return (await fetch(self.url + path, method=method, headers=headers)).code


@pytest.fixture(params=["jupyter", "standalone"])
async def audited(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    jp_serverapp: ServerApp,
    http_server: Any,
    jp_auth_header: dict[str, str],
) -> AsyncIterator[Audited]:
    if request.param == "standalone":
        async with mounted(tmp_path) as server:
            user = {"Authorization": f"token {TOKEN}"}
            yield Audited("standalone", server.url, "/", server.application, server.key, user)
    else:
        port = http_server._sockets[next(iter(http_server._sockets))].getsockname()[1]
        key = jp_serverapp.extension_manager.extension_points["jupyter_jobprogress"].app._site.key
        root = f"{jp_serverapp.base_url}{URL_PREFIX}/"
        url = f"http://127.0.0.1:{port}{root}"
        yield Audited("jupyter", url, root, jp_serverapp.web_app, key, jp_auth_header)


async def test_the_audit_sees_every_route(audited: Audited) -> None:
    assert len(audited.routes()) == len(ROUTES)
    assert all(issubclass(handler, Guarded) for _, handler in audited.routes())


async def test_the_extension_adds_no_route_elsewhere(jp_serverapp: ServerApp) -> None:
    extension = jp_serverapp.extension_manager.extension_points["jupyter_jobprogress"].app
    added = {path for path, *_ in extension.handlers}
    own = {
        rule.matcher.regex.pattern
        for group in jp_serverapp.web_app.default_router.rules
        for rule in getattr(group.target, "rules", [])
        if str(getattr(rule.target, "__module__", "")).startswith("jupyter_jobprogress")
    }

    assert added == {f"/{URL_PREFIX}/{path}" for path, _ in ROUTES}
    assert len(own) == len(ROUTES)


async def test_nothing_comes_between_a_request_and_the_guard(audited: Audited) -> None:
    for path, handler in audited.routes():
        prepare = next(base for base in handler.__mro__ if "prepare" in vars(base))

        assert prepare is Guarded or path == "health"


async def test_no_route_opens_without_a_right_credential(audited: Audited) -> None:
    credentials = {
        "none": {},
        "a wrong token": {"Authorization": "token 0123456789abcdef"},
        "no token": {"Authorization": "token "},
        "a wrong bearer": {"Authorization": "Bearer 0123456789abcdef"},
        "the token as a password": {"Authorization": f"Basic {TOKEN}"},
        "a wrong cookie": {"Cookie": f"username-localhost=forged; jobprogress-00000000={TOKEN}"},
    }
    for path, handler in audited.routes():
        for method in METHODS:
            for name, headers in credentials.items():
                for query in ("", "?token=0123456789abcdef"):
                    status = await audited.status(path + query, handler, method, headers)

                    if (audited.name, path) == ("standalone", "health") and "Authorization" not in headers:
                        # For load balancers, without a reason.
                        assert status == (200 if method == "GET" else 405)
                    else:
                        # 403 is Jupyter's, of a POST without XSRF token. No line of a handler has run.
                        assert status in (401, 403), f"{method} {path}{query} with {name}: {status}"


async def test_a_failed_ticket_is_401_on_every_route(audited: Audited, tmp_path: Path) -> None:
    good = audited.ticket()
    tickets = {
        "forged": "jp1.e30.AAAA",
        "empty": "",
        "bent": f"{good[:-2]}{'A' if good[-2] != 'A' else 'B'}{good[-1]}",
        "truncated": good[:-1],
        "expired": audited.ticket(expires_s=1),
        "for another job": audited.ticket(jobs="job-10"),
        "of another server": TicketKey(str(tmp_path / "other.key")).sign(
            Ticket(jobs="*", actions=("report", "watch"), expires_s=int(time.time()) + 60)
        ),
    }
    for path, handler in audited.routes():
        for method in METHODS:
            for name, text in tickets.items():
                # A user's cookie or token in the URL must not save it.
                headers = {"Authorization": f"JobProgress {text}"}
                status = await audited.status(path, handler, method, headers)

                if name == "for another job" and (method, path) == ("GET", "ws/jobs"):
                    assert status == 101  # for many jobs; each command is judged by itself
                else:
                    assert status == 401, f"{method} {path} with a ticket {name}: {status}"


@pytest.mark.parametrize("audited", ["standalone"], indirect=True)
async def test_another_token_opens_nothing(audited: Audited) -> None:
    for path, handler in audited.routes():
        for method in METHODS:
            status = await audited.status(path, handler, method, {"Authorization": f"token {TOKEN[::-1]}"})

            assert status in (401, 405), f"{method} {path}: {status}"


@pytest.mark.parametrize("audited", ["jupyter"], indirect=True)
@pytest.mark.parametrize("action", OPEN_TO)
async def test_a_user_may_do_what_the_authorizer_says_and_no_more(audited: Audited, action: str) -> None:
    authorizer = audited.application.settings["authorizer"] = Only()
    authorizer.allowed = action
    opened = set()
    for path, handler in audited.routes():
        for method in METHODS:
            status = await audited.status(path, handler, method, audited.user)

            assert status != 401, f"{method} {path}"
            if status not in (403, 405):
                opened.add(f"{method} {path}")

    assert opened == OPEN_TO[action]


@pytest.mark.parametrize("action", OPENED_BY)
async def test_a_ticket_opens_what_it_is_for_alone(audited: Audited, action: str) -> None:
    headers = {"Authorization": f"JobProgress {audited.ticket(actions=(action,))}"}
    opened = set()
    for path, handler in audited.routes():
        for method in METHODS:
            status = await audited.status(path, handler, method, headers)

            if status != 401:
                opened.add(f"{method} {path}")
                # Let in: the socket is open, there is no such job, the body is empty.
                assert status in (101, 404, 400)

    assert opened == OPENED_BY[action]


async def test_a_ticket_in_the_url_opens_sockets_alone(audited: Audited) -> None:
    def query(**fields: Any) -> str:
        return f"?token={audited.ticket(actions=('watch', 'report', 'cancel'), **fields)}"

    opened = {
        path
        for path, handler in audited.routes()
        if await audited.status(path + query(), handler, "GET", {}) not in (401, 403)
    }
    refused = [
        await audited.status("ws/jobs/job-1" + text, WebSocketHandler, "GET", {})
        for text in (query(expires_s=1), query(jobs="job-2"), query()[:-2])
    ]

    assert opened - {"health"} == {"ws/jobs", "ws/jobs/job-1"}
    assert refused == [401, 401, 401]


async def test_a_report_ticket_reads_nothing_on_its_socket(audited: Audited) -> None:
    state = '{"job_id":"%s","status":"processing","stage":"","progress":null,"message":"","timestamp":""}'
    headers = {"Authorization": f"JobProgress {audited.ticket()}"}
    socket = await websocket_connect(HTTPRequest(f"ws{audited.url[4:]}ws/jobs", headers=headers))

    async def answer(text: str) -> str:
        await socket.write_message(text)
        async with asyncio.timeout(30):
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


async def test_no_mutation_of_a_ticket_is_let_in(audited: Audited) -> None:
    text, chance = audited.ticket(), random.Random(7)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=,\u00e4 "

    def mutated() -> str:
        letters = list(text)
        while "".join(letters).strip() == text:
            at = chance.randrange(len(letters))
            letters[at : at + chance.randint(0, 2)] = chance.choice(["", chance.choice(alphabet)])
        return "".join(letters)

    def statuses(tickets: Iterable[str]) -> set[int]:
        connection = http.client.HTTPConnection(audited.url.split("/")[2], timeout=10)
        found = set()
        for ticket in tickets:
            headers = {"Authorization": f"JobProgress {ticket}".encode("latin-1")}
            # What this ticket is for.
            connection.request("POST", f"{audited.root}api/jobs/job-1/updates", body="{}", headers=headers)
            response = connection.getresponse()
            response.read()
            found.add(response.status)
        connection.close()
        return found

    assert await asyncio.to_thread(statuses, [text]) == {200}
    assert await asyncio.to_thread(statuses, (mutated() for _ in range(2000))) == {401}


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1.evil.example"])
async def test_a_foreign_origin_is_refused(audited: Audited, origin: str) -> None:
    headers = {"Origin": origin}
    if audited.name == "jupyter":
        # Without a credential first, so that nothing but the origin differs from the request that works: the header
        # of a token would make Jupyter skip the check, since knowing the token is the proof.
        audited.application.settings["identity_provider"].token = ""
    else:
        headers |= audited.user
    for path, handler in audited.routes():
        if issubclass(handler, WebSocketHandler):
            assert await audited.status(path, handler, "GET", headers) == 403
