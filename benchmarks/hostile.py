"""Viewers that mean no good: everything that one can do to a server with a socket that it has opened.

``python -m benchmarks.hostile --port N --path /ws/jobs --seconds 5`` does all of it at once, and prints as JSON how
each of them ended: the code of the close frame, 0 for a connection that was cut, -1 for one that was still open.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final

import msgspec

Ending = int
OPEN: Final = -1
CUT: Final = 0

_KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="


class Attacked(msgspec.Struct, frozen=True):
    """How each attacker ended, by kind, and how many connections they made."""

    endings: dict[str, list[Ending]]
    connections: int


class RefusedError(Exception):
    """The server did not open a socket. ``status`` is what it answered."""

    def __init__(self, status: int) -> None:
        super().__init__(f"answered {status}")
        self.status = status


def frame(opcode: int, payload: bytes, *, length: int | None = None) -> bytes:
    """Return a frame of a client, with the mask 0. ``length`` is what it claims, where that is not the truth."""
    claimed = len(payload) if length is None else length
    if claimed < 126:
        head = bytes([0x80 | opcode, 0x80 | claimed])
    elif claimed < 65536:
        head = bytes([0x80 | opcode, 0x80 | 126]) + claimed.to_bytes(2, "big")
    else:
        head = bytes([0x80 | opcode, 0x80 | 127]) + claimed.to_bytes(8, "big")
    return head + b"\0\0\0\0" + payload


@dataclass(frozen=True, kw_only=True)
class Victim:
    """Where the server is. ``path`` is that of its sockets, ``headers`` are lines that end with \\r\\n.

    ``heavy`` is the job that those watch who do not read: megabytes a second, or it all fits into the kernel.
    """

    port: int
    path: str
    headers: str = ""
    job: str = "hot"
    heavy: str = "hot"
    seconds: float = 5.0


class Attacker:
    """One socket."""

    def __init__(self, victim: Victim) -> None:
        self.victim = victim
        self.connections = 0

    async def open(self, path: str = "", *, small: bool = False) -> None:
        """Shake hands. Raises RefusedError, OSError, EOFError."""
        self.connections += 1
        sock = socket.socket()
        sock.setblocking(False)
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.victim.port))
        self.reader, self.writer = await asyncio.open_connection(sock=sock, limit=4096)
        self.writer.write(
            f"GET {self.victim.path}{path} HTTP/1.1\r\nHost: 127.0.0.1:{self.victim.port}\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {_KEY}\r\n"
            f"{self.victim.headers}\r\n".encode()
        )
        head = await self.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            self.writer.close()
            raise RefusedError(int(head.split()[1]))

    async def flood(self, data: bytes, times: int) -> Ending:
        """Send something again and again, read what comes, and return how that ended."""
        ending = asyncio.create_task(self.ending())
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(self.victim.seconds):
                for _ in range(times):
                    if ending.done():
                        break
                    self.writer.write(data)
                    await self.writer.drain()
        return await ending

    async def ending(self) -> Ending:
        """Read until the server ends it, or for the given time."""
        try:
            async with asyncio.timeout(self.victim.seconds):
                while True:
                    opcode, length = await self.reader.readexactly(2)
                    if length > 125:
                        length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
                    payload = await self.reader.readexactly(length)
                    if opcode & 15 == 8:
                        return int.from_bytes(payload[:2], "big")
        except TimeoutError:
            return OPEN
        except (OSError, asyncio.IncompleteReadError):
            return CUT


async def never_reads(attacker: Attacker) -> Ending:
    """Watches a job, takes nothing, and has a small window."""
    await attacker.open(f"/{attacker.victim.heavy}", small=True)
    attacker.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(attacker.victim.seconds)
    attacker.writer.transport.resume_reading()  # type: ignore[attr-defined]
    return await attacker.ending()


async def floods_pings(attacker: Attacker) -> Ending:
    await attacker.open(f"/{attacker.victim.job}")
    return await attacker.flood(frame(9, b"x" * 125) * 100, 2000)


async def floods_pings_and_never_reads(attacker: Attacker) -> Ending:
    await attacker.open(f"/{attacker.victim.job}", small=True)
    attacker.writer.transport.pause_reading()  # type: ignore[attr-defined]
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(attacker.victim.seconds):
            while True:
                attacker.writer.write(frame(9, b"x" * 125) * 100)
                await attacker.writer.drain()
    return CUT


async def floods_pongs(attacker: Attacker) -> Ending:
    """Answers what nobody asked."""
    await attacker.open(f"/{attacker.victim.job}")
    return await attacker.flood(frame(10, b"x" * 125) * 100, 2000)


async def never_finishes_a_message(attacker: Attacker) -> Ending:
    """Of frames of no length, so that it never becomes too long."""
    await attacker.open(f"/{attacker.victim.job}")
    attacker.writer.write(b"\x01\x80\0\0\0\0")
    return await attacker.flood(b"\0\x80\0\0\0\0" * 1000, 2000)


async def subscribes_a_million_ids(attacker: Attacker) -> Ending:
    await attacker.open()
    ending = asyncio.create_task(attacker.ending())
    with contextlib.suppress(OSError):
        for first in range(0, 1_000_000, 250):
            if ending.done():
                break
            ids = [f"m{number}" for number in range(first, first + 250)]
            attacker.writer.write(frame(1, json.dumps({"type": "subscribe", "job_ids": ids}).encode()))
            await attacker.writer.drain()
    return await ending


async def sends_a_huge_frame(attacker: Attacker) -> Ending:
    await attacker.open()
    return await attacker.flood(frame(1, b"x" * 4096, length=9_000_000), 1)


async def never_finishes_a_frame(attacker: Attacker) -> Ending:
    await attacker.open()
    attacker.writer.write(frame(1, b"x" * 15_000, length=16_000))
    return await attacker.ending()


async def sends_deep_json(attacker: Attacker) -> Ending:
    await attacker.open()
    return await attacker.flood(frame(1, b"[" * 8000), 200)


async def sends_bad_utf8(attacker: Attacker) -> Ending:
    await attacker.open()
    return await attacker.flood(frame(1, b'{"type":"\xff\xfe"}'), 1)


async def sends_binary_noise(attacker: Attacker) -> Ending:
    await attacker.open()
    return await attacker.flood(frame(2, bytes(range(256))), 200)


async def comes_again_and_again(attacker: Attacker) -> Ending:
    """Returns the status with which it was refused at last, or 101."""
    try:
        async with asyncio.timeout(attacker.victim.seconds):
            while True:
                try:
                    await attacker.open(f"/{attacker.victim.job}")
                except RefusedError as exc:
                    return exc.status
                attacker.writer.transport.abort()
                await asyncio.sleep(0.002)
    except TimeoutError:
        return 101


CROWD: Final[dict[Callable[[Attacker], Awaitable[Ending]], int]] = {
    never_reads: 20,
    floods_pings: 3,
    floods_pings_and_never_reads: 3,
    floods_pongs: 3,
    never_finishes_a_message: 3,
    subscribes_a_million_ids: 2,
    sends_a_huge_frame: 20,
    never_finishes_a_frame: 100,
    sends_deep_json: 5,
    sends_bad_utf8: 5,
    sends_binary_noise: 5,
    comes_again_and_again: 2,
}
"""How many of each come at once."""

SIZE: Final = sum(CROWD.values())


async def attack(victim: Victim, names: Collection[str]) -> Attacked:
    """Do all that is named at once, and return how each of them ended."""
    kinds = [kind for kind, count in CROWD.items() if kind.__name__ in names for _ in range(count)]
    attackers = [Attacker(victim) for _ in kinds]
    endings = await asyncio.gather(
        *(kind(attacker) for kind, attacker in zip(kinds, attackers, strict=True)), return_exceptions=True
    )
    for attacker in attackers:
        with contextlib.suppress(AttributeError):
            attacker.writer.transport.abort()
    found: dict[str, list[Ending]] = {}
    for kind, ending in zip(kinds, endings, strict=True):
        if isinstance(ending, RefusedError):
            ending = ending.status
        elif isinstance(ending, (OSError, EOFError)):
            ending = CUT
        elif isinstance(ending, BaseException):
            raise ending
        found.setdefault(kind.__name__, []).append(ending)
    return Attacked(found, sum(attacker.connections for attacker in attackers))


def main() -> None:
    """Attack, and print how it went."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/ws/jobs")
    parser.add_argument("--job", default="hot", help="a job that is reported all the time")
    parser.add_argument("--heavy", default="hot", help="one of large states, for those who do not read them")
    parser.add_argument("--seconds", type=float, default=5.0)
    names = [kind.__name__ for kind in CROWD]
    parser.add_argument("--kinds", nargs="+", choices=names, default=names, metavar="KIND", help="default: all")
    parser.add_argument("--headers", default="", help="lines of every request, with \\r\\n; - reads them from stdin")
    arguments = parser.parse_args()
    headers = (
        sys.stdin.readline().rstrip("\n").encode().decode("unicode_escape")
        if arguments.headers == "-"
        else arguments.headers
    )
    victim = Victim(
        port=arguments.port,
        path=arguments.path,
        headers=headers,
        job=arguments.job,
        heavy=arguments.heavy,
        seconds=arguments.seconds,
    )
    print(msgspec.json.encode(asyncio.run(attack(victim, arguments.kinds))).decode())


if __name__ == "__main__":
    main()
