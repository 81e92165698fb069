"""What a page shows while Redis or the Jupyter server is away, and that it is right soon after."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.browser.conftest import OpenPage
from tests.support.browser import App, NotebookFile, lab_environment
from tests.support.jupyter import Server, jupyter_server
from tests.support.redis_server import RedisServer, free_port
from tests.support.remote_job import remote_job

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

MakeFile = Callable[[Server], NotebookFile]

BACK_WITHIN_MS = 10_000


@pytest_asyncio.fixture(loop_scope="session")
async def server_with_redis(app: App, own_redis: RedisServer, tmp_path: Path) -> AsyncIterator[Server]:
    environment = lab_environment(tmp_path, REDIS_URL=own_redis.url)
    async with jupyter_server(tmp_path, app=app, environment=environment) as server:
        yield server


def watching(job_id: str) -> str:
    return f"from jupyter_jobprogress import JobProgress\nJobProgress({job_id!r})"


def redis_cli_path() -> str:
    for name in ("redis-cli", "valkey-cli"):
        if found := shutil.which(name):
            return found
    reason = "redis-cli (or valkey-cli) is not on PATH: install it to publish as a shell script does"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


async def redis_cli(redis: RedisServer, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        redis_cli_path(), "-p", str(redis.port), *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode().strip()


async def test_the_original_message_from_redis_cli_is_shown(
    own_redis: RedisServer, server_with_redis: Server, make_file: MakeFile, open_page: OpenPage, job_id: str
) -> None:
    async def publish(status: str, progress: float, **more: object) -> None:
        state = {"job_id": job_id, "status": status, "stage": "work", "progress": progress, "message": "by hand"}
        message = json.dumps({**state, "timestamp": "2026-01-01T00:00:00Z", **more})
        await redis_cli(own_redis, "SET", f"job_status:{job_id}", message)
        # The server listens, and the kernel as soon as it follows the job, for the traits of its bar.
        assert await redis_cli(own_redis, "PUBLISH", f"job_progress:{job_id}", message) in ("1", "2")

    file = make_file(server_with_redis)
    file.write(watching(job_id))
    notebook = await open_page(server_with_redis, file)
    await notebook.run_all()
    bar = notebook.bar(job_id)
    await bar.says("Waiting for the job")

    await publish("processing", 0.25)
    await bar.says("Running")
    await bar.shows(25)
    await publish("processing", 0.75)
    await bar.shows(75)
    await publish("completed", 1.0, result={"answer": 42})

    await bar.says("Completed")
    notebook.check_sockets()


async def test_a_killed_and_emptied_redis_is_said_and_healed(
    own_redis: RedisServer, server_with_redis: Server, make_file: MakeFile, open_page: OpenPage, job_id: str
) -> None:
    file = make_file(server_with_redis)
    file.write(file.handover, watching(job_id))
    notebook = await open_page(server_with_redis, file)
    await notebook.run_all()
    bar = notebook.bar(job_id)
    await bar.says("Waiting for the job")

    async with remote_job(job_id, file.kernel().environ) as job:
        await job.call("report", n=20)
        await bar.shows(20)
        own_redis.kill()
        await bar.says("Store unavailable")
        await job.call("report", n=60)
        await bar.shows(20)

        own_redis.start()

        async with asyncio.timeout(BACK_WITHIN_MS / 1000):
            await bar.shows(60)
            await bar.says("Running")
        await job.call("complete")
        await bar.says("Completed")
    notebook.check_sockets()


async def test_a_bar_comes_back_with_the_jupyter_server(
    app: App, tmp_path: Path, make_file: MakeFile, open_page: OpenPage, job_id: str
) -> None:
    arguments = (f"--ServerApp.port={free_port()}", "--ServerApp.port_retries=0")
    environment = lab_environment(tmp_path)
    async with AsyncExitStack() as jobs:
        async with jupyter_server(tmp_path, *arguments, app=app, environment=environment) as server:
            file = make_file(server)
            file.write(file.handover, watching(job_id))
            notebook = await open_page(server, file)
            await notebook.run_all()
            bar = notebook.bar(job_id)
            await bar.says("Waiting for the job")
            job = await jobs.enter_async_context(remote_job(job_id, file.kernel().environ))
            await job.call("report", n=20)
            await bar.shows(20)

        await bar.says("Reconnecting")
        await job.call("report", n=60)
        await bar.shows(20)

        async with jupyter_server(tmp_path, *arguments, app=app, environment=environment):
            # Page and reporter each come back after up to 20 s (rule 30).
            await bar.shows(60, within_ms=45_000)
            await bar.says("Running")
            await job.call("complete")
            await bar.says("Completed")
            assert sum(not socket.is_closed() for socket in notebook.sockets) == 1
    # Chromium itself writes down each attempt that nobody answers.
    notebook.errors = [error for error in notebook.errors if not error.startswith("WebSocket connection to")]
