"""The culler that Hubs run, beside servers of users whose jobs run, have ended, or are watched by a forgotten tab."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.hub import SERVICE, Hub, Socket, managed_service, running_hub, until
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

IDLE_S = 10
"""How long the culler leaves a server alone that nobody uses."""

TAB_S = 28
"""When a server lets go of a socket on which nothing runs, or a quarter sooner: later than the culler would come."""

CONFIG = f"""
c.JupyterHub.services.append(
    {{
        "name": "culler",
        "command": [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout={IDLE_S}", "--cull-every=1"],
    }}
)
c.JupyterHub.load_roles.append(
    {{
        "name": "culler",
        "services": ["culler"],
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
    }}
)
# Of what the proxy has passed on, too, and to the second.
c.JupyterHub.last_activity_interval = 1
c.JupyterHub.activity_resolution = 1

KEEPS = ["--JobProgress.keep_alive_while_running=True", "--JobProgress.keep_alive_look_s=0.5"]
OPTIONS = {{
    "keeps": KEEPS,
    "not": [],
    "aged": [*KEEPS, "--JobProgress.keep_alive_longest_s=1"],
    "tab": ["--JobProgress.idle_socket_s={TAB_S}"],
}}

def by_name(spawner):
    spawner.args = ["--allow-root", *OPTIONS[spawner.user.name.rpartition("-")[2]]]
    with_the_extension_alone(spawner)

c.Spawner.pre_spawn_hook = by_name
"""


def with_culler(folder: Path, service_port: int) -> str:
    return managed_service(folder, service_port) + CONFIG


@pytest.fixture(scope="module")
def culled_hub(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("culled"), redis_server.url, config=with_culler) as running:
        yield running


def report(hub: Hub, user: str, **fields: object) -> None:
    """Report the job of a user: to his own server where that keeps its states, which is behind the same proxy, else to
    the service."""
    path = f"user/{user}/jobprogress/" if user.startswith("ext-") else SERVICE
    assert hub.ask(f"{path}api/jobs/j/updates", method="POST", body=fields, token=hub.user(user)).status == 200


def runs(hub: Hub, user: str) -> bool:
    return bool(hub.ask(f"hub/api/users/{user}").json["servers"])


def culled(hub: Hub, user: str) -> None:
    until(lambda: not runs(hub, user), within_s=120)
    assert f"Culling server {user} " in hub.written()["hub.log"]


@pytest.mark.parametrize("form", ["", "ext-"], ids=["watched there", "reports there"])
def test_a_server_is_kept_by_a_running_job_until_that_ends_where_it_is_told_so(culled_hub: Hub, form: str) -> None:
    hub, kept, other = culled_hub, f"{form}keeps", f"{form}not"
    with ExitStack() as stack:
        # The other one begins later, so that nothing but the job can keep the first one longer.
        for user in (kept, other):
            hub.start_server(user)
            # One word, and then none for ten minutes, so that no request counts.
            report(hub, user, progress=0.5, heartbeat_s=60)
            if not form:
                socket = hub.socket(f"user/{user}/jobprogress/ws/jobs", token=hub.user(user))
                stack.callback(socket.close)
                assert socket.ask(type="subscribe", job_ids=["j"])["missing"] == []

        culled(hub, other)
        assert runs(hub, kept)

        report(hub, kept, status="completed")
        culled(hub, kept)


def test_a_job_that_runs_for_longer_than_it_may_keeps_no_server(culled_hub: Hub) -> None:
    user = "ext-aged"
    culled_hub.start_server(user)
    report(culled_hub, user, progress=0.5, heartbeat_s=60)

    culled(culled_hub, user)

    culled_hub.start_server(user)
    path = f"user/{user}/jobprogress/api/jobs/j"
    assert culled_hub.ask(path, token=culled_hub.user(user)).json["status"] == "processing"


def test_a_forgotten_tab_of_a_job_that_ended_keeps_a_server_until_it_is_let_go_of(culled_hub: Hub) -> None:
    user = "ext-tab"
    culled_hub.start_server(user)
    report(culled_hub, user, progress=1, status="completed")
    # What a browser sends is activity for the proxy, if only the answers to our pings, every 30 s. This one pings by
    # itself, so that nobody has to wait as long.
    url = f"ws{culled_hub.url[4:]}user/{user}/jobprogress/ws/jobs"
    headers = {"Authorization": f"token {culled_hub.user(user)}"}
    tab = Socket(url, additional_headers=headers, ping_interval=1)
    assert tab.ask(type="subscribe", job_ids=["j"])["missing"] == []

    # For longer than the culler waits, the server was there.
    assert tab.closed(within_s=120) == 4410
    assert runs(culled_hub, user)

    culled(culled_hub, user)
