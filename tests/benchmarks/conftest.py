"""The programs in C, or the reason why there are none."""

from __future__ import annotations

import os

import pytest

from benchmarks import native


@pytest.fixture(scope="session")
def compiled() -> None:
    """Compile the load generator, the publisher and the yardstick."""
    if reason := native.missing():
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    for name in native.PROGRAMS:
        native.build(name)
