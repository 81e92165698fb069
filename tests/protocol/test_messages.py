from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jobprogress.errors import (
    HistoryTooLargeError,
    InvalidJobIdError,
    InvalidMessageError,
    InvalidProgressError,
    NestingTooDeepError,
    ProtocolError,
    StateTooLargeError,
    TooManyMetricsError,
)
from jupyter_jobprogress.protocol.messages import (
    Report,
    Subscribe,
    decode_command,
    decode_state,
    depth_of,
    encode,
    encode_state,
    join_state,
    read_stored,
)
from jupyter_jobprogress.protocol.state import History, Origin, State, Status


def state(**fields: Any) -> State:
    given_fields: dict[str, Any] = {
        "job_id": "a",
        "status": Status.PROCESSING,
        "stage": "s",
        "progress": 0.5,
        "message": "m",
        "timestamp": "2026-01-01T00:00:00Z",
    }
    return State(**(given_fields | fields))


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"x": value}
    return value


def test_a_plain_state_has_exactly_the_original_fields() -> None:
    body, history = encode_state(state())

    assert list(json.loads(body)) == ["job_id", "status", "stage", "progress", "message", "timestamp"]
    assert history == b""


def test_an_unknown_progress_is_null_and_there() -> None:
    assert json.loads(encode_state(state(progress=None))[0])["progress"] is None


def test_what_the_store_gives_is_spliced_in_and_read_back() -> None:
    whole = state(
        seq=1,
        run=2,
        title="T",
        n=3,
        total=10,
        metrics={"loss": 0.5},
        history=History(t_s=[0.0], progress=[None], metrics={"loss": [0.5]}),
        origin=Origin(host="h", pid=1),
        metadata={"a": [1, {"b": None}]},
    )
    body, history = encode_state(whole)

    assert decode_state(join_state(body, seq=1, run=2, history=history)) == whole
    assert decode_state(join_state(body, seq=7, run=None)).seq == 7


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"job_id": "a b"}, InvalidJobIdError),
        ({"parent_id": "../a"}, InvalidJobIdError),
        ({"progress": math.nan}, InvalidProgressError),
        ({"progress": -math.inf}, InvalidProgressError),
        ({"metrics": {str(n): 0.0 for n in range(33)}}, TooManyMetricsError),
        ({"metadata": nested(17)}, NestingTooDeepError),
        ({"result": nested(17)}, NestingTooDeepError),
        ({"metadata": {"x": "y" * 65_536}}, StateTooLargeError),
        ({"history": History(metrics={"x" * 16_384: []})}, HistoryTooLargeError),
        ({"history": History(t_s=[0.0] * 129)}, HistoryTooLargeError),
        ({"history": History(metrics={"loss": [None] * 129})}, HistoryTooLargeError),
        ({"message": "\ud800"}, InvalidMessageError),
        ({"metadata": {"x": object()}}, InvalidMessageError),
    ],
)
def test_every_limit_has_its_own_error(fields: dict[str, Any], error: type[ProtocolError]) -> None:
    with pytest.raises(error, match="Expected") as caught:
        encode_state(state(**fields))

    assert isinstance(caught.value, ValueError)


def test_what_is_just_within_the_limits_is_taken() -> None:
    encode_state(state(metadata=nested(16), metrics={str(n): 0.0 for n in range(32)}))
    encode_state(state(history=History(t_s=[0.0] * 128, progress=[None] * 128)))
    spare = 65_536 - len(encode_state(state(metadata={"x": ""}))[0])
    body, _ = encode_state(state(metadata={"x": "y" * spare}))
    assert len(body) == 65_536


def test_numbers_that_json_lacks_become_null() -> None:
    body, _ = encode_state(state(metrics={"loss": math.nan}, metadata={"x": math.inf}))

    assert json.loads(body)["metrics"] == {"loss": None}
    assert json.loads(body)["metadata"] == {"x": None}


def test_a_cycle_is_too_deep_and_not_endless() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)

    assert depth_of(cycle) == 17


@given(st.recursive(st.none() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3), max_leaves=8))
def test_depth_counts_levels(value: Any) -> None:
    def levels(found: Any) -> int:
        return 1 + max(map(levels, found), default=0) if isinstance(found, list) else 0

    assert depth_of(value, limit=100) == levels(value)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b'{"job_id":"a"}', b"\xff", b"[" * 100_000])
def test_what_is_no_state_is_an_error(data: bytes) -> None:
    with pytest.raises(InvalidMessageError):
        decode_state(data)


def test_unknown_fields_are_ignored_and_unknown_statuses_are_not() -> None:
    body, _ = encode_state(state())

    assert decode_state(body[:-1] + b',"new":1}') == state()
    with pytest.raises(InvalidMessageError, match="status"):
        decode_state(body.replace(b"processing", b"dancing"))


def test_a_stored_state_is_passed_on_as_it_is() -> None:
    data = b'{"seq":5,"job_id":"a","status":"completed","extra":[1,2,{"x":"\xc3\xa4"}]}'

    stored = read_stored("a", data)

    assert stored.data is data
    assert (stored.seq, stored.status) == (5, Status.COMPLETED)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"job_id":"a","status":"processing","progress":NaN}', {"progress": None}),
        (b'{"job_id":"a","status":"processing","x":[Infinity,-Infinity,1e999]}', {"x": [None, None, None]}),
        (b'{"status":"processing"}', {"job_id": "a"}),
        (b'{"job_id":"other","status":"processing"}', {"job_id": "a"}),
        (b'{"job_id":"a","progress":0.5}', {"status": "processing"}),
        (b'{"job_id":"a","error":"x"}', {"status": "failed"}),
        (b'{"job_id":"a","result":{}}', {"status": "completed"}),
        (b'{"job_id":"a","status":"processing","message":"\xff"}', {"message": "\ufffd"}),
    ],
)
def test_what_was_written_loosely_is_repaired(data: bytes, expected: dict[str, Any]) -> None:
    stored = read_stored("a", data)

    read = json.loads(stored.data, parse_constant=lambda name: pytest.fail(name))
    assert read == read | expected
    assert read["job_id"] == "a"


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"[]", b'"x"', b'{"job_id":"a","status":"dancing"}', b"[" * 5000, b"{" + b" " * 100_000]
)
def test_what_cannot_be_shown_is_an_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_stored("a", data)


def test_commands_are_told_apart_by_their_type() -> None:
    assert decode_command('{"type":"subscribe","job_ids":["a"]}') == Subscribe(job_ids=["a"], interval_ms=50.0)
    report = Report(state=state(), id=3, start=True)
    assert decode_command(encode(report)) == report


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_no_input_of_a_client_raises_anything_else(data: bytes | str) -> None:
    for decode in (decode_command, decode_state):
        try:
            decode(data)
        except ProtocolError:
            pass
        except UnicodeEncodeError:
            pytest.fail("a lone surrogate cannot come off a socket, but must not escape either")


@given(st.dictionaries(st.text(max_size=5), st.floats() | st.integers() | st.text(max_size=5), max_size=5))
def test_every_encoded_state_is_strict_json(metadata: dict[str, Any]) -> None:
    try:
        body, _ = encode_state(state(metadata=metadata))
    except InvalidMessageError:
        return  # an integer or a text that JSON in UTF-8 cannot hold
    json.loads(body, parse_constant=lambda name: pytest.fail(name))
    assert msgspec.json.decode(body)["job_id"] == "a"
