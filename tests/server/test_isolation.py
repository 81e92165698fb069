"""In a user's server of a JupyterHub, a Redis that nothing divides is refused, unless it is said that it is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.jupyter import isolated_environment, jupyter_server
from tests.support.redis_server import RedisServer


@pytest.mark.parametrize(
    ("more", "status"),
    [({}, 404), ({"JOBPROGRESS_SHARED_REDIS": "1"}, 200)],
)
async def test_a_shared_redis_is_refused_with_the_remedy(
    tmp_path: Path, redis_server: RedisServer, more: dict[str, str], status: int
) -> None:
    url = redis_server.url.replace("//", "//default:secret-of-redis@")
    environment = isolated_environment(tmp_path, JUPYTERHUB_USER="ann", REDIS_URL=url, **more)
    async with jupyter_server(tmp_path, environment=environment) as server:
        answer = await server.fetch("jobprogress/api/openapi.json")
        log = server.log.read_text()

    assert answer.code == status
    assert ("docs/jupyterhub.md" in log) == (status == 404)
    assert ("JOBPROGRESS_SHARED_REDIS=1" in log) == (status == 404)
    assert "secret-of-redis" not in log


async def test_a_setting_that_is_refused_is_said_once_and_leaves_kernels_alone(tmp_path: Path) -> None:
    async with jupyter_server(tmp_path, "--JobProgress.max_viewers=0") as server:
        assert (await server.fetch("jobprogress/api/openapi.json")).code == 404
        log = server.log.read_text()

    assert "Expected max_viewers to be 1 or more, got 0" in log
    assert "failed starting" not in log
