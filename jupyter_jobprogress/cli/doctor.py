"""``jupyter jobprogress doctor``: what works here, what does not, and what to do about it. Prints no secret."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgspec

from jupyter_jobprogress.cli.checks import installed, redis, server, trial
from jupyter_jobprogress.cli.checks.finding import (
    Finding,
    Verdict,
    failed,
    not_applicable,
    ok,
    warning,
    within_deadline,
)
from jupyter_jobprogress.cli.checks.hub import hub
from jupyter_jobprogress.cli.checks.tickets import read_unverified
from jupyter_jobprogress.cli.exits import Exit
from jupyter_jobprogress.cli.show import clean
from jupyter_jobprogress.client.places import find
from jupyter_jobprogress.errors import InvalidJobIdError, NoServerError, SettingsError
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.reporter.destination import disabled
from jupyter_jobprogress.settings import REDIS_SCHEMES, Settings, mask_url
from jupyter_jobprogress.store import connect

_SHAPES: Final = {Verdict.OK: "✓", Verdict.WARNING: "!", Verdict.FAILED: "✗", Verdict.NOT_APPLICABLE: "-"}
_PLAIN: Final = str.maketrans({"✓": "+", "✗": "x", "→": ">", "…": "."})
"""For a terminal that cannot show them."""

Place = Settings | None


async def command(options: Namespace) -> Exit:
    """Exit with 0 if no check failed, else with 1."""
    logging.getLogger("jupyter_jobprogress").setLevel(logging.CRITICAL)  # the findings say it
    place, where = _place(options.url)
    groups = await asyncio.gather(_installed(), _jobs(place), within_deadline("hub", hub()))
    findings = [*groups[0], where, *groups[1], groups[2]]
    if options.json:
        print(msgspec.json.encode(findings).decode())
    else:
        _print(findings)
    return Exit.CHECK_FAILED if any(finding.verdict is Verdict.FAILED for finding in findings) else Exit.OK


def _place(url: str | None) -> tuple[Place, Finding]:
    """Say where jobs report, and where that is written."""
    try:
        settings = find(url)
    except SettingsError as exc:
        return None, failed(
            "place", str(exc), f"Correct {exc.name} in the environment, or name another place by --url."
        )
    except NoServerError as exc:
        return None, failed(
            "place", str(exc), "Start jupyter lab or jupyter jobprogress serve, or set JOBPROGRESS_URL."
        )
    named = [name for name in ("JOBPROGRESS_URL", "REDIS_URL") if os.environ.get(name)]
    by = "--url" if url else named[0] if named else "a server of yours that runs here"
    try:
        if str(settings.url).startswith("https:"):
            ssl.create_default_context(cafile=settings.ca_file)
    except OSError as exc:
        found = f"The file {settings.ca_file}, whose certificate is to be trusted, cannot be read: {exc}."
        return None, failed("place", found, "Correct JOBPROGRESS_CA_FILE in the environment.")
    where = f"Jobs are at {mask_url(settings.url or '')}, by {by}"
    if disabled():
        found = f"{where}, but those that start here report nothing: JOBPROGRESS_DISABLE is set."
        return settings, warning("place", found, "Unset JOBPROGRESS_DISABLE.")
    return settings, ok("place", f"{where}.")


async def _installed() -> list[Finding]:
    async def look(check: Callable[[], Finding]) -> Finding:
        return await within_deadline(check.__name__, asyncio.to_thread(check))

    return [await look(installed.extension), await look(installed.renderer)]


async def _jobs(settings: Place) -> list[Finding]:
    if settings is None:
        return [not_applicable("store", "Nobody knows where jobs are."), *trial.untried("Nobody knows where jobs are.")]
    if (settings.url or "").partition("://")[0] in REDIS_SCHEMES:
        return await _redis(settings)
    return await _server(settings)


async def _redis(settings: Settings) -> list[Finding]:
    apart = asyncio.create_task(within_deadline("isolation", redis.isolation(settings)))
    store = connect(replace(settings, ttl_s=trial.LIFE_S, terminal_ttl_s=trial.LIFE_S))
    try:
        first = await within_deadline("store", redis.answers(store, settings.url or ""))
        if first.verdict is Verdict.OK:
            rest = await trial.trial(store, trial.job_id(), redis.no_right)
        else:
            rest = trial.untried("Redis does not answer, or does not let us in.")
    finally:
        await store.close()
    return [first, *rest, await apart]


async def _server(settings: Settings) -> list[Finding]:
    answers = await server.ask(settings)
    findings = [
        server.server(settings, answers),
        server.version(answers),
        server.token(settings, answers),
        server.websocket(answers),
    ]
    job = _job(settings)
    if answers.socket.status != server.OPEN:
        return [*findings, *trial.untried("No WebSocket opens.")]
    if not job:
        return [*findings, *trial.untried("The ticket is for a single job, which is left alone.")]
    store = connect(settings)
    try:
        return [*findings, *await trial.trial(store, job, trial.by_server)]
    finally:
        await store.close()


def _job(settings: Settings) -> str:
    """Return the id of a job that the credential is good for and that nobody has; nothing where there is none."""
    if not server.is_ticket(settings):
        return trial.job_id()
    said = read_unverified(str(settings.token))
    if said is None or not said.ticket.jobs.endswith("*"):
        return ""
    try:
        return check_job_id(trial.job_id(said.ticket.jobs[:-1]))
    except InvalidJobIdError:  # nobody's server has signed this
        return ""


def _print(findings: list[Finding]) -> None:
    lines = []
    for finding in findings:
        lines.append(f"{_SHAPES[finding.verdict]} {finding.verdict:<14}  {finding.check:<9}  {clean(finding.found)}")
        if finding.remedy:
            lines.append(f"{'':<29}→ {finding.remedy}")
    text = "\n".join(lines)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        text = text.translate(_PLAIN).encode("ascii", "backslashreplace").decode()
    print(text)
