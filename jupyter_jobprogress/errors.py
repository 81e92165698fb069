"""Every exception that this package raises.

    JobProgressError
    ├── ProtocolError (also a ValueError)
    │   ├── InvalidJobIdError
    │   ├── InvalidMessageError
    │   ├── InvalidProgressError
    │   ├── InvalidArgumentError
    │   ├── StateTooLargeError
    │   ├── HistoryTooLargeError
    │   ├── NestingTooDeepError
    │   ├── TooManyMetricsError
    │   ├── TooManySubscriptionsError
    │   ├── TooManyIdsError
    │   └── BodyTooLargeError
    ├── JobCancelled
    ├── UnauthorizedError
    │   └── TicketError
    ├── ForbiddenError
    ├── ForeignHostError
    ├── ForeignOriginError
    ├── UnknownJobError
    ├── SettingsError (also a ValueError)
    ├── NoServerError
    ├── NotWatchedError
    ├── StoreError
    │   ├── StoreUnavailableError
    │   ├── StoreDeniedError
    │   └── StoreClosedError
    └── BundleMissingError

Leaves carry data; the sentence is made in ``__str__``: what was expected, what came, what to do.
``code`` is the name of the error on the wire (docs/protocol.md, table of error codes).
"""

from __future__ import annotations


class JobProgressError(Exception):
    """Base of all errors of this package."""

    code = "internal"


class ProtocolError(JobProgressError, ValueError):
    """A message, an id or a value does not keep the protocol."""

    code = "invalid_message"


class InvalidJobIdError(ProtocolError):
    """A job id has a character or a length that the protocol does not allow."""

    code = "invalid_job_id"

    def __init__(self, job_id: object) -> None:
        self.job_id = job_id
        super().__init__(job_id)

    def __str__(self) -> str:
        return (
            "Expected a job id of 1 to 200 characters from A-Z a-z 0-9 . _ : @ + = - that starts with a "
            f"letter or digit, got {self.job_id!r:.80}. Replace other characters, for example by '-'."
        )


class InvalidMessageError(ProtocolError):
    """A message is not JSON, or not a state or command of the protocol."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"Expected a JSON message of docs/protocol.md, got one that cannot be read: {self.reason:.300}."


class InvalidProgressError(ProtocolError):
    """A progress is not a finite number."""

    code = "invalid_progress"

    def __init__(self, progress: object) -> None:
        self.progress = progress
        super().__init__(progress)

    def __str__(self) -> str:
        return (
            f"Expected a progress between 0 and 1, or None where the amount of work is unknown, "
            f"got {self.progress!r:.80}."
        )


class InvalidArgumentError(ProtocolError):
    """An argument of a request has a value that it cannot have."""

    def __init__(self, name: str, value: object, expected: str) -> None:
        self.name = name
        self.value = value
        self.expected = expected
        super().__init__(name, value, expected)

    def __str__(self) -> str:
        return f"Expected {self.name} to be {self.expected}, got {self.value!r:.60}."


class _LimitError(ProtocolError):
    """Something is larger than the protocol allows."""

    def __init__(self, actual: int, limit: int) -> None:
        self.actual = actual
        self.limit = limit
        super().__init__(actual, limit)


class StateTooLargeError(_LimitError):
    """One encoded state, history apart, is over its limit of bytes."""

    code = "state_too_large"

    def __str__(self) -> str:
        return (
            f"Expected a state of at most {self.limit} bytes as JSON, got {self.actual}. "
            "Store large metadata and results elsewhere and report where they are."
        )


class HistoryTooLargeError(_LimitError):
    """A history is over its limit of bytes, or of points in a series."""

    code = "history_too_large"

    def __init__(self, actual: int, limit: int, of: str = "bytes as JSON") -> None:
        super().__init__(actual, limit)
        self.of = of

    def __str__(self) -> str:
        return (
            f"Expected a history of at most {self.limit} {self.of}, got {self.actual}. "
            "Thin the series to 128 points each, or send fewer of them."
        )


class NestingTooDeepError(_LimitError):
    """Metadata or a result holds containers within containers beyond the limit."""

    code = "nesting_too_deep"

    def __str__(self) -> str:
        return f"Expected at most {self.limit} levels of nesting, got {self.actual} or more. Flatten the data."


class TooManyMetricsError(_LimitError):
    """A state names more metrics than the limit."""

    code = "too_many_metrics"

    def __str__(self) -> str:
        return f"Expected at most {self.limit} metrics in one state, got {self.actual}. Report fewer names."


class TooManySubscriptionsError(_LimitError):
    """A viewer watches more jobs than the server allows, ``on`` one socket or on all."""

    code = "too_many_subscriptions"

    def __init__(self, actual: int, limit: int, on: str = "one socket") -> None:
        super().__init__(actual, limit)
        self.on = on

    def __str__(self) -> str:
        return f"Expected at most {self.limit} jobs on {self.on}, got {self.actual}. Unsubscribe some first."


class BodyTooLargeError(_LimitError):
    """The body of a request has more bytes, or more lines, than one may have."""

    code = "body_too_large"

    def __str__(self) -> str:
        return (
            f"Expected a body of at most {self.limit} bytes, got {self.actual} or more. Send one update, or with "
            "Content-Type: application/x-ndjson one a line, and further ones in further requests."
        )


class TooManyIdsError(_LimitError):
    """One command names more jobs than the server allows."""

    code = "too_many_ids"

    def __str__(self) -> str:
        return f"Expected at most {self.limit} job ids in one command, got {self.actual}. Send several commands."


class JobCancelled(JobProgressError):
    """Somebody asked to cancel this job. Raised in the job's own code, at its next ``update``, ``report`` or item.

    Named for what it says and not an error: it is the way out of the work, as KeyboardInterrupt is.
    """

    code = "cancelled"

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(job_id)

    def __str__(self) -> str:
        return (
            f"Job {self.job_id} was asked to cancel, and leaves its work here. Pass raise_on_cancel=False to look at "
            "job.cancel_requested instead."
        )


class ForbiddenError(JobProgressError):
    """The bearer of a credential may not do this."""

    code = "forbidden"

    def __init__(self, action: str) -> None:
        self.action = action
        super().__init__(action)

    def __str__(self) -> str:
        return f"Expected a credential that allows to {self.action} this job. Ask its owner for one."


class ForeignHostError(JobProgressError):
    """A request names a host that a server is not known by: a page may be playing tricks with DNS."""

    code = "forbidden"

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(host)

    def __str__(self) -> str:
        return (
            f"Expected the Host of a request to be an address, localhost, or a name that this server was told, got "
            f"{self.host!r:.80}. If that is its name, start it with --allow-host."
        )


class ForeignOriginError(JobProgressError):
    """A request comes from a page of another site."""

    code = "forbidden"

    def __init__(self, origin: str) -> None:
        self.origin = origin
        super().__init__(origin)

    def __str__(self) -> str:
        return (
            f"Expected a request of a page of this server, got one of {self.origin!r:.80}. If that site may ask, start "
            "the server with --allow-origin."
        )


class UnknownJobError(JobProgressError):
    """A store knows no such job."""

    code = "unknown_job"

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(job_id)

    def __str__(self) -> str:
        return f"No job {self.job_id!r} is known here: it never reported, or its state has expired."


class UnauthorizedError(JobProgressError):
    """Nobody who may come in is signed in."""

    code = "unauthorized"

    def __str__(self) -> str:
        return "Expected a valid credential of this server for this path: sign in, or send a token or ticket."


class TicketError(UnauthorizedError):
    """A ticket is malformed, not signed by this server, expired, or not for this use."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"Expected a ticket of this server that is valid now: {self.reason}. Ask for a new ticket."


class SettingsError(JobProgressError, ValueError):
    """A setting has a value that cannot work."""

    code = "invalid_setting"

    def __init__(self, name: str, value: object, expected: str) -> None:
        self.name = name
        self.value = value
        self.expected = expected
        super().__init__(name, value, expected)

    def __str__(self) -> str:
        return f"Expected {self.name} to be {self.expected}, got {self.value!r:.120}."


class NoServerError(JobProgressError):
    """A command does not know where the jobs are."""

    def __str__(self) -> str:
        return (
            "Expected to be told where the jobs are, or to find a server of yours that runs here. Set JOBPROGRESS_URL "
            "or REDIS_URL, add --url, or start one with 'jupyter jobprogress serve'."
        )


class NotWatchedError(JobProgressError):
    """The end of a job was waited for, and nobody follows the job any more, or ever did."""

    def __init__(self, jobs: str) -> None:
        self.jobs = jobs
        super().__init__(jobs)

    def __str__(self) -> str:
        return (
            f"Expected to see the end of {self.jobs:.200}, but nothing follows it: the bar was closed, or reporting is "
            "switched off by JOBPROGRESS_DISABLE. Make a new bar."
        )


class StoreError(JobProgressError):
    """A store cannot do what it was asked for."""

    code = "store_unavailable"


class StoreUnavailableError(StoreError):
    """The store does not answer, or answers that it cannot work now. Trying again may help."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(url, reason)

    def __str__(self) -> str:
        reason = self.reason[:300].rstrip(".")
        return (
            f"Expected an answer from the store {self.url}: {reason}. Try again; jobs and viewers do so by themselves."
        )


class StoreDeniedError(StoreError):
    """The store refuses the credential. Trying again without a change does not help."""

    code = "forbidden"

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(url, reason)

    def __str__(self) -> str:
        return (
            f"Expected the store {self.url} to accept the credential: {self.reason:.300}. "
            "Check user, password or token, and what they are allowed to do."
        )


class StoreClosedError(StoreError):
    """The store was closed; make a new one."""

    def __str__(self) -> str:
        return "Expected an open store, got one that was closed. Make a new one with connect(url)."


class BundleMissingError(JobProgressError):
    """The JavaScript of the bar is not installed."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(path)

    def __str__(self) -> str:
        return (
            f"Expected the JavaScript of the bar at {self.path}, which does not exist. "
            "Install the package again ('pip install .' builds it); it was skipped if JOBPROGRESS_SKIP_JS was set."
        )
