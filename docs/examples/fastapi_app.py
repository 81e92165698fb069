"""Jobs in the background of a FastAPI application, each with a WebSocket to follow it."""

import asyncio
import time
import uuid
from contextlib import suppress

from fastapi import BackgroundTasks, FastAPI

from jupyter_jobprogress import Job, JobCancelled, ProgressReporter
from jupyter_jobprogress.integrations.asgi import ProgressSockets

sockets = ProgressSockets()  # of the jobs at REDIS_URL, where the tasks below report them
app = FastAPI(lifespan=sockets.lifespan)
app.mount("/ws/jobs", sockets)


async def render(job_id: str, frames: int) -> None:
    """Work in the event loop, reported as the original service has it."""
    reporter = ProgressReporter()
    try:
        for frame in range(frames):
            await asyncio.sleep(0.05)
            await reporter.report(job_id, "rendering", frame / frames, f"Frame {frame} of {frames}")
        await reporter.report_complete(job_id, {"frames": frames})
    except Exception as exc:
        await reporter.report_error(job_id, str(exc), stage="rendering")
        raise


def count(job_id: str, total: int) -> None:
    """Work in a thread of the application. The job ends with its block, also by an error or a wish to cancel it."""
    with suppress(JobCancelled), Job(job_id, total=total, unit="sheep") as job:
        for _ in range(total):
            time.sleep(0.05)
            job.update()
        job.complete({"counted": total})


@app.post("/jobs/{kind}")
async def create(kind: str, background_tasks: BackgroundTasks, amount: int = 100) -> dict[str, str]:
    job_id = str(uuid.uuid4())
    background_tasks.add_task(render if kind == "render" else count, job_id, amount)
    return {"job_id": job_id, "websocket_url": f"/ws/jobs/{job_id}", "status": "queued"}
