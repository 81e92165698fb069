"""The Dockerfile of docs/deploy without an engine: each of its commands runs in a fresh environment, as it stands there
but for the folders, which are elsewhere, for the cache of pip, which is used, and for what only a container has."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.front import DEPLOY
from tests.support.install import clean_environment, fresh_clone, path_without_node, run
from tests.support.processes import end
from tests.support.redis_server import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

WITHIN_S = 60.0


def instructions() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage, one after the other."""
    stages: list[list[tuple[str, str]]] = []
    for line in (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines():
        name, _, rest = line.partition(" ")
        if name == "FROM":
            stages.append([])
        elif line and not line.startswith("#"):
            stages[-1].append((name, " ".join(rest.split())))
    return stages


def test_what_it_says_builds_and_serves_and_is_found_healthy(tmp_path: Path) -> None:
    build, final = instructions()
    source, wheels, home = fresh_clone(tmp_path), tmp_path / "wheels", tmp_path / "home"
    home.mkdir()
    folders = {"/src": source, "/wheels": wheels, "/var/lib/jobprogress": home}

    def here(text: str) -> str:
        for there, folder in folders.items():
            text = text.replace(there, str(folder))
        return text.replace("--no-cache-dir ", "")

    assert build[0] == ("COPY", ". /src")
    (wheel,) = [rest for name, rest in build if name == "RUN"]
    (install,) = [rest for name, rest in final if name == "RUN"]
    mount, install, user = install.partition("pip install")[0], *install.partition("pip install")[2].split(" && ")
    assert (mount, user.split()[0]) == ("--mount=type=bind,from=build,source=/wheels,target=/wheels ", "useradd")

    # One environment makes the wheels, and another one, which sees nothing else, installs them.
    path = path_without_node(tmp_path)
    environment = clean_environment(f"{venv(tmp_path / 'build')}:{path}", PIP_NO_INPUT="1")
    run(*shlex.split(here(wheel)), env=environment)
    bare = {"PATH": f"{venv(tmp_path / 'final')}:{path}", "HOME": str(home), "LANG": "C.UTF-8"}
    run(*shlex.split(here(f"pip install{install}")), env=bare)

    said = dict(final)
    bare |= dict(pair.split("=", 1) for pair in shlex.split(here(said["ENV"])))
    port = free_port()
    check = [part.replace(":8084", f":{port}") for part in json.loads(said["HEALTHCHECK"].partition("CMD ")[2])]

    def healthy() -> bool:
        found = subprocess.run(["env", *check], env=bare, capture_output=True, timeout=WITHIN_S, check=False)
        return found.returncode == 0

    assert not healthy()
    command = [*json.loads(said["CMD"]), f"--port={port}"]
    server = subprocess.Popen(["env", *command], env=bare, cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        deadline_s = time.monotonic() + WITHIN_S
        while not healthy():
            assert server.poll() is None
            assert time.monotonic() < deadline_s
        program = command[0]
        run("env", program, "report", "train", "--progress=40%", env=bare)  # which finds the server and its token
        assert run("env", program, "list", env=bare).split() == ["train", "processing", "40", "%"]
    finally:
        end(server)
    assert server.returncode == 0
    assert server.stdout is not None
    with server.stdout:
        assert b"no TLS" in server.stdout.read()


def venv(folder: Path) -> Path:
    """Make an empty virtual environment, and return its ``bin``."""
    run(sys.executable, "-m", "venv", folder)
    return folder / "bin"
