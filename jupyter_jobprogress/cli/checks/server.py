"""A server that jobs report to: is it there, does it know us, and does a WebSocket get through?

First three questions are asked, all at once; then ``server``, ``token``, ``websocket`` and ``version`` say what the
answers mean, without any I/O.
"""

from __future__ import annotations

import asyncio
import http.client
from typing import Any, Final

import msgspec
from msgspec import Struct
from websockets.exceptions import InvalidStatus

from jupyter_jobprogress._version import __version__
from jupyter_jobprogress.cli.ask import send
from jupyter_jobprogress.cli.checks.finding import DEADLINE_S, Finding, failed, not_applicable, ok, warning
from jupyter_jobprogress.cli.checks.tickets import read_unverified
from jupyter_jobprogress.errors import StoreError
from jupyter_jobprogress.protocol.tickets import PREFIX
from jupyter_jobprogress.settings import Settings, mask_url
from jupyter_jobprogress.store.remote_link import Link

REFUSED: Final = (401, 403)
OPEN: Final = 101
_RESTART: Final = "Look into the log of the server and of the proxies before it, and restart what does not run."
_PROXY: Final = "Let the proxy pass on the headers Upgrade and Connection; docs/deploy has nginx and HAProxy."


class Answer(Struct, frozen=True):
    """``status`` is 0 where there was none, and ``reason`` says why. ``body`` is JSON, or None."""

    status: int
    reason: str = ""
    body: Any = None


class Answers(Struct, frozen=True):
    """What a server said to ``health``, ``api/openapi.json`` and the handshake of ``ws/jobs``."""

    health: Answer
    description: Answer
    socket: Answer


async def ask(settings: Settings) -> Answers:
    """Ask a server, within the deadline of one check."""
    health, description, socket = await asyncio.gather(
        get(settings, "health"), get(settings, "api/openapi.json"), _handshake(settings)
    )
    return Answers(health, description, socket)


async def get(settings: Settings, path: str) -> Answer:
    """GET with the credential, unless that is a ticket: tickets open no more than they must, and not these paths."""
    headers = {} if is_ticket(settings) or not settings.token else {"Authorization": f"token {settings.token}"}
    try:
        async with asyncio.timeout(DEADLINE_S):
            status, body = await asyncio.to_thread(send, settings, "GET", path, headers, timeout_s=DEADLINE_S)
    except TimeoutError:
        return Answer(0, f"no answer within {DEADLINE_S:g} s")
    except (OSError, http.client.HTTPException, ValueError) as exc:
        return Answer(0, str(getattr(exc, "reason", "") or exc) or type(exc).__name__)
    try:
        return Answer(status, body=msgspec.json.decode(body))
    except msgspec.MsgspecError:
        return Answer(status)


async def _handshake(settings: Settings) -> Answer:
    try:
        async with asyncio.timeout(DEADLINE_S), Link(settings):
            return Answer(OPEN)
    except TimeoutError:
        return Answer(0, f"no answer within {DEADLINE_S:g} s")
    except StoreError as exc:
        if isinstance(exc.__cause__, InvalidStatus):
            return Answer(exc.__cause__.response.status_code)
        return Answer(0, getattr(exc, "reason", str(exc)))


def is_ticket(settings: Settings) -> bool:
    return bool(settings.token) and str(settings.token).startswith(PREFIX)


def ours(answer: Answer) -> bool:
    """Whether an answer comes from our handlers, and not from a proxy, a Hub or another server."""
    return isinstance(answer.body, dict) and ("status" in answer.body or "code" in answer.body)


def server(settings: Settings, answers: Answers) -> Finding:
    label, health = mask_url(settings.url or ""), answers.health
    status = health.status
    if "CERTIFICATE_VERIFY_FAILED" in health.reason:
        return failed(
            "server",
            f"{label} shows a certificate that is not trusted here: {health.reason}.",
            "Set JOBPROGRESS_CA_FILE to a PEM file with this certificate, or with that of its authority.",
        )
    if status == 0:
        return failed(
            "server",
            f"{label} cannot be reached: {health.reason}.",
            "Start the server, or correct the URL. It is the one that 'jupyter jobprogress ticket' or 'serve' prints.",
        )
    if status == 200 and ours(health):
        return ok("server", f"{label} answers, and so does its store.")
    if status == 503 and ours(health):
        why = health.body.get("reason") or "it says no more"
        return failed(
            "server",
            f"{label} answers, but its store does not: {why}.",
            "Look after that store. Where it is Redis: jupyter jobprogress doctor --url redis://…, on that machine.",
        )
    if status in REFUSED and ours(health):
        return ok("server", f"{label} answers, and asks who is there.")
    if status == 403:
        return failed(
            "server",
            f"{label} answers 403, and not by us: a Hub or proxy before it lets nobody in with this credential.",
            "Under a JupyterHub give the role of the user access:services!service=jobprogress (docs/jupyterhub.md).",
        )
    if status in (200, 404, 405):
        return failed(
            "server",
            f"{label} answers {status}, and jupyter_jobprogress is not there.",
            "Run 'jupyter server extension enable jupyter_jobprogress' where that server runs and restart it; its URL "
            "ends with /jobprogress/.",
        )
    if 300 <= status < 400 or status in (401, 424):
        return failed(
            "server",
            f"{label} answers {status}, as a login page or a server that was stopped does.",
            "Start the server, under a JupyterHub from its control panel, and take a ticket or token of that very URL.",
        )
    return failed("server", f"{label} answers {status}, and not by us.", _RESTART)


def token(settings: Settings, answers: Answers) -> Finding:
    status = answers.socket.status or answers.health.status
    if status == 0 or (status not in (OPEN, *REFUSED) and not ours(answers.health)):
        return not_applicable("token", "No server of ours answers.")
    if is_ticket(settings):
        return _ticket(str(settings.token), answers)
    refused = answers.health.status in REFUSED or answers.socket.status in REFUSED
    if not settings.token:
        if not refused:
            return ok("token", "The server asks for none.")
        return failed(
            "token",
            "There is none, and the server asks for one.",
            "Set JOBPROGRESS_TOKEN to a ticket: jupyter jobprogress ticket JOB, where the server runs.",
        )
    if answers.health.status == 403 or (answers.socket.status == 403 and answers.health.status == 200):
        return failed(
            "token",
            "The server knows the token, and does not let it in here (403).",
            "Ask for the right to use it: under a JupyterHub access:services!service=jobprogress; in Jupyter its "
            "authorizer decides.",
        )
    if refused:
        return failed(
            "token",
            "The server refuses the token (401): it is of another server, was revoked, or has expired.",
            "Take a new one: jupyter jobprogress ticket JOB where the server runs, or a token of the Hub.",
        )
    if answers.health.status != 200:
        return not_applicable("token", f"The server answered {answers.health.status}, which tells nothing of it.")
    return ok("token", "The server accepts the token.")


def _ticket(text: str, answers: Answers) -> Finding:
    remedy = "Make a new one where the server runs: jupyter jobprogress ticket JOB."
    said = read_unverified(text)
    if said is None:
        return failed("token", "JOBPROGRESS_TOKEN begins like a ticket and is none: a part may be missing.", remedy)
    if said.expired:
        return failed("token", f"The ticket {said.scope} has expired, at {said.until}.", remedy)
    if answers.socket.status in REFUSED:
        return failed("token", f"The server refuses the ticket {said.scope}: another made it, or revoked it.", remedy)
    if answers.socket.status != OPEN:
        return not_applicable("token", f"A ticket {said.scope}, until {said.until}. No socket opened to try it.")
    return ok("token", f"The server accepts the ticket {said.scope}, until {said.until}.")


def websocket(answers: Answers) -> Finding:
    health, socket = answers.health, answers.socket
    if socket.status == OPEN:
        return ok("websocket", "A WebSocket opens.")
    if health.status in (0, 404) or not ours(health):
        return not_applicable("websocket", "No server of ours answers.")
    if socket.status in REFUSED:
        return not_applicable("websocket", f"It was refused by {socket.status}, for the sake of the token.")
    how = f"answered by {socket.status}" if socket.status else f"not answered ({socket.reason})"
    return failed(
        "websocket",
        f"A proxy between here and the server cuts WebSockets: HTTP gets through, the upgrade was {how}. Pages poll "
        "then, every few seconds; jobs cannot report over this URL.",
        _PROXY,
    )


def version(answers: Answers) -> Finding:
    body = answers.description.body
    found = body.get("info", {}).get("version") if isinstance(body, dict) else None
    if answers.description.status != 200 or not isinstance(found, str):
        return not_applicable("version", "The server tells its version to its users alone.")
    if found != __version__:
        return warning(
            "version",
            f"The server has version {found:.20}, this environment {__version__}.",
            "Install the same version in both, and restart the server.",
        )
    return ok("version", f"Server and client are of version {__version__}.")
