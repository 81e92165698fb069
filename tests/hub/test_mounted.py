"""The service of a Hub as it is mounted: which routes there are, and by which names it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.web import Application

from jupyter_jobprogress.server.auth import Guarded
from jupyter_jobprogress.server.hub import Callback
from jupyter_jobprogress.server.hub_app import OWNER_PATH, JobProgressHub
from jupyter_jobprogress.server.routes import ROUTES
from jupyter_jobprogress.server.service import Service
from jupyter_jobprogress.server.sockets import listen
from tests.support.standalone import fetch

ROOT = "/services/jobprogress/"


@asynccontextmanager
async def service(
    folder: Path, monkeypatch: pytest.MonkeyPatch, **traits: Any
) -> AsyncIterator[tuple[str, Application]]:
    """Serve what a Hub would start, with no Hub there: nobody can sign in."""
    for name, value in (
        ("SERVICE_PREFIX", ROOT),
        ("CLIENT_ID", "service-jobprogress"),
        ("API_TOKEN", "0123456789abcdef"),
        ("API_URL", "http://127.0.0.1:9/hub/api"),
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
