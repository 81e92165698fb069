"""nginx and HAProxy from Debian, with the files of docs/deploy as they stand there but for ports and certificates."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.certificates import certificate
from tests.support.redis_server import free_port

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
NAME = "jobs.example.org"
START_S = 60.0


def binary(name: str) -> str:
    """Return the path of a program of the system, wherever Debian put it."""
    if found := shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin"):
        return found
    reason = f"{name} is not installed: the test of docs/deploy needs it"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextmanager
def front(
    kind: str, folder: Path, ports: Sequence[int], *, path: str = "/", strip: bool = False, upgrades: bool = True
) -> Iterator[str]:
    """Run a proxy before two servers, with TLS, and give its URL.

    nginx passes on what is under ``path``, with ``strip`` takes that away, and without ``upgrades`` cuts WebSockets.
    """
    files = certificate(folder, name=NAME)
    both = folder / "both.pem"
    both.write_bytes(files.certificate.read_bytes() + files.key.read_bytes())
    port = free_port()
    written = folder / f"{kind}.conf"
    if kind == "nginx":
        text = (DEPLOY / "nginx.conf").read_text()
        assert "location / {" in text
        text = text.replace("location / {", f"location {path} {{")
        text = text.replace("proxy_pass http://jobprogress;", f"proxy_pass http://jobprogress{'/' if strip else ''};")
        text = text.replace("listen 443", f"listen 127.0.0.1:{port}")
        text = text.replace("/etc/ssl/jobs.key", str(files.key)).replace("/etc/ssl/jobs.pem", str(files.certificate))
        paths = "".join(
            f"{name}_temp_path {folder / name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        if not upgrades:
            text, lines = re.subn(r"(?m)^ *proxy_set_header (Upgrade|Connection) .*\n", "", text)
            assert lines == 2
        head = f"daemon off; master_process off; pid {folder / 'pid'}; error_log stderr;\nevents {{}}\n"
        text = f"{head}http {{ access_log off; {paths}\n{text}}}"
        command = [binary("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(written)]
    else:
        text = (DEPLOY / "haproxy.cfg").read_text().replace("bind :443", f"bind 127.0.0.1:{port}")
        text = text.replace("/etc/ssl/jobs.pem", str(both))
        command = [binary("haproxy"), "-db", "-f", str(written)]
    for default, real in zip((8084, 8085), ports, strict=True):
        assert f":{default}" in text
        text = text.replace(f":{default}", f":{real}")
    written.write_text(text)
    log = folder / f"{kind}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        deadline_s = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline_s, log.read_text()
                time.sleep(0.02)
        yield f"https://127.0.0.1:{port}{path}"
    finally:
        process.terminate()
        process.wait(30)
