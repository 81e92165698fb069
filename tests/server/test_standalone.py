"""``jupyter jobprogress serve`` as people run it: a process, its output, its file, and jobs in other processes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from jupyter_jobprogress.errors import StoreUnavailableError
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.server.sockets import listen
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.remote import RemoteStore
from tests.server.conftest import close
from tests.support.certificates import certificate
from tests.support.jupyter import isolated_environment
from tests.support.redis_server import RedisServer
from tests.support.standalone import TOKEN, Serving, fetch, mounted, serving

REPORT = """
from jupyter_jobprogress import Job
with Job("elsewhere", total=3) as job:
    for _ in range(3):
        job.update()
job.wait(30)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Give a server that no test stops, with everything as it is by default but the port."""
    with serving(tmp_path_factory.mktemp("serve"), "--debug") as running:
        yield running


def with_tls(folder: Path) -> list[str]:
    files = certificate(folder)
    return [f"--certfile={files.certificate}", f"--keyfile={files.key}"]


def settings(server: Serving) -> Settings:
    return Settings(url=server.url, token=server.told.token, ca_file=server.told.ca_file or None)


async def test_the_printed_url_signs_a_browser_in(server: Serving) -> None:
    (url,) = re.findall(r"http\S+", server.output.read_text())

    first = await fetch(url)
    cookie = first.headers["Set-Cookie"]
    headers = {"Cookie": cookie.partition(";")[0]}
    page = await fetch(urljoin(url, first.headers["Location"]), headers=headers)

    assert (first.code, first.headers["Location"]) == (303, "./")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(re.split(r"; ?", cookie))
    assert server.told.token not in cookie
    assert page.code == 200
    assert (await fetch(server.url)).code == 401


async def test_a_cookie_works_for_pages_of_this_server_alone(server: Serving) -> None:
    root = server.url.rstrip("/")
    cookie = (await fetch(f"{root}/?token={server.told.token}")).headers["Set-Cookie"].partition(";")[0]
    neighbour = f"http://127.0.0.1:{int(root.rpartition(':')[2]) ^ 1}"

    async def cancel(**headers: str) -> int:
        return (await fetch(f"{root}/api/jobs/no/cancel", method="POST", headers={"Cookie": cookie, **headers})).code

    async def watch(origin: str) -> int:
        request = HTTPRequest(f"ws{root[4:]}/ws/jobs", headers={"Cookie": cookie, "Origin": origin})
        try:
            await close(await websocket_connect(request))
        except HTTPClientError as exc:
            return exc.code
        return 101

    assert await cancel(Origin=root) == 404
    assert await cancel() == 401
    assert await cancel(Origin=neighbour) == 403
    assert await watch(root) == 101
    assert await watch(neighbour) == 403


def test_the_token_is_in_the_output_and_the_file_and_nowhere_else(server: Serving) -> None:
    token = server.told.token.encode()

    assert server.output.read_bytes().count(token) == 1
    assert token not in server.log.read_bytes()
    assert token not in Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
    assert stat.S_IMODE(server.file.stat().st_mode) == 0o600
    assert len(token) >= 43


@pytest.mark.parametrize("name", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example"])
async def test_a_name_that_leads_here_by_chance_is_refused(server: Serving, name: str) -> None:
    response = await fetch(f"{server.url}api/jobs", headers={**server.headers, "Host": name})

    assert response.code == 403
    assert "--allow-host" in json.loads(response.body)["message"]


@pytest.mark.parametrize("name", ["localhost", "a.localhost:1", "[::1]:8084", "10.1.2.3"])
async def test_a_name_that_nobody_can_take_is_served(server: Serving, name: str) -> None:
    assert (await fetch(f"{server.url}api/jobs", headers={**server.headers, "Host": name})).code == 200


@pytest.mark.slow
@pytest.mark.parametrize("way", ["http", "https", "unix", "below a path"])
async def test_a_job_in_another_process_reports_over_it(way: str, tmp_path: Path) -> None:
    arguments = {
        "http": [],
        "https": [
            f"--{name}={path}" for name, path in zip(("certfile", "keyfile"), certificate(tmp_path), strict=True)
        ],
        "unix": [f"--socket={tmp_path / 's'}"],
        "below a path": ["--base-url=/a/b"],
    }[way]
    with serving(tmp_path, *arguments) as running:
        told = {"JOBPROGRESS_URL": running.url, "JOBPROGRESS_TOKEN": running.told.token}
        if running.told.ca_file:
            told["JOBPROGRESS_CA_FILE"] = running.told.ca_file
        job = await asyncio.create_subprocess_exec(
            sys.executable, "-c", REPORT, env=isolated_environment(tmp_path) | told
        )
        assert await job.wait() == 0

        store = RemoteStore(settings(running))
        state = json.loads((await store.read(["elsewhere"]))["elsewhere"].data)
        await store.close()

        assert (state["status"], state["n"], state["progress"]) == ("completed", 3, 1.0)
        assert running.stop() == 0
    assert not running.file.exists()
    assert not (tmp_path / "s").exists()
    assert "Traceback" not in running.log.read_text()


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
async def test_viewers_are_told_to_come_back_when_it_stops(tmp_path: Path, by: signal.Signals) -> None:
    with serving(tmp_path) as running:
        sockets = [
            await websocket_connect(HTTPRequest(f"ws{running.url[4:]}{path}", headers=running.headers))
            for path in ("ws/jobs", "ws/jobs/a")
        ]
        stopped = asyncio.create_task(asyncio.to_thread(running.stop, within_s=30, by=by))
        for ws in sockets:
            async with asyncio.timeout(30):
                while await ws.read_message() is not None:
                    pass
            ws.close()

        assert [ws.close_code for ws in sockets] == [1012, 1012]
        assert await stopped == 0


async def test_what_ended_before_the_stop_has_ended_after_it(tmp_path: Path) -> None:
    """Jobs end in the very moment of the stop: whoever has a receipt finds the end on disk, the others say it again."""
    jobs = [
        State(job_id=f"job-{number}", status=Status.COMPLETED, stage="", progress=1, message="", timestamp="")
        for number in range(500)
    ]
    with serving(tmp_path) as first:
        store = RemoteStore(settings(first))
        some = asyncio.Semaphore(0)

        async def end(job: State) -> bool:
            try:
                await store.publish(job)
            except StoreUnavailableError:
                return False
            some.release()
            return True

        async def stop() -> None:
            for _ in range(100):
                await some.acquire()
            assert await asyncio.to_thread(first.stop) == 0

        *received, _ = await asyncio.gather(*map(end, jobs), stop())
        await store.close()
    with serving(tmp_path, environment=first.environment) as again:
        store = RemoteStore(settings(again))
        found = await store.read([job.job_id for job in jobs])
        await store.close()

    assert any(received)
    assert found.keys() >= {job.job_id for job, receipt in zip(jobs, received, strict=True) if receipt}
    assert {stored.status for stored in found.values()} == {Status.COMPLETED}


async def test_it_stops_though_a_viewer_does_not_answer(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        parts = urlsplit(running.url)
        with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=5) as silent:
            silent.sendall(
                b"GET /ws/jobs HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                + f"Authorization: token {running.told.token}\r\n\r\n".encode()
            )
            assert silent.recv(64).startswith(b"HTTP/1.1 101")

            assert await asyncio.to_thread(running.stop, within_s=30) == 0


def test_without_authentication_it_says_so_and_lets_everybody_in(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-auth", "--host=0.0.0.0") as running:
        asked = asyncio.run(fetch(f"{running.url}api/jobs"))

        assert "NO AUTHENTICATION" in running.output.read_text()
        assert "no TLS" in running.output.read_text()
        assert asked.code == 200


@pytest.mark.parametrize(
    ("option", "address"),
    [
        ("--host=0.0.0.0", "http://127.0.0.1:{port}/?token={token}"),
        ("--base-url=a/b", "http://127.0.0.1:{port}/a/b/?token={token}"),
        ("--public-url=https://jobs.example.org/p", "https://jobs.example.org/p/?token={token}"),
    ],
)
def test_it_prints_once_what_a_browser_can_open(tmp_path: Path, option: str, address: str) -> None:
    with serving(tmp_path, option) as running:
        printed = re.findall(r"http\S+", running.output.read_text())

        assert printed == [address.format(port=urlsplit(running.url).port, token=running.told.token)]


@pytest.mark.parametrize(
    ("variable", "arguments"), [({"JOBPROGRESS_SERVER_TOKEN": TOKEN}, []), ({}, [f"--token={TOKEN}"])]
)
def test_a_token_that_was_given_is_not_printed(tmp_path: Path, variable: dict[str, str], arguments: list[str]) -> None:
    with serving(tmp_path, *arguments, environment=isolated_environment(tmp_path, **variable)) as running:
        assert running.told.token == TOKEN
        assert asyncio.run(fetch(f"{running.url}api/jobs", headers={"Authorization": f"token {TOKEN}"})).code == 200
        assert TOKEN not in running.output.read_text() + running.log.read_text()


def test_the_configuration_is_that_of_the_extension(tmp_path: Path, redis_server: RedisServer) -> None:
    environment = isolated_environment(tmp_path, REDIS_URL=redis_server.url)
    (Path(environment["JUPYTER_CONFIG_DIR"]) / "jupyter_jobprogress_config.py").write_text(
        "c.JobProgress.namespace = 'n'\nc.JobProgress.kernels_report_here = False\n"
        f"c.JobProgressServer.base_url = '/p'\nc.JobProgressServer.token = {TOKEN!r}\n"
    )
    with serving(tmp_path, environment=environment) as running:
        assert urlsplit(running.url).path == "/p/"
        assert running.told.token == TOKEN
        assert f"redis://127.0.0.1:{redis_server.port}" in running.output.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["--port={taken}"], 1, "in use"),
        (["--port=65536"], 1, "65535"),
        (["--certfile=/nowhere.pem"], 1, "No such file or directory), got '/nowhere.pem'"),
        (["--redis-url=ftp://x"], 1, "redis://"),
        (["--public-url=jobs.example.org/p"], 1, "with its scheme"),
        (["--socket=/tmp/s", "--certfile=/nowhere.pem"], 1, "unix socket"),
        (["--allow-origin=https://app.example/"], 1, "got 'https://app.example/'"),
        (["--config=/nowhere.py"], 1, "got '/nowhere.py'"),
        (["--config={broken}"], 1, "NameError"),
        (["--certfle=/nowhere.pem"], 2, "got 'certfle'"),
        (["--JobProgressServer.certfle=/nowhere.pem"], 2, "got 'JobProgressServer.certfle'"),
        (["--JobProgress.tll_s=5"], 2, "got 'JobProgress.tll_s'"),
        (["--JobProgresServer.certfile=/nowhere.pem"], 2, "got 'JobProgresServer'"),
        (["--config={misspelt}"], 2, "got 'JobProgressServer.certfle'"),
        (["8085"], 2, "got '8085'"),
    ],
)
def test_what_cannot_work_ends_with_a_reason(tmp_path: Path, arguments: list[str], code: int, reason: str) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("c.JobProgressServer.port = eighty")
    misspelt = tmp_path / "misspelt.py"
    misspelt.write_text("c.JobProgressServer.certfle = '/nowhere.pem'")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = [
            argument.format(taken=taken.getsockname()[1], broken=broken, misspelt=misspelt) for argument in arguments
        ]
        done = subprocess.run(
            [sys.executable, "-m", "jupyter_jobprogress", "serve", *given],
            env=isolated_environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert done.returncode == code
    assert reason in done.stderr
    assert ("Traceback" in done.stderr) == (reason == "NameError")  # which is of the user's own file
    assert done.stdout == ""


def test_as_many_browsers_as_come_back_at_once_may_wait() -> None:
    (listening,) = listen(host="127.0.0.1", port=0, path="", reuse_port=False)
    with listening:
        # Of a socket that listens, Linux tells its backlog in this field of struct tcp_info.
        (backlog,) = struct.unpack_from("I", listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 28)

    assert backlog >= min(1024, int(Path("/proc/sys/net/core/somaxconn").read_text()))


async def test_two_processes_share_a_port_and_a_redis(
    tmp_path: Path, redis_server: RedisServer, namespace: str
) -> None:
    options = [f"--redis-url={redis_server.url}", f"--namespace={namespace}", "--reuse-port"]
    environment = isolated_environment(tmp_path, JOBPROGRESS_SERVER_TOKEN=TOKEN)
    with serving(tmp_path, *options, environment=environment) as one:
        port = urlsplit(one.url).port or 0
        with serving(tmp_path, *options, port=port, environment=environment) as two:
            assert two.url == one.url
            assert one.process.poll() is None
            # Whichever process each connection reaches, a report on one is seen on all.
            codes = []
            for number in range(8):
                job = f"{one.url}api/jobs/job-{number}"
                codes += [
                    (await fetch(f"{job}/updates", method="POST", body="{}", headers=one.headers)).code,
                    (await fetch(job, headers=one.headers)).code,
                ]
            assert codes == [200] * 16


async def test_pages_of_an_allowed_origin_may_ask_with_a_token(tmp_path: Path) -> None:
    ours, other = "https://app.example", "https://app.example.evil.example"
    async with mounted(tmp_path, allow_origin=[ours]) as server:
        job = f"{server.url}api/jobs"

        async def allowed(origin: str, method: str) -> str | None:
            headers = {"Origin": origin, "Authorization": f"token {TOKEN}"}
            found: str | None = (await fetch(job, method=method, headers=headers)).headers.get(
                "Access-Control-Allow-Origin"
            )
            return found

        assert [await allowed(ours, "OPTIONS"), await allowed(ours, "GET")] == [ours, ours]
        assert [await allowed(other, "OPTIONS"), await allowed(other, "GET")] == [None, None]
        for origin, status in ((ours, 404), (other, 403)):
            headers = {"Origin": origin, "Authorization": f"token {TOKEN}"}
            assert (await fetch(f"{job}/a/cancel", method="POST", headers=headers)).code == status
        for origin, status in ((ours, 101), (other, 403)):
            # A page cannot add headers to the handshake of a WebSocket.
            request = HTTPRequest(f"ws{server.url[4:]}ws/jobs/a?token={TOKEN}", headers={"Origin": origin})
            try:
                await close(await websocket_connect(request))
                code = 101
            except HTTPClientError as exc:
                code = exc.code
            assert code == status


def test_nothing_is_left_of_a_server_that_was_killed(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        running.process.kill()
        running.process.wait()
        stale = running.file.read_bytes()

    assert running.file.exists()
    with serving(tmp_path, environment=running.environment) as again:
        found = subprocess.run(
            [sys.executable, "-m", "jupyter_jobprogress", "list"], env=again.environment, timeout=60, check=False
        )
        assert found.returncode == 0
        assert running.file.read_bytes() == stale
        os.unlink(running.file)
