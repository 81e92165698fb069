"""A kernel of a real server finds its way back to it, however the server listens."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from jupyter_server.auth import passwd

from jupyter_jobprogress.server.kernels import local_url
from tests.support.certificates import certificate
from tests.support.jupyter import Server, isolated_environment, jupyter_server

# A kernel is any program that a kernelspec names: this one reports, reads back what it reported, and ends.
PROGRAM = """
import asyncio, sys
from jupyter_jobprogress import Job, ProgressReporter
with Job("from-kernel", total=3) as job:
    for _ in range(3):
        job.update()
job.wait(30)

async def read():
    async with ProgressReporter() as reporter:
        status = await reporter.get_status("from-kernel")
        await reporter.report_complete("read-back", {"n": status["n"]})

asyncio.run(read())
"""


def install_kernel(environment: dict[str, str]) -> None:
    folder = Path(environment["JUPYTER_DATA_DIR"]) / "kernels" / "reports"
    folder.mkdir(parents=True)
    program = folder / "program.py"
    program.write_text(PROGRAM)
    spec = {"argv": [sys.executable, str(program), "{connection_file}"], "display_name": "r", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))


def with_tls(folder: Path) -> list[str]:
    files = certificate(folder)
    return [f"--ServerApp.certfile={files.certificate}", f"--ServerApp.keyfile={files.key}"]


@asynccontextmanager
async def on_a_taken_port(folder: Path, environment: dict[str, str]) -> AsyncIterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with jupyter_server(folder, f"--port={port}", environment=environment) as server:
            assert f":{port}/" not in server.url
            yield server


Start = Callable[[Path, dict[str, str]], AbstractAsyncContextManager[Server]]

WAYS: dict[str, Start] = {
    "by default": lambda folder, env: jupyter_server(folder, environment=env),
    "with a base URL": lambda folder, env: jupyter_server(folder, "--ServerApp.base_url=/a%40b/c/", environment=env),
    "on a port that is taken": on_a_taken_port,
    "in another server's terminal": lambda folder, env: jupyter_server(
        folder, environment=env | {"JOBPROGRESS_URL": "http://127.0.0.1:9/jobprogress/", "JOBPROGRESS_TOKEN": "jp1.a.b"}
    ),
    "on every address": lambda folder, env: jupyter_server(folder, "--ip=0.0.0.0", environment=env),
    "on IPv6": lambda folder, env: jupyter_server(folder, "--ip=::1", environment=env, host="[::1]"),
    "with a password": lambda folder, env: jupyter_server(
        folder,
        f"--PasswordIdentityProvider.hashed_password={passwd('secret')}",
        "--PasswordIdentityProvider.password_required=True",
        environment=env,
    ),
    "with TLS": lambda folder, env: jupyter_server(folder, *with_tls(folder), environment=env, scheme="https"),
    "on a unix socket": lambda folder, env: jupyter_server(folder, f"--sock={folder / 's'}", environment=env),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
async def test_a_kernel_reports_to_its_server(way: str, tmp_path: Path) -> None:
    environment = isolated_environment(tmp_path)
    install_kernel(environment)

    async with WAYS[way](tmp_path, environment) as server:
        started = await server.fetch("api/kernels", method="POST", body='{"name":"reports"}')

        assert started.code == 201, started.body
        state = await server.job("from-kernel")
        assert (state["n"], state["total"], state["progress"]) == (3, 3, 1.0)
        assert (await server.job("read-back"))["result"] == {"n": 3}
        log = server.log.read_text()
        assert "jp1." not in log
        assert "Traceback" not in log


@pytest.mark.parametrize(
    ("ip", "url"),
    [
        ("localhost", "http://localhost:8888/x/jobprogress/"),
        ("", "http://127.0.0.1:8888/x/jobprogress/"),
        ("*", "http://127.0.0.1:8888/x/jobprogress/"),
        ("0.0.0.0", "http://127.0.0.1:8888/x/jobprogress/"),
        ("::", "http://[::1]:8888/x/jobprogress/"),
        ("fe80::1", "http://[fe80::1]:8888/x/jobprogress/"),
        ("10.0.0.7", "http://10.0.0.7:8888/x/jobprogress/"),
    ],
)
def test_the_address_is_one_that_a_kernel_can_reach(ip: str, url: str) -> None:
    server = SimpleNamespace(certfile="", base_url="/x/", sock="", ip=ip, port=8888)

    assert local_url(server) == url  # type: ignore[arg-type]
