"""The public names, and what Jupyter asks the package for."""

from __future__ import annotations

import importlib

import pytest

import jupyter_jobprogress


def test_the_public_names_are_these() -> None:
    assert jupyter_jobprogress.__all__ == [
        "Job",
        "JobCancelled",
        "JobProgress",
        "JobProgressError",
        "ProgressReporter",
        "Settings",
        "State",
        "Status",
        "__version__",
        "current_job",
        "get_status",
        "get_status_async",
        "jobs",
        "track",
        "track_job",
        "wait",
        "wait_async",
        "watch",
    ]
    assert jupyter_jobprogress.__all__ == sorted(jupyter_jobprogress.__all__)


@pytest.mark.parametrize("name", jupyter_jobprogress.__all__)
def test_each_name_is_there(name: str) -> None:
    assert getattr(jupyter_jobprogress, name) is not None
    assert name in dir(jupyter_jobprogress)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Jobs'"):
        jupyter_jobprogress.Jobs  # noqa: B018


def test_jupyter_server_finds_its_extension() -> None:
    (point,) = jupyter_jobprogress._jupyter_server_extension_points()

    module = importlib.import_module(point["module"])
    assert point["app"] in vars(module).values()
    assert point["app"].name == "jupyter_jobprogress"


def test_jupyterlab_finds_its_extension() -> None:
    assert jupyter_jobprogress._jupyter_labextension_paths() == [{"src": "labextension", "dest": "jupyter_jobprogress"}]
