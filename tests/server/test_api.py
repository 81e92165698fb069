"""The REST part of a real Jupyter server."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError, HTTPResponse

from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.server.service import Service

Fetch = Callable[..., Awaitable[HTTPResponse]]
JOBS = ("jobprogress", "api", "jobs")


async def publish(service: Service, job_id: str, status: str = "processing", **fields: Any) -> None:
    await service.store.publish(
        State(job_id=job_id, status=Status(status), stage="", progress=0.5, message="", timestamp="", **fields)
    )


async def refused(call: Awaitable[HTTPResponse]) -> tuple[int, str]:
    with pytest.raises(HTTPClientError) as caught:
        await call
    assert caught.value.response is not None
    return caught.value.code, json.loads(caught.value.response.body)["message"]


async def test_a_state_is_read(jp_fetch: Fetch, service: Service) -> None:
    await publish(service, "a", title="Train")

    response = await jp_fetch(*JOBS, "a")

    assert response.headers["Content-Type"].startswith("application/json")
    assert json.loads(response.body)["title"] == "Train"


async def test_unknown_and_invalid_jobs_are_told_apart(jp_fetch: Fetch) -> None:
    assert (await refused(jp_fetch(*JOBS, "nobody")))[0] == 404
    code, message = await refused(jp_fetch(*JOBS, "%20"))
    assert code == 400
    assert "Expected a job id" in message


async def test_jobs_are_listed_in_pages_newest_first(jp_fetch: Fetch, service: Service) -> None:
    for number in range(5):
        await publish(service, f"job-{number}", "completed" if number % 2 else "processing", parent_id="p")

    first = json.loads((await jp_fetch(*JOBS, params={"limit": "3"})).body)
    rest = json.loads((await jp_fetch(*JOBS, params={"limit": "3", "after": str(first["next"])})).body)
    completed = json.loads((await jp_fetch(*JOBS, params={"status": "completed", "parent_id": "p"})).body)

    assert [job["job_id"] for job in first["jobs"] + rest["jobs"]] == [f"job-{n}" for n in (4, 3, 2, 1, 0)]
    assert rest["next"] is None
    assert [job["job_id"] for job in completed["jobs"]] == ["job-3", "job-1"]
    assert first["now_us"] >= first["jobs"][0]["seq"]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "x"},
        {"limit": "²"},
        {"limit": "1".zfill(20) + "0" * 5000},
        {"after": "-1"},
        {"after": str(2**63)},
        {"status": "done"},
    ],
)
async def test_bad_queries_say_what_was_expected(jp_fetch: Fetch, query: dict[str, str]) -> None:
    code, message = await refused(jp_fetch(*JOBS, params=query))

    assert code == 400
    assert message.startswith("Expected")


async def test_cancel_raises_the_flag_and_delete_forgets(jp_fetch: Fetch, service: Service) -> None:
    await publish(service, "a")

    cancelled = await jp_fetch(*JOBS, "a", "cancel", method="POST", body="")
    deleted = await jp_fetch(*JOBS, "a", method="DELETE")

    assert (cancelled.code, deleted.code) == (202, 204)
    assert (await refused(jp_fetch(*JOBS, "a", "cancel", method="POST", body="")))[0] == 404
    assert (await refused(jp_fetch(*JOBS, "a", method="DELETE")))[0] == 404


async def test_health_is_ok_while_the_store_answers(jp_fetch: Fetch) -> None:
    assert json.loads((await jp_fetch("jobprogress", "health")).body) == {"status": "ok"}
