"""What docs/jupyterhub.md prints for Zero to JupyterHub, and for Redis in users' servers, without a cluster."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.support.hub import PAGE, RECHECK_S, SERVICE, Hub, printed, until

SECRET = "0123456789abcdef0123456789abcdef"
"""What the Secret of the cluster would hold."""

TENANT_KEY = bytes(range(32))


def section(heading: str) -> str:
    return PAGE.read_text().split(f"# {heading}\n", 1)[1].partition("\n## ")[0]


def values() -> Any:
    """Return the Helm values as printed."""
    found = re.search(r"```yaml\n(.*?)```", section("Zero to JupyterHub"), re.DOTALL)
    assert found is not None
    return yaml.safe_load(found[1])


def printed_environment() -> dict[str, str]:
    """Return the variables of the Deployment that have a value on the page."""
    return dict(re.findall(r"`(JUPYTERHUB_\w+)=([^`]+)`", section("Zero to JupyterHub")))


def chart(folder: Path, service_port: int, redis_port: int) -> str:
    """Return what the chart makes of the values, as lines of a jupyterhub_config.py, and the printed hook after it."""
    given = values()
    lines = []
    for name, service in given["hub"]["services"].items():
        # The chart takes the token from its Secret, under whatever name the values have it.
        service = {"name": name, "api_token": SECRET} | {key: service[key] for key in service if key != "apiToken"}
        lines.append(f"c.JupyterHub.services.append({service!r})")
    for name, role in given["hub"]["loadRoles"].items():
        lines.append(f"c.JupyterHub.load_roles.append({ ({'name': name} | role)!r})")
    lines.append(f"c.Spawner.environment.update({given['singleuser']['extraEnv']!r})")
    lines += given["hub"]["extraConfig"].values()
    config = "\n".join(lines).replace("http://jobprogress:8084", f"http://127.0.0.1:{service_port}")
    key = folder / "jobprogress.key"
    key.write_bytes(TENANT_KEY)
    hook = printed("C. Users' servers with Redis").replace("/etc/jupyterhub/jobprogress.key", str(key))
    hook = hook.replace('host="redis.internal"', f'host="127.0.0.1", port={redis_port}')
    hook = hook.replace("@redis.internal/0", f"@127.0.0.1:{redis_port}/0")
    # Those of the page are for all users. Here for some, so that one Hub shows both.
    return f"""{config}
{hook}
c.Spawner.pre_spawn_hook = lambda spawner: spawner.user.name.startswith("redis-") and own_account(spawner)
"""


@contextmanager
def deployed(hub: Hub, folder: Path, *, redis_url: str = "", arguments: tuple[str, ...] = ()) -> Iterator[Any]:
    """Run the service as the Deployment of the page would, until the block ends. Two of a folder share their keys."""
    where = {"http://hub:8081/hub/api": hub.api_url, "http://0.0.0.0:8084": hub.direct.removesuffix(f"/{SERVICE}")}
    environment = {name: where.get(value, value) for name, value in printed_environment().items()}
    environment |= {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    environment |= {"JUPYTERHUB_API_TOKEN": SECRET, "PATH": os.environ["PATH"], "HOME": str(folder)}
    if redis_url:
        environment["REDIS_URL"] = redis_url
    looks = [f"--JobProgress.recheck_s={RECHECK_S}", "--HubOAuth.cache_max_age=1"]
    with (folder / "service.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_jobprogress", "serve", "--hub", *looks, *arguments],
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline(), (folder / "service.log").read_text()  # it listens now
            until(lambda: hub.ask(f"{SERVICE}health").status == 200, within_s=30)
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=30)
