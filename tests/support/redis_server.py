"""A real redis-server: started on a free port, stopped, killed, frozen and thawed by its process."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from pathlib import Path

START_S = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """Keeps nothing on disk, so that ``kill`` and ``start`` give an empty server on the same port."""

    def __init__(self, binary: str, directory: Path) -> None:
        self.binary = binary
        self.directory = directory
        self.port = free_port()
        self.socket_path = str(directory / "r.sock")
        self.options: list[str] = []
        self.configuration: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        return f"unix://{self.socket_path}"

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, *options: str) -> None:
        """Start, and return once it answers."""
        log = self.directory / "redis.log"
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.socket_path]
        arguments += ["--dir", str(self.directory), "--save", "", "--appendonly", "no", "--logfile", str(log)]
        for attempt in range(5):
            command = [self.binary, *([str(self.configuration)] if self.configuration else []), *arguments]
            self._process = subprocess.Popen([*command, *self.options, *options])
            if self._answers(within_s=START_S):
                return
            self.stop()
            # Another process may have taken the port since it was found free.
            assert attempt < 4, f"{self.binary} does not start: {log.read_text(errors='replace')[-2000:]}"
            self.port = free_port()
            arguments[1] = str(self.port)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it hang: connections stay open, and nothing answers."""
        self._running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._running.send_signal(signal.SIGCONT)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server is not running"
        return self._process

    def _answers(self, *, within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        while self._running.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.sendall(b"PING\r\n")
                # A server with a password answers, too, that there is one, and one that loads its file says so.
                if probe.recv(100).startswith((b"+PONG", b"-NOAUTH", b"-LOADING")):
                    return True
            time.sleep(0.01)
        return False

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None
