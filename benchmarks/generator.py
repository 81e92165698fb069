"""Drives the load generator and the publisher in C (benchmarks/native): arguments in, JSON out.

Blocks; one thread.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import msgspec

from benchmarks import native

ANSWER_S: Final = 30.0
"""Longest wait for an answer beyond what was asked for."""


class GeneratorError(Exception):
    """The load generator or the publisher ended, or did not answer. Says what it printed."""


class Delays(msgspec.Struct, frozen=True):
    """Percentiles of a histogram in milliseconds, each less than 0.8 % off; -1 where nothing was counted."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


class Seen(msgspec.Struct, frozen=True):
    """What all viewers together saw until now. Times ``_ns`` are CLOCK_MONOTONIC.

    ``delivered`` counts states of index 0 and more. ``delay`` is from a stamp to its arrival, ``stale`` from the
    stamp of a state until a newer one has replaced it, ``end`` the delay of the terminal states, ``opening`` from a
    request to readiness, ``probe`` from a WebSocket ping to its pong.
    """

    event: str
    viewers: int
    at_ns: int
    elapsed_s: float
    cpu_s: float
    ready: int
    failed: int
    closed: int
    frames: int
    bytes: int
    delivered: int
    repeats: int
    skipped: int
    out_of_order: int
    after_end: int
    malformed: int
    ends: int
    without_end: int
    without_state: int
    first_ns: int
    last_ns: int
    first_failure: str
    first_fault: str
    refusal: str
    delay: Delays
    stale: Delays
    end: Delays
    opening: Delays
    probe: Delays

    @property
    def wrong(self) -> int:
        """Return how many frames no server may send."""
        return self.out_of_order + self.after_end + self.malformed


class Published(msgspec.Struct, frozen=True):
    """What the publisher did. ``late``: how much later than planned a state was stamped."""

    sent: int
    answered: int
    unanswered: int
    errors: int
    first_error: str
    first_ns: int
    last_ns: int
    cpu_s: float
    late: Delays


Options = Mapping[str, str | int | float]


def _command(program: str, options: Options) -> list[str]:
    pairs = (["--" + name.replace("_", "-"), str(value)] for name, value in options.items())
    return [str(native.build(program)), *(word for pair in pairs for word in pair)]


class Generator:
    """Viewers that open at once when the block begins. Options: those in native/loadgen.c, with underscores.

    >>> with Generator({"port": port, "viewers": 1000, "greeting": '"type":"connected"'}) as viewers:
    ...     viewers.ready(30)
    ...     viewers.go()
    ...     publish({"port": redis_port, "rate": 50, "count": 100})
    ...     seen = viewers.finish(10)
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._read = b""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            _command("loadgen", self._options), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ready(self, timeout_s: float) -> Seen:
        """Wait until every viewer is ready or was refused.

        Raises:
            GeneratorError: not in this time.
        """
        return self._hear("ready", timeout_s)

    def go(self) -> Seen:
        """Begin to measure: all counts are 0, and those viewers that shall stall stop reading."""
        self._tell("go")
        return self._hear("going", 0)

    def state(self) -> Seen:
        """Return what was seen until now."""
        self._tell("state")
        return self._hear("state", 0)

    def finish(self, timeout_s: float) -> Seen:
        """Wait until every viewer has the end of its job, at most so long, and return all that was seen."""
        self._tell(f"finish {timeout_s * 1000:.0f}")
        return self._hear("finished", timeout_s)

    def _tell(self, command: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise GeneratorError(self._last_words()) from None

    def _hear(self, event: str, timeout_s: float) -> Seen:
        """Read lines up to the one for an event; others (``ready`` that comes late) are passed over."""
        deadline_s = time.monotonic() + timeout_s + (0 if event == "ready" else ANSWER_S)
        while (line := self._line(deadline_s)) is not None:
            seen = msgspec.json.decode(line, type=Seen)
            if seen.event == event:
                return seen
        raise GeneratorError(f"the load generator did not say {event!r} within {timeout_s:.0f} s")

    def _line(self, deadline_s: float) -> bytes | None:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._read:
            if not select.select([descriptor], [], [], max(deadline_s - time.monotonic(), 0))[0]:
                return None
            data = os.read(descriptor, 65536)
            if not data:
                raise GeneratorError(self._last_words())
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        return line

    def _last_words(self) -> str:
        assert self._process.stderr is not None
        self._process.wait(10)
        return f"the load generator ended: {self._process.stderr.read().decode(errors='replace').strip()}"


def publish(options: Options) -> Published:
    """Publish states, and return when the last one is stored. Options: those in native/publisher.c, with underscores.

    Raises:
        GeneratorError: it failed, or something was not taken.
    """
    with Publishing(options) as publishing:
        return publishing.result()


class Publishing:
    """The publisher at work, where something else happens meanwhile."""

    def __init__(self, options: Options) -> None:
        self._process = subprocess.Popen(
            _command("publisher", options), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def result(self) -> Published:
        """Wait for the end.

        Raises:
            GeneratorError: see ``publish``.
        """
        output, errors = self._process.communicate()
        if self._process.returncode != 0:
            raise GeneratorError(f"the publisher ended: {errors.decode(errors='replace').strip()}")
        published = msgspec.json.decode(output, type=Published)
        if published.errors or published.unanswered:
            raise GeneratorError(f"not everything was taken: {published}")
        return published
