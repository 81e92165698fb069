"""A service by the Helm values of the page, which the Hub does not start: alone with its files, several with Redis."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser
from redis import Redis
from websockets.exceptions import ConnectionClosed

from jupyter_jobprogress.protocol.tenants import tenant_name
from tests.hub.test_in_browser import signed_in
from tests.support.hub import SERVICE, Hub, Socket, running_hub
from tests.support.redis_server import RedisServer
from tests.support.zero_hub import TENANT_KEY, chart, deployed

JOBS = f"{SERVICE}api/jobs"
PASSWORD = "of the administrator"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    assert binary is not None
    with RedisServer(binary, tmp_path_factory.mktemp("redis")) as server:
        with Redis.from_url(server.url) as admin:
            admin.config_set("requirepass", PASSWORD)
        yield server


@pytest.fixture(scope="module")
def url(redis: RedisServer) -> str:
    return redis.url.replace("//", f"//:{PASSWORD.replace(' ', '%20')}@")


@pytest.fixture(scope="module")
def zero_hub(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer, url: str) -> Iterator[Hub]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REDIS_PASSWORD", PASSWORD)
        folder = tmp_path_factory.mktemp("zero")

        def config(folder: Path, service_port: int) -> str:
            return chart(folder, service_port, redis.port)

        with running_hub(folder, url, config=config, prefix="", path="hub/api/") as hub:
            yield hub


def report(hub: Hub, user: str, job_id: str, **fields: object) -> None:
    assert hub.ask(f"{JOBS}/{job_id}/updates", method="POST", body=fields, token=hub.user(user)).status == 200


def progress(hub: Hub, user: str, job_id: str) -> object:
    return (hub.ask(f"{JOBS}/{job_id}", token=hub.user(user)).json or {}).get("progress")


def test_without_redis_each_user_has_a_file_that_outlives_the_service(zero_hub: Hub, tmp_path: Path) -> None:
    with deployed(zero_hub, tmp_path):
        for user, value in (("ann", 0.25), ("bob", 0.75)):
            report(zero_hub, user, "same", progress=value)
        assert zero_hub.ask(f"{JOBS}/same", token=zero_hub.user("cat")).status == 404
    with deployed(zero_hub, tmp_path):
        assert [progress(zero_hub, user, "same") for user in ("ann", "bob", "cat")] == [0.25, 0.75, None]


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="session")
async def test_several_processes_are_one_service(zero_hub: Hub, tmp_path: Path, url: str, browser: Browser) -> None:
    hub, several = zero_hub, ("--reuse-port",)
    with (
        deployed(hub, tmp_path, redis_url=url, arguments=several),
        deployed(hub, tmp_path, redis_url=url, arguments=several) as second,
    ):
        ann = hub.user("ann")
        sockets = [hub.socket(f"{SERVICE}ws/jobs", token=ann) for _ in range(16)]
        for socket in sockets:
            socket.ask(type="subscribe", job_ids=["shared"], interval_ms=0)
        made = hub.ask(f"{SERVICE}api/tickets", method="POST", body={"job_id": "shared"}, token=ann).json
        for step in range(8):
            # Whichever process answers knows the tickets and the users of the other.
            headers, body = {"Authorization": f"JobProgress {made['token']}"}, {"progress": step / 8}
            assert hub.ask(f"{JOBS}/shared/updates", method="POST", body=body, headers=headers).status == 200
        for socket in sockets:
            while socket.read().get("progress") != 7 / 8:
                pass
        assert hub.ask(f"{JOBS}/shared", token=hub.user("bob")).status == 404
        for name in ("ann", "bob"):
            # Leaving for the Hub and coming back may meet two processes.
            async with signed_in(browser, hub, name) as page:
                await page.get_by_label("Ids of jobs to watch").wait_for()

        second.terminate()
        second.wait(30)
        left = [socket for socket in sockets if _answers(socket)]
        assert 0 < len(left) < len(sockets)
        report(hub, "ann", "shared", progress=1)
        for socket in left:
            while socket.read().get("progress") != 1:
                pass
            socket.close()


def _answers(socket: Socket) -> bool:
    try:
        socket.ask(type="read", job_ids=[])
    except ConnectionClosed:
        return False
    return True


def test_the_printed_hook_gives_each_user_an_account_of_his_own(zero_hub: Hub, url: str) -> None:
    names = ("redis-ann", "redis-bob")
    for name in names:
        zero_hub.start_server(name)
        path, body = f"user/{name}/jobprogress/api/jobs/same/updates", {"progress": 0.5, "message": name}
        assert zero_hub.ask(path, method="POST", body=body, token=zero_hub.user(name)).status == 200
    with Redis.from_url(url, decode_responses=True) as admin:
        for name, other in (names, names[::-1]):
            account, others = tenant_name(name, TENANT_KEY), tenant_name(other, TENANT_KEY)
            assert json.loads(admin.get(f"{account}:job_status:same"))["message"] == name
            assert admin.execute_command("ACL", "DRYRUN", account, "GET", f"{account}:job_status:same") == "OK"
            for command in (("GET", f"{others}:job_status:same"), ("KEYS", "*"), ("FLUSHALL",)):
                assert "permissions" in admin.execute_command("ACL", "DRYRUN", account, *command)
