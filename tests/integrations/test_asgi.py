"""The WebSocket in applications of others, under a real uvicorn and on a real Redis."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket, WebSocketException
from msgspec.structs import replace
from tornado.httpclient import AsyncHTTPClient
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from jupyter_jobprogress.errors import SettingsError
from jupyter_jobprogress.integrations.asgi import ProgressSockets
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store import connect as connect_store
from jupyter_jobprogress.store.base import Store
from tests.support.asgi import uvicorn_here, uvicorn_process
from tests.support.jupyter import isolated_environment
from tests.support.original_client import monitor_job
from tests.support.redis_server import RedisServer
from tests.support.standalone import fetch, serving

DOCS = Path(__file__).parents[2] / "docs"
SAMPLE = DOCS / "examples" / "fastapi_app.py"
WAIT_S = 30.0


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Give a folder with the sample application."""
    folder = tmp_path / "app"
    folder.mkdir()
    shutil.copy(SAMPLE, folder)
    return folder


@pytest.fixture
def settings(redis_server: RedisServer, namespace: str) -> Settings:
    return Settings(url=redis_server.url, namespace=namespace)


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    store = connect_store(settings)
    yield store
    await store.close()


def state(progress: float, status: Status = Status.PROCESSING, message: str = "") -> State:
    return State(job_id="job-1", status=status, stage="", progress=progress, message=message, timestamp="")


@asynccontextmanager
async def application(sockets: ProgressSockets) -> AsyncIterator[str]:
    """Serve an application with the sockets mounted, and give the URL of job-1."""
    app = FastAPI(lifespan=sockets.lifespan)
    app.mount("/ws/jobs", sockets)
    async with uvicorn_here(app) as authority:
        yield f"ws://{authority}/ws/jobs/job-1"


async def said(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_S):
        message: dict[str, Any] = json.loads(await socket.recv())
        return message


async def closed(socket: ClientConnection) -> int | None:
    """Read to the end of a socket, and return its code."""
    async with asyncio.timeout(WAIT_S):
        try:
            while True:
                await socket.recv()
        except ConnectionClosed as exc:
            return None if exc.rcvd is None else exc.rcvd.code


async def create(authority: str, kind: str, *, amount: int = 20) -> dict[str, Any]:
    answer = await fetch(f"http://{authority}/jobs/{kind}?amount={amount}", method="POST")
    assert answer.code == 200, answer.body
    created: dict[str, Any] = json.loads(answer.body)
    return created


def test_the_page_prints_the_sample() -> None:
    assert f"```python\n{SAMPLE.read_text()}```" in (DOCS / "fastapi.md").read_text()


async def test_the_sample_runs_beside_the_server_and_the_original_client_follows_it(
    sample: Path, tmp_path: Path, own_redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = isolated_environment(tmp_path, REDIS_URL=own_redis.url)
    with (
        uvicorn_process("fastapi_app:app", folder=sample, environment=environment) as (_, authority, _),
        serving(tmp_path, environment=environment) as server,
    ):
        created = [await create(authority, kind) for kind in ("render", "count")]
        async with asyncio.timeout(WAIT_S):
            for job in created:
                await monitor_job(f"ws://{authority}{job['websocket_url']}", job["job_id"])
        kept = [
            json.loads((await fetch(f"{server.url}api/jobs/{job['job_id']}", headers=server.headers)).body)
            for job in created
        ]

    printed = capsys.readouterr().out
    assert "rendering: 50.0% - Frame 10 of 20" in printed
    assert "Job completed: {'frames': 20}" in printed
    assert "Job completed: {'counted': 20}" in printed
    assert [(job["status"], job["progress"]) for job in kept] == [("completed", 1), ("completed", 1)]


async def test_a_task_of_the_sample_is_cancelled_at_the_server_beside_it(
    sample: Path, tmp_path: Path, own_redis: RedisServer
) -> None:
    environment = isolated_environment(tmp_path, REDIS_URL=own_redis.url)
    with (
        uvicorn_process("fastapi_app:app", folder=sample, environment=environment) as (_, authority, log),
        serving(tmp_path, environment=environment) as server,
    ):
        job = await create(authority, "count", amount=100_000)
        async with connect(f"ws://{authority}{job['websocket_url']}") as socket:
            while (await said(socket)).get("status") != "processing":
                pass
            url = f"{server.url}api/jobs/{job['job_id']}/cancel"
            assert (await fetch(url, method="POST", headers=server.headers)).code == 202
            while (await said(socket)).get("status") != "cancelled":
                pass

    assert "Traceback" not in log.read_text()


async def test_a_reload_and_the_end_of_uvicorn_send_viewers_away_to_come_back(
    sample: Path, tmp_path: Path, redis_server: RedisServer
) -> None:
    environment = isolated_environment(tmp_path, REDIS_URL=redis_server.url)
    with uvicorn_process("fastapi_app:app", "--reload", folder=sample, environment=environment) as (
        process,
        authority,
        _,
    ):
        url = f"ws://{authority}/ws/jobs/job-1"
        async with connect(url) as socket:
            assert (await said(socket))["type"] == "connected"
            os.utime(sample / SAMPLE.name)
            assert await closed(socket) == 1012
        async with connect(url, open_timeout=WAIT_S) as socket:
            assert (await said(socket))["type"] == "connected"
            process.send_signal(signal.SIGTERM)
            assert await closed(socket) == 1012
        assert await asyncio.to_thread(process.wait, WAIT_S) in (0, -signal.SIGTERM)


async def test_messages_are_those_of_the_original(settings: Settings, store: Store) -> None:
    await store.publish(state(0.25))
    async with application(ProgressSockets(settings=settings)) as url, connect(url) as socket:
        hello, first = await said(socket), await said(socket)
        await store.publish(state(0.5))
        second = await said(socket)

    assert {name: hello[name] for name in ("type", "job_id", "message")} == {
        "type": "connected",
        "job_id": "job-1",
        "message": "Connected to job progress stream",
    }
    assert (first["job_id"], first["status"], first["progress"]) == ("job-1", "processing", 0.25)
    assert second["progress"] == 0.5


async def test_it_pings_and_closes_who_is_over_a_limit(redis_server: RedisServer, namespace: str) -> None:
    settings = Settings(url=redis_server.url, namespace=namespace, ping_interval_s=0.1, max_viewers_per_user=1)
    async with application(ProgressSockets(settings=settings)) as url, connect(url) as socket:
        assert (await said(socket))["type"] == "connected"
        ping = await said(socket)
        async with connect(url) as second:
            assert await closed(second) == 4429

    assert {name: ping[name] for name in ("type", "job_id", "message")} == {
        "type": "ping",
        "job_id": "job-1",
        "message": "keepalive",
    }


async def test_a_viewer_that_does_not_read_holds_up_nobody_and_gets_the_last_state(
    settings: Settings, store: Store
) -> None:
    total, large = 400, "x" * 4000
    async with (
        application(ProgressSockets(settings=settings)) as url,
        connect(url, max_queue=1, compression=None) as slow,
        connect(url, max_queue=None, compression=None) as quick,
    ):
        fields = {f"key{number}": large for number in range(14)}  # 56 KB a state: more than all buffers between hold
        for number in range(total):
            await store.publish(replace(state(number / total), metadata=fields))
        await store.publish(state(1.0, Status.COMPLETED))
        last: dict[str, Any] = {}
        while last.get("status") != "completed":
            last = await said(quick)
        seen = [await said(slow)]
        while seen[-1].get("status") != "completed":
            seen.append(await said(slow))

    assert len(seen) < total
    assert sorted(each["progress"] for each in seen[1:]) == [each["progress"] for each in seen[1:]]


@pytest.mark.parametrize(
    ("path", "origin", "status"),
    [
        ("job-1", None, 101),
        ("job-1", "http://{authority}", 101),
        ("job-1", "https://app.example.org", 101),
        ("job-1", "https://evil.example.org", 403),
        ("job-1", "null", 403),
        ("job-1", "http://[", 403),
        ("job-2", None, 403),
        ("-job", None, 403),
        ("", None, 403),
    ],
)
async def test_who_may_not_watch_is_not_let_in(settings: Settings, path: str, origin: str | None, status: int) -> None:
    async def may_watch(scope: object, job_id: str) -> bool:
        await asyncio.sleep(0)
        return job_id == "job-1"

    sockets = ProgressSockets(settings=settings, may_watch=may_watch, allow_origin=["https://app.example.org"])
    async with application(sockets) as url:
        authority = url.split("/")[2]
        sent = None if origin is None else origin.format(authority=authority)
        async with AsyncExitStack() as opened:
            try:
                await opened.enter_async_context(connect(url.replace("job-1", path), origin=sent))
                got = 101
            except InvalidStatus as exc:
                got = exc.response.status_code

    assert got == status


async def test_who_may_no_longer_watch_is_sent_away(redis_server: RedisServer, namespace: str) -> None:
    allowed = True
    settings = Settings(url=redis_server.url, namespace=namespace, recheck_s=0.1)
    sockets = ProgressSockets(settings=settings, may_watch=lambda scope, job_id: allowed)
    async with application(sockets) as url, connect(url) as socket:
        assert (await said(socket))["type"] == "connected"
        allowed = False
        assert await closed(socket) == 4403


def signed_in(websocket: WebSocket) -> str:
    """Know a user by a cookie, as an application does."""
    if "user" not in websocket.cookies:
        raise WebSocketException(1008)
    return websocket.cookies["user"]


async def test_a_route_behind_dependencies_of_the_application(settings: Settings, store: Store) -> None:
    sockets = ProgressSockets(settings=settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with sockets.lifespan():
            yield

    app = FastAPI(lifespan=lifespan)

    @app.websocket("/progress/of/{job_id}")
    async def progress(websocket: WebSocket, user: Annotated[str, Depends(signed_in)]) -> None:
        await sockets(websocket.scope, websocket.receive, websocket.send)

    await store.publish(state(0.25))
    async with uvicorn_here(app) as authority:
        url = f"ws://{authority}/progress/of/job-1"
        async with connect(url, additional_headers={"Cookie": "user=ada"}) as socket:
            assert (await said(socket))["type"] == "connected"
            assert (await said(socket))["progress"] == 0.25
        with pytest.raises(InvalidStatus) as refused:
            await connect(url)

    assert refused.value.response.status_code == 403


async def test_the_end_of_the_lifespan_closes_what_the_asgi_server_has_not(settings: Settings) -> None:
    sockets = ProgressSockets(settings=settings)
    said: asyncio.Queue[Any] = asyncio.Queue()
    heard: asyncio.Queue[Any] = asyncio.Queue()
    heard.put_nowait({"type": "websocket.connect"})
    scope = {"type": "websocket", "path": "/job-1", "headers": []}
    async with asyncio.timeout(WAIT_S), sockets.lifespan():
        serving = asyncio.create_task(sockets(scope, heard.get, said.put))
        assert [(await said.get())["type"] for _ in range(2)] == ["websocket.accept", "websocket.send"]
    await serving

    assert said.get_nowait() == {"type": "websocket.close", "code": 1012, "reason": "The server stops"}


async def test_a_plain_request_is_told_to_be_a_websocket(settings: Settings) -> None:
    async with application(ProgressSockets(settings=settings)) as url:
        answer = await AsyncHTTPClient().fetch(url.replace("ws:", "http:"), raise_error=False)

    assert (answer.code, answer.headers["Upgrade"]) == (426, "websocket")


async def test_without_a_store_the_application_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOBPROGRESS_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(SettingsError, match="REDIS_URL"):
        async with ProgressSockets().lifespan():
            pass
