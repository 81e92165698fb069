"""The code of the bar as one model that all bars of a kernel share.

A notebook that stores its widgets stores the code of each with it. So that of a bar is a few lines that fetch the rest
from here (``js/src/loader.ts``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import anywidget
import traitlets

from jupyter_jobprogress.errors import BundleMissingError
from jupyter_jobprogress.widget import output

_STATIC: Final = Path(__file__).parent.parent / "static"


def bundle(name: str) -> Path:
    """Return where a bundle is. anywidget would open the file when a class is made, and say only that it is missing.

    Raises:
        BundleMissingError: the package was installed without it.
    """
    path = _STATIC / name
    if not path.is_file():
        raise BundleMissingError(str(path))
    return path


class Code(anywidget.AnyWidget):
    """Holds the bundles; is never shown."""

    _esm = "export default {}"

    bar = traitlets.Unicode(help="Draws the lines of jobs.").tag(sync=True)
    live = traitlets.Unicode(help="Speaks with a server.").tag(sync=True)
    more = traitlets.Unicode(help="Draws details and tables.").tag(sync=True)


_code: Code | None = None


def model_id() -> str:
    """Return the id of this kernel's model, which is made when the first bar is, and again after ``close_all``.

    In marimo each bar has one of its own: the sessions of an app share a process, and a model is known only to the page
    for which it was made.
    """
    global _code
    if _code is None or _code.comm is None or output.in_marimo():
        names = ("bar", "live", "more")
        _code = Code(**{name: bundle(f"{name}.js").read_text(encoding="utf-8") for name in names})
    found = _code.model_id
    assert isinstance(found, str)
    return found
