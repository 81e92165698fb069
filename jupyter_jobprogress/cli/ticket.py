"""``jupyter jobprogress ticket``: a token for a job on another machine, and the lines that use it there."""

from __future__ import annotations

import os
import re
import shlex
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import msgspec

from jupyter_jobprogress.cli.ask import post
from jupyter_jobprogress.cli.exits import Exit
from jupyter_jobprogress.cli.running import complain
from jupyter_jobprogress.client.places import find
from jupyter_jobprogress.errors import InvalidArgumentError, SettingsError, StoreDeniedError, StoreUnavailableError
from jupyter_jobprogress.protocol.tickets import TicketAnswer, decode_request
from jupyter_jobprogress.server.running import server_at
from jupyter_jobprogress.settings import REMOTE_SCHEMES, Settings, check_public_url, is_loopback, mask_url

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


async def command(options: Namespace) -> Exit:
    settings = find(options.url)
    if settings.url is None or settings.url.partition("://")[0] not in REMOTE_SCHEMES:
        raise SettingsError("--url", mask_url(settings.url or ""), "that of a server: a store gives no tickets")
    if (options.job_id is None) == (options.revoke is None):
        raise InvalidArgumentError("job_id", options.job_id, "a job's id, or --revoke with that of a ticket")
    if options.revoke is not None:
        return _revoke(settings, options.revoke)
    if options.public_url is not None:
        check_public_url(options.public_url, "--public-url")
    body = msgspec.json.encode(
        {
            "prefix" if options.prefix else "job_id": options.job_id,
            "actions": ["watch" if options.watch else "report"],
            "expires_in_s": seconds(options.expires),
        }
    )
    decode_request(body)  # raises here what the server would answer
    try:
        answer = msgspec.json.decode(_ask(settings, "api/tickets", body), type=TicketAnswer)
    except msgspec.MsgspecError as exc:
        raise StoreUnavailableError(mask_url(settings.url or ""), "its answer is no ticket") from exc
    url = f"{options.public_url.rstrip('/')}/" if options.public_url else answer.url
    print(f"export JOBPROGRESS_URL={shlex.quote(url)}")
    print(f"export JOBPROGRESS_TOKEN={shlex.quote(answer.token)}")
    print(f"# until {answer.expires}; with curl:")
    print(f"# {curl(answer, options.job_id)}")
    if answer.id:
        print(f"# and to take it back: jupyter jobprogress ticket --revoke {answer.id}")
    if urlsplit(url).scheme.endswith("+unix") or is_loopback(urlsplit(url).hostname or ""):
        complain(
            "That address is of this machine alone. For another, add --public-url, or set public_url on the server."
        )
    return Exit.OK


def curl(answer: TicketAnswer, job_id: str) -> str:
    """Return a command that uses a ticket from the two variables, so that it is in no list of processes twice."""
    header = '-H "Authorization: JobProgress $JOBPROGRESS_TOKEN"'
    if "report" in answer.actions:
        return f'curl {header} -d \'{{"progress":0.5}}\' "${{JOBPROGRESS_URL}}api/jobs/{job_id}/updates"'
    return f'curl {header} "${{JOBPROGRESS_URL}}api/jobs/{job_id}"'


def seconds(text: str) -> int:
    """Return how long ``90m`` or ``7d`` is, in seconds. Raises InvalidArgumentError."""
    if (found := re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text)) is None:
        raise InvalidArgumentError("--expires", text, "a whole number and s, m, h or d, like 7d")
    return int(found[1]) * _UNITS_S[found[2]]


def _revoke(settings: Settings, id: str) -> Exit:
    if re.fullmatch("[0-9a-f]{16}", id) is None:
        raise InvalidArgumentError("--revoke", id, "the id of a ticket, 16 digits and letters, as it was printed")
    _ask(settings, f"api/tickets/{id}", b"", method="DELETE")
    print("No ticket of this id opens anything any more. What it has opened is closed within a minute.")
    return Exit.OK


def _ask(settings: Settings, path: str, body: bytes, *, method: str = "POST") -> bytes:
    denied = None
    for token in _credentials(settings):
        try:
            return post(replace(settings, token=token), path, body, method=method)
        except StoreDeniedError as exc:
            denied = exc
    raise denied or StoreDeniedError(
        mask_url(settings.url or ""), "only a user's token opens this, and none was found; set JOBPROGRESS_TOKEN to one"
    )


def _credentials(settings: Settings) -> Iterator[str]:
    """Yield tokens that may be a user's. A terminal of Jupyter inherits a ticket, which makes no other."""
    assert settings.url is not None
    if settings.token and not settings.token.startswith("jp1."):
        yield settings.token
    server = server_at(settings.url)
    if server is not None and server.token and server.token != settings.token:
        yield server.token
    prefix, hub_token = os.environ.get("JUPYTERHUB_SERVICE_PREFIX"), os.environ.get("JUPYTERHUB_API_TOKEN")
    if prefix and hub_token and urlsplit(settings.url).path.startswith(prefix):
        yield hub_token
