"""Makes every bar of tqdm in this process a job, without a change of the code that makes it (docs/cli.md, "run").

Costs a finder that is asked at each import, until tqdm is imported: whoever never does loads nothing of the reporter.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

_TARGET: Final = "tqdm.std"
"""Where the class is made that all other classes of tqdm inherit from. They are made of what is there then."""


def install() -> None:
    """Have tqdm's classes report from now on. Idempotent. Too late, and without effect, where tqdm is imported."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != _TARGET:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            _run_after(spec.loader)
        return spec


def _run_after(loader: Loader) -> None:
    """Let a loader do its work, and ours after it. No other loader in its place: others ask it for sources."""
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        _adopt(module)

    loader.exec_module = exec_module  # type: ignore[method-assign]


def _adopt(module: Any) -> None:
    """Put ``Reporting`` before tqdm's own class, under its name, so that bars and their pickles look as before."""
    from jupyter_jobprogress.integrations.bars import Reporting

    original = module.tqdm
    given = {"__module__": original.__module__, "__qualname__": original.__qualname__, "__doc__": original.__doc__}
    module.tqdm = type(original.__name__, (Reporting, original), given)
