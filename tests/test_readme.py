"""The three ways of the README, run as they are printed: only where a server listens is said by the environment."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.asynchronous import AsyncKernelClient

from tests.support.jupyter import Server, isolated_environment, jupyter_server

README = Path(__file__).parents[1] / "README.md"
LINES = 10
WITHIN_S = 60
SCRIPT = "from tqdm import trange\nfor _ in trange(5, desc='Fit'): pass"


def block(name: str) -> str:
    """Return the fenced block below a marker."""
    (found,) = re.findall(rf"<!-- test {name} -->\n```\w+\n(.*?)```", README.read_text(), re.DOTALL)
    assert found.count("\n") <= LINES
    return str(found)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Give an environment in which the commands of this interpreter are found, and nothing of the user's."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = isolated_environment(tmp_path, PATH=programs)
    config = Path(environment["JUPYTER_CONFIG_DIR"], "jupyter_jobprogress_config.py")
    config.write_text("c.JobProgressServer.port = 0")
    return environment


def shell(text: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["sh", "-euc", text], cwd=folder, env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def run_cell(connection: Path, code: str) -> list[dict[str, Any]]:
    """Run code in a kernel of a server, and return the messages of its output."""
    client = AsyncKernelClient(connection_file=str(connection))
    client.load_connection_file()
    client.start_channels(hb=False)  # on a busy machine it takes a kernel that is late for dead
    outputs: list[dict[str, Any]] = []
    try:
        await client.wait_for_ready(timeout=WITHIN_S)
        reply = await client.execute_interactive(code, output_hook=outputs.append, timeout=WITHIN_S, allow_stdin=False)
        assert reply["content"]["status"] == "ok", reply["content"]
    finally:
        client.stop_channels()
    return outputs


async def only_job(server: Server) -> dict[str, Any]:
    async with asyncio.timeout(WITHIN_S):
        while True:
            jobs = json.loads((await server.fetch("jobprogress/api/jobs")).body)["jobs"]
            if jobs and jobs[0]["status"] != "processing":
                return dict(jobs[0])
            await asyncio.sleep(0.05)


async def test_in_a_notebook(tmp_path: Path, environment: dict[str, str]) -> None:
    async with jupyter_server(tmp_path, environment=environment) as server:
        kernel = json.loads((await server.fetch("api/kernels", method="POST", body="{}")).body)["id"]
        outputs = await run_cell(Path(environment["JUPYTER_RUNTIME_DIR"], f"kernel-{kernel}.json"), block("notebook"))
        state = await only_job(server)

    assert not [output for output in outputs if output["msg_type"] in ("error", "stream")]
    (shown,) = [output["content"]["data"] for output in outputs if output["msg_type"] == "display_data"]
    assert shown["application/vnd.jobprogress.v1+json"]["job_ids"] == [state["job_id"]]
    assert (state["status"], state["n"], state["total"], state["unit"]) == ("completed", 20, 20, "epochs")
    assert state["metrics"] == {"loss": 0.05}


async def test_on_another_machine(tmp_path: Path, environment: dict[str, str]) -> None:
    async with jupyter_server(tmp_path, environment=environment) as server:
        printed = await asyncio.to_thread(shell, block("remote"), tmp_path, environment)
        state = await only_job(server)

    assert printed.split() == [str(number) for number in range(20)]
    assert (state["job_id"], state["status"], state["title"], state["n"]) == ("train-7", "completed", "Train", 20)


def test_without_jupyter(tmp_path: Path, environment: dict[str, str]) -> None:
    serve, _, rest = block("standalone").partition("\n")
    (tmp_path / "train.py").write_text(SCRIPT)
    server = subprocess.Popen(
        ["sh", "-euc", f"exec {serve}"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        assert next(line for line in server.stdout if "token=" in line)
        printed = shell(rest, tmp_path, environment)
        listed = shell("jupyter jobprogress list", tmp_path, environment)
    finally:
        server.terminate()
        server.communicate(timeout=WITHIN_S)

    assert printed.splitlines()[-1].startswith("nightly  completed")
    assert re.search(r"^train\.py-\S+ +completed", listed, re.MULTILINE)
    assert re.search(r"^train\.py-\S+\.train-2 +completed +100 %  Fit$", listed, re.MULTILINE), listed
