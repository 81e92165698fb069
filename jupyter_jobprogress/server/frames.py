"""Frames of a WebSocket as a server sends them (RFC 6455, section 5.2). Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator


def text_frame(message: bytes) -> bytes:
    """Return a whole, unmasked text frame. Any number of viewers may be sent the same one, and several joined."""
    length = len(message)
    if length < 126:
        return struct.pack(">BB", 0x81, length) + message
    if length < 65536:
        return struct.pack(">BBH", 0x81, 126, length) + message
    return struct.pack(">BBQ", 0x81, 127, length) + message


def texts(frames: bytes) -> Iterator[str]:
    """Yield what is in frames that ``text_frame`` made, for a server that makes its own."""
    start = 0
    while start < len(frames):
        length, start = frames[start + 1], start + 2
        if length > 125:
            size = 2 if length == 126 else 8
            length, start = int.from_bytes(frames[start : start + size]), start + size
        yield frames[start : start + length].decode()
        start += length
