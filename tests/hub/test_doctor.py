"""``jupyter jobprogress doctor`` as in a terminal of a user's server, whose jobs are kept by a service of the Hub."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub import SERVICE, Hub, until
from tests.support.jupyter import isolated_environment

pytestmark = pytest.mark.slow

CELL = """
import pathlib, subprocess, sys
done = subprocess.run([sys.executable, "-m", "jupyter_jobprogress", "doctor", "--json"], capture_output=True)
pathlib.Path("doctor.part").write_bytes(done.stdout)
pathlib.Path("doctor.part").rename("doctor.json")
"""


def doctor(hub: Hub, folder: Path, token: str, path: str = SERVICE) -> dict[str, Any]:
    environment = isolated_environment(
        folder,
        JUPYTERHUB_USER="ann",
        JUPYTERHUB_API_URL=f"{hub.url}hub/api",
        JUPYTERHUB_API_TOKEN=token,
        JUPYTERHUB_SERVICE_PREFIX="/user/ann/",
        JOBPROGRESS_URL=hub.url + path,
        JOBPROGRESS_TOKEN=token,
    )
    command = [sys.executable, "-m", "jupyter_jobprogress", "doctor", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert token not in done.stdout + done.stderr
    findings: dict[str, Any] = {finding["check"]: finding for finding in json.loads(done.stdout)}
    return findings


def test_a_users_server_is_well_until_its_token_is_revoked(hub: Hub, tmp_path: Path) -> None:
    hub.user("ann")
    made = hub.new_token("ann")

    well = doctor(hub, tmp_path, made["token"])
    assert hub.ask(f"hub/api/users/ann/tokens/{made['id']}", method="DELETE").status == 204
    ill = doctor(hub, tmp_path, made["token"])

    checks = ("hub", "server", "token", "websocket", "report", "watch", "list")
    assert [well[check]["verdict"] for check in checks] == ["ok"] * len(checks)
    assert "ann" in well["hub"]["found"]
    assert ill["hub"]["verdict"] == "failed"
    assert "control panel" in ill["hub"]["remedy"]


@pytest.mark.parametrize(("name", "keeper"), [("ann", SERVICE), ("ext-eve", "user/ext-eve/jobprogress/")])
def test_a_users_server_finds_itself_well_with_what_it_was_given(hub: Hub, name: str, keeper: str) -> None:
    hub.start_server(name)
    file = hub.folder / "home" / name / "doctor.json"
    file.unlink(missing_ok=True)

    socket = hub.run(name, CELL)
    until(file.exists, within_s=90)
    socket.close()

    found = {finding["check"]: finding for finding in json.loads(file.read_text())}
    assert [check for check, finding in found.items() if finding["verdict"] == "failed"] == []
    checks = ("hub", "server", "token", "websocket", "report")
    assert [found[check]["verdict"] for check in checks] == ["ok"] * len(checks)
    assert name in found["hub"]["found"]
    assert keeper in found["place"]["found"]
    assert hub.user(name) not in file.read_text()


def test_a_token_without_the_right_to_use_the_service(hub: Hub, tmp_path: Path) -> None:
    hub.user("ann")
    narrow = hub.new_token("ann", scopes=["read:users!user"])["token"]

    found = doctor(hub, tmp_path, narrow)

    assert found["hub"]["verdict"] == "ok"
    assert found["token"]["verdict"] == "failed"
    assert "access:services!service=jobprogress" in found["token"]["remedy"]


def test_a_server_of_a_user_that_does_not_run(hub: Hub, tmp_path: Path) -> None:
    hub.user("idle")

    found = doctor(hub, tmp_path, hub.user("idle"), path="user/idle/jobprogress/")

    assert found["server"]["verdict"] == "failed"
    assert "control panel" in found["server"]["remedy"]
    assert found["websocket"]["verdict"] == "not applicable"


def test_the_extension_in_a_server_of_a_user(hub: Hub, tmp_path: Path) -> None:
    hub.start_server("idle")
    try:
        own = doctor(hub, tmp_path, hub.user("idle"), path="user/idle/jobprogress/")
        other = doctor(hub, tmp_path, hub.user("ann"), path="user/idle/jobprogress/")
        elsewhere = doctor(hub, tmp_path, hub.user("idle"), path="user/idle/jobprogres/")
    finally:
        hub.stop_server("idle")

    checks = ("server", "version", "token", "websocket", "report", "watch", "list")
    assert [own[check]["verdict"] for check in checks] == ["ok"] * len(checks)
    assert other["token"]["verdict"] == elsewhere["server"]["verdict"] == "failed"
    assert "404" in elsewhere["server"]["found"]
    assert other["report"]["verdict"] == "not applicable"
