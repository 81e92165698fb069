"""Whatever a job hands in becomes something that a message can carry."""

from __future__ import annotations

import json
import math
from collections import deque
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from fractions import Fraction
from pathlib import PurePosixPath

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jobprogress.protocol import limits
from jupyter_jobprogress.protocol.messages import decode_state, depth_of, encode_state
from jupyter_jobprogress.protocol.payload import (
    fit_history,
    fit_state,
    jsonable,
    mapping,
    metrics,
    number,
    text,
    timestamp,
)
from jupyter_jobprogress.protocol.state import History, State, Status


class Colour(StrEnum):
    RED = "red"


class Plain(Enum):
    ONE = 1


class Hostile:
    """Raises wherever it is looked at."""

    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__

    def __float__(self) -> float:
        raise ZeroDivisionError

    def item(self) -> object:
        raise ZeroDivisionError


class Scalar:
    """Like a scalar of an array library."""

    def __init__(self, value: object) -> None:
        self.value = value

    def item(self) -> object:
        return self.value


@pytest.mark.parametrize(
    ("value", "limit_bytes", "expected"),
    [
        ("short", 10, "short"),
        ("exactly ten", 11, "exactly ten"),
        ("exactly ten", 10, "exactly…"),
        ("ärger", 5, "ä…"),
        ("€€€€", 9, "€€…"),
        ("a\ud800b", 10, "a�b"),
        ("nul\x00 bell\x07 esc\x1b", 40, "nul� bell� esc�"),
        ("csi\x9b osc\x9d", 40, "csi� osc�"),
        ("tab\tline\nreturn\r\nend\r", 40, "tab\tline\nreturn\nend\n"),
        (None, 10, "None"),
        (Colour.RED, 10, "red"),
        (Hostile(), 40, "<Hostile without a repr>"),
    ],
)
def test_text_is_cut_between_characters_and_cleaned(value: object, limit_bytes: int, expected: str) -> None:
    assert text(value, limit_bytes) == expected


@given(st.text(alphabet=st.characters(exclude_categories=[]), max_size=60), st.integers(3, 80))
def test_text_is_valid_utf8_within_its_limit(value: str, limit_bytes: int) -> None:
    encoded = text(value, limit_bytes).encode()

    assert len(encoded) <= limit_bytes
    assert not any(byte < 0x20 and byte not in b"\n\t" for byte in encoded)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3),
        (True, 1),
        (0.5, 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.array([2.5]), 2.5),
        (Scalar(4), 4),
        (Fraction(1, 4), 0.25),
        (Decimal("1.5"), 1.5),
        (2**70, float(2**70)),
        (10**400, None),
        (math.nan, None),
        (-math.inf, None),
        (np.float64("nan"), None),
        (np.array([1.0, 2.0]), None),
        ("5", None),
        (b"5", None),
        (None, None),
        ([], None),
        (1j, None),
        (Hostile(), None),
    ],
)
def test_a_number_is_finite_or_none(value: object, expected: object) -> None:
    found = number(value)

    assert found == expected
    assert type(found) in (int, float, type(None))


def test_metrics_are_scalars_under_short_names() -> None:
    assert metrics({"loss": np.float32(0.25), "nan": math.nan, "word": "high"}) == {
        "loss": 0.25,
        "nan": None,
        "word": None,
    }
    assert len(next(iter(metrics({"n" * 1000: 1})))) < 260


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": (1, 2), "b": deque([3])}, {"a": [1, 2], "b": "deque([3])"}),
        ({1: "int", None: "none", (1, 2): "tuple"}, {"1": "int", "None": "none", "(1, 2)": "tuple"}),
        ({5}, [5]),
        (range(3), [0, 1, 2]),
        ([math.nan, math.inf, -0.5], [None, None, -0.5]),
        ([2**63 - 1, 2**63, -(2**63), True], [2**63 - 1, str(2**63), -(2**63), True]),
        ([np.int8(1), np.float64(0.5), np.bool_(True), np.str_("s")], [1, 0.5, True, "s"]),
        (np.array([1, 2]), "array([1, 2])"),
        (Scalar(math.nan), None),
        (b"bytes", "b'bytes'"),
        (Colour.RED, "red"),
        (Plain.ONE, "<Plain.ONE: 1>"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (PurePosixPath("/data/x"), "/data/x"),
        (Decimal("0.10"), "0.10"),
        (int, "<class 'int'>"),
        (Hostile(), "<Hostile without a repr>"),
        ({"s": "a\ud800"}, {"s": "a�"}),
    ],
)
def test_a_payload_becomes_plain_json(value: object, expected: object) -> None:
    assert jsonable(value) == expected


def test_a_repr_is_cut() -> None:
    shown = jsonable(b"x" * 1000)

    assert isinstance(shown, str)
    assert len(shown) == 200
    assert shown.endswith("…")


def test_a_cycle_and_what_is_too_deep_end_in_an_ellipsis() -> None:
    cycle: dict[str, object] = {"n": 1}
    cycle["self"] = cycle
    deep: object = "bottom"
    for _ in range(40):
        deep = [deep]

    assert jsonable(cycle) == {"n": 1, "self": "…"}
    assert depth_of(jsonable(deep)) == limits.NESTING


def test_the_same_value_twice_is_no_cycle() -> None:
    shared = [1]

    assert jsonable([shared, shared]) == [[1], [1]]


def test_an_endless_payload_is_read_no_further_than_it_can_be_sent() -> None:
    found = jsonable(range(10**12))

    assert isinstance(found, list)
    assert limits.STATE_BYTES / 2 < len(found) <= limits.STATE_BYTES


def test_metadata_is_an_object() -> None:
    assert mapping({"a": 1}) == {"a": 1}
    assert mapping([1]) == {"value": [1]}


_anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary()
    | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(_anything)
def test_any_payload_makes_a_valid_state(value: object) -> None:
    state, _ = fit_state(_state(metadata=mapping(value), result=jsonable(value)))

    body, _ = encode_state(state)
    decode_state(body)
    json.loads(body, parse_constant=lambda name: pytest.fail(f"{name} in a state"))


def test_the_largest_field_gives_way_and_says_so() -> None:
    large, small = {"rows": "x" * limits.STATE_BYTES}, {"lr": 0.1}

    first, dropped_first = fit_state(_state(metadata=large, result=small))
    second, dropped_second = fit_state(_state(metadata=small, result=large))
    both, dropped_both = fit_state(_state(metadata=large, result=large))

    assert (dropped_first, dropped_second) == (("metadata",), ("result",))
    assert first.result == second.metadata == small
    assert first.metadata is not None
    assert "metadata of 65" in str(first.metadata["dropped"])
    assert set(dropped_both) == {"metadata", "result"}
    encode_state(both)


def test_a_history_loses_its_longest_metrics_first() -> None:
    long = [math.pi * 10**-number for number in range(128)]
    names = {f"m{number}": long for number in range(10)} | {"short": [0.0] * 128}

    fitted = fit_history(History(t_s=[1.0] * 128, progress=[0.5] * 128, metrics=names))

    assert len(msgspec.json.encode(fitted)) <= limits.HISTORY_BYTES
    assert "short" in fitted.metrics
    assert 1 < len(fitted.metrics) < 11
    assert len(fitted.progress) == 128


def test_a_timestamp_has_microseconds_and_z() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000000Z"
    assert timestamp(1767225600.25) == "2026-01-01T00:00:00.250000Z"


def _state(*, metadata: dict[str, object] | None, result: object) -> State:
    return State(
        job_id="job",
        status=Status.COMPLETED,
        stage="",
        progress=1.0,
        message="",
        timestamp=timestamp(0),
        metadata=metadata,
        result=result,
    )
