"""A real JupyterHub with a real proxy, its service of ours as docs/jupyterhub.md prints it, and servers of users."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis
from redis.client import NEVER_DECODE
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.support.redis_server import free_port

PROXY = "configurable-http-proxy@5"
PAGE = Path(__file__).parents[2] / "docs" / "jupyterhub.md"
PREFIX = "/hubs"
SERVICE = "services/jobprogress/"
RECHECK_S = 0.5
"""How soon sockets are looked at again; the Hub's answers are kept for one second, which is the least."""

CONFIG = """
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.allow_all = True
c.DummyAuthenticator.password = {password!r}
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {home!r}
c.JupyterHub.bind_url = "http://127.0.0.1:{port}{prefix}/"
c.JupyterHub.hub_port = {hub_port}
c.JupyterHub.log_level = "DEBUG"
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.ConfigurableHTTPProxy.debug = True
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.Spawner.args = ["--allow-root", "--ServerApp.terminals_enabled=False", "--debug"] + {looks!r}
c.Spawner.start_timeout = 60
c.JupyterHub.services = [{{"name": "tests", "api_token": {token!r}}}]
c.JupyterHub.load_groups = {{"lab": {{"users": ["ann", "cat"]}}}}
c.JupyterHub.load_roles = [
    {{
        "name": "tests",
        "services": ["tests"],
        "scopes": ["admin:users", "admin:servers", "admin:groups", "tokens", "access:servers", "access:services"],
    }}
]
c.Spawner.environment = {{"JUPYTERHUB_ACTIVITY_INTERVAL": "1"}}

def with_the_extension_alone(spawner):
    if spawner.user.name.startswith("ext-"):
        given = spawner.environment
        spawner.environment = {{name: given[name] for name in given if name != "JOBPROGRESS_URL"}}

c.Spawner.pre_spawn_hook = with_the_extension_alone
"""
SETTINGS = f"""
c.JobProgress.recheck_s = {RECHECK_S}
c.HubOAuth.cache_max_age = 1
"""


def printed(heading: str) -> str:
    """Return the first block of Python below a heading of the page."""
    section = PAGE.read_text().split(f"# {heading}\n", 1)[1]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


class Answer(NamedTuple):
    """What came back over HTTP. ``json`` is None where it was not JSON."""

    status: int
    json: Any
    text: str


class Hub:
    """A Hub that runs, and a token that administers it. ``url`` ends with "/"; ``folder`` holds all that it writes."""

    def __init__(self, url: str, token: str, password: str, folder: Path, direct: str, redis_url: str) -> None:
        self.url = url
        self.token = token
        self.password = password
        self.folder = folder
        self.direct = direct
        """The service without the proxy in front."""
        self.api_url = ""
        """The API of the Hub without the proxy in front."""
        self._tokens: dict[str, str] = {}
        self._redis_url = redis_url
        self._redis = Redis.from_url(redis_url)

    def redis(self, *command: str) -> Any:
        """Send a command to the Redis of the service, as its administrator."""
        return self._redis.execute_command(*command, **{NEVER_DECODE: True})

    @contextmanager
    def monitor(self) -> Iterator[Callable[[], list[str]]]:
        """Give what answers, after the block, all commands that Redis has carried out in it."""
        mark, found = secrets.token_hex(8), list[str]()
        with Redis.from_url(self._redis_url) as own, own.monitor() as listening:
            yield lambda: found
            self.redis("ECHO", mark)
            while mark not in (command := listening.next_command()["command"]):
                found.append(command)

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: object = None,
        token: str = "",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Ask the Hub, or what is behind it. A redirect is followed, and an HTTP error returned."""
        request = urllib.request.Request(path if "://" in path else self.url + path, method=method)
        sent = {"Authorization": f"token {token or self.token}"} if headers is None else headers
        for name, value in ({"Content-Type": "application/json"} | sent).items():
            request.add_header(name, value)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=30) as answer:
                return _answer(answer.status, answer.read())
        except urllib.error.HTTPError as exc:
            with exc:
                return _answer(exc.code, exc.read())

    def user(self, name: str) -> str:
        """Return a token of a user, who is made where he is missing."""
        if name not in self._tokens:
            assert self.ask(f"hub/api/users/{name}", method="POST").status in (201, 409)
            self._tokens[name] = self.new_token(name)["token"]
        return self._tokens[name]

    def new_token(self, name: str, **fields: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.ask(
            f"hub/api/users/{name}/tokens", method="POST", body={"note": "tests"} | fields
        ).json
        return made

    def forget(self, name: str) -> None:
        """Delete a user."""
        assert self.ask(f"hub/api/users/{name}", method="DELETE").status == 204
        self._tokens.pop(name, None)

    def start_server(self, name: str) -> None:
        self.user(name)
        assert self.ask(f"hub/api/users/{name}/server", method="POST").status in (201, 202, 400)
        until(lambda: self.ask(f"hub/api/users/{name}").json["servers"].get("", {}).get("ready"), within_s=60)

    def stop_server(self, name: str) -> None:
        assert self.ask(f"hub/api/users/{name}/server", method="DELETE").status in (202, 204)
        until(lambda: not self.ask(f"hub/api/users/{name}").json["servers"], within_s=30)

    def run(self, name: str, code: str) -> Socket:
        """Run code in a new kernel of a user's server, and return the socket that it is asked by."""
        path = f"user/{name}/api/kernels"
        kernel = self.ask(path, method="POST", body={"name": "python3"}, token=self.user(name)).json["id"]
        socket = self.socket(f"{path}/{kernel}/channels", token=self.user(name))
        content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
        header = {
            "msg_id": "1",
            "msg_type": "execute_request",
            "username": "",
            "session": "1",
            "version": "5.3",
            "date": "",
        }
        socket.send(header=header, parent_header={}, metadata={}, content=content, channel="shell")
        return socket

    def socket(
        self, path: str, *, token: str = "", headers: dict[str, str] | None = None, origin: Any = None
    ) -> Socket:
        """Open a socket below the Hub's URL. Raises websockets' InvalidStatus where it is refused."""
        sent = {"Authorization": f"token {token}"} if headers is None else headers
        url = path if "://" in path else self.url + path
        return Socket(url.replace("http", "ws", 1), additional_headers=sent, origin=origin)

    def refusal(self, path: str, **options: Any) -> int:
        """Return the status with which a socket is refused, or 101 where it opens."""
        try:
            self.socket(path, **options).close()
        except InvalidStatus as exc:
            return exc.response.status_code
        return 101

    def written(self) -> dict[str, str]:
        """Return every file that the Hub, the proxy, the service and the servers have written as text, but keys."""
        found = {}
        for path in self.folder.rglob("*"):
            if path.is_file() and path.suffix in (".log", ".json", ".ipynb", ".py", ".txt", ".html", ".pid"):
                found[str(path.relative_to(self.folder))] = path.read_text(errors="replace")
        return found


class Socket:
    """A client's end of a socket, which reads one message at a time."""

    def __init__(self, url: str, **options: Any) -> None:
        self._context = connect(url, proxy=None, **options)
        self.connection = self._context.__enter__()

    def send(self, **message: Any) -> None:
        self.connection.send(json.dumps(message))

    def read(self, *, within_s: float = 10.0) -> dict[str, Any]:
        """Return the next message but pings. Raises ConnectionClosed."""
        while True:
            message: dict[str, Any] = json.loads(self.connection.recv(timeout=within_s))
            if message.get("type") != "ping":
                return message

    def ask(self, **message: Any) -> dict[str, Any]:
        """Send a command and return its answer, whatever else comes before."""
        self.send(id=7, **message)
        while True:
            if (answer := self.read()).get("id") == 7:
                return answer

    def closed(self, *, within_s: float = 20.0) -> int:
        """Wait for the end, and return its code."""
        deadline_s = time.monotonic() + within_s
        try:
            while True:
                self.connection.recv(timeout=deadline_s - time.monotonic())
        except ConnectionClosed as exc:
            return exc.rcvd.code if exc.rcvd else 1006

    def close(self) -> None:
        self._context.__exit__(None, None, None)


def until(condition: Callable[[], object], *, within_s: float) -> None:
    """Wait for something that no event tells."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, "the condition did not come true in time"
        time.sleep(0.05)


def managed_service(folder: Path, service_port: int) -> str:
    """Return the lines of the page by which a Hub starts the service itself."""
    as_printed = printed("A. A service of the Hub") + printed("Sharing with a group")
    as_printed = as_printed.replace("127.0.0.1:8084", f"127.0.0.1:{service_port}")
    as_printed = as_printed.replace(f"{service_port}/services", f"{service_port}{PREFIX}/services")
    # The Hub gives a service the home of whoever runs it, where a test has no business.
    return f'{as_printed}c.JupyterHub.services[-1]["environment"].update({_folders(folder)!r})\n'


def _folders(folder: Path) -> dict[str, str]:
    return {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}


@contextmanager
def running_hub(
    folder: Path,
    redis_url: str,
    *,
    config: Callable[[Path, int], str] = managed_service,
    prefix: str = PREFIX,
    path: str = f"{SERVICE}health",
) -> Iterator[Hub]:
    """Run a Hub until the block ends. ``path`` answers 200 once it is there."""
    npm = shutil.which("npm")
    assert npm is not None, "npm comes with the JavaScript tests"
    subprocess.run([npm, "install", "--prefix", folder, "--no-audit", "--no-fund", "--silent", PROXY], check=True)
    token, password, port, service_port = secrets.token_hex(16), secrets.token_hex(8), free_port(), free_port()
    hub_port = free_port()
    own = CONFIG.format(
        port=port,
        prefix=prefix,
        hub_port=hub_port,
        api_port=free_port(),
        proxy=str(folder / "node_modules" / ".bin" / "configurable-http-proxy"),
        token=token,
        looks=[
            *(f"--JobProgress.recheck_s={RECHECK_S}", "--HubOAuth.cache_max_age=1"),
            *("--JobProgress.keep_alive_while_running=True", "--JobProgress.keep_alive_look_s=0.5"),
        ],
        password=password,
        home=str(folder / "home" / "{username}"),
    )
    file = folder / "jupyterhub_config.py"
    file.write_text(own + config(folder, service_port))
    settings = Path(_folders(folder)["JUPYTER_CONFIG_DIR"])
    settings.mkdir()
    (settings / "jupyter_jobprogress_config.py").write_text(SETTINGS)
    keep = {name: value for name, value in os.environ.items() if "JUPYTER" not in name and "JOBPROGRESS" not in name}
    environment = keep | {
        "HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "REDIS_URL": redis_url,
    }
    with (folder / "hub.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", file], cwd=folder, env=environment, stdout=log, stderr=log
        )
        direct = f"http://127.0.0.1:{service_port}{prefix}/{SERVICE}"
        hub = Hub(f"http://127.0.0.1:{port}{prefix}/", token, password, folder, direct, redis_url)
        hub.api_url = f"http://127.0.0.1:{hub_port}{prefix}/hub/api"
        try:

            def answers() -> bool:
                assert process.poll() is None, (folder / "hub.log").read_text()
                try:
                    return hub.ask("hub/api/").status == 200 and hub.ask(path).status == 200
                except OSError:
                    return False

            until(answers, within_s=90)
            yield hub
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _answer(status: int, data: bytes) -> Answer:
    text = data.decode(errors="replace")
    try:
        return Answer(status, json.loads(text), text)
    except ValueError:
        return Answer(status, None, text)
