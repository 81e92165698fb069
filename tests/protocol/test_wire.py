"""The wire cases that ``js/test`` reads, too: both languages must agree on each of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jupyter_jobprogress.errors import ProtocolError
from jupyter_jobprogress.protocol.codes import ERROR_CODES, RETRY, CloseCode
from jupyter_jobprogress.protocol.liveness import liveness
from jupyter_jobprogress.protocol.messages import decode_state, read_stored
from jupyter_jobprogress.protocol.state import Status

WIRE = Path(__file__).parents[1] / "wire"


def _read(name: str) -> Any:
    return json.loads((WIRE / name).read_text(encoding="utf-8"))


STATES = _read("states.json")["cases"]


def _named(case: dict[str, Any]) -> str:
    return str(case["name"])


@pytest.mark.parametrize("case", [case for case in STATES if case["strict"]], ids=_named)
def test_decode_state_takes_a_whole_state(case: dict[str, Any]) -> None:
    state = decode_state(case["text"])

    assert state.status == case["stored"]["status"]
    assert state.progress == case["stored"]["progress"]


@pytest.mark.parametrize("case", [case for case in STATES if not case["strict"]], ids=_named)
def test_decode_state_refuses_what_a_reporter_must_not_send(case: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        decode_state(case["text"])


@pytest.mark.parametrize("case", [case for case in STATES if case["stored"] is not None], ids=_named)
def test_read_stored_passes_on_what_viewers_can_read(case: dict[str, Any]) -> None:
    stored = read_stored("job-1", case["text"].encode())

    # parse_constant: what is passed on is JSON that every browser parses.
    assert json.loads(stored.data, parse_constant=pytest.fail) == case["stored"]
    assert stored.status == case["stored"]["status"]
    assert stored.seq == case["stored"].get("seq")


@pytest.mark.parametrize("case", [case for case in STATES if case["stored"] is None], ids=_named)
def test_read_stored_refuses_what_cannot_be_repaired(case: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        read_stored("job-1", case["text"].encode())


@pytest.mark.parametrize("case", _read("liveness.json"), ids=str)
def test_silence_is_judged_by_the_promised_heartbeat(case: dict[str, Any]) -> None:
    word = liveness(Status(case["status"]), silence_s=case["silence_s"], heartbeat_s=case["heartbeat_s"])

    assert word == case["word"]


def test_codes_are_those_of_the_table() -> None:
    table = _read("codes.json")

    assert {str(code.value): {"name": code.name, "retry": code in RETRY} for code in CloseCode} == table["close"]
    assert sorted(ERROR_CODES) == table["errors"]
