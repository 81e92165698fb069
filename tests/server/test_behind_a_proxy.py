"""Two processes on one Redis, behind nginx and behind HAProxy as docs/deploy sets them up: TLS, pages, jobs, a stop."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import ConnectionClosed

from jupyter_jobprogress import State, Status, watch
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store import connect
from jupyter_jobprogress.store.remote_link import tls_context
from tests.support.front import NAME, front
from tests.support.jupyter import isolated_environment
from tests.support.redis_server import RedisServer
from tests.support.standalone import TOKEN, Serving, fetch, serving

PATIENCE_S = 30
USER = {"Authorization": f"token {TOKEN}"}


def job(status: str, progress: float) -> State:
    return State(job_id="train", status=Status(status), progress=progress, stage="", message="", timestamp="")


class Viewer:
    """What a page of the site gets to see. ``close_code`` is None while the socket is open."""

    def __init__(self) -> None:
        self.seen: list[float] = []
        self.close_code: int | None = None
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def looking(self, url: str, cookie: str, certificate: str) -> AsyncIterator[None]:
        """Open a socket by the public name, at the port of the proxy."""
        parts = urlsplit(url)
        async with connect_socket(
            f"wss://{NAME}/ws/jobs/train",
            host=parts.hostname,
            port=parts.port,
            ssl=tls_context(certificate, NAME),
            origin=f"https://{NAME}",
            additional_headers={"Cookie": cookie},
            proxy=None,
        ) as socket:

            async def read() -> None:
                with suppress(ConnectionClosed):
                    async for message in socket:
                        if "progress" in (found := json.loads(message)):
                            self.seen.append(found["progress"])
                            await self._tell()
                self.close_code = socket.close_code
                await self._tell()

            reading = asyncio.create_task(read())
            try:
                yield
            finally:
                await socket.close()
                await reading

    async def until(self, progress: float) -> None:
        """Wait until it sees this progress, or its end."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: progress in self.seen or self.close_code is not None)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class Site(NamedTuple):
    """What stands behind ``url``. ``settings`` lead a client through the proxy, ``behind`` past it to Redis."""

    url: str
    servers: tuple[Serving, Serving]
    settings: Settings
    behind: Settings

    async def viewers(self) -> list[float]:
        """Return how many sockets each of the two has."""
        texts = [(await fetch(f"{each.url}metrics", headers=USER)).body.decode() for each in self.servers]
        return [float(re.findall(r"^jobprogress_viewers (\S+)", text, re.MULTILINE)[0]) for text in texts]

    async def fetch(self, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        answer = await fetch(self.url + path, headers={"Host": NAME, **headers}, validate_cert=False)
        return answer.code, answer.body, dict(answer.headers)


@pytest.fixture(params=["nginx", "haproxy"])
def site(request: pytest.FixtureRequest, tmp_path: Path, redis_server: RedisServer, namespace: str) -> Iterator[Site]:
    environment = isolated_environment(tmp_path, JOBPROGRESS_SERVER_TOKEN=TOKEN)
    options = [f"--redis-url={redis_server.url}", f"--namespace={namespace}", f"--public-url=https://{NAME}/"]
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    with (
        serving(folders[0], *options, environment=environment) as one,
        serving(folders[1], *options, environment=environment) as two,
    ):
        ports = [urlsplit(each.url).port or 0 for each in (one, two)]
        with front(request.param, tmp_path, ports) as url:
            settings = Settings(url=url, token=TOKEN, ca_file=str(tmp_path / "cert.pem"))
            yield Site(url, (one, two), settings, Settings(url=redis_server.url, namespace=namespace))


async def test_a_site_of_two_processes(site: Site, tmp_path: Path) -> None:
    certificate = str(tmp_path / "cert.pem")
    # A browser signs in by the public name; its cookie is for TLS alone, and opens sockets for pages of this site.
    code, _, headers = await site.fetch(f"?token={TOKEN}")
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert (code, "Secure" in headers["Set-Cookie"]) == (303, True)
    assert (await site.fetch("", Cookie=cookie))[0] == 200
    assert (await site.fetch("health"))[:2] == (200, b'{"status":"ok"}')

    async with AsyncExitStack() as stack:

        async def look() -> Viewer:
            await stack.enter_async_context((viewer := Viewer()).looking(site.url, cookie, certificate))
            return viewer

        viewers = [await look() for _ in range(4)]
        on_first, on_second = await site.viewers()
        assert min(on_first, on_second) >= 1

        # What comes in through the proxy, at whichever process, reaches the viewers of both.
        store = connect(site.settings)
        await store.publish(job("processing", 0.5))
        await store.close()
        for viewer in viewers:
            await viewer.until(0.5)
            assert viewer.seen[-1] == 0.5

        # One process stops. Its viewers are told to come back, and find the other one; a client does so by itself.
        states = watch("train", settings=site.settings)
        assert (await anext(states)).progress == 0.5
        assert await asyncio.to_thread(site.servers[0].stop) == 0
        viewers += [await look() for _ in range(4)]
        store = connect(site.behind)
        await store.publish(job("completed", 1.0))
        await store.close()
        for viewer in viewers:
            await viewer.until(1.0)
        assert [viewer.close_code for viewer in viewers if viewer.close_code is not None] == [1012] * int(on_first)
        assert all(viewer.seen[-1] == 1.0 for viewer in viewers if viewer.close_code is None)
        async with asyncio.timeout(PATIENCE_S):
            assert [state.status async for state in states][-1] is Status.COMPLETED
