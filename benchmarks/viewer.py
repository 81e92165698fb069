"""A viewer that adds next to nothing to what it measures: a blocking socket and a parser, in its own process.

It reads the WebSocket of a server, or, to show what reporting takes without any server, the channel in Redis.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import time
from collections.abc import Iterator
from typing import Any, Final

import hiredis

from benchmarks import worker

TEXT: Final = 1
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

SILENCE_S: Final = 15.0
"""Longest wait for the next frame; a server that lost the last update must not hang the run."""


class Frames:
    """Cuts what a server sends into frames. Servers send neither masks nor, for messages this small, fragments."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield opcode and payload of every frame that is complete."""
        self._buffer += data
        while (frame := self._cut()) is not None:
            yield frame

    def _cut(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        if not buffer[0] & 0x80 or buffer[1] & 0x80:
            raise ValueError("the server sent a fragment or a mask, which this viewer does not read")
        length, start = buffer[1], 2
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(buffer) < start:
                return None
            length = int.from_bytes(buffer[2:start])
        if len(buffer) < start + length:
            return None
        frame = buffer[0] & 0x0F, bytes(buffer[start : start + length])
        del buffer[: start + length]
        return frame


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """Return a client's frame with the mask 0, which leaves the payload as it is. Up to 64 KiB."""
    size = len(payload)
    head = bytes([0x80 | opcode, 0x80 | size]) if size < 126 else bytes([0x80 | opcode, 0xFE]) + size.to_bytes(2)
    return head + bytes(4) + payload


class Connection:
    """One WebSocket."""

    def __init__(self, port: int, path: str, headers: dict[str, str]) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=SILENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._frames = Frames()
        lines = {
            "Host": f"127.0.0.1:{port}",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._socket.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        response = b""
        while b"\r\n\r\n" not in response:
            if not (data := self._socket.recv(65536)):
                break
            response += data
        head_bytes, _, self._early = response.partition(b"\r\n\r\n")
        if not head_bytes.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(f"the server answered {head_bytes[:200]!r} to GET {path}")

    def send(self, text: str) -> None:
        self._socket.sendall(encode_frame(TEXT, text.encode()))

    def messages(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield when a message was there (monotonic ns) and what it says, until the connection ends."""
        data, self._early = self._early, b""
        while True:
            arrived_ns = time.monotonic_ns()
            for opcode, payload in self._frames.feed(data):
                if opcode == TEXT:
                    yield arrived_ns, json.loads(payload)
                elif opcode == PING:
                    self._socket.sendall(encode_frame(PONG, payload))
                elif opcode == CLOSE:
                    return
            if not (data := self._socket.recv(262144)):
                return

    def close(self) -> None:
        self._socket.sendall(encode_frame(CLOSE, (1000).to_bytes(2)))
        self._socket.close()


class Subscriber:
    """One subscription to Redis, read as if its messages came from a server."""

    def __init__(self, port: int, channel: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=SILENCE_S)
        self._socket.sendall(f"SUBSCRIBE {channel}\r\n".encode())

    def messages(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield when a message was there (monotonic ns) and what it says; first that the subscription holds."""
        reader = hiredis.Reader()
        while data := self._socket.recv(262144):
            arrived_ns = time.monotonic_ns()
            reader.feed(data)
            while reply := reader.gets():
                kind, _, content = reply
                yield arrived_ns, json.loads(content) if kind == b"message" else {"type": "connected"}

    def close(self) -> None:
        self._socket.close()


def carry_out(request: dict[str, Any]) -> None:
    """Watch one job until it ends. Answers twice: when the server has greeted, and with what arrived.

    ``delays_us``: pairs of an update's index and the time from its stamp until it was read.
    """
    awaited, source = "connected", _open(request)
    if request["subscribe"]:
        assert isinstance(source, Connection)
        source.send(request["subscribe"])
        awaited = "subscribed"
    delays_us: list[tuple[int, float]] = []
    try:
        for arrived_ns, message in source.messages():
            if "type" in message:
                if message["type"] == awaited:
                    worker.answer({"ready": True})
                continue
            metadata = message["metadata"]
            if message["status"] == "completed":
                break
            if metadata["index"] >= 0:
                delays_us.append((metadata["index"], (arrived_ns - metadata["sent_ns"]) / 1000))
    except TimeoutError:
        pass  # what is missing shows in the count of delivered updates
    source.close()
    worker.answer({"delays_us": delays_us})


def _open(request: dict[str, Any]) -> Connection | Subscriber:
    if request["channel"]:
        return Subscriber(request["port"], request["channel"])
    return Connection(request["port"], request["path"], request["headers"])


if __name__ == "__main__":
    worker.serve(carry_out)
