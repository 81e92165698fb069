"""The command, as a process, against a real server."""

from __future__ import annotations

import argparse
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from jupyter_jobprogress.cli.exits import Exit
from jupyter_jobprogress.cli.main import parser
from jupyter_jobprogress.cli.ticket import seconds
from jupyter_jobprogress.errors import InvalidArgumentError
from tests.support.jupyter import isolated_environment
from tests.support.standalone import Serving, serving

DOCS = Path(__file__).parents[2] / "docs"
COMMAND = [sys.executable, "-m", "jupyter_jobprogress"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("cli")) as running:
        yield running


def call(
    server: Serving, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=server.environment | (environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def alone(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call a command where no server is to be found."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=isolated_environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def states(server: Serving) -> dict[str, dict[str, object]]:
    lines = call(server, "list", "--json", "--limit=1000").stdout.splitlines()
    return {state["job_id"]: state for state in map(json.loads, lines)}


def exports(text: str) -> dict[str, str]:
    return dict(re.findall(r"^export (\w+)=(.*)$", text, re.MULTILINE))


def test_a_report_arrives_as_it_was_said(server: Serving) -> None:
    done = call(server, "report", "a", "--progress=40%", "--message=Half", "--stage=Fit", "--metric=loss=0.5")

    state = states(server)["a"]
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [state[name] for name in ("progress", "message", "stage", "status")] == [0.4, "Half", "Fit", "processing"]
    assert state["metrics"] == {"loss": 0.5}


def test_the_script_of_the_page_runs(server: Serving) -> None:
    (script,) = re.findall(r"```sh\n(run=.*?)```", (DOCS / "cli.md").read_text(), re.DOTALL)
    command = " ".join(COMMAND)
    lines = f"load() {{ :; }}\nfit() {{ :; }}\n{script.replace('jupyter jobprogress', command)}"

    subprocess.run(["sh", "-euc", lines], env=server.environment, check=True, timeout=60)

    assert states(server)["nightly"]["status"] == "completed"


def test_a_server_that_is_away_stops_a_script_only_if_it_asks_for_that(server: Serving) -> None:
    away = ("report", "a", "--url=http://127.0.0.1:9/")

    assert call(server, *away).returncode == Exit.OK
    assert call(server, *away, "--strict").returncode == Exit.UNAVAILABLE


def test_a_request_to_cancel_reaches_a_script(server: Serving) -> None:
    call(server, "report", "b")

    assert call(server, "cancel", "b").returncode == Exit.OK
    assert call(server, "report", "b").returncode == Exit.OK
    assert call(server, "report", "b", "--cancellable").returncode == Exit.CANCEL_REQUESTED
    assert call(server, "cancel", "nobody").returncode == Exit.UNKNOWN_JOB


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "x y"),
        ("report", "a", "--progress=40"),
        ("report", "a", "--progress=nan"),
        ("report", "a", "--result={"),
        ("report", "a", "--metric==3"),
        ("list", "--x"),
        ("list", "--url=http://[::1/"),
        ("list", "--url=http://127.0.0.1:65536/"),
        ("demo", "--port=65536"),
    ],
)
def test_wrong_usage_is_told_apart(server: Serving, arguments: tuple[str, ...]) -> None:
    done = call(server, *arguments)

    assert done.returncode == Exit.USAGE
    assert "Traceback" not in done.stderr


def test_a_wrong_token_is_denied(server: Serving) -> None:
    wrong = {"JOBPROGRESS_URL": server.url, "JOBPROGRESS_TOKEN": "0123"}

    done = call(server, "list", environment=wrong)

    assert done.returncode == Exit.DENIED
    assert "0123" not in done.stderr


def test_without_any_server_it_says_how_to_name_one(tmp_path: Path) -> None:
    done = alone(tmp_path, "list")

    assert done.returncode == Exit.UNAVAILABLE
    assert "jupyter jobprogress serve" in done.stderr


def test_a_report_that_cannot_be_is_wrong_usage_also_without_any_server(tmp_path: Path) -> None:
    assert alone(tmp_path, "report", "a").returncode == Exit.OK
    assert alone(tmp_path, "report", "a b").returncode == Exit.USAGE
    assert alone(tmp_path, "report", "a", "--progress=40").returncode == Exit.USAGE


@pytest.mark.parametrize(("end", "code"), [("--status=completed", Exit.OK), ("--error=Broken", Exit.JOB_FAILED)])
def test_watching_ends_with_the_jobs_and_tells_how(server: Serving, end: str, code: Exit) -> None:
    jobs = [f"w{code}-1", f"w{code}-2"]
    call(server, "report", jobs[0], "--status=completed")
    watching = subprocess.Popen(
        [*COMMAND, "watch", *jobs], env=server.environment, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert watching.stdout is not None
    first = watching.stdout.readline()  # it watches from here on
    call(server, "report", jobs[1], end)
    rest, _ = watching.communicate(timeout=60)

    assert first == f"{jobs[0]}  completed  100 %\n"
    assert rest.startswith(f"{jobs[1]}  ")
    assert watching.returncode == code


def test_in_a_terminal_there_are_bars_and_no_markup_of_a_job(server: Serving) -> None:
    call(server, "report", "t", "--status=completed", "--message=[bold]plain\x1b[2J")
    ours, theirs = pty.openpty()
    terminal = {"TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(
        [*COMMAND, "watch", "t"], env=server.environment | terminal, stdout=theirs, timeout=60, check=False
    )
    os.close(theirs)
    output = os.read(ours, 65536).decode()
    os.close(ours)

    assert done.returncode == Exit.OK
    assert "━" in output
    assert "[bold]plain" in output
    assert "\x1b[2J" not in output


def test_a_ticket_is_all_that_a_job_elsewhere_needs(server: Serving) -> None:
    given = exports(call(server, "ticket", "train-7", "--expires=1h").stdout)

    assert set(given) == {"JOBPROGRESS_URL", "JOBPROGRESS_TOKEN"}
    assert call(server, "report", "train-7", "--strict", environment=given).returncode == Exit.OK
    assert call(server, "report", "train-8", "--strict", environment=given).returncode == Exit.DENIED
    assert call(server, "watch", "train-7", environment=given).returncode == Exit.DENIED


@pytest.mark.parametrize("page", [None, "protocol.md", "reporting.md"])
def test_the_curl_form_works_as_printed(server: Serving, page: str | None) -> None:
    curl, job_id = "", "curled"
    if page is not None:
        ((curl, job_id),) = re.findall(r"`(curl [^`]*api/jobs/([^/`]+)/updates\")`", (DOCS / page).read_text())
    printed = call(server, "ticket", job_id).stdout
    if page is None:
        (curl,) = re.findall(r"^# (curl .*)$", printed, re.MULTILINE)
    lines = "\n".join(line for line in printed.splitlines() if line.startswith("export"))

    done = subprocess.run(["sh", "-euc", f"{lines}\n{curl} -sf"], env=server.environment, check=False, timeout=30)

    assert done.returncode == 0
    (progress,) = re.findall(r'"progress": ?([0-9.]+)', curl)
    assert states(server)[job_id]["progress"] == float(progress)


def test_a_ticket_to_watch_a_prefix(server: Serving) -> None:
    call(server, "report", "fold-1", "--status=completed")
    given = exports(call(server, "ticket", "fold-", "--watch", "--prefix", "--public-url=" + server.url).stdout)

    assert call(server, "watch", "fold-1", environment=given).returncode == Exit.OK
    assert call(server, "report", "fold-1", "--strict", environment=given).returncode == Exit.DENIED


def test_a_ticket_is_taken_back_by_its_id(server: Serving) -> None:
    printed = call(server, "ticket", "lent").stdout
    given, id = exports(printed), printed.rstrip().rpartition(" ")[2]
    headers = {"Authorization": f"JobProgress {given['JOBPROGRESS_TOKEN']}"}

    def status() -> int:
        url = f"{given['JOBPROGRESS_URL']}api/jobs/lent/updates"
        try:
            with urlopen(Request(url, b'{"progress": 0.5}', headers)) as answer:
                return int(answer.status)
        except HTTPError as exc:
            with exc:
                return exc.code

    assert status() == 200
    assert call(server, "ticket", "--revoke", id).returncode == Exit.OK
    assert status() == 401


@pytest.mark.parametrize(
    "arguments", [(), ("a", "--revoke", "0123456789abcdef"), ("--revoke", "../jobs/a"), ("a", "--public-url=x.org")]
)
def test_a_ticket_is_made_or_taken_back_and_nothing_else(server: Serving, arguments: tuple[str, ...]) -> None:
    assert call(server, "ticket", *arguments).returncode == Exit.USAGE


def test_a_ticket_makes_no_ticket(server: Serving) -> None:
    given = exports(call(server, "ticket", "fold-", "--prefix").stdout)
    nothing_else = given | {"JUPYTER_RUNTIME_DIR": "/nonexistent"}

    assert call(server, "ticket", "fold-1", environment=nothing_else).returncode == Exit.DENIED


class _Elsewhere(BaseHTTPRequestHandler):
    """Redirects to ``there``, or remembers who came."""

    protocol_version = "HTTP/1.1"  # an older answer is none to a client of WebSockets
    there = ""
    came: list[str | None]

    def _answer(self) -> None:
        self.came.append(self.headers.get("Authorization"))
        self.send_response(307 if self.there else 404)
        if self.there:
            self.send_header("Location", self.there)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = _answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def redirecting() -> Iterator[tuple[str, list[str | None], list[str | None]]]:
    """Give the URL of a server that redirects to another one, and what each of the two was sent."""
    target = type("Target", (_Elsewhere,), {"came": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), target) as other:
        there = f"http://127.0.0.1:{other.server_port}/"
        source = type("Source", (_Elsewhere,), {"came": [], "there": there})
        with ThreadingHTTPServer(("127.0.0.1", 0), source) as server:
            threads = [Thread(target=each.serve_forever) for each in (other, server)]
            for thread in threads:
                thread.start()
            yield f"http://127.0.0.1:{server.server_port}/", source.came, target.came
            for each in (other, server):
                each.shutdown()
            for thread in threads:
                thread.join()


@pytest.mark.parametrize("arguments", [("ticket", "a"), ("list",)])
def test_no_command_follows_a_redirect_with_a_token(
    server: Serving, redirecting: tuple[str, list[str | None], list[str | None]], arguments: tuple[str, ...]
) -> None:
    url, came_here, came_there = redirecting

    done = call(server, *arguments, environment={"JOBPROGRESS_URL": url, "JOBPROGRESS_TOKEN": "abcd"})

    assert done.returncode == Exit.UNAVAILABLE
    assert "redirect" in done.stderr
    assert set(came_here) == {"token abcd"}
    assert came_there == []


def test_a_token_goes_to_the_server_of_its_url_alone(
    server: Serving, redirecting: tuple[str, list[str | None], list[str | None]]
) -> None:
    url, came, _ = redirecting

    call(server, "list", f"--url={url}", environment={"JOBPROGRESS_URL": server.url, "JOBPROGRESS_TOKEN": "abcd"})

    assert set(came) == {None}


@pytest.mark.parametrize(("text", "expected"), [("7d", 604800), ("90m", 5400), ("12h", 43200), ("5s", 5)])
def test_a_duration_is_read(text: str, expected: int) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5h", "7d ", "0s", "\u0667d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="like 7d"):
        seconds(text)


def test_the_page_lists_every_exit_code() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", (DOCS / "cli.md").read_text(), re.MULTILINE)}

    assert documented == {int(code) for code in Exit} | {130}


def test_the_page_names_every_command_and_every_option() -> None:
    page = (DOCS / "cli.md").read_text()
    (commands,) = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]

    for name, command in commands.choices.items():
        assert re.search(rf"^\| `{name}\b", page, re.MULTILINE), name
        for action in command._actions:
            for option in action.option_strings:
                assert option in ("-h", "--help") or re.search(rf"(?<![\w-]){option}(?![\w-])", page), (name, option)


def test_everything_that_a_report_can_say(server: Serving) -> None:
    done = call(
        *(server, "report", "full", "--start", "--title=Full", "--unit=files", "--n=3", "--total=4", "--message=Words"),
        *("--metric=loss=0.5", "--metric=accuracy=1e-3", "--status=completed", '--result={"url": "x"}', "--strict"),
    )

    state = states(server)["full"]
    assert done.returncode == Exit.OK
    assert state["run"] == int(done.stdout)
    expected = {"title": "Full", "unit": "files", "n": 3, "total": 4, "status": "completed", "result": {"url": "x"}}
    assert {name: state[name] for name in expected} == expected
    assert state["metrics"] == {"loss": 0.5, "accuracy": 0.001}


def test_an_older_run_is_told_that_it_is_one(server: Serving) -> None:
    first, second = (call(server, "report", "again", "--start").stdout.strip() for _ in range(2))

    late = call(server, "report", "again", f"--run={first}", "--message=late")
    call(server, "report", "again", f"--run={second}", "--message=newest")

    assert (late.returncode, "superseded" in late.stderr) == (Exit.OK, True)
    assert states(server)["again"]["message"] == "newest"


def test_a_list_is_for_people_and_for_programs(server: Serving) -> None:
    call(server, "report", "listed-1", "--progress=40%", "--message=Half", "--title=Nightly\nfit")
    call(server, "report", "listed-2", "--error=Broken")

    lines = call(server, "list").stdout.splitlines()
    failed = call(server, "list", "--status=failed", "--json").stdout.splitlines()

    assert lines[0].split() == ["listed-2", "failed", "Broken"]
    assert lines[1].split() == ["listed-1", "processing", "40", "%", "Nightly", "fit", "Half"]
    assert call(server, "list", "--limit=1").stdout.splitlines() == lines[:1]
    assert json.loads(failed[0])["job_id"] == "listed-2"
    assert {json.loads(line)["status"] for line in failed} == {"failed"}
    assert call(server, "list", "--limit=0").returncode == Exit.USAGE


@pytest.mark.parametrize("command", ["list", "doctor", "ticket a", "report a --start", "watch gone"])
def test_a_reader_that_has_left_is_no_failure(server: Serving, command: str) -> None:
    call(server, "report", "gone", "--status=completed")
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "wb") as pipe:
        done = subprocess.run(
            [*COMMAND, *command.split()], env=server.environment, stdout=pipe, stderr=subprocess.PIPE, timeout=60
        )

    assert done.returncode == Exit.OK
    assert b"rror" not in done.stderr


def test_every_state_of_a_watched_job_as_json(server: Serving) -> None:
    call(server, "report", "j", "--status=completed", "--message=Done")

    (line,) = call(server, "watch", "j", "--json").stdout.splitlines()

    assert (json.loads(line)["status"], json.loads(line)["message"]) == ("completed", "Done")
