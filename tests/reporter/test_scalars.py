"""Scalars of NumPy and JAX are counted and shown as the numbers that they are, and none spoils what follows."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from jupyter_jobprogress.reporter.job import Job
from jupyter_jobprogress.settings import Settings

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.usefixtures("sender")
@pytest.mark.parametrize(
    ("amounts", "counted"),
    [
        ([np.uint8(1)] * 300, 300),
        ([np.int8(100), 100, 100], 300),
        ([np.float32(2**24), 1, 1, 1], 2**24 + 3),
        ([np.array(7), np.int64(3), np.bool_(True)], 11),
        ([Decimal("0.5"), 0.5, Fraction(1, 2), 1], 2.5),
        ([True, 1, False, 2**70], 2 + 2.0**70),
        ([0.25, -1, 64, 2], 65.25),
    ],
    ids=["uint8", "int8", "float32", "several", "decimal", "bool", "plain"],
)
def test_an_amount_of_any_kind_counts_exactly(amounts: list[int], counted: float, settings: Settings) -> None:
    with Job(total=1000, settings=settings) as job:
        for amount in amounts:
            job.update(amount)

        assert job.n == counted
        assert type(job.n) in (int, float)


class Spoils:
    """What may be added to a count once, and never again."""

    def __radd__(self, other: object) -> Spoils:
        return self

    def __add__(self, other: object) -> Spoils:
        raise RuntimeError("leaked")

    __sub__ = __rsub__ = __add__


@pytest.mark.usefixtures("sender")
@pytest.mark.parametrize(
    "amount",
    [math.nan, math.inf, -math.inf, 10**400, np.float64("nan"), np.array([1, 2]), "1", b"1", None, 1j, Spoils()],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_amount_is_told_once_and_leaves_the_count_as_it_is(
    amount: float, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with Job(total=10, settings=settings) as job:
        job.update(2)
        job.update(amount)
        job.update()
        job.update(amount)
        job.report(n=amount) if amount is not None else None

    assert job.wait(30)
    assert job.n == 3
    assert len([record for record in caplog.records if "cannot count" in record.message]) == 1


# In a process of its own: JAX starts threads, and the other tests fork.
JAX = """
import json
import jax, jax.numpy as jnp
from jupyter_jobprogress import Job, Settings
from jupyter_jobprogress.reporter.process import sender_for

settings = Settings()
with Job("jax", total=jnp.int32(1000), initial=jnp.float32(10), settings=settings) as job:
    loss, gradient = jax.value_and_grad(lambda weights: (weights * weights).sum())(jnp.ones(3))
    job.log(loss=loss, norm=jax.jit(jnp.linalg.norm)(gradient), brief=jnp.bfloat16(0.25), whole=jnp.int32(7))
    job.log(several=jnp.arange(3), none=loss * jnp.nan, complex=jnp.array(1 + 2j))
    gone = jnp.ones(())
    job.log(gone=gone)
    gone.delete()
    for _ in range(300):
        job.update(jnp.uint8(1))
    job.update(jnp.float16(0.5))
    job.report(message="said", metadata={"rate": jnp.float32(0.5), "shape": jnp.ones((2, 2))})

    @jax.jit
    def step(value):
        # Here nothing has a value yet.
        job.log(traced=value)
        job.update(value)
        job.report(stage=value, n=value, total=value, progress=value, metadata={"traced": value})
        return value + 1

    print(float(step(jnp.float32(1))))
    job.set_total(jnp.int32(2000))
    job.update()
assert job.wait(30)
print(sender_for(settings).read(["jax"]).result(30)["jax"].data.decode())
"""


@pytest.mark.skipif(
    find_spec("jax") is None and not os.environ.get("CI"),
    reason="jax is not installed: it has no wheels for this machine",
)
def test_scalars_of_jax_are_read_and_those_without_a_value_do_no_harm() -> None:
    kept = {name: value for name, value in os.environ.items() if "JOBPROGRESS" not in name and name != "REDIS_URL"}
    done = subprocess.run(
        [sys.executable, "-c", JAX],
        env=kept | {"PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu", "JOBPROGRESS_DISPLAY": "off"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    stepped, state = done.stdout.splitlines()
    assert stepped == "2.0"
    found = json.loads(state)
    assert (found["status"], found["n"], found["total"], found["message"]) == (
        "completed",
        311.5,
        2000,
        "Job completed",
    )
    metrics = found["metrics"]
    assert metrics.pop("norm") == pytest.approx(math.sqrt(12))
    # What is no scalar, or has no value any more, is there and null.
    nothing = dict.fromkeys(["several", "none", "complex", "gone", "traced"])
    assert metrics == {"loss": 3.0, "brief": 0.25, "whole": 7, **nothing}
    assert list(found["metadata"]) == ["traced"]
    said = [line for line in done.stderr.splitlines() if line.startswith("Job jax ")]
    assert [sum(kind in line for line in said) for kind in ("cannot count", "no finite number")] == [1, 1]
