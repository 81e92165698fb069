"""The files of docs/deploy: what they name exists, and what they start serves and is found healthy, or not."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from jupyter_jobprogress.server.standalone import JobProgressServer
from jupyter_jobprogress.settings import ENVIRONMENT
from tests.support.front import DEPLOY, binary
from tests.support.jupyter import isolated_environment
from tests.support.redis_server import RedisServer
from tests.support.standalone import TOKEN, serving

JUPYTERS_OWN = {"JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR"}
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCKERFILE = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")


def dockerfile(instruction: str) -> str:
    (found,) = re.findall(rf"^{instruction}\s+(.*)$", DOCKERFILE, re.MULTILINE)
    return str(found)


def unit(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", (DEPLOY / "jobprogress.service").read_text(), re.MULTILINE)


def commands() -> dict[str, list[str]]:
    """Return what each file starts."""
    return {
        "compose.yaml": COMPOSE["services"]["jobprogress"]["command"],
        "Dockerfile": json.loads(dockerfile("CMD")),
        "jobprogress.service": shlex.split(unit("ExecStart")[0]),
    }


def health_checks() -> dict[str, list[str]]:
    return {
        "compose.yaml": COMPOSE["services"]["jobprogress"]["healthcheck"]["test"][1:],
        "Dockerfile": json.loads(dockerfile("HEALTHCHECK").partition("CMD")[2]),
    }


def environments() -> dict[str, set[str]]:
    told = dict(pair.split("=", 1) for line in unit("Environment") for pair in shlex.split(line))
    return {
        "compose.yaml": set(COMPOSE["services"]["jobprogress"]["environment"]),
        "Dockerfile": {pair.partition("=")[0] for pair in dockerfile("ENV").split()},
        "jobprogress.service": set(told),
    }


@pytest.mark.parametrize(("file", "command"), commands().items())
def test_what_it_starts_is_the_server_with_options_that_it_has(file: str, command: list[str]) -> None:
    program, serve, *options = command

    assert (Path(program).name, serve) == ("jupyter-jobprogress", "serve")
    assert {option.removeprefix("--").partition("=")[0] for option in options} <= set(JobProgressServer.aliases)


def test_systemd_finds_nothing_wrong_with_its_unit(tmp_path: Path) -> None:
    (command,) = unit("ExecStart")
    text = (DEPLOY / "jobprogress.service").read_text().replace(command.split()[0], sys.executable)
    (tmp_path / "jobprogress.service").write_text(text)

    verify = [binary("systemd-analyze"), "verify", tmp_path / "jobprogress.service"]
    done = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(("file", "names"), environments().items())
def test_it_sets_variables_that_something_reads(file: str, names: set[str]) -> None:
    assert names <= set(ENVIRONMENT) | JUPYTERS_OWN


async def test_a_stop_by_systemd_sends_viewers_away_and_is_a_success(tmp_path: Path, redis_server: RedisServer) -> None:
    environment = isolated_environment(tmp_path, REDIS_URL=redis_server.url, JOBPROGRESS_SERVER_TOKEN=TOKEN)
    by = getattr(signal, (unit("KillSignal") or ["SIGTERM"])[0])
    with serving(tmp_path, *commands()["jobprogress.service"][2:], environment=environment) as server:
        ws = await websocket_connect(HTTPRequest(f"ws{server.url[4:]}ws/jobs/a", headers=server.headers))
        code = await asyncio.to_thread(server.stop, within_s=float(unit("TimeoutStopSec")[0]), by=by)
        async with asyncio.timeout(30):
            while await ws.read_message() is not None:
                pass
        ws.close()

    assert (code, ws.close_code) == (0, 1012)
    # Too many starts in 10 s, 5 by default, and systemd gives up, though the port may be free again a moment later.
    assert unit("Restart") == ["on-failure"]
    assert float(unit("RestartSec")[0]) * 5 > 10


def test_the_composition_is_one_by_the_specification() -> None:
    options = ["--builtin-schema", "vendor.compose-spec"]
    command = [sys.executable, "-m", "check_jsonschema", *options, str(DEPLOY / "compose.yaml")]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout


def test_the_composition_waits_for_a_healthy_redis() -> None:
    services = COMPOSE["services"]
    redis, ours = services["redis"], services["jobprogress"]

    assert ours["depends_on"] == {"redis": {"condition": "service_healthy"}}
    assert urlsplit(ours["environment"]["REDIS_URL"]).hostname == "redis"
    assert redis["healthcheck"]["test"] == ["CMD", "redis-cli", "ping"]
    assert (DEPLOY / ours["build"]["context"] / ours["build"]["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    assert ours["ports"] == [f"127.0.0.1:{JobProgressServer.port.default_value}:{JobProgressServer.port.default_value}"]


@pytest.mark.parametrize("file", health_checks())
def test_its_health_check_tells_a_store_that_answers_from_one_that_hangs(
    tmp_path: Path, own_redis: RedisServer, file: str
) -> None:
    environment = isolated_environment(tmp_path, REDIS_URL=own_redis.url, JOBPROGRESS_SERVER_TOKEN=TOKEN)
    options = [option for option in commands()[file][2:] if not option.startswith("--port")]
    with serving(tmp_path, *options, environment=environment) as server:
        program, *arguments = health_checks()[file]
        assert program == "python"
        check = [sys.executable, *(text.replace(":8084", f":{urlsplit(server.url).port}") for text in arguments)]

        def healthy() -> bool:
            return subprocess.run(check, env=environment, capture_output=True, timeout=60, check=False).returncode == 0

        assert healthy()
        own_redis.freeze()
        assert not healthy()
        own_redis.thaw()


def test_redis_answers_the_check_of_the_composition(redis_server: RedisServer) -> None:
    _, *command = COMPOSE["services"]["redis"]["healthcheck"]["test"]

    done = subprocess.run([command[0], "-p", str(redis_server.port), *command[1:]], capture_output=True, check=True)

    assert done.stdout == b"PONG\n"
