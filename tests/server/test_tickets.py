"""Tickets, from the request to the report, on the standalone server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.standalone import TOKEN, Mounted, fetch, mounted

USER = {"Authorization": f"token {TOKEN}"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Mounted]:
    async with mounted(tmp_path) as server:
        yield server


async def ask(server: Mounted, headers: dict[str, str] | None = None, **fields: Any) -> tuple[int, dict[str, Any]]:
    body = json.dumps(fields)
    response = await fetch(f"{server.url}api/tickets", method="POST", body=body, headers=USER | (headers or {}))
    return response.code, json.loads(response.body)


async def report(server: Mounted, job_id: str, token: str, headers: dict[str, str] | None = None) -> int:
    given = {"Authorization": f"JobProgress {token}"} | (headers or {})
    return (await fetch(f"{server.url}api/jobs/{job_id}/updates", method="POST", body="{}", headers=given)).code


async def test_a_ticket_reports_its_job_and_no_other(server: Mounted) -> None:
    status, ticket = await ask(server, job_id="train-7", expires_in_s=60)

    assert status == 201
    assert set(ticket) == {"url", "token", "expires", "jobs", "actions", "id"}
    assert (ticket["url"], ticket["jobs"], ticket["actions"]) == (server.url, "train-7", ["report"])
    now_s = server.service.store.now_us() / 1e6
    assert now_s + 50 < datetime.fromisoformat(ticket["expires"]).timestamp() < now_s + 61
    assert await report(server, "train-7", ticket["token"]) == 200
    assert await report(server, "train-70", ticket["token"]) == 401


async def test_a_ticket_for_a_prefix_reports_every_job_of_it(server: Mounted) -> None:
    _, ticket = await ask(server, prefix="train-")

    assert ticket["jobs"] == "train-*"
    assert [await report(server, job_id, ticket["token"]) for job_id in ("train-7", "train-", "trai")] == [
        200,
        200,
        401,
    ]


async def test_a_ticket_to_watch_reads_and_does_not_report(server: Mounted) -> None:
    await report(server, "a", (await ask(server, job_id="a"))[1]["token"])
    _, ticket = await ask(server, job_id="a", actions=["watch"])

    headers = {"Authorization": f"JobProgress {ticket['token']}"}
    assert (await fetch(f"{server.url}api/jobs/a", headers=headers)).code == 200
    assert await report(server, "a", ticket["token"]) == 401


async def test_a_users_credential_beside_a_bad_ticket_counts_for_nothing(server: Mounted) -> None:
    page = await fetch(f"{server.url}?token={TOKEN}")
    cookie = page.headers["Set-Cookie"].partition(";")[0]
    _, ticket = await ask(server, job_id="a")

    assert (await fetch(f"{server.url}api/jobs", headers={"Cookie": cookie})).code == 200
    assert await report(server, "b", ticket["token"], {"Cookie": cookie, "Origin": server.url.rstrip("/")}) == 401


@pytest.mark.parametrize(
    ("headers", "public_url", "expected"),
    [
        ({"Host": "localhost:9"}, "", "http://localhost:9/"),
        ({"Host": "10.0.0.7", "X-Forwarded-Proto": "https"}, "", "https://10.0.0.7/"),
        ({"X-Forwarded-Proto": "javascript"}, "", None),
        ({}, "https://jobs.example.org/p", "https://jobs.example.org/p/"),
    ],
)
async def test_the_url_is_the_one_that_the_asker_used(
    tmp_path: Path, headers: dict[str, str], public_url: str, expected: str | None
) -> None:
    async with mounted(tmp_path, public_url=public_url) as server:
        _, ticket = await ask(server, headers, job_id="a")

        assert ticket["url"] == (expected or server.url)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"job_id": "a", "prefix": "b"},
        {"job_id": "a b"},
        {"prefix": ""},
        {"prefix": "*"},
        {"job_id": "a", "actions": []},
        {"job_id": "a", "actions": ["own"]},
        {"job_id": "a", "expires_in_s": 0},
        {"job_id": "a", "expires_in_s": 10**9},
        {"job_id": "a", "surprise": 1},
    ],
)
async def test_what_makes_no_ticket_is_refused_with_the_reason(server: Mounted, fields: dict[str, Any]) -> None:
    status, answer = await ask(server, **fields)

    assert status == 400
    assert answer["message"].startswith("Expected")
