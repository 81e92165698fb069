"""The sockets of a real Jupyter server, spoken to by a real client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import websockets
from jupyter_server.serverapp import ServerApp
from tornado.httpclient import HTTPClientError
from tornado.websocket import WebSocketClientConnection

from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.server.service import Service
from tests.support.standalone import fetch

Connect = Callable[..., Awaitable[WebSocketClientConnection]]
PATH = ("jobprogress", "ws", "jobs")


def state(job_id: str = "job-1", status: str = "processing", **fields: Any) -> State:
    given = {"stage": "work", "progress": 0.5, "message": "half", "timestamp": "2026-01-01T00:00:00Z"} | fields
    return State(job_id=job_id, status=Status(status), **given)


async def receive(socket: WebSocketClientConnection, *, kind: str | None = "") -> dict[str, Any]:
    """Return the next message, or the next of one kind ("" is a state)."""
    async with asyncio.timeout(30):
        while True:
            text = await socket.read_message()
            assert text is not None, f"closed with {socket.close_code}"
            message = json.loads(text)
            if kind is None or message.get("type", "") == kind:
                return message


async def ask(socket: WebSocketClientConnection, command: dict[str, Any], *, kind: str) -> dict[str, Any]:
    await socket.write_message(json.dumps(command))
    return await receive(socket, kind=kind)


async def test_one_job_is_greeted_shown_and_followed(connect: Connect, service: Service) -> None:
    await service.store.publish(state(progress=0.25))

    socket = await connect(*PATH, "job-1")

    greeting = await receive(socket, kind=None)
    assert greeting["type"] == "connected"
    assert greeting["job_id"] == "job-1"
    assert greeting["message"] == "Connected to job progress stream"
    assert greeting["timestamp"].endswith("Z")
    assert abs(greeting["now_us"] - service.store.now_us()) < 5_000_000
    assert (await receive(socket))["progress"] == 0.25
    await service.store.publish(state("job-1", "completed", result={"frames": 3}))
    assert (await receive(socket))["result"] == {"frames": 3}


async def test_every_update_of_one_job_arrives_in_order(connect: Connect, service: Service) -> None:
    await service.store.publish(state(n=-1))
    socket = await connect(*PATH, "job-1")
    await receive(socket)

    for step in range(50):
        await service.store.publish(state(n=step))

    assert [(await receive(socket))["n"] for _ in range(50)] == list(range(50))


async def test_pings_carry_the_original_fields(connect: Connect) -> None:
    socket = await connect(*PATH, "job-1")

    ping = await receive(socket, kind="ping")

    assert ping["message"] == "keepalive"
    assert ping["job_id"] == "job-1"
    assert ping["timestamp"].endswith("Z")


async def test_many_jobs_on_one_socket(connect: Connect, service: Service) -> None:
    await service.store.publish(state("a"))
    socket = await connect(*PATH)

    answer = await ask(socket, {"type": "subscribe", "id": 7, "job_ids": ["a", "b"]}, kind="subscribed")

    assert answer == {"type": "subscribed", "id": 7, "job_ids": ["a", "b"], "missing": ["b"]}
    assert (await receive(socket))["job_id"] == "a"
    await service.store.publish(state("b"))
    assert (await receive(socket))["job_id"] == "b"
    await socket.write_message('{"type":"unsubscribe","job_ids":["b"]}')
    await ask(socket, {"type": "read", "id": 8, "job_ids": []}, kind="states")
    await service.store.publish(state("b", n=99))
    await service.store.publish(state("a", n=1))
    assert (await receive(socket))["n"] == 1


async def test_an_interval_thins_updates_but_never_the_first_and_the_last(connect: Connect, service: Service) -> None:
    socket = await connect(*PATH)
    await ask(socket, {"type": "subscribe", "job_ids": ["a"], "interval_ms": 200}, kind="subscribed")

    for step in range(100):
        await service.store.publish(state("a", n=step))
    await service.store.publish(state("a", "completed", n=100))

    seen = [(await receive(socket))["n"]]
    while seen[-1] != 100:
        seen.append((await receive(socket))["n"])
    assert seen[0] == 0
    assert len(seen) < 20
    assert seen == sorted(seen)


async def test_reports_get_receipts_and_reach_viewers(connect: Connect) -> None:
    viewer, reporter = await connect(*PATH, "a"), await connect(*PATH)
    fields = {"job_id": "a", "status": "processing", "stage": "s", "progress": None, "message": "m", "timestamp": "t"}

    receipt = await ask(reporter, {"type": "report", "id": 1, "start": True, "state": fields}, kind="receipt")

    assert receipt["outcome"] == "accepted"
    assert receipt["run"] == receipt["seq"]
    assert (await receive(viewer))["run"] == receipt["run"]
    assert (await ask(reporter, {"type": "cancel", "id": 2, "job_id": "a"}, kind="done"))["found"] is True
    update = {"type": "report", "id": 3, "state": {**fields, "run": receipt["run"]}}
    assert (await ask(reporter, update, kind="receipt"))["cancel_requested"] is True
    stale = {"type": "report", "id": 4, "state": {**fields, "run": receipt["run"] - 1}}
    assert (await ask(reporter, stale, kind="receipt"))["outcome"] == "superseded"
    assert (await ask(reporter, {"type": "delete", "id": 5, "job_id": "a"}, kind="done"))["found"] is True


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("not json", "invalid_message"),
        ("[]", "invalid_message"),
        ('{"type":"dance"}', "invalid_message"),
        ('{"type":"subscribe","job_ids":"a"}', "invalid_message"),
        ('{"type":"subscribe","job_ids":["../a"]}', "invalid_job_id"),
        ('{"type":"subscribe","job_ids":["a\\n"]}', "invalid_job_id"),
        ("[" * 5000, "invalid_message"),
        (json.dumps({"type": "list", "after": 2**63}), "invalid_message"),
        (json.dumps({"type": "add", "job_id": "a", "part": "p", "contribution": {"n": 10**400}}), "invalid_message"),
        (json.dumps({"type": "add", "job_id": "a", "part": "p", "contribution": {}, "run": 2**63}), "invalid_message"),
        (json.dumps({"type": "subscribe", "job_ids": [f"j{n}" for n in range(1025)]}), "too_many_subscriptions"),
        (json.dumps({"type": "read", "job_ids": [f"j{n}" for n in range(257)]}), "too_many_ids"),
    ],
)
async def test_bad_messages_are_answered_and_nothing_is_lost(connect: Connect, sent: str, code: str) -> None:
    socket = await connect(*PATH)

    await socket.write_message(sent)

    assert (await receive(socket, kind="error"))["code"] == code
    assert (await ask(socket, {"type": "subscribe", "job_ids": ["a"]}, kind="subscribed"))["missing"] == ["a"]


async def test_an_error_is_told_by_its_id_also_where_the_message_cannot_be_read(connect: Connect) -> None:
    socket = await connect(*PATH)

    error = await ask(socket, {"type": "report", "id": 3, "state": {"progress": "half"}}, kind="error")
    assert (error["code"], error["id"]) == ("invalid_message", 3)
    error = await ask(socket, {"type": "add", "id": 4, "job_id": "a", "part": 1}, kind="error")
    assert (error["id"], error["job_id"]) == (4, "a")
    assert "id" not in await ask(socket, {"type": "list", "id": "five"}, kind="error")


async def test_a_state_over_a_limit_is_refused_by_name(connect: Connect) -> None:
    socket = await connect(*PATH)
    fields = {"job_id": "a", "status": "processing", "stage": "", "progress": 0, "message": "", "timestamp": ""}

    large = {"type": "report", "id": 1, "state": {**fields, "metadata": {"x": "y" * 70_000}}}

    error = await ask(socket, large, kind="error")
    assert (error["code"], error["id"], error["job_id"]) == ("state_too_large", 1, "a")
    deep: dict[str, Any] = {}
    for _ in range(17):
        deep = {"x": deep}
    nested = {"type": "report", "id": 2, "state": {**fields, "metadata": deep}}
    assert (await ask(socket, nested, kind="error"))["code"] == "nesting_too_deep"


@pytest.mark.parametrize("shown", ["a header", "the query", "a cookie"])
async def test_no_cookie_is_signed_for_who_opens_a_socket(
    jp_serverapp: ServerApp, http_server: Any, shown: str
) -> None:
    address = f"127.0.0.1:{next(iter(http_server._sockets.values())).getsockname()[1]}{jp_serverapp.base_url}"
    token = jp_serverapp.identity_provider.token
    authorized = {"Authorization": f"token {token}"}
    # Jupyter signs one for every other request of whoever shows a token.
    cookie = (await fetch(f"http://{address}api/status", headers=authorized)).headers["Set-Cookie"].partition(";")[0]

    query = f"?token={token}" if shown == "the query" else ""
    headers = {"a header": authorized, "a cookie": {"Cookie": cookie}}.get(shown, {})
    uri = f"ws://{address}jobprogress/ws/jobs/job-1{query}"
    async with websockets.connect(uri, additional_headers=headers) as socket:
        assert json.loads(await socket.recv())["type"] == "connected"
        assert socket.response is not None
        assert "Set-Cookie" not in socket.response.headers


async def test_an_invalid_job_id_in_the_path_is_refused(connect: Connect) -> None:
    with pytest.raises(HTTPClientError) as refusal:
        await connect(*PATH, "a%20b")

    assert refusal.value.code == 400


async def test_viewers_that_leave_leave_nothing_behind(connect: Connect, service: Service) -> None:
    sockets = [await connect(*PATH, f"job-{n % 3}") for n in range(9)]
    assert (service.fanout.viewer_count, service.fanout.job_count) == (9, 3)

    for socket in sockets:
        socket.close()

    async with asyncio.timeout(30):
        while service.fanout.viewer_count or service.fanout.job_count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("size", [0, 50, 125, 126, 200, 40_000, 60_000])
async def test_a_frame_of_any_length_arrives_whole(connect: Connect, service: Service, size: int) -> None:
    await service.store.publish(state(n=0))
    socket = await connect(*PATH, "job-1")
    await receive(socket)

    await service.store.publish(state(metadata={"x": "y" * size}, message="ü"))

    assert (await receive(socket))["metadata"] == {"x": "y" * size}


async def test_an_answer_to_a_question_for_large_states_is_bounded_and_says_what_is_left(
    connect: Connect, service: Service
) -> None:
    job_ids = [f"job-{number}" for number in range(20)]
    for job_id in job_ids:
        await service.store.publish(state(job_id, metadata={"x": "y" * 60_000}))
    socket = await connect(*PATH)

    left, got, questions = job_ids, list[str](), 0
    while left:
        questions += 1
        answer = await ask(socket, {"type": "read", "id": questions, "job_ids": left}, kind="states")
        assert len(json.dumps(answer)) < 256 * 1024 + 64 * 1024
        got += [one["job_id"] for one in answer["states"]]
        left = answer["left"]

    assert got == job_ids
    assert questions == 4


async def test_a_viewer_that_pauses_gets_whole_frames_and_the_newest_state(
    jp_serverapp: ServerApp, http_server: Any, service: Service
) -> None:
    await service.store.publish(state(n=0))
    port = next(iter(http_server._sockets.values())).getsockname()[1]
    token = jp_serverapp.identity_provider.token
    uri = f"ws://127.0.0.1:{port}{jp_serverapp.base_url}jobprogress/ws/jobs/job-1?token={token}"
    # It takes a few frames into its own memory, and then no more from the socket.
    async with websockets.connect(uri, max_queue=2, compression=None) as viewer:
        while "seq" not in json.loads(await viewer.recv()):
            pass

        # 30 MB, far beyond what the kernel buffers for both ends.
        for step in range(1, 1001):
            await service.store.publish(state(n=step, metadata={"x": "y" * 30_000}))
        await service.store.publish(state("job-1", "completed", n=1001))

        seen = []
        async with asyncio.timeout(60):
            while 1001 not in seen[-1:]:
                message = json.loads(await viewer.recv())
                if "seq" in message:
                    seen.append(message["n"])
    assert seen == sorted(set(seen))
    assert len(seen) < 1000
