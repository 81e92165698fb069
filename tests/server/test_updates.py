"""Reports over HTTP, on the standalone server; that Jupyter's has the same handlers is for the audit."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tornado.httpclient import HTTPResponse

from jupyter_jobprogress.protocol.limits import UPDATE_BYTES, UPDATES, UPDATES_BYTES
from tests.support.redis_server import RedisServer
from tests.support.standalone import TOKEN, Mounted, fetch, mounted

USER = {"Authorization": f"token {TOKEN}"}
LINES = USER | {"Content-Type": "application/x-ndjson"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Mounted]:
    async with mounted(tmp_path) as server:
        yield server


async def post(server: Mounted, body: str, *, job_id: str = "a", query: str = "", headers: Any = USER) -> HTTPResponse:
    return await fetch(f"{server.url}api/jobs/{job_id}/updates{query}", method="POST", body=body, headers=headers)


async def state_of(server: Mounted, job_id: str = "a") -> dict[str, Any]:
    state: dict[str, Any] = json.loads((await fetch(f"{server.url}api/jobs/{job_id}", headers=USER)).body)
    return state


async def test_one_update_is_stored_and_answered_by_its_receipt(server: Mounted) -> None:
    response = await post(server, '{"progress":0.4,"message":"Fitting","metadata":{"x":1}}')

    state, receipt = await state_of(server), json.loads(response.body)
    assert response.code == 200
    assert receipt == {
        "job_id": "a",
        "seq": state["seq"],
        "run": None,
        "outcome": "accepted",
        "cancel_requested": False,
    }
    assert (state["status"], state["progress"], state["message"], state["metadata"]) == (
        "processing",
        0.4,
        "Fitting",
        {"x": 1},
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"n":3,"total":12}', {"status": "processing", "progress": 0.25}),
        ('{"n":13,"total":12}', {"progress": 1.0}),
        ('{"result":{"auc":0.9}}', {"status": "completed", "progress": 1.0}),
        ('{"error":"Out of memory"}', {"status": "failed", "progress": None}),
        ('{"status":"queued"}', {"status": "queued", "progress": None}),
        ('{"job_id":"a","progress":1}', {"progress": 1.0}),
    ],
)
async def test_what_was_not_said_follows(server: Mounted, body: str, expected: dict[str, Any]) -> None:
    assert (await post(server, body)).code == 200

    state = await state_of(server)
    assert {name: state[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "invalid_message"),
        ("[]", "invalid_message"),
        ('{"progress":0.1}\n{"progress":0.2}', "invalid_message"),
        ('{"status":"done"}', "invalid_message"),
        ('{"job_id":"b"}', "invalid_message"),
        ('{"progress":40}', "invalid_progress"),
        ('{"n":1' + "0" * 400 + ',"total":1}', "invalid_message"),
        ('{"total":18446744073709551616}', "invalid_message"),
        ('{"run":9223372036854775808}', "invalid_message"),
        ('{"metadata":' + '{"a":' * 17 + "1" + "}" * 17 + "}", "nesting_too_deep"),
        ('{"metadata":{"x":"' + "x" * 65536 + '"}}', "state_too_large"),
    ],
)
async def test_what_breaks_a_rule_is_refused_and_not_stored(server: Mounted, body: str, code: str) -> None:
    response = await post(server, body)

    answer = json.loads(response.body)
    assert (response.code, answer["code"]) == (400, code)
    assert answer["message"].startswith("Expected")
    assert (await fetch(f"{server.url}api/jobs/a", headers=USER)).code == 404


async def test_lines_are_answered_one_by_one_and_a_bad_one_harms_no_other(server: Mounted) -> None:
    response = await post(server, '{"n":1,"total":4}\n\nnonsense\n{"n":3,"total":4}', headers=LINES)

    answers = [json.loads(line) for line in response.body.splitlines()]
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert [answer.get("outcome", answer.get("code")) for answer in answers] == [
        "accepted",
        "invalid_message",
        "accepted",
    ]
    assert (await state_of(server))["progress"] == 0.75


async def test_a_run_begins_where_it_is_asked_for_and_fences_the_one_before(server: Mounted) -> None:
    first = json.loads((await post(server, "{}", query="?start=true")).body)
    again = await post(server, '{"n":1}\n{"n":2,"result":1}\n{"n":3}', query="?start=true", headers=LINES)
    late = json.loads((await post(server, json.dumps({"n": 9, "run": first["run"]}))).body)

    outcomes = [json.loads(line)["outcome"] for line in again.body.splitlines()]
    assert outcomes == ["accepted", "accepted", "ended"]
    assert late["outcome"] == "superseded"
    assert (await state_of(server))["n"] == 2


async def test_a_request_to_cancel_comes_with_the_receipt(server: Mounted) -> None:
    await post(server, "{}")
    await fetch(f"{server.url}api/jobs/a/cancel", method="POST", headers=USER)

    assert json.loads((await post(server, "{}")).body)["cancel_requested"] is True


async def test_a_store_that_is_away_is_503(tmp_path: Path, own_redis: RedisServer) -> None:
    async with mounted(tmp_path, redis_url=own_redis.url) as server:
        own_redis.kill()

        response = await post(server, "{}")

        assert (response.code, json.loads(response.body)["code"]) == (503, "store_unavailable")


async def test_more_lines_than_the_limit_are_refused(server: Mounted) -> None:
    response = await post(server, "{}\n" * (UPDATES + 1), headers=LINES)

    assert (response.code, json.loads(response.body)["code"]) == (400, "invalid_message")


async def test_an_encoded_body_is_refused_before_it_is_read(server: Mounted) -> None:
    assert (await post(server, "{}", headers=USER | {"Content-Encoding": "gzip"})).code == 400


def flood(url: str, head: str, block: bytes, blocks: int) -> tuple[str, int]:
    """Send a body until the server has had enough, and return its status line and how many bytes went out."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=10) as connection:
        connection.sendall(f"POST {parts.path} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n".encode())
        sent = 0
        try:
            for _ in range(blocks):
                connection.sendall(block)
                sent += len(block)
        except OSError:
            pass  # it closed the connection, and what it said before may be lost with it
        try:
            return connection.recv(4096).decode().partition("\r\n")[0], sent
        except OSError:
            return "", sent


@pytest.mark.parametrize("who", ["nobody", "a user"])
@pytest.mark.parametrize("kind", ["told", "chunked", "lines"])
async def test_a_large_body_is_cut_before_it_is_read(server: Mounted, who: str, kind: str) -> None:
    total = 64 * 1024 * 1024
    head = "Transfer-Encoding: chunked" if kind != "told" else f"Content-Length: {total}"
    if kind == "lines":
        head += "\r\nContent-Type: application/x-ndjson"
    if who == "a user":
        head += f"\r\nAuthorization: token {TOKEN}"
    block = b"x" * 65536 if kind == "told" else b"10000\r\n" + b"x" * 65536 + b"\r\n"
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    status, sent = await asyncio.to_thread(flood, f"{server.url}api/jobs/a/updates", head, block, total // 65536)

    # Buffers of the kernel on both sides take a few MiB whether anybody reads or not.
    assert sent < 16 * 1024 * 1024
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 16 * 1024
    # Without the words behind the number, which Python 3.13 has changed.
    assert status[:12] in ("", "HTTP/1.1 413" if who == "a user" else "HTTP/1.1 401")


@pytest.mark.parametrize(
    ("limit", "filler", "headers"), [(UPDATE_BYTES, " ", USER), (UPDATES_BYTES, "\n", LINES)], ids=["one", "lines"]
)
async def test_one_byte_over_the_limit_is_413(
    server: Mounted, limit: int, filler: str, headers: dict[str, str]
) -> None:
    just_enough = await post(server, filler * (limit - 2) + "{}", headers=headers)
    too_much = await post(server, filler * (limit - 1) + "{}", headers=headers)

    assert just_enough.code == 200
    assert (too_much.code, json.loads(too_much.body)["code"]) == (413, "body_too_large")


async def test_a_line_may_be_no_longer_than_an_update(server: Mounted) -> None:
    assert (await post(server, " " * UPDATE_BYTES + "{}", headers=LINES)).code == 413
