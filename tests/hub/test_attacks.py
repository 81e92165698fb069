"""What a user tries on the jobs of another, and strangers on those of all."""

from __future__ import annotations

import http.client
import re
import secrets
import statistics
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from jupyter_jobprogress.protocol.tenants import tenant_name
from jupyter_jobprogress.server.hub_app import OWNER_PATH
from jupyter_jobprogress.server.routes import ROUTES
from tests.support.hub import SERVICE, Answer, Hub, until

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
FORMS = [SERVICE, "user/ann/jobprogress/"]


@pytest.fixture(scope="module")
def secret_job(hub: Hub) -> str:
    """Report a job of ann."""
    hub.start_server("ann")
    body = {"progress": 0.5, "message": "for ann's eyes"}
    path = f"{SERVICE}api/jobs/secret/updates"
    assert hub.ask(path, method="POST", body=body, token=hub.user("ann")).status == 200
    return "secret"


def paths() -> list[str]:
    parts = {"job_id": "secret", "id": "0123456789abcdef", "name": "page.js"}
    found = [re.sub(r"\(\?P<(\w+)>.*?\)", lambda group: parts[group[1]], path) for path, _ in ROUTES]
    return [path.replace("\\", "") for path in found]


@pytest.mark.parametrize("form", [*FORMS, f"{SERVICE}user/ann/"])
def test_no_route_opens_without_a_right_credential(hub: Hub, secret_job: str, form: str) -> None:
    ticket = hub.ask(f"{SERVICE}api/tickets", method="POST", body={"job_id": "other"}, token=hub.user("ann")).json
    credentials = {
        "none": {},
        "wrong": {"Authorization": f"token {secrets.token_hex(16)}"},
        "forged": {"Authorization": "JobProgress jp1.e30.AAAA"},
        "a bent ticket": {"Authorization": f"JobProgress {ticket['token'][:-3]}abc"},
        "a stale cookie": {"Cookie": "service-jobprogress=2|1:0|10:1|19:service-jobprogress|4:YWJj|abc"},
    }
    brief = {"job_id": "secret", "actions": ["watch", "report", "cancel"], "expires_in_s": 1}
    old = hub.ask(f"{SERVICE}api/tickets", method="POST", body=brief, token=hub.user("ann")).json["token"]
    credentials["an expired ticket"] = {"Authorization": f"JobProgress {old}"}
    job = f"{SERVICE}api/jobs/secret"
    until(lambda: hub.ask(job, headers=credentials["an expired ticket"]).status == 401, within_s=30)
    if form != SERVICE:
        credentials["another user"] = {"Authorization": f"token {hub.user('bob')}"}
    for path in paths():
        for method in METHODS:
            for name, headers in credentials.items():
                answer = hub.ask(form + path, method=method, headers=headers)

                closed = answer.status in (401, 403, 405) or _asks_to_sign_in(answer)
                assert closed, f"{method} {path} with {name}: {answer}"
                assert "for ann" not in answer.text


def _asks_to_sign_in(answer: Answer) -> bool:
    """Whether a page has sent whoever is not signed in to the Hub's form. An answer to HEAD has no text.

    Since Python 3.13 the form is asked by HEAD as well, which it does not take.
    """
    if answer.text == "":
        return answer.status in (200, 405)
    return answer.status == 200 and "/hub/login" in answer.text


@pytest.mark.parametrize("form", [*FORMS, f"{SERVICE}user/bob/"])
def test_a_tickets_action_is_all_that_it_opens(hub: Hub, secret_job: str, form: str) -> None:
    opened: dict[str, set[str]] = {"report": set(), "watch": set()}
    signed_by = FORMS[1] if form == FORMS[1] else SERVICE
    for action, found in opened.items():
        body = {"job_id": "secret", "actions": [action]}
        ticket = hub.ask(f"{signed_by}api/tickets", method="POST", body=body, token=hub.user("ann")).json["token"]
        headers = {"Authorization": f"JobProgress {ticket}"}
        for path in paths():
            for method in METHODS:
                if path.startswith("ws/") and method == "GET":
                    status = hub.refusal(form + path, headers=headers)
                else:
                    answer = hub.ask(form + path, method=method, headers=headers)
                    status = 401 if method in ("GET", "HEAD") and _asks_to_sign_in(answer) else answer.status
                if status != 401:
                    found.add(f"{method} {path}")

    # Below the path of another as well: a ticket is for the jobs of whoever gave it, wherever it is shown.
    assert opened == {
        "report": {"GET ws/jobs", "POST api/jobs/secret/updates"},
        "watch": {"GET ws/jobs", "GET ws/jobs/secret", "GET api/jobs/secret"},
    }


def test_unknown_and_forbidden_look_alike(hub: Hub, secret_job: str) -> None:
    bob = hub.user("bob")
    for method, path in (("GET", "api/jobs/{}"), ("DELETE", "api/jobs/{}"), ("POST", "api/jobs/{}/cancel")):
        there, nowhere = (
            hub.ask(SERVICE + path.format(job_id), method=method, token=bob) for job_id in ("secret", "nosuch")
        )

        assert there.status == nowhere.status == 404
        assert there.text.replace("secret", "nosuch") == nowhere.text
    whose = [hub.ask(f"{SERVICE}user/{name}/api/jobs/secret", token=bob) for name in ("ann", "nobody-of-that-name")]
    assert whose[0] == whose[1]
    assert whose[0].status == 403
    socket = hub.socket(f"{SERVICE}ws/jobs", token=bob)
    assert socket.ask(type="subscribe", job_ids=["secret", "nosuch"])["missing"] == ["secret", "nosuch"]
    assert not socket.ask(type="cancel", job_id="secret")["found"]
    socket.close()
    assert hub.ask(f"{SERVICE}api/jobs/secret", token=hub.user("ann")).json["message"] == "for ann's eyes"


OWNERS = [
    *(
        "ann",
        "%61nn",
        "ANN",
        "Ann",
        "ann%20",
        "ann%00",
        "ann%0a",
        "ann%2f",
        "ann%2e",
        "ann;bob",
        "*",
        "a*",
        "a?n",
        "%25",
    ),
    *(
        "./ann",
        "bob/../ann",
        "bob%2f..%2fann",
        "..%2fuser%2fann",
        "bob/user/ann",
        "bob//ann",
        "%2e%2e/user/ann",
        "ann/.",
    ),
    *("ann!group=lab", "bob!user=ann", "%c0%afann", "%ff", "ann%ef%bc%8f", "%f0%9f%98%80", "x" * 5000),
]
"""What bob writes for a user in a path. His own name among them leads to his own jobs, which know no such id."""


def test_no_spelling_of_a_path_leads_to_the_jobs_of_another(hub: Hub, secret_job: str) -> None:
    headers = {"Authorization": f"token {hub.user('bob')}"}
    found: dict[str, int] = {}
    for root in (hub.url + SERVICE, hub.direct):  # the proxy in front reads paths, too
        where = urlsplit(root)
        for owner in OWNERS:
            connection = http.client.HTTPConnection(where.netloc, timeout=30)
            connection.request("GET", f"{where.path}user/{owner}/api/jobs/secret", headers=headers)
            answer = connection.getresponse()
            assert b"for ann" not in answer.read(), owner
            assert answer.status >= 400, owner
            found[owner] = answer.status
            connection.close()
    # Of the service itself; what the proxy cannot read it answers by 500.
    assert set(found.values()) == {400, 403, 404}
    assert found["ann"] == found["%61nn"] == found["*"] == 403


def test_a_user_whom_there_is_not_costs_as_much_as_another(hub: Hub) -> None:
    """Who may watch somebody could tell by the time of the second answer, were only one of them known by then."""
    hub.user("tom")
    names, anns = ("tom", "nobody-at-all"), f"{SERVICE}user/ann/api/jobs"
    assert hub.ask(anns, token=hub.user("cat")).status == 200
    for name in names * 3:
        assert hub.ask(f"{SERVICE}user/{name}/api/jobs", token=hub.user("cat")).status == 403

    def asked(name: str) -> int:
        return hub.written()["hub.log"].count(f" GET /hubs/hub/api/users/{name} ")

    until(lambda: all(map(asked, names)), within_s=30)
    assert [asked(name) for name in names] == [1, 1]


def test_redis_is_not_asked_for_what_is_not_his(hub: Hub) -> None:
    bob, key = hub.user("bob"), (hub.folder / "data" / "jobprogress" / "tenant.key").read_bytes()
    # Of a user without a server, which would ask for its own jobs meanwhile.
    path, body = f"{SERVICE}api/jobs/hers", {"progress": 0.5}
    assert hub.ask(f"{path}/updates", method="POST", body=body, token=hub.user("zoe")).status == 200
    hers, his = tenant_name("zoe", key), tenant_name("bob", key)
    with hub.monitor() as asked:
        for method, suffix in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("POST", "/updates")):
            hub.ask(path + suffix, method=method, body=body if suffix == "/updates" else None, token=bob)
        hub.ask(f"{SERVICE}user/zoe/api/jobs/hers", token=bob)
        hub.ask(f"{SERVICE}api/jobs", token=bob)

    commands = asked()
    assert any(his in command for command in commands)
    assert not [command for command in commands if hers in command]


def test_how_long_an_answer_takes_does_not_tell_whether_a_job_is_there(hub: Hub, secret_job: str) -> None:
    headers = {"Authorization": f"token {hub.user('bob')}"}
    where = urlsplit(hub.direct)
    connection = http.client.HTTPConnection(where.netloc, timeout=30)
    took_s: dict[str, list[float]] = {"secret": [], "nosuch": []}
    for _ in range(300):  # below what one user may ask in a burst
        for job_id, times in took_s.items():
            begin_s = time.perf_counter()
            connection.request("GET", f"{where.path}api/jobs/{job_id}", headers=headers)
            answer = connection.getresponse()
            answer.read()
            times.append(time.perf_counter() - begin_s)
            assert answer.status == 404
    connection.close()

    # In turns, so that whatever else the machine does meets both alike.
    ratio = statistics.median(took_s["secret"]) / statistics.median(took_s["nosuch"])
    assert 0.8 < ratio < 1.25


def test_a_colleague_watches_and_does_no_more_until_he_leaves(hub: Hub, secret_job: str) -> None:
    cat, anns = hub.user("cat"), f"{SERVICE}user/ann/"
    assert hub.ask(f"{anns}api/jobs/secret", token=cat).status == 200
    socket = hub.socket(f"{anns}ws/jobs", token=cat)
    assert socket.ask(type="subscribe", job_ids=["secret"])["missing"] == []
    assert socket.ask(type="cancel", job_id="secret")["code"] == "forbidden"
    for method, path in (
        *(("POST", "api/jobs/secret/updates"), ("POST", "api/jobs/secret/cancel"), ("DELETE", "api/jobs/secret")),
        *(("POST", "api/tickets"), ("GET", "metrics")),
    ):
        assert hub.ask(anns + path, method=method, token=cat).status == 403

    left = hub.ask("hub/api/groups/lab/users", method="DELETE", body={"users": ["cat"]})
    try:
        assert left.status == 200
        assert socket.closed() == 4403
        assert hub.ask(f"{anns}api/jobs/secret", token=cat).status == 403
    finally:
        hub.ask("hub/api/groups/lab/users", method="POST", body={"users": ["cat"]})


@pytest.mark.parametrize("form", FORMS)
def test_a_revoked_token_ends_its_sockets_for_good(hub: Hub, secret_job: str, form: str) -> None:
    made = hub.new_token("ann")
    socket = hub.socket(f"{form}ws/jobs", token=made["token"])
    assert socket.ask(type="subscribe", job_ids=["secret"])["missing"] == []

    assert hub.ask(f"hub/api/users/ann/tokens/{made['id']}", method="DELETE").status == 204

    assert socket.closed() == 4401
    assert hub.refusal(f"{form}ws/jobs", token=made["token"]) in (401, 403)


def test_a_deleted_user_is_gone(hub: Hub) -> None:
    socket = hub.socket(f"{SERVICE}ws/jobs", token=hub.user("dan"))
    socket.ask(type="subscribe", job_ids=["x"])

    hub.forget("dan")

    assert socket.closed() == 4401


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1.evil.example"])
def test_a_page_of_another_site_opens_no_socket(hub: Hub, origin: str) -> None:
    assert hub.refusal(f"{SERVICE}ws/jobs", token=hub.user("ann"), origin=origin) == 403


def held_tokens(hub: Hub) -> set[str]:
    """Return the tokens in the environments of what the Hub has started: the service, users' servers, their kernels."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            environment = dict(
                line.partition("=")[::2] for line in path.read_bytes().decode(errors="replace").split("\0")
            )
            if str(hub.folder) in str(environment.values()):
                found |= {environment.get(name, "") for name in ("JUPYTERHUB_API_TOKEN", "JOBPROGRESS_TOKEN")}
    return found - {""}


@pytest.mark.parametrize("form", FORMS)
def test_no_secret_is_in_what_is_written_or_answered_or_in_an_argument(hub: Hub, secret_job: str, form: str) -> None:
    ann, bob = hub.user("ann"), hub.user("bob")
    lent = {"prefix": "x", "actions": ["watch", "report"]}
    ticket = hub.ask(f"{form}api/tickets", method="POST", body=lent, token=ann).json["token"]
    shown = {"Authorization": f"JobProgress {ticket}"}
    answers = [
        hub.ask(f"{form}api/jobs/x/updates", method="POST", body=body, headers=shown)
        for body in ({"progress": 1}, {"progress": 2}, b"no json")
    ]
    assert [answer.status for answer in answers] == [200, 400, 400]
    for path in ("api/jobs/secret", "api/jobs", "nowhere", "api/jobs/x/cancel"):
        answers += [hub.ask(form + path, headers=headers) for headers in (shown, {"Authorization": f"token {bob}"})]
        answers += [hub.ask(f"{form}{path}?token={token}", headers={}) for token in (ann, bob, ticket)]
    for token in (ann, bob, ticket):
        hub.refusal(f"{form}ws/jobs?token={token}", headers={})
    held = held_tokens(hub)
    secrets_ = {ann, bob, ticket, ticket.rpartition(".")[2], *held}

    assert len(held) >= 2  # of the service, and of ann's server
    until(lambda: "jobprogress/api/jobs/x/cancel" in hub.written()["hub.log"], within_s=30)
    # Jupyter leaves two files of its own for the user alone, with the token of his server.
    texts = [text for name, text in hub.written().items() if not Path(name).name.startswith("jpserver-")]
    arguments = [path.read_bytes().decode(errors="replace") for path in Path("/proc").glob("[0-9]*/cmdline")]

    # The proxy logs, where it is told to debug, what it passes on, query and all; what is ours does not.
    lines = [line for text in texts for line in text.splitlines() if "ConfigProxy" not in line]
    for told in (lines, arguments, [answer.text for answer in answers]):
        assert [line for line in told if any(secret in line for secret in secrets_)] == []


def test_the_jobs_of_others_have_a_path_of_their_own() -> None:
    assert re.fullmatch(OWNER_PATH, "user/ann/")
    assert not re.fullmatch(OWNER_PATH, "user/ann/b/")
