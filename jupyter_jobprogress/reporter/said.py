"""What a job has said, as it was said. Storing it is all that a job pays for; making it fit is the sender's work.

Several threads write these attributes without a lock. Under the GIL that is exact: CPython changes threads, and runs
signal handlers, where a function begins, a loop turns or a call returns, and there is nothing of that between reading
and writing them in ``Job.update`` and ``Job.report``. Without a GIL a count could be lost there; ``Job.add`` counts
under a lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from jupyter_jobprogress.protocol import limits
from jupyter_jobprogress.protocol.payload import is_device_array, metrics, number, text
from jupyter_jobprogress.reporter.facts import Facts, Number
from jupyter_jobprogress.reporter.stages import Stages
from jupyter_jobprogress.reporter.words import Once


class _Told(NamedTuple):
    """What a job has said at one moment, as it was said."""

    n: Number
    stage: object
    message: object
    title: object
    unit: object
    total: object
    explicit: object
    explicit_n: object
    metadata: dict[str, object] | None
    metrics: dict[str, object] | None
    stages: Stages


class Said:
    """The raw words of one job, and the facts that follow from them.

    In slots: CPython calls the methods of an object of 30 attributes or more, subclasses counted, a fifth slower.
    """

    __slots__ = (
        "_explicit",
        "_explicit_n",
        "_fitted",
        "_id",
        "_message",
        "_metadata",
        "_metrics",
        "_n",
        "_once",
        "_quick",
        "_stage",
        "_stages",
        "_title",
        "_total",
        "_unit",
    )

    _n: Number

    _quick: int | None
    """The amount that ``update`` counts without a look at it: 1. None: ``_attend`` has something to do before the job
    goes on. One comparison for both: a second one took 7 ns, of 52 in all."""

    def __init__(self, job_id: str, *, title: object, unit: object, total: object, stages: Stages) -> None:
        self._id = job_id
        self._stage: object = ""
        self._message: object = ""
        self._title = title
        self._unit = unit
        self._total = total
        self._explicit: object = None
        self._explicit_n: object = None
        self._metadata: dict[str, object] | None = None
        self._metrics: dict[str, object] | None = None
        self._stages = stages
        self._init_facts()

    def _init_facts(self) -> None:
        """Set what belongs to this process and is not pickled."""
        self._once = Once()
        # What was said, and what that made: one object, since the sender and the terminal look from their own threads.
        self._fitted: tuple[_Told, Facts] | None = None

    def _said(self) -> tuple[Facts, Number]:
        """Return what is said, made fit: the same object until that is new. And the count, without that of a loop.

        Both are of one moment. Making words fit takes time, and may wait for a device: a count that is read after that
        could be of a stage which began meanwhile.
        """
        # No call before all of them are read, so that no other thread says something in between.
        told = _Told(
            self._n,
            self._stage,
            self._message,
            self._title,
            self._unit,
            self._total,
            self._explicit,
            self._explicit_n,
            self._metadata,
            self._metrics,
            self._stages,
        )
        fitted = self._fitted
        if fitted is None or any(new is not old for new, old in zip(told[1:], fitted[0][1:], strict=True)):
            fitted = self._fitted = told, self._fit(told)
        return fitted[1], told.n

    def _fit(self, told: _Told) -> Facts:
        return Facts(
            stage=text(told.stage, limits.LABEL_BYTES),
            message=text(told.message, limits.TEXT_BYTES),
            title=label(told.title),
            unit=label(told.unit),
            total=self._fit_total(told.total),
            explicit=number(told.explicit),
            explicit_n=number(told.explicit_n),
            stages=told.stages,
            metadata=told.metadata,
            metrics=None if told.metrics is None else metrics(told.metrics),
        )

    def _fit_total(self, value: object) -> Number | None:
        total = number(value)
        if value is not None and (total is None or total < 0):
            self._once.warn(
                "total", "Job %s expects a total of %.40r, which is no amount; it is ignored.", self._id, value
            )
            return None
        return total

    def _merge_metrics(self, values: Mapping[str, object]) -> None:
        """Take newest scalars. Those that a device may still compute are read when they are sent."""
        merged = dict(self._metrics or {})
        for name, value in values.items():
            merged[name] = detached(value) if is_device_array(value) else number(value)
        if len(merged) > limits.METRICS:
            self._once.warn(
                "metrics", "Job %s logs more than %d metrics; the others are left out.", self._id, limits.METRICS
            )
            merged = dict(list(merged.items())[: limits.METRICS])
        self._metrics = merged


def detached(value: object) -> object:
    """Return an array without its graph of gradients, which must not live as long as its number is remembered."""
    try:
        detach = getattr(value, "detach", None)
        return value if detach is None else detach()
    except Exception:  # noqa: BLE001 — a library of its own kind; the number is read as it is
        return value


def label(value: object) -> str | None:
    """Return a title or unit made fit."""
    return None if value is None else text(value, limits.LABEL_BYTES)
