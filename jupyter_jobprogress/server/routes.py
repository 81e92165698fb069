"""Every path of a server and its handler (docs/protocol.md, rule 22)."""

from __future__ import annotations

from typing import Final

from jupyter_jobprogress.protocol.names import JOB_PATH
from jupyter_jobprogress.server.api import CancelHandler, HealthHandler, JobHandler, JobsHandler, MetricsHandler
from jupyter_jobprogress.server.auth import Guarded
from jupyter_jobprogress.server.openapi import OpenApiHandler
from jupyter_jobprogress.server.page import PageFileHandler, PageHandler
from jupyter_jobprogress.server.tickets import TicketHandler, TicketsHandler
from jupyter_jobprogress.server.updates import UpdatesHandler
from jupyter_jobprogress.server.websocket import JobSocket, JobsSocket

ROUTES: Final[tuple[tuple[str, type[Guarded]], ...]] = (
    (r"ws/jobs", JobsSocket),
    (rf"ws/jobs/{JOB_PATH}", JobSocket),
    (r"api/jobs", JobsHandler),
    (rf"api/jobs/{JOB_PATH}", JobHandler),
    (rf"api/jobs/{JOB_PATH}/updates", UpdatesHandler),
    (rf"api/jobs/{JOB_PATH}/cancel", CancelHandler),
    (r"api/tickets", TicketsHandler),
    (r"api/tickets/(?P<id>[0-9a-f]{16})", TicketHandler),
    (r"api/openapi\.json", OpenApiHandler),
    (r"health", HealthHandler),
    (r"metrics", MetricsHandler),
    (r"", PageHandler),
    (rf"jobs/{JOB_PATH}", PageHandler),
    (r"static/(?P<name>[a-z.]+)", PageFileHandler),
)
