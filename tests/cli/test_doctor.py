"""``jupyter jobprogress doctor`` against real stores, servers and proxies, well and ill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from redis import Redis

from jupyter_jobprogress.protocol.tenants import acl_rules
from jupyter_jobprogress.protocol.tickets import Ticket
from jupyter_jobprogress.server.ticket_key import TicketKey
from tests.support.certificates import certificate
from tests.support.front import front
from tests.support.jupyter import TOKEN, isolated_environment, jupyter_server
from tests.support.redis_server import RedisServer, free_port
from tests.support.standalone import Serving, serving

COMMAND = [sys.executable, "-m", "jupyter_jobprogress", "doctor"]
PASSWORD = "opensesame"
DEADLINE_S = 12.0
START_S = 10.0
"""Of a process on a busy machine."""


class Diagnosis(NamedTuple):
    """What the doctor said. ``verdicts`` by the names of the checks."""

    code: int
    findings: dict[str, dict[str, str]]

    @property
    def verdicts(self) -> dict[str, str]:
        return {name: finding["verdict"] for name, finding in self.findings.items()}

    def about(self, check: str) -> str:
        return f"{self.findings[check]['found']} {self.findings[check]['remedy']}"


def run(environment: Mapping[str, str], *arguments: str, secrets: tuple[str, ...]) -> tuple[int, str]:
    """Return the exit code and what was printed, with no secret in it."""
    begun_s = time.monotonic()
    done = subprocess.run(
        [*COMMAND, *arguments], env=dict(environment), capture_output=True, text=True, timeout=60, check=False
    )
    assert time.monotonic() - begun_s < DEADLINE_S + START_S
    assert done.stderr == ""
    assert not [secret for secret in (*secrets, PASSWORD) if secret in done.stdout]
    return done.returncode, done.stdout


def doctor(environment: Mapping[str, str], *, secrets: tuple[str, ...] = ()) -> Diagnosis:
    """Run it for programs. Every line that is not well says what to do, and the exit code says whether any failed."""
    code, printed = run(environment, "--json", secrets=secrets)
    findings: list[dict[str, str]] = json.loads(printed)
    assert code == int(any(finding["verdict"] == "failed" for finding in findings))
    for finding in findings:
        assert bool(finding["remedy"]) == (finding["verdict"] in ("failed", "warning")), finding
    return Diagnosis(code, {finding["check"]: finding for finding in findings})


@pytest.fixture
def redis(own_redis: RedisServer) -> Iterator[Any]:
    with Redis(port=own_redis.port) as client:
        yield client


def url(server: RedisServer, credential: str = "") -> str:
    return f"redis://{credential}@127.0.0.1:{server.port}/0"


def test_a_redis_that_is_well_keeps_no_trace(tmp_path: Path, own_redis: RedisServer, redis: Any) -> None:
    found = doctor(isolated_environment(tmp_path, REDIS_URL=own_redis.url))

    assert {found.verdicts[check] for check in ("place", "store", "report", "watch", "list")} == {"ok"}
    assert found.verdicts["isolation"] == found.verdicts["hub"] == "not applicable"
    assert "REDIS_URL" in found.about("place")
    assert redis.keys("job_status:*") == []


def test_a_redis_that_hangs_is_told_from_one_that_is_not_there(tmp_path: Path, own_redis: RedisServer) -> None:
    own_redis.freeze()
    hanging = doctor(isolated_environment(tmp_path, JOBPROGRESS_URL=own_redis.url))
    own_redis.thaw()
    absent = doctor(isolated_environment(tmp_path, JOBPROGRESS_URL=f"redis://127.0.0.1:{free_port()}/0"))

    assert hanging.verdicts["store"] == absent.verdicts["store"] == "failed"
    assert "does not answer" in hanging.about("store")
    assert "cannot be reached" in absent.about("store")
    assert "Start Redis" in absent.about("store")
    assert hanging.verdicts["extension"] == absent.verdicts["extension"] == "ok"


def test_a_wrong_password(tmp_path: Path, own_redis: RedisServer, redis: Any) -> None:
    redis.config_set("requirepass", PASSWORD)
    place = "JOBPROGRESS_URL"
    none = doctor(isolated_environment(tmp_path, **{place: own_redis.url}))
    wrong = doctor(isolated_environment(tmp_path, **{place: url(own_redis, ":guessed")}), secrets=("guessed",))
    right = doctor(isolated_environment(tmp_path, **{place: url(own_redis, f":{PASSWORD}")}))

    for found in (none, wrong):
        assert found.verdicts["store"] == "failed"
        assert "credential" in found.about("store")
    assert right.verdicts["store"] == right.verdicts["report"] == "ok"


@pytest.mark.parametrize(
    ("rules", "ill"),
    [
        ("~* &* +@all -publish", {"report"}),
        ("~* resetchannels +@all", {"report", "watch"}),
        ("~elsewhere:* &* +@all", {"report", "watch", "list"}),
        ("~* &* +@all -@dangerous -scan -acl", set()),  # neither SCAN nor ACL WHOAMI is anything that we need
    ],
)
def test_rights_that_are_too_narrow(
    tmp_path: Path, own_redis: RedisServer, redis: Any, rules: str, ill: set[str]
) -> None:
    redis.execute_command("ACL", "SETUSER", "jobs", "on", f">{PASSWORD}", *rules.split())

    found = doctor(isolated_environment(tmp_path, JOBPROGRESS_URL=url(own_redis, f"jobs:{PASSWORD}")))

    assert {check for check in ("store", "report", "watch", "list") if found.verdicts[check] == "failed"} == ill
    assert all("docs/redis.md" in found.about(check) for check in ill)


def test_a_redis_that_users_of_a_hub_share(tmp_path: Path, own_redis: RedisServer, redis: Any) -> None:
    redis.execute_command("ACL", "SETUSER", "open", "on", f">{PASSWORD}", "~*", "&*", "+@all")
    redis.execute_command("ACL", "SETUSER", "ann", *acl_rules("ann", PASSWORD))
    user = isolated_environment(tmp_path, JUPYTERHUB_USER="ann", JOBPROGRESS_URL=url(own_redis, f"open:{PASSWORD}"))
    confined = {"JOBPROGRESS_NAMESPACE": "ann", "JOBPROGRESS_URL": url(own_redis, f"ann:{PASSWORD}")}

    refused = doctor(user)
    meant = doctor(user | {"JOBPROGRESS_SHARED_REDIS": "1"})
    leaky = doctor(user | {"JOBPROGRESS_NAMESPACE": "ann"})
    right = doctor(user | confined)

    assert refused.verdicts["place"] == "failed"
    assert "docs/jupyterhub.md" in refused.about("place")
    assert (meant.verdicts["isolation"], meant.verdicts["store"]) == ("warning", "ok")
    assert leaky.verdicts["isolation"] == "failed"
    assert [right.verdicts[check] for check in ("isolation", "report", "watch", "list")] == ["ok"] * 4
    assert right.verdicts["hub"] == "failed", "it is in no terminal of that server"


async def test_a_jupyter_server_with_and_without_the_extension(tmp_path: Path) -> None:
    # In a virtual environment its configuration would else win over the user's.
    environment = isolated_environment(tmp_path, JUPYTER_PREFER_ENV_PATH="0")
    async with jupyter_server(tmp_path, environment=environment):
        well = doctor(environment, secrets=(TOKEN,))  # the file that the server left tells where it is
    disabled = Path(environment["JUPYTER_CONFIG_DIR"], "jupyter_server_config.d", "jupyter_jobprogress.json")
    disabled.parent.mkdir()
    disabled.write_text(json.dumps({"ServerApp": {"jpserver_extensions": {"jupyter_jobprogress": False}}}))
    renderer = Path(environment["JUPYTER_CONFIG_DIR"], "labconfig", "page_config.json")
    renderer.parent.mkdir()
    renderer.write_text(json.dumps({"disabledExtensions": {"jupyter_jobprogress": True}}))
    async with jupyter_server(tmp_path, environment=environment):
        ill = doctor(environment, secrets=(TOKEN,))

    assert well.code == 0
    assert {check for check, verdict in well.verdicts.items() if verdict != "ok"} == {"hub"}
    assert {check for check, verdict in ill.verdicts.items() if verdict == "failed"} == {
        "extension",
        "renderer",
        "server",
    }
    assert "jupyter server extension enable" in ill.about("extension")
    assert "jupyter server extension enable" in ill.about("server")
    assert "jupyter labextension enable" in ill.about("renderer")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("doctor")) as running:
        yield running


def ticket(server: Serving, *actions: str, jobs: str = "*", life_s: int = 60) -> dict[str, str]:
    """Return the environment of a job with a ticket of this server."""
    key = TicketKey(str(Path(server.environment["JUPYTER_DATA_DIR"], "jobprogress", "ticket.key")))
    made = Ticket(jobs=jobs, actions=actions, expires_s=int(time.time()) + life_s)  # type: ignore[arg-type]
    nowhere = {"JUPYTER_RUNTIME_DIR": "/nonexistent", "JOBPROGRESS_URL": server.url}
    return server.environment | nowhere | {"JOBPROGRESS_TOKEN": key.sign(made)}


def test_what_a_ticket_is_good_for(server: Serving) -> None:
    environments = {
        "all": ticket(server, "report", "watch", "cancel"),
        "reports": ticket(server, "report", jobs="fold-*"),
        "watches": ticket(server, "watch", jobs="fold-*"),
        "one": ticket(server, "report", jobs="train"),
        "expired": ticket(server, "report", life_s=-60),
        "foreign": ticket(server, "report")
        | {"JOBPROGRESS_TOKEN": ticket(server, "report")["JOBPROGRESS_TOKEN"] + "x"},
    }
    found = {
        name: doctor(environment, secrets=(environment["JOBPROGRESS_TOKEN"],))
        for name, environment in environments.items()
    }

    def tried(name: str) -> list[str]:
        return [found[name].verdicts[check] for check in ("token", "report", "watch", "list")]

    assert tried("all") == ["ok", "ok", "ok", "ok"]
    assert tried("reports") == ["ok", "ok", "warning", "warning"]
    assert tried("watches") == ["ok", "warning", "ok", "warning"]
    assert tried("one") == ["ok", *["not applicable"] * 3]
    assert tried("expired") == tried("foreign") == ["failed", *["not applicable"] * 3]
    assert "to report jobs fold-…" in found["reports"].about("token")
    assert "has expired" in found["expired"].about("token")
    assert "revoked" in found["foreign"].about("token")
    assert "jupyter jobprogress ticket" in found["expired"].about("token")


def test_what_somebody_else_wrote_moves_no_cursor(server: Serving) -> None:
    forged = ticket(server, "report", jobs="fold\x1b[2J*")

    _, printed = run(forged, secrets=(forged["JOBPROGRESS_TOKEN"],))

    assert "to report jobs fold" in printed
    assert "\x1b" not in printed


def test_no_token_and_a_wrong_one(server: Serving) -> None:
    nobody = server.environment | {"JUPYTER_RUNTIME_DIR": "/nonexistent", "JOBPROGRESS_URL": server.url}
    none = doctor(nobody)
    wrong = doctor(nobody | {"JOBPROGRESS_TOKEN": "0123456789"}, secrets=("0123456789",))

    assert none.verdicts["token"] == wrong.verdicts["token"] == "failed"
    assert none.verdicts["server"] == wrong.verdicts["server"] == "ok"
    assert "There is none" in none.about("token")
    assert "401" in wrong.about("token")


def test_a_path_that_is_not_ours_is_no_fault_of_a_proxy(server: Serving) -> None:
    found = doctor(server.environment | {"JOBPROGRESS_URL": f"{server.url}wrong/"})

    assert (found.verdicts["server"], found.verdicts["websocket"]) == ("failed", "not applicable")


def test_a_certificate_that_nobody_here_knows(tmp_path: Path) -> None:
    files = certificate(tmp_path)
    with serving(tmp_path, f"--certfile={files.certificate}", f"--keyfile={files.key}") as server:
        told = server.environment | {"JUPYTER_RUNTIME_DIR": "/nonexistent", "JOBPROGRESS_URL": server.url}
        unknown = doctor(told)
        trusted = doctor(told | {"JOBPROGRESS_CA_FILE": str(files.certificate)})
        missing = doctor(told | {"JOBPROGRESS_CA_FILE": "/nowhere.pem"})

    assert unknown.verdicts["server"] == missing.verdicts["place"] == "failed"
    assert "Set JOBPROGRESS_CA_FILE" in unknown.about("server")
    assert "/nowhere.pem" in missing.about("place")
    assert trusted.verdicts["server"] == "ok"


def test_jobs_that_are_told_to_report_nothing(server: Serving) -> None:
    found = doctor(server.environment | {"JOBPROGRESS_DISABLE": "1"})

    assert (found.code, found.verdicts["place"]) == (0, "warning")
    assert "Unset JOBPROGRESS_DISABLE" in found.about("place")


def test_a_proxy_that_cuts_websockets(tmp_path: Path, server: Serving) -> None:
    port = urlsplit(server.url).port
    assert port is not None
    through = server.environment | {
        "JUPYTER_RUNTIME_DIR": "/nonexistent",
        "JOBPROGRESS_TOKEN": server.told.token,
        "JOBPROGRESS_CA_FILE": str(tmp_path / "cert.pem"),
    }
    with front("nginx", tmp_path, (port, port), upgrades=False) as url:
        cut = doctor(through | {"JOBPROGRESS_URL": url}, secrets=(server.told.token,))
    with front("nginx", tmp_path, (port, port)) as url:
        well = doctor(through | {"JOBPROGRESS_URL": url}, secrets=(server.told.token,))

    assert (cut.verdicts["server"], cut.verdicts["token"], cut.verdicts["websocket"]) == ("ok", "ok", "failed")
    assert "poll" in cut.about("websocket")
    assert "Upgrade and Connection" in cut.about("websocket")
    assert [well.verdicts[check] for check in ("server", "token", "websocket", "report", "watch")] == ["ok"] * 5


def test_nobody_anywhere(tmp_path: Path) -> None:
    nowhere = doctor(isolated_environment(tmp_path))
    silent = doctor(isolated_environment(tmp_path, JOBPROGRESS_URL=f"http://ann:{PASSWORD}@127.0.0.1:{free_port()}/"))
    unknown = doctor(isolated_environment(tmp_path, JOBPROGRESS_URL=f"mysql://ann:{PASSWORD}@localhost/"))

    assert nowhere.verdicts["place"] == unknown.verdicts["place"] == silent.verdicts["server"] == "failed"
    assert nowhere.verdicts["extension"] == "ok"
    assert "JOBPROGRESS_URL" in unknown.about("place")
    assert "refused" in silent.about("server")


@pytest.mark.parametrize(("encoding", "shapes"), [("utf-8", "✓✗-"), ("ascii", "+x-")])
def test_people_read_a_line_for_each_check_in_any_terminal(
    tmp_path: Path, own_redis: RedisServer, encoding: str, shapes: str
) -> None:
    environment = isolated_environment(
        tmp_path, JOBPROGRESS_URL=url(own_redis, f":{PASSWORD}"), PYTHONIOENCODING=encoding
    )

    code, printed = run(environment, secrets=())

    well, ill, beside = shapes
    assert code == 1
    assert f"{well} ok              extension  The server extension" in printed
    assert f"{ill} failed          store      redis://127.0.0.1" in printed
    assert f"{beside} not applicable  hub " in printed
    assert "Correct the credential" in printed


def test_a_server_that_hangs(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.process.send_signal(signal.SIGSTOP)
        try:
            found = doctor(server.environment, secrets=(server.told.token,))
        finally:
            server.process.send_signal(signal.SIGCONT)

    assert found.verdicts["server"] == "failed"
    assert "no answer within 3 s" in found.about("server")
    assert found.verdicts["token"] == found.verdicts["websocket"] == "not applicable"
    assert found.verdicts["extension"] == "ok"
