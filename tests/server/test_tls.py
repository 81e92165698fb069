"""Sockets over TLS: their frames cannot go to the socket itself, and everything holds for them as for the others."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from jupyter_jobprogress.protocol.limits import STATE_BYTES
from tests.support.certificates import certificate
from tests.support.jobs import eventually, make_state
from tests.support.standalone import TOKEN, Mounted, mounted

STATES = 400
"""Each close to the greatest: 24 MiB, more than what the kernel takes for a socket on loopback."""


def big(number: int, status: str = "processing") -> Any:
    return make_state(status=status, progress=number / STATES, metadata={"filling": "x" * (STATE_BYTES - 2000)})


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Mounted]:
    files = certificate(tmp_path)
    async with mounted(tmp_path, certfile=str(files.certificate), keyfile=str(files.key)) as server:
        assert server.url.startswith("https://")
        yield server


def connect(server: Mounted, path: str = "ws/jobs/job-1") -> Any:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return websockets.connect(
        server.url.replace("http", "ws", 1) + path,
        additional_headers={"Authorization": f"token {TOKEN}"},
        ssl=context,
        compression=None,
        max_queue=1,  # with one message unread it reads nothing more from its socket
        max_size=None,
    )


async def receive(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(60):
        message: dict[str, Any] = json.loads(await socket.recv())
        return message


async def test_big_states_arrive_whole_and_in_order(server: Mounted) -> None:
    await server.service.store.publish(big(0))
    async with connect(server) as socket:
        assert (await receive(socket))["type"] == "connected"
        for number in range(5):
            assert (await receive(socket))["progress"] == number / STATES
            await server.service.store.publish(big(number + 1, "processing" if number < 4 else "completed"))
        last = await receive(socket)

    assert (last["status"], len(last["metadata"]["filling"])) == ("completed", STATE_BYTES - 2000)


async def test_who_stops_reading_gets_the_newest_when_he_reads_again(server: Mounted) -> None:
    async with connect(server) as slow, connect(server) as other:
        assert (await receive(slow))["type"] == (await receive(other))["type"] == "connected"
        for number in range(STATES):
            await server.service.store.publish(big(number))
            assert (await receive(other))["progress"] == number / STATES  # who reads misses nothing
        await server.service.store.publish(big(STATES, "completed"))
        assert (await receive(other))["status"] == "completed"
        seen = [await receive(slow)]
        while seen[-1]["status"] != "completed":
            seen.append(await receive(slow))

    progress = [state["progress"] for state in seen]
    assert progress == sorted(set(progress))
    assert len(seen) < STATES / 2


async def test_a_socket_that_ends_within_a_write_leaves_nothing(server: Mounted) -> None:
    async with connect(server) as socket:
        await receive(socket)
        for number in range(STATES):
            await server.service.store.publish(big(number))
        socket.transport.abort()

    async def gone() -> bool:
        return server.service.fanout.viewer_count == 0 and server.service.fanout.job_count == 0

    await eventually(gone, within_s=30)
