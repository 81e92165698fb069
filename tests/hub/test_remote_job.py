"""A job on another machine reports to a user's server behind a real JupyterHub, with nothing but a ticket."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.redis_server import free_port

PROXY = "configurable-http-proxy@5"
CONFIG = """
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.bind_url = "http://127.0.0.1:{port}/hubs/"
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.Spawner.args = ["--allow-root", "--ServerApp.terminals_enabled=False"]
c.Spawner.start_timeout = 60
c.JupyterHub.services = [{{"name": "tests", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [
    {{"name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:servers", "tokens", "access:servers"]}}
]
"""
JOB = """
import sys
from jupyter_jobprogress import Job
with Job("train-7", total=4, title="Train", heartbeat_s=1) as job:
    for line in sys.stdin:
        job.update()
sys.exit(0 if job.wait(30) else 1)
"""


class Hub(NamedTuple):
    """A Hub and a token that administers it."""

    url: str
    token: str

    def call(
        self, path: str, *, method: str = "GET", body: object = None, token: str = "", header: str = ""
    ) -> tuple[int, Any]:
        """Ask the Hub, or a server behind it, and return status and answer."""
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Authorization", header or f"token {token or self.token}")
        request.add_header("Content-Type", "application/json")
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=30) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, None


def until(condition: Callable[[], object], *, within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, "the condition did not come true in time"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    npm = shutil.which("npm")
    assert npm is not None, "npm comes with the JavaScript tests"
    folder = tmp_path_factory.mktemp("hub")
    subprocess.run([npm, "install", "--prefix", folder, "--no-audit", "--no-fund", "--silent", PROXY], check=True)
    token, port = secrets.token_hex(16), free_port()
    proxy = str(folder / "node_modules" / ".bin" / "configurable-http-proxy")
    config = folder / "jupyterhub_config.py"
    config.write_text(CONFIG.format(port=port, hub_port=free_port(), api_port=free_port(), proxy=proxy, token=token))
    keep = {name: value for name, value in os.environ.items() if "JUPYTER" not in name and "JOBPROGRESS" not in name}
    environment = keep | {"HOME": str(folder), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with (folder / "hub.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", config], cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:
            hub = Hub(f"http://127.0.0.1:{port}/hubs/", token)

            def answers() -> bool:
                assert process.poll() is None, (folder / "hub.log").read_text()
                try:
                    return hub.call("hub/api/")[0] == 200
                except OSError:
                    return False

            until(answers, within_s=60)
            yield hub
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def start_server(hub: Hub) -> None:
    assert hub.call("hub/api/users/ann/server", method="POST")[0] in (201, 202)
    until(lambda: hub.call("hub/api/users/ann")[1]["servers"].get("", {}).get("ready"), within_s=60)


@pytest.mark.timeout(240)
def test_a_ticket_is_all_that_a_remote_job_needs(hub: Hub) -> None:
    assert hub.call("hub/api/users/ann", method="POST")[0] == 201
    start_server(hub)
    _, made = hub.call("hub/api/users/ann/tokens", method="POST", body={"note": "tests"})
    ann, api = made["token"], "user/ann/jobprogress/api/"

    status, ticket = hub.call(api + "tickets", method="POST", body={"job_id": "train-7"}, token=ann)
    assert status == 201
    assert ticket["url"] == f"{hub.url}user/ann/jobprogress/"

    def state() -> Any:
        return hub.call(api + "jobs/train-7", token=ann)[1] or {}

    own = {"JOBPROGRESS_URL": ticket["url"], "JOBPROGRESS_TOKEN": ticket["token"]}
    with subprocess.Popen([sys.executable, "-c", JOB], env=os.environ | own, stdin=subprocess.PIPE, text=True) as job:
        assert job.stdin is not None
        job.stdin.write("\n")
        job.stdin.flush()
        until(lambda: state().get("n") == 1, within_s=20)

        # The Hub stops the server, as it culls idle ones; the job goes on and delivers its whole state afterwards.
        assert hub.call("hub/api/users/ann/server", method="DELETE")[0] in (202, 204)
        until(lambda: not hub.call("hub/api/users/ann")[1]["servers"], within_s=30)
        job.stdin.write("\n\n")
        job.stdin.flush()
        start_server(hub)
        until(lambda: state().get("n") == 3, within_s=40)
        job.stdin.write("\n")
        job.stdin.close()
        assert job.wait(40) == 0

    assert (state()["status"], state()["n"], state()["title"]) == ("completed", 4, "Train")
    # Nobody else's credential: the ticket reads nothing, and opens no other job.
    as_ticket = f"JobProgress {ticket['token']}"
    assert hub.call(api + "jobs/train-7", header=as_ticket)[0] == 401
    assert hub.call(api + "jobs/other/updates", method="POST", body={"progress": 1}, header=as_ticket)[0] == 401
