"""``jupyter jobprogress report``: one report, for shell scripts. A server that is away does not stop the script."""

from __future__ import annotations

import math
from argparse import Namespace
from contextlib import suppress

import msgspec

from jupyter_jobprogress.cli.exits import Exit
from jupyter_jobprogress.cli.running import complain
from jupyter_jobprogress.client.places import find
from jupyter_jobprogress.errors import InvalidArgumentError, JobProgressError, ProtocolError, SettingsError
from jupyter_jobprogress.protocol.messages import Outcome, Receipt, decode_update
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.protocol.payload import timestamp
from jupyter_jobprogress.store import connect


async def command(options: Namespace) -> Exit:
    try:
        receipt = await _send(options)
    except (ProtocolError, SettingsError):
        raise  # wrong usage, which is not the fault of the network
    except JobProgressError as exc:
        if options.strict:
            raise
        complain(str(exc))
        return Exit.OK
    if options.start:
        print(receipt.run)
    if receipt.outcome is not Outcome.ACCEPTED:
        complain(f"This report was not taken: the run has {receipt.outcome}.")
    if receipt.cancel_requested:
        complain(f"Somebody asked to cancel {options.job_id}.")
        if options.cancellable:
            return Exit.CANCEL_REQUESTED
    return Exit.OK


async def _send(options: Namespace) -> Receipt:
    # First, since what is wrong in the script is wrong also where no server is found.
    update = msgspec.json.encode(_update(options))
    state = decode_update(check_job_id(options.job_id), update, timestamp="")
    store = connect(find(options.url))
    try:
        now = timestamp(store.now_us() / 1e6)
        return await store.publish(msgspec.structs.replace(state, timestamp=now), start=options.start)
    finally:
        await store.close()


def _update(options: Namespace) -> dict[str, object]:
    """Return what was said, and nothing that was not."""
    update: dict[str, object] = {
        name: value
        for name in ("message", "stage", "unit", "title", "error", "n", "total", "status", "run")
        if (value := getattr(options, name)) is not None
    }
    if options.progress is not None:
        update["progress"] = _fraction(options.progress)
    if options.result is not None:
        update["result"] = _json(options.result)
    if options.metric:
        update["metrics"] = dict(map(_metric, options.metric))
    return update


def _fraction(text: str) -> float:
    try:
        fraction = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        fraction = math.nan
    if not math.isfinite(fraction):  # which JSON would make null, an unknown amount of work
        raise InvalidArgumentError("--progress", text, "a number from 0 to 1, or a percentage like 40%")
    return fraction


def _metric(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    with suppress(ValueError):
        if name:
            return name, float(number)
    raise InvalidArgumentError("--metric", text, "like loss=0.25")


def _json(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        raise InvalidArgumentError("--result", text, "JSON") from None
