"""The JavaScript client as people get it: packed, and installed in a project of their own."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.install import ROOT, run

JS = ROOT / "js"
MODULES = JS / "node_modules"


def program(name: str) -> str:
    """Return the path of node or npm."""
    if found := shutil.which(name):
        return found
    reason = f"{name} is not on PATH: the tests of the JavaScript client need Node and npm"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def project(folder: Path, packages: Mapping[str, Path] | None = None) -> Path:
    """Make a project with the packed client installed, without a network, beside packages that are there already."""
    npm = program("npm")
    folder.mkdir(parents=True)
    with (JS / "client" / "package.json").open() as package:
        # The folder is built anew each time, and two processes that run tests may do so at once.
        fcntl.flock(package, fcntl.LOCK_EX)
        packed = run(npm, "pack", "--silent", "--pack-destination", folder, cwd=JS / "client").split()[-1]
    (folder / "package.json").write_text('{"name": "consumer", "private": true, "type": "module"}')
    run(npm, "install", "--offline", "--no-audit", "--no-fund", "--silent", f"./{packed}", cwd=folder)
    for name, source in (packages or {}).items():
        link = folder / "node_modules" / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(source)
    return folder


def tsc(project: Path, *files: str) -> str:
    """Check TypeScript files of a project with the types of its packages, strictly, and as Node finds them."""
    options = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--target", "es2022", "--jsx", "react-jsx"]
    compiler = MODULES / "typescript" / "bin" / "tsc"
    return run(program("node"), compiler, *options, "--module", "nodenext", *files, cwd=project)
