"""Viewers that mean no good: what others feel of them, what they take, and what is left when they are gone.

The attackers of benchmarks/hostile.py, in a process of their own; the server in this one, where its tasks and the
time that its loop takes can be seen.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import redis
import websockets
from jupyter_server.serverapp import ServerApp

from benchmarks.cores import forget_peak, peak_kib
from benchmarks.hostile import CROWD, CUT, SIZE, Attacked, never_reads
from jupyter_jobprogress.server.service import Service
from jupyter_jobprogress.store.redis_pool import COMMAND_CONNECTIONS
from tests.server.test_limits import HEADERS
from tests.support.jobs import eventually, make_state
from tests.support.redis_server import RedisServer
from tests.support.standalone import mounted

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nobody_elses_garbage() -> Iterator[None]:
    """Keep the collector from what other tests have left: it holds the loop up for 0.1 s over a million objects."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


LIMITS: dict[str, float] = {"drain_s": 1.0, "first_message_s": 2.0, "requests_per_s": 20.0}
"""Lowered, so that nobody has to wait; the others are the defaults."""

ENDINGS: dict[str, set[int]] = {
    "floods_pings": {4429, CUT},
    "floods_pings_and_never_reads": {CUT},
    "floods_pongs": {4429, CUT},
    "never_finishes_a_message": {4429, CUT},
    "subscribes_a_million_ids": {4429, CUT},
    "sends_a_huge_frame": {1009, 4429, CUT},
    "never_finishes_a_frame": {4429},
    "sends_deep_json": {4400, 4429, CUT},
    "sends_bad_utf8": {4429, CUT},
    "sends_binary_noise": {4400, 4429, CUT},
    "comes_again_and_again": {429},
}
"""How each may end. Cut is whom the kernel told so before the close frame: more had come than was ever read. 4429 is
also for those whom a busy machine keeps from saying anything in time."""


@dataclass
class Place:
    """A server under attack. ``url`` is that of its sockets."""

    service: Service
    url: str
    headers: Mapping[str, str]
    redis: RedisServer

    async def attack(self, *kinds: str) -> Attacked:
        """Let attackers do their worst until the server has ended it with each of them, at most 30 s."""
        async with self._attackers(kinds) as process:
            output, _ = await process.communicate()
            assert process.returncode == 0
            return msgspec.json.decode(output, type=Attacked)

    async def stall(self) -> None:
        """Let viewers who never read stay until the server has dropped all of them."""
        count = CROWD[never_reads]

        async def dropped() -> bool:
            return self.service.metrics.counts.dropped == count

        async with self._attackers(["never_reads"]):
            await eventually(dropped, within_s=30)

    @asynccontextmanager
    async def _attackers(self, kinds: Sequence[str]) -> AsyncIterator[asyncio.subprocess.Process]:
        parts = urlsplit(self.url)
        arguments = [f"--port={parts.port}", f"--path={parts.path}", "--heavy=heavy", "--seconds=30"]
        arguments += ["--headers=" + "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "benchmarks.hostile", *arguments, "--kinds", *kinds),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def held(self) -> dict[str, int]:
        """Return what the server holds now, of everything that attackers may leave behind."""
        with redis.Redis.from_url(self.redis.url) as client:
            mine = client.client_id()
            return {
                "file descriptors": len(os.listdir("/proc/self/fd")) - 1,  # without that of this connection
                "tasks": len(asyncio.all_tasks()),
                "viewers": self.service.fanout.viewer_count,
                "jobs": self.service.fanout.job_count,
                "subscribed connections": sum(int(one["sub"]) > 0 for one in client.client_list()),
                "connections": sum(int(one["id"]) != mine for one in client.client_list()),
                "channels": len(client.pubsub_channels()),
            }


class Healthy:
    """A viewer who gets every update of a job that is reported all the time, and how long the loop was held up.

    Of the loop's lag only that part is counted in which it was at work itself: on a busy machine the rest is the
    neighbours'.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self.seen: list[int] = []
        self.reported = 0
        self.lags_ms: list[float] = []

    async def __aenter__(self) -> Healthy:
        self._socket = await websockets.connect(
            f"{self._place.url}/hot", additional_headers=self._place.headers, compression=None, max_queue=None
        )
        self._tasks = [asyncio.create_task(work()) for work in (self._report, self._watch, self._feel)]
        await eventually(self.caught_up, within_s=30)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._socket.close()

    async def caught_up(self) -> bool:
        return bool(self.seen) and self.seen[-1] >= self.reported

    async def _report(self) -> None:
        while True:
            await self._place.service.store.publish(make_state("hot", n=self.reported + 1))
            self.reported += 1
            # Megabytes a second, for those who do not read them. Nobody else watches this.
            await self._place.service.store.publish(make_state("heavy", metadata={"x": "y" * 60_000}))
            await asyncio.sleep(0.02)

    async def _watch(self) -> None:
        async for message in self._socket:
            state = json.loads(message)
            if "seq" in state:
                self.seen.append(state["n"])

    async def _feel(self) -> None:
        while True:
            begin_s, worked_s = time.monotonic(), time.thread_time()
            await asyncio.sleep(0.005)
            late_s = time.monotonic() - begin_s - 0.005
            self.lags_ms.append(min(late_s, time.thread_time() - worked_s) * 1000)


@asynccontextmanager
async def besieged(place: Place, caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """Attack in the block; at its end nobody has felt it, each attacker has had a line at most, and nothing is left."""
    caplog.set_level(logging.INFO)
    async with Healthy(place) as healthy:
        # The store opens its few connections when it needs them, and keeps them.
        await asyncio.gather(*(place.service.store.read(["hot"]) for _ in range(COMMAND_CONNECTIONS)))
        before = await place.held()
        caplog.clear()
        healthy.lags_ms.clear()
        resident_kib = forget_peak(os.getpid())

        yield

        growth_kib = (peak_kib(os.getpid()) or 0.0) - (resident_kib or 0.0)
        lags_ms = sorted(healthy.lags_ms)
        after: dict[str, int] = {}

        async def settled() -> bool:
            nonlocal after
            after = await place.held()
            return all(after[name] <= before[name] for name in before)

        try:
            await eventually(settled, within_s=30, every_s=0.2)
        except TimeoutError:
            assert after == before
        await eventually(healthy.caught_up, within_s=30)
        assert healthy.seen == list(range(healthy.seen[0], healthy.seen[-1] + 1)), "an update was lost"
    assert growth_kib <= 10 * 1024
    assert lags_ms[int(0.99 * len(lags_ms))] <= 50, lags_ms[-10:]
    said = [record for record in caplog.records if record.levelno >= logging.INFO]
    assert not [record for record in said if record.exc_info or "exception" in record.getMessage()]
    assert len(said) <= SIZE, [record.getMessage() for record in said[:10]]


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the server's log says."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]


@asynccontextmanager
async def standalone(folder: Path, server: RedisServer) -> AsyncIterator[Place]:
    async with mounted(folder, redis_url=server.url, **LIMITS) as running:
        url = running.url.replace("http", "ws", 1) + "ws/jobs"
        yield Place(running.service, url, HEADERS, server)


async def test_nobody_feels_viewers_who_do_not_read_and_nothing_is_left(
    tmp_path: Path, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with standalone(tmp_path, own_redis) as place, besieged(place, caplog):
        await place.stall()

    assert len(messages(caplog)) == CROWD[never_reads]
    assert set(messages(caplog)) == {"A viewer did not read for 1 s and is dropped."}


@pytest.mark.parametrize("kind", ENDINGS)
async def test_nobody_feels_one_kind_of_attacker_and_nothing_is_left(
    kind: str, tmp_path: Path, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with standalone(tmp_path, own_redis) as place, besieged(place, caplog):
        attacked = await place.attack(kind)

    assert set(attacked.endings[kind]) <= ENDINGS[kind], attacked.endings
    # Those who come again and again are told of by one line a minute for all.
    assert len(messages(caplog)) <= (1 if kind == "comes_again_and_again" else len(attacked.endings[kind]))


class TestInJupyter:
    """The same by the extension: all of them at once."""

    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any], own_redis: RedisServer) -> dict[str, Any]:
        ours = {"redis_url": own_redis.url, "ping_interval_s": 30.0, **LIMITS}
        return {**jp_server_config, "JobProgress": {**jp_server_config["JobProgress"], **ours}}

    async def test_nobody_feels_a_crowd_of_attackers_and_nothing_is_left(
        self,
        jp_serverapp: ServerApp,
        http_server: Any,
        service: Service,
        own_redis: RedisServer,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        port = next(iter(http_server._sockets.values())).getsockname()[1]
        url = f"ws://127.0.0.1:{port}{jp_serverapp.base_url}jobprogress/ws/jobs"
        headers = {"Authorization": f"token {jp_serverapp.identity_provider.token}"}
        # Who floods with handshakes leaves none for the others, all of one user here.
        kinds = [kind for kind in ENDINGS if kind != "comes_again_and_again"]
        place = Place(service, url, headers, own_redis)
        async with besieged(place, caplog):
            attacked, _ = await asyncio.gather(place.attack(*kinds), place.stall())
            again = await place.attack("comes_again_and_again")

        for kind, endings in {**attacked.endings, **again.endings}.items():
            assert set(endings) <= ENDINGS[kind], kind
