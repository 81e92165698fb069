"""The service of a Hub as it is mounted: which routes there are, and by which names it answers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyterhub.services.auth import HubOAuth  # type: ignore[import-untyped]
from tornado.httpclient import HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClientConnection, websocket_connect

from jupyter_jobprogress.protocol.tickets import Ticket
from jupyter_jobprogress.server.auth import Guarded
from jupyter_jobprogress.server.hub import Callback
from jupyter_jobprogress.server.hub_app import OWNER_PATH, JobProgressHub
from jupyter_jobprogress.server.keeper import TICK_S
from jupyter_jobprogress.server.routes import ROUTES
from jupyter_jobprogress.server.service import Service
from jupyter_jobprogress.server.sockets import listen
from tests.support.standalone import fetch

ROOT = "/services/jobprogress/"


@asynccontextmanager
async def service(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, hub_url: str = "http://127.0.0.1:9/", **traits: Any
) -> AsyncIterator[tuple[str, Application]]:
    """Serve what a Hub would start. With no Hub there nobody can sign in."""
    for name, value in (
        ("SERVICE_PREFIX", ROOT),
        ("CLIENT_ID", "service-jobprogress"),
        ("API_TOKEN", "0123456789abcdef"),
        ("API_URL", f"{hub_url}hub/api"),
        ("OAUTH_ACCESS_SCOPES", '["access:services"]'),
    ):
        monkeypatch.setenv(f"JUPYTERHUB_{name}", value)
    files = {f"{name}_key_file": str(folder / f"{name}.key") for name in ("ticket", "tenant")}
    server = JobProgressHub(database="", **files, **traits)
    running = Service(server.service_settings())
    application = server.application(running, "")
    http = HTTPServer(application)
    sockets = listen(host="127.0.0.1", port=0, path="", reuse_port=False)
    http.add_sockets(sockets)
    try:
        yield server.local_url(sockets[0].getsockname()[1]), application
    finally:
        http.stop()
        await running.close()
        await http.close_all_connections()


async def test_nothing_is_mounted_but_the_routes_that_are_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service(tmp_path, monkeypatch) as (_, application):
        rules = [rule for group in application.default_router.rules for rule in getattr(group.target, "rules", [])]
        mounted = {rule.matcher.regex.pattern.rstrip("$"): rule.target for rule in rules}

        expected = {f"{ROOT}{before}{path}" for before in ("", OWNER_PATH) for path, _ in ROUTES}
        assert {path for path, handler in mounted.items() if issubclass(handler, Guarded)} == expected
        # Where the Hub sends whoever has signed in: without its state and code it answers an error.
        assert set(mounted) - expected == {f"{ROOT}oauth_callback"}
        assert mounted[f"{ROOT}oauth_callback"] is Callback
        assert issubclass(application.settings["default_handler_class"], Guarded)


async def test_who_has_a_ticket_does_not_feel_what_others_do_at_the_same_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"requests_per_s": 0.5, "max_viewers_per_user": 1}  # ten requests at once
    async with service(tmp_path, monkeypatch, **few) as (url, application):

        def shows(tenant: str) -> dict[str, str]:
            ticket = Ticket(jobs="*", actions=("watch", "report"), expires_s=int(time.time()) + 60, tenant=tenant)
            return {"Authorization": f"JobProgress {application.settings['site'].key.sign(ticket)}"}

        async def report(headers: dict[str, str]) -> int:
            return (await fetch(f"{url}api/jobs/j/updates", method="POST", body="{}", headers=headers)).code

        async def opens(headers: dict[str, str]) -> bool:
            socket = await websocket_connect(HTTPRequest(f"ws{url[4:]}ws/jobs/j", headers=headers))
            sockets.append(socket)
            return '"connected"' in str(await socket.read_message())

        sockets: list[WebSocketClientConnection] = []
        for loud in ({"Authorization": "JobProgress jp1.e30.AAAA"}, shows("loud")):
            assert 429 in [await report(loud) for _ in range(12)]
        assert await report(shows("calm")) == 200
        assert [await opens(shows(tenant)) for tenant in ("calm", "calm", "other")] == [True, False, True]
        for socket in sockets:
            socket.close()


def test_by_default_who_is_gone_is_noticed_within_six_minutes() -> None:
    assert JobProgressHub().recheck_s + HubOAuth().cache_max_age + TICK_S < 360


class Bob(RequestHandler):
    """What a Hub says of a token, whichever that is."""

    def get(self) -> None:
        self.finish({"kind": "user", "name": "bob", "admin": False, "scopes": ["access:services"]})


@pytest.fixture
async def hub_url() -> AsyncIterator[str]:
    hub = HTTPServer(Application([("/hub/api/user", Bob)]))
    sockets = listen(host="127.0.0.1", port=0, path="", reuse_port=False)
    hub.add_sockets(sockets)
    yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}/"
    hub.stop()
    await hub.close_all_connections()


async def test_who_shows_nothing_is_not_counted_as_who_has_shown_a_token_in_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub_url: str
) -> None:
    async with service(tmp_path, monkeypatch, hub_url=hub_url, requests_per_s=0.5) as (url, _):
        bob = HTTPRequest(f"ws{url[4:]}ws/jobs?token=0123456789", headers={"Sec-Fetch-Mode": "websocket"})
        (await websocket_connect(bob)).close()

        assert [(await fetch(f"{url}api/jobs")).code for _ in range(12)][-1] == 429
        (await websocket_connect(bob)).close()


@pytest.mark.parametrize(
    ("traits", "names", "foreign"),
    [
        ({"public_url": "https://hub.example/services/jobprogress/"}, ["hub.example", "localhost", "10.0.0.7"], 403),
        ({"allow_host": ["jobprogress"]}, ["jobprogress:8084", "127.0.0.1"], 403),
        # Nobody has said how the Hub is called. A cookie is of its right name, and nothing opens without.
        ({}, ["hub.example"], 401),
    ],
)
async def test_a_name_that_is_not_the_services_is_refused_where_the_names_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, traits: dict[str, Any], names: list[str], foreign: int
) -> None:
    async with service(tmp_path, monkeypatch, **traits) as (url, _):
        for name in names:
            assert (await fetch(f"{url}api/jobs", headers={"Host": name})).code == 401
        for name in ("rebound.example", "hub.example.rebound.example", "rebound.example:8084"):
            for path in ("api/jobs", "ws/jobs", "", "health", "user/ann/api/jobs"):
                code = (await fetch(f"{url}{path}", headers={"Host": name})).code
                # Of those whom it does not know the page asks the Hub.
                assert code == foreign or (foreign == 401 and (path, code) == ("", 302))
