"""The surface of the original service, as its callers use it: over any loop, and never in the way."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from jupyter_jobprogress.errors import InvalidJobIdError, ProtocolError, StoreDeniedError, StoreUnavailableError
from jupyter_jobprogress.reporter.progress_reporter import JOBS_REMEMBERED, ProgressReporter
from jupyter_jobprogress.reporter.sender import Sender
from jupyter_jobprogress.settings import Settings
from tests.support.faulty_store import FaultyStore

pytestmark = pytest.mark.usefixtures("sender")


async def test_the_messages_are_those_of_the_original(settings: Settings) -> None:
    reporter = ProgressReporter(settings=settings)
    await reporter.initialize()

    await reporter.report("job_1", "rendering", 0.75, "Rendering frame 1500/2000", {"current_frame": 1500})
    rendering = await reporter.get_status("job_1")
    await reporter.report_complete("job_1", {"duration": 66.67}, message="Job completed successfully")
    completed = await reporter.get_status("job_1")
    await reporter.report(job_id="job_2", stage="rendering", progress=0.5, message="Half")
    await reporter.report_error("job_2", "Out of memory", stage="rendering")
    failed = await reporter.get_status("job_2")
    await reporter.close()

    assert rendering is not None
    assert rendering.pop("seq")
    assert str(rendering.pop("timestamp")).endswith("Z")
    assert rendering == {
        "job_id": "job_1",
        "status": "processing",
        "stage": "rendering",
        "progress": 0.75,
        "message": "Rendering frame 1500/2000",
        "metadata": {"current_frame": 1500},
    }
    assert completed is not None
    assert (completed["status"], completed["stage"], completed["progress"]) == ("completed", "complete", 1.0)
    assert completed["result"] == {"duration": 66.67}
    assert completed["message"] == "Job completed successfully"
    assert failed is not None
    assert (failed["status"], failed["stage"], failed["progress"]) == ("failed", "rendering", 0.5)
    assert (failed["message"], failed["error"]) == ("Error: Out of memory", "Out of memory")
    assert await reporter.get_status("nobody") is None


def test_each_call_may_have_a_loop_of_its_own(settings: Settings) -> None:
    reporter = ProgressReporter(settings=settings)

    asyncio.run(reporter.initialize())
    asyncio.run(reporter.report("celery", "a", 0.1, "one"))
    other = threading.Thread(target=lambda: asyncio.run(reporter.report_complete("celery", {"ok": True})))
    other.start()
    other.join()
    status = asyncio.run(reporter.get_status("celery"))
    asyncio.run(reporter.close())

    assert status is not None
    assert status["result"] == {"ok": True}


def test_a_reporter_of_several_threads_raises_nothing_and_remembers_no_more_jobs_than_it_may(
    settings: Settings,
) -> None:
    reporter = ProgressReporter(settings=settings)

    def begin(name: str) -> None:
        for number in range(5 * JOBS_REMEMBERED):
            reporter._remember(f"{name}-{number}", 0.5)

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # else it takes days until two of them meet
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(begin, "abcd"))
    finally:
        sys.setswitchinterval(interval_s)

    # Two that find one too many may forget one each.
    assert JOBS_REMEMBERED - 4 <= len(reporter._progress) <= JOBS_REMEMBERED


async def test_an_outage_costs_half_a_second_once_and_loses_no_end(
    settings: Settings, store: FaultyStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.fault = "hangs"
    reporter = ProgressReporter(settings=settings)

    begun_s = time.monotonic()
    await reporter.report("away", "work", 0.0, "first")
    assert 0.4 < time.monotonic() - begun_s < 1.0
    await asyncio.sleep(1.0)  # until the sender has given the attempt up and knows
    store.fault = "refuses"
    begun_s = time.monotonic()
    for step in range(200):
        await reporter.report("away", "work", step / 200, "more")
    await reporter.report_complete("away", {"ok": True})
    assert time.monotonic() - begun_s < 0.5
    attempts = len(store.published)
    store.fault = None
    await reporter.close()

    status = await reporter.get_status("away")
    assert status is not None
    assert status["status"] == "completed"
    assert attempts < 10  # reports during an outage do not storm the store
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


async def test_closing_waits_two_seconds_at_most(settings: Settings, store: FaultyStore) -> None:
    store.fault = "hangs"

    begun_s = time.monotonic()
    async with ProgressReporter(settings=settings) as reporter:
        await reporter.report("never", "work", 0.5, "lost")

    assert 2.0 <= time.monotonic() - begun_s < 3.2


async def test_a_status_that_cannot_be_asked_for_is_not_none(settings: Settings, store: FaultyStore) -> None:
    await store.close()

    with pytest.raises(Exception, match="open store"):
        await ProgressReporter(settings=settings).get_status("job")


async def test_a_cancelled_report_is_sent_all_the_same(settings: Settings, store: FaultyStore) -> None:
    store.fault = "hangs"
    reporter = ProgressReporter(settings=settings)
    report = asyncio.create_task(reporter.report("cancelled", "work", 0.5, "sent"))
    await asyncio.sleep(0)

    report.cancel()
    store.fault = None
    await reporter.close()

    with pytest.raises(asyncio.CancelledError):
        await report
    assert await reporter.get_status("cancelled") is not None


async def test_many_jobs_at_once_are_sent_in_the_order_of_each(settings: Settings, sender: Sender) -> None:
    reporter = ProgressReporter(settings=settings)

    async def job(number: int) -> None:
        for step in range(5):
            await reporter.report(f"p-{number}", "work", step / 5, str(step))
        await reporter.report_complete(f"p-{number}", {"number": number})

    await asyncio.gather(*(job(number) for number in range(30)))

    for number in range(30):
        status = await reporter.get_status(f"p-{number}")
        assert status is not None
        assert status["result"] == {"number": number}
    assert sender.busy == 0


async def test_odd_payloads_are_fitted_and_bad_ids_refused(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    reporter = ProgressReporter(settings=settings)

    await reporter.report("odd", "s" * 1000, 50, "m\ud800", {1: {2}, "x": object()})
    await reporter.report("odd", "s" * 1000, float("nan"), "m" * 10_000, {"big": "x" * 100_000})
    status = await reporter.get_status("odd")

    assert status is not None
    assert status["progress"] == 1.0
    assert len(str(status["stage"]).encode()) <= 256
    assert list(status["metadata"]) == ["dropped"]  # type: ignore[call-overload]
    assert len([record for record in caplog.records if "percentage" in record.message]) == 1
    for call in (
        reporter.report("no spaces", "s", 0, "m"),
        reporter.report_error("", "e"),
        reporter.report_complete("a/b", {}),
        reporter.get_status("\n"),
    ):
        with pytest.raises(InvalidJobIdError):
            await call


async def test_silence_reports_nothing(settings: Settings, store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBPROGRESS_DISABLE", "1")
    async with ProgressReporter(settings=settings) as reporter:
        await reporter.report("quiet", "work", 0.5, "…")
        await reporter.report_complete("quiet", {})
        assert await reporter.get_status("quiet") is None

    assert store.published == []


async def test_an_unreachable_store_is_told_from_an_unknown_job() -> None:
    reporter = ProgressReporter("redis://127.0.0.1:1/0")

    with pytest.raises(StoreUnavailableError):
        await reporter.get_status("job")


@pytest.mark.parametrize(
    ("fault", "error"),
    [("refuses", StoreUnavailableError), ("hangs", StoreUnavailableError), ("denies", StoreDeniedError)],
)
async def test_a_strict_report_that_does_not_arrive_raises_and_is_sent_later(
    fault: str, error: type[Exception], settings: Settings, store: FaultyStore
) -> None:
    reporter = ProgressReporter(settings=settings, strict=True)
    store.fault = fault  # type: ignore[assignment]

    for step in range(2):  # at first the fault is not known, and then it is
        with pytest.raises(error):
            await reporter.report("strict", "work", step / 2, "said")
    with pytest.raises(error):
        await reporter.report_complete("strict", {"ok": True})
    store.fault = None

    if fault == "denies":  # tried again in a minute, or with the next end of a job
        async with ProgressReporter(settings=settings) as lenient:
            await lenient.report_complete("strict", {"ok": True})
    await reporter.close()
    status = await reporter.get_status("strict")
    assert status is not None
    assert status["status"] == "completed"


async def test_a_strict_report_says_that_the_store_never_takes_it(settings: Settings, store: FaultyStore) -> None:
    store.fault = "rejects"

    with pytest.raises(ProtocolError):
        await ProgressReporter(settings=settings, strict=True).report("rejected", "work", 0.5, "said")


async def test_a_refused_credential_costs_half_a_second_once(settings: Settings, store: FaultyStore) -> None:
    store.fault = "denies"
    reporter = ProgressReporter(settings=settings)

    begun_s = time.monotonic()
    for step in range(20):
        await reporter.report("denied", "work", step / 20, "said")

    assert time.monotonic() - begun_s < 2.0  # and not half a second for each
