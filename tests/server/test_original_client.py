"""The Python client of the original service's document, with nothing changed but its URL and token."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from jupyter_server.serverapp import ServerApp

from jupyter_jobprogress import ProgressReporter
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.server.service import Service
from tests.support.original_client import monitor_job


@pytest.fixture
def uri(jp_serverapp: ServerApp, http_server: Any) -> str:
    port = next(iter(http_server._sockets.values())).getsockname()[1]
    token = jp_serverapp.identity_provider.token
    return f"ws://127.0.0.1:{port}{jp_serverapp.base_url}jobprogress/ws/jobs/job_12345?token={token}"


async def watched(service: Service, job_id: str) -> None:
    async with asyncio.timeout(30):
        while not service.fanout.job_count or not service.fanout._topics[job_id].groups:
            await asyncio.sleep(0.01)


async def test_it_follows_a_job_to_its_completion(
    uri: str, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    client = asyncio.create_task(monitor_job(uri, "job_12345"))
    await watched(service, "job_12345")

    fields = {"job_id": "job_12345", "stage": "rendering", "timestamp": "2024-01-01T00:00:00Z"}
    half = State(**fields, status=Status.PROCESSING, progress=0.5, message="Halfway through rendering")
    await service.store.publish(half)
    done = State(**fields, status=Status.COMPLETED, progress=1.0, message="Done", result={"frames": 2000})
    await service.store.publish(done)

    async with asyncio.timeout(30):
        await client
    printed = capsys.readouterr().out
    assert "Connected to job job_12345" in printed
    assert "rendering: 50.0% - Halfway through rendering" in printed
    assert "✅ Job completed: {'frames': 2000}" in printed


async def test_it_sees_a_failure_that_the_bundled_reporter_reports(
    uri: str, jp_serverapp: ServerApp, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    client = asyncio.create_task(monitor_job(uri, "job_12345"))
    await watched(service, "job_12345")
    authority = uri.removeprefix("ws://").partition("/")[0]
    from jupyter_jobprogress import Settings

    settings = Settings(
        url=f"http://{authority}{jp_serverapp.base_url}jobprogress/", token=jp_serverapp.identity_provider.token
    )

    async with ProgressReporter(settings=settings) as reporter:
        await reporter.report("job_12345", "rendering", 0.25, "Rendering", metadata={"fps": 30})
        await reporter.report_error("job_12345", "Failed to decode video", stage="rendering")
        status = await reporter.get_status("job_12345")

    async with asyncio.timeout(30):
        await client
    assert "❌ Job failed: Failed to decode video" in capsys.readouterr().out
    assert status is not None
    assert (status["status"], status["progress"]) == ("failed", 0.25)
