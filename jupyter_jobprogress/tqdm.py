"""``from jupyter_jobprogress.tqdm import tqdm, trange``: tqdm, whose bars are jobs (docs/tqdm.md)."""

from __future__ import annotations

import sys
from typing import Any

from tqdm.asyncio import tqdm_asyncio  # type: ignore[import-untyped]

from jupyter_jobprogress import _notebook, _prepare
from jupyter_jobprogress.integrations.bars import Reporting
from jupyter_jobprogress.reporter.job import Job

__all__ = ["tqdm", "trange"]

_notebook.install()
_prepare()

# In a script of ``jupyter jobprogress run`` every class of tqdm reports already.
_bases = (tqdm_asyncio,) if issubclass(tqdm_asyncio, Reporting) else (Reporting, tqdm_asyncio)


class tqdm(*_bases):  # type: ignore[misc]
    """``tqdm.auto.tqdm``, whose bars are jobs, too. In a notebook they are shown by our bar in place of text.

    All arguments are those of tqdm. ``job_id`` names the job, ``url`` the store; ``display=False`` shows nothing in a
    notebook. ``disable=None``, which asks for silence where there is no terminal, silences the text and not the job.

    Raises JobCancelled from the loop, or from ``update``, where somebody asks to cancel the job.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        file = kwargs.get("file")
        self._quiet = _notebook.kernel_shell() is not None and file in (None, sys.stdout, sys.stderr)
        if kwargs.get("disable", False) is None:
            kwargs["disable"] = False
            terminal = getattr(file or sys.stderr, "isatty", None)
            self._quiet = self._quiet or not (terminal is None or terminal())
        if self._quiet:
            kwargs["gui"] = True  # so that nothing is printed
        super().__init__(*args, **kwargs)

    @property
    def job(self) -> Job | None:
        """The job of this bar, or None where it is disabled, or too young to be one."""
        job: Job | None = self._job
        return job

    def display(self, *args: Any, **kwargs: Any) -> Any:
        return True if self._quiet else super().display(*args, **kwargs)

    def clear(self, *args: Any, **kwargs: Any) -> None:
        if not self._quiet:
            super().clear(*args, **kwargs)


def trange(*args: Any, **kwargs: Any) -> tqdm:
    """Shortcut for ``tqdm(range(*args), **kwargs)``."""
    return tqdm(range(*args), **kwargs)
