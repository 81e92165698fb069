"""Fresh clones, fresh virtual environments, and machines without node."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SYSTEM_PROGRAMS = (
    "sh",
    "env",
    "cat",
    "ls",
    "mkdir",
    "rm",
    "cp",
    "mv",
    "ln",
    "uname",
    "git",
    "tar",
    "gcc",
    "cc",
    "dirname",
)


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command, and fail with its output if it fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def fresh_clone(folder: Path) -> Path:
    """Copy what git tracks or would track, as a clone of the next commit would hold it."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    clone = folder / "clone"
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, clone / name)
    return clone


def path_without_node(folder: Path) -> str:
    """Return a PATH on which there is a system, but neither node nor npm."""
    programs = folder / "programs"
    programs.mkdir()
    for program in SYSTEM_PROGRAMS:
        if found := shutil.which(program):
            (programs / program).symlink_to(found)
    assert shutil.which("npm", path=str(programs)) is None
    return str(programs)


def clean_environment(path: str, **more: str) -> dict[str, str]:
    """Return an environment with a PATH, a HOME and what pip and npm need to reach their registries."""
    needed = ("PIP_", "SSL_", "REQUESTS_", "npm_", "NODE_EXTRA_")
    kept = {name: value for name, value in os.environ.items() if name.startswith(needed)}
    return kept | {"PATH": path, "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"} | more


def fresh_venv(folder: Path, requirements: Iterable[str | Path]) -> Path:
    """Make a virtual environment with packages in it, and return its ``bin``."""
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)
    return folder / "bin"
