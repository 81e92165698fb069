"""Where this process reports to, as arguments and environment say it."""

from __future__ import annotations

import logging
import os

from jupyter_jobprogress.errors import SettingsError
from jupyter_jobprogress.reporter import process
from jupyter_jobprogress.settings import Settings

_log = logging.getLogger(__name__)


def disabled() -> bool:
    """Whether the environment asks for silence."""
    return os.environ.get("JOBPROGRESS_DISABLE", "") not in ("", "0")


def destination(url: str | None, settings: Settings | None = None) -> Settings | None:
    """Resolve where to report, or None for nowhere. Given settings are taken whole; else the environment adds to a URL.

    Raises:
        SettingsError: the argument cannot work. An environment that cannot is said and costs the bar, not the job.
    """
    if disabled():
        return None
    try:
        resolved = Settings.from_environment(url) if settings is None else settings
    except SettingsError as exc:
        if exc.name == "url":
            raise
        _log.warning("Nothing is reported: %s", exc)
        return None
    return None if resolved.url is None and process.cut_off() else resolved
