"""Encode and decode what travels: states, and the messages of the WebSocket (docs/protocol.md, sections 2, 5 and 6)."""

from __future__ import annotations

import json
import math
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from jupyter_jobprogress.errors import (
    HistoryTooLargeError,
    InvalidArgumentError,
    InvalidMessageError,
    InvalidProgressError,
    NestingTooDeepError,
    StateTooLargeError,
    TooManyMetricsError,
)
from jupyter_jobprogress.protocol import limits
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.protocol.state import History, Int64, Run, State, Status

_MALFORMED: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Outcome(StrEnum):
    """What became of an update (rules 14 to 16)."""

    ACCEPTED = "accepted"
    SUPERSEDED = "superseded"
    ENDED = "ended"


class Contribution(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker adds to a job that another process owns (rule 33).

    ``n`` is all that this worker has done so far, so that saying it twice does no harm. The others are its words, for
    the owner to say; None where it has none. ``part`` tells the owner whose words they are: what the same worker said
    before is no news.
    """

    n: float | Int64 = 0
    part: str | None = None
    stage: str | None = None
    message: str | None = None
    metrics: dict[str, float | None] | None = None
    metadata: dict[str, object] | None = None

    @property
    def has_words(self) -> bool:
        """Whether it says more than a number."""
        return (self.stage, self.message, self.metrics, self.metadata) != (None, None, None, None)


class Receipt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A store's answer to one update.

    ``seq`` and ``run`` are those of the newest stored state of the job. ``superseded``: a newer run has taken the job
    over. ``ended``: this run has had its terminal state. Neither is stored, neither is an error of the job.

    ``added`` is the sum of what workers have contributed to the run; ``words`` is the newest contribution that said
    something, the ``words_seq``-th of the run. They are for the owner of the job, who says them.
    """

    seq: int
    run: int | None
    outcome: Outcome = Outcome.ACCEPTED
    cancel_requested: bool = False
    added: float | int = 0
    words: Contribution | None = None
    words_seq: int = 0


def receipt_fields(job_id: str, receipt: Receipt) -> dict[str, object]:
    """Return a receipt as a server answers it: what workers added only where somebody did."""
    fields = {"job_id": job_id, **msgspec.structs.asdict(receipt)}
    if not receipt.added and not receipt.words_seq:
        for name in ("added", "words", "words_seq"):
            del fields[name]
    return fields


class Stored(NamedTuple):
    """A state as stored and pushed: the bytes that a viewer gets, and what a bridge must know of them.

    ``data`` is one JSON object in valid UTF-8 without NaN. ``seq`` is None for messages of the original form.
    """

    job_id: str
    data: bytes
    seq: int | None
    status: Status


def newer(stored: Stored, latest: Stored | None) -> bool:
    """Whether a state is news after ``latest`` (rule 17)."""
    if latest is None:
        return True
    if stored.seq is None or latest.seq is None:
        return stored.data != latest.data
    return stored.seq > latest.seq


class _Head(Struct, frozen=True):
    job_id: str
    status: Status
    seq: int | None = None


_head_decoder = msgspec.json.Decoder(_Head)
_state_decoder = msgspec.json.Decoder(State)
_object_decoder = msgspec.json.Decoder(dict[str, object])
_encoder = msgspec.json.Encoder()


def depth_of(value: object, limit: int = limits.NESTING) -> int:
    """Count levels of dicts and lists, giving up one level past ``limit``: a cycle ends there, too."""
    if isinstance(value, dict):
        children: object = value.values()
    elif isinstance(value, (list, tuple)):
        children = value
    else:
        return 0
    if limit <= 0:
        return 1
    return 1 + max((depth_of(child, limit - 1) for child in children), default=0)  # type: ignore[attr-defined]


def check_state(state: State) -> State:
    """Return the state if it keeps the rules that its type cannot say (rules 1, 9 and 10).

    Raises:
        InvalidJobIdError, InvalidProgressError, TooManyMetricsError, NestingTooDeepError
    """
    check_job_id(state.job_id)
    if state.parent_id is not None:
        check_job_id(state.parent_id)
    if state.progress is not None and not math.isfinite(state.progress):
        raise InvalidProgressError(state.progress)
    _check_payload(state.metrics, state.metadata, state.result)
    return state


def _check_payload(metrics: dict[str, float | None] | None, *values: object) -> None:
    if metrics is not None and len(metrics) > limits.METRICS:
        raise TooManyMetricsError(len(metrics), limits.METRICS)
    for value in values:
        if value is not None and (depth := depth_of(value)) > limits.NESTING:
            raise NestingTooDeepError(depth, limits.NESTING)


def encode_state(state: State) -> tuple[bytes, bytes]:
    """Return a state without ``seq``, ``run`` and ``history`` as a JSON object, and its history (or b"").

    The store splices the rest in (``join_state``), so that it need not decode what it stores.

    Raises:
        ProtocolError: what ``check_state`` raises; StateTooLargeError; HistoryTooLargeError.
    """
    check_state(state)
    history = b"" if state.history is None else _encode_history(state.history)
    try:
        body = _encoder.encode(_without_store_fields(state))
    except (UnicodeEncodeError, TypeError) as exc:
        raise InvalidMessageError(str(exc)) from exc
    if len(body) > limits.STATE_BYTES:
        raise StateTooLargeError(len(body), limits.STATE_BYTES)
    return body, history


def _encode_history(history: History) -> bytes:
    points = max(len(history.t_s), len(history.progress), *map(len, history.metrics.values()))
    if points > limits.HISTORY_POINTS:
        raise HistoryTooLargeError(points, limits.HISTORY_POINTS, "points in each series")
    data = _encoder.encode(history)
    if len(data) > limits.HISTORY_BYTES:
        raise HistoryTooLargeError(len(data), limits.HISTORY_BYTES)
    return data


def _without_store_fields(state: State) -> State:
    if state.seq is None and state.run is None and state.history is None:
        return state
    return msgspec.structs.replace(state, seq=None, run=None, history=None)


def join_state(body: bytes, *, seq: int, run: int | None, history: bytes = b"") -> bytes:
    """Splice what the store gives into an encoded state; ``publish.lua`` does the same."""
    head = b'{"seq":%d,' % seq if run is None else b'{"seq":%d,"run":%d,' % (seq, run)
    tail = b',"history":' + history + b"}" if history else b"}"
    return head + body[1:-1] + tail


def encode_contribution(contribution: Contribution) -> bytes:
    """Return a contribution as JSON, fit to be stored.

    Raises:
        InvalidProgressError: its ``n`` is no finite number; TooManyMetricsError; NestingTooDeepError;
        StateTooLargeError; InvalidMessageError.
    """
    if not math.isfinite(contribution.n):
        raise InvalidProgressError(contribution.n)
    _check_payload(contribution.metrics, contribution.metadata)
    try:
        data = _encoder.encode(contribution)
    except (UnicodeEncodeError, TypeError) as exc:
        raise InvalidMessageError(str(exc)) from exc
    if len(data) > limits.STATE_BYTES:
        raise StateTooLargeError(len(data), limits.STATE_BYTES)
    return data


def decode_state(data: bytes | str) -> State:
    """Read and check one whole state.

    Raises:
        InvalidMessageError: not JSON, a field of the wrong type, an unknown status; ProtocolError: other rules.
    """
    try:
        return check_state(_state_decoder.decode(data))
    except _MALFORMED as exc:
        raise InvalidMessageError(str(exc)) from exc


def decode_update(job_id: str, data: bytes | str, *, timestamp: str) -> State:
    """Read an update of which only what is there was said: for people with curl. The rest follows from it.

    Raises:
        InvalidMessageError, InvalidArgumentError: the job is another; ProtocolError: other rules. A progress outside
            0 to 1 is refused here: there is no reporter who would warn of it.
    """
    try:
        said: dict[str, object] = _object_decoder.decode(data)
        status = "failed" if "error" in said else "completed" if "result" in said else "processing"
        fields = {"status": status, "stage": "", "message": "", "timestamp": timestamp, "job_id": job_id} | said
        state = msgspec.convert(fields | {"progress": _progress(fields)}, State)
    except (*_MALFORMED, OverflowError) as exc:  # the quotient of large integers
        raise InvalidMessageError(str(exc)) from exc
    if state.job_id != job_id:
        raise InvalidArgumentError("job_id", state.job_id, f"{job_id}, as in the path, or absent")
    if state.progress is not None and not 0 <= state.progress <= 1:
        raise InvalidProgressError(state.progress)
    return check_state(state)


def _progress(fields: dict[str, object]) -> object:
    if "progress" in fields:
        return fields["progress"]
    if fields["status"] == Status.COMPLETED:
        return 1.0
    n, total = fields.get("n"), fields.get("total")
    if isinstance(n, (int, float)) and isinstance(total, (int, float)) and total > 0:
        return min(max(n / total, 0.0), 1.0)
    return None


def read_stored(job_id: str, data: bytes) -> Stored:
    """Read a message that any program stored or published for a job (rule 13), decoding no more than needed.

    What only lacks strictness is repaired: NaN and infinities become null, a foreign or missing ``job_id`` becomes
    the right one, a missing ``status`` follows from ``error`` and ``result``.

    Raises:
        InvalidMessageError: it is not a JSON object, has an unknown status, or is larger than any valid state.
    """
    if len(data) > limits.STATE_BYTES + limits.HISTORY_BYTES + 1024:
        raise StateTooLargeError(len(data), limits.STATE_BYTES)
    try:
        if not data.isascii():
            data.decode()  # msgspec skips unknown fields unread, and one bad byte would break a whole text frame
        head = _head_decoder.decode(data)
        if head.job_id == job_id:
            return Stored(job_id, data, head.seq, head.status)
    except _MALFORMED:
        pass
    return _repair(job_id, data)


def _repair(job_id: str, data: bytes) -> Stored:
    try:
        found = json.loads(data.decode("utf-8", "replace"), parse_constant=lambda _: None)
    except (ValueError, RecursionError) as exc:
        raise InvalidMessageError(str(exc)) from exc
    if not isinstance(found, dict):
        raise InvalidMessageError(f"expected an object, got {type(found).__name__}")
    if "status" not in found:
        found["status"] = "failed" if "error" in found else "completed" if "result" in found else "processing"
    found["job_id"] = job_id
    try:
        fixed = _encoder.encode(found)
        head = _head_decoder.decode(fixed)
    except (*_MALFORMED, UnicodeEncodeError) as exc:
        raise InvalidMessageError(str(exc)) from exc
    return Stored(job_id, fixed, head.seq, head.status)


# What a client may send on ``ws/jobs``. ``type`` tells them apart.


class Subscribe(Struct, frozen=True, tag="subscribe"):
    job_ids: list[str]
    interval_ms: float = 50.0
    id: int | None = None
    children: bool = False


class Unsubscribe(Struct, frozen=True, tag="unsubscribe"):
    job_ids: list[str]


class Cancel(Struct, frozen=True, tag="cancel"):
    job_id: str
    id: int | None = None


class Report(Struct, frozen=True, tag="report"):
    state: State
    id: int | None = None
    start: bool = False


class Add(Struct, frozen=True, tag="add"):
    job_id: str
    part: str
    contribution: Contribution
    run: Run | None = None
    id: int | None = None


class Read(Struct, frozen=True, tag="read"):
    job_ids: list[str]
    id: int | None = None


class ListJobs(Struct, frozen=True, tag="list"):
    id: int | None = None
    status: Status | None = None
    parent_id: str | None = None
    limit: int = 100
    after: Int64 | None = None


class Delete(Struct, frozen=True, tag="delete"):
    job_id: str
    id: int | None = None


Command = Subscribe | Unsubscribe | Cancel | Report | Add | Read | ListJobs | Delete
_command_decoder: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)


def decode_command(data: bytes | str) -> Command:
    """Read one message of a client.

    Raises:
        InvalidMessageError: not JSON, no known ``type``, or a field of the wrong type.
    """
    try:
        return _command_decoder.decode(data)
    except _MALFORMED as exc:
        raise InvalidMessageError(str(exc)) from exc


def encode(message: object) -> bytes:
    """Encode a message of the server, or a command of a client, as one JSON object."""
    return _encoder.encode(message)


__all__ = [
    "Add",
    "Cancel",
    "Command",
    "Contribution",
    "Delete",
    "History",
    "ListJobs",
    "Outcome",
    "Read",
    "Receipt",
    "Report",
    "State",
    "Stored",
    "Subscribe",
    "Unsubscribe",
    "check_state",
    "decode_command",
    "decode_state",
    "decode_update",
    "depth_of",
    "encode",
    "encode_contribution",
    "encode_state",
    "join_state",
    "newer",
    "read_stored",
    "receipt_fields",
]
