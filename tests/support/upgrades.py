"""Requests that open a WebSocket, byte by byte."""

from __future__ import annotations

import asyncio

FIELDS = {
    "Host": "127.0.0.1:8084",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}

BROWSER = {
    "Connection": "keep-alive, Upgrade",
    "Pragma": "no-cache",
    "Cache-Control": "no-cache",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9",
    "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
}
"""What a browser adds."""


def request(path: str, **fields: str | None) -> bytes:
    """Return a handshake. A field that is None is left out; others come after, or in place of, those that must be."""
    lines = [f"{name}: {value}" for name, value in {**FIELDS, **fields}.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()


async def answer(port: int, asked: bytes, *, until: bytes = b"\r\n\r\n", within_s: float = 20.0) -> bytes:
    """Send a request at once with the connection, and return what came until the answer contains some bytes, or the
    server closes or says nothing for so long."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(asked)
    found = b""
    try:
        async with asyncio.timeout(within_s):
            while until not in found and (more := await reader.read(65536)):
                found += more
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return found
