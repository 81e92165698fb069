"""What is installed for Jupyter here: the server extension and the renderer of JupyterLab."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from jupyter_core.paths import jupyter_config_path, jupyter_path

from jupyter_jobprogress._version import __version__
from jupyter_jobprogress.cli.checks.finding import Finding, failed, not_applicable, ok, warning

PACKAGE: Final = "jupyter_jobprogress"
_ENABLE: Final = f"jupyter server extension enable {PACKAGE}, and restart the server"
_REINSTALL: Final = f"pip install --force-reinstall --no-deps {PACKAGE}, and reload the page"


def extension() -> Finding:
    """Read the configuration that a server started here would read. What is in its ``.py`` files, it alone knows."""
    from jupyter_server.extension.config import ExtensionConfigManager

    manager = ExtensionConfigManager(read_config_path=jupyter_config_path())
    extensions = manager.get_jpserver_extensions()  # type: ignore[no-untyped-call]
    if PACKAGE not in extensions:
        return failed("extension", "No configuration of Jupyter names the server extension.", _ENABLE)
    if not extensions[PACKAGE]:
        return failed("extension", "The server extension is disabled.", _ENABLE)
    return ok("extension", f"The server extension {__version__} is enabled.")


def renderer() -> Finding:
    """Look for the prebuilt extension of JupyterLab and Notebook 7, which draws bars without a kernel."""
    if find_spec("jupyterlab") is None:
        return not_applicable("renderer", "JupyterLab is not installed in this environment.")
    package = next(filter(Path.exists, (Path(path, PACKAGE, "package.json") for path in _labextensions())), None)
    if package is None:
        return failed("renderer", "JupyterLab does not find the renderer of bars.", _REINSTALL)
    version = _read(package).get("version")
    if version != __version__:
        return warning("renderer", f"The renderer is of version {version}, the package of {__version__}.", _REINSTALL)
    if _disabled():
        return failed(
            "renderer",
            "The renderer is disabled.",
            f"jupyter labextension enable {PACKAGE}, and reload the page",
        )
    return ok("renderer", f"The renderer {version} is installed.")


def _labextensions() -> list[str]:
    return list(jupyter_path("labextensions"))


def _disabled() -> bool:
    """Whether a ``page_config.json`` disables it. The first folder that says something about it counts."""
    for folder in jupyter_config_path():
        said = _read(Path(folder, "labconfig", "page_config.json")).get("disabledExtensions", {})
        if PACKAGE in said:
            return bool(said[PACKAGE]) if isinstance(said, dict) else True
    return False


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
