"""Outputs of cells, and in what they are shown."""

from __future__ import annotations

import logging
import os
import secrets
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

_log = logging.getLogger(__name__)


def in_voila() -> bool:
    """Whether Voilà runs this kernel. It says so as web servers do to their scripts."""
    return os.environ.get("SERVER_SOFTWARE", "").startswith("voila/")


def in_marimo() -> bool:
    """Whether a cell of marimo runs here."""
    marimo = sys.modules.get("marimo")
    return marimo is not None and bool(marimo.running_in_notebook())


def in_dashboard() -> bool:
    """Whether the bars of this kernel stay live after the end, since no file keeps them: in Voilà and marimo."""
    return in_voila() or in_marimo()


def in_jupyter() -> bool:
    """Whether a Jupyter server with our extension started this kernel, so that its page most likely needs no feed."""
    return os.environ.get("JOBPROGRESS_IN_JUPYTER", "") == "1"


class Shown(Protocol):
    """A bar."""

    @property
    def ended(self) -> bool: ...
    def save(self) -> None: ...
    def hear(self, within_s: float) -> None:
        """Wait until something is known of a job."""


on_display: Callable[[], object] | None = None
"""Called when a bar is displayed; ``jupyter_jobprogress/_notebook.py`` fills it in, and calls ``end_cell`` in turn."""

_shown: list[Shown] = []


def end_cell(*, within_s: float) -> None:
    """Save what is known of the bars that are displayed. Called on the main thread at the end of each cell.

    A store may take ``within_s`` to say the first word about the bars of this cell.

    What the feeding thread sends belongs to the cell that started the thread, and who runs notebooks without a page
    hears of the running cell alone: so a bar that has ended is saved once more here.
    """
    until_s = time.monotonic() + within_s
    for bar in _shown[:]:
        bar.hear(until_s - time.monotonic())
        bar.save()
        if bar.ended:
            _shown.remove(bar)


class Output:
    """Where one bar is displayed."""

    def __init__(self) -> None:
        self._display_id = secrets.token_hex(8)
        self._open = False
        self._text: object = None

    @property
    def fresh(self) -> bool:
        """Whether the cell that displays the bar has not ended yet."""
        return self._text is not None

    def display(self, bar: Shown, data: dict[str, Any], metadata: dict[str, Any]) -> None:
        """Show a MIME bundle in the running cell. What has ended before needs no further word."""
        from IPython.display import display

        display(data, metadata=metadata, raw=True, display_id=self._display_id)  # type: ignore[no-untyped-call]
        self._open = not bar.ended
        self._text = data.get("text/plain") if self._open else None
        if self._open and bar not in _shown:
            _shown.append(bar)
            if on_display is not None:
                on_display()

    def renew(self, data: dict[str, Any], metadata: dict[str, Any]) -> None:
        """Say once, at the end of the cell that displays the bar, what is known by then: there may be no page to do it.

        Only where that is new: a front end makes a widget anew for it.
        """
        shown, self._text = self._text, None
        if shown is not None and shown != data.get("text/plain"):
            self.replace(data, metadata)

    def replace(self, data: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        """Show another bundle in its place. Does nothing where it was not displayed, or not by IPython."""
        if not self._open or in_voila():  # a dashboard keeps no file, and its live bar shows more
            return
        try:
            from IPython.display import display

            display(data, metadata=metadata, raw=True, display_id=self._display_id, update=True)  # type: ignore[no-untyped-call]
        except Exception:  # noqa: BLE001 — whatever a front end does with it, the bar goes on
            _log.debug("What is known of a job is not written into its output.", exc_info=True)
