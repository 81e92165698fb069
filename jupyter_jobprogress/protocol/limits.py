"""Limits of the protocol (docs/protocol.md, section 3). One place, so that docs, tests and code agree."""

STATE_BYTES = 64 * 1024
"""Largest encoded state, history apart."""

HISTORY_BYTES = 16 * 1024
"""Largest encoded history."""

HISTORY_POINTS = 128
"""Most points in one series of a history."""

TEXT_BYTES = 4 * 1024
"""Longest ``message`` and ``error`` in UTF-8; longer ones are cut and marked."""

LABEL_BYTES = 256
"""Longest ``stage``, ``title`` and ``unit`` in UTF-8; longer ones are cut and marked."""

NESTING = 16
"""Deepest nesting of containers in ``metadata`` and ``result``."""

METRICS = 32
"""Most names in ``metrics``."""

STAGES = 32
"""Most stages in one state; further ones are not listed."""

JOB_ID_LENGTH = 200
"""Longest job id, in characters, all of them ASCII."""

HEARTBEAT_S = 10.0
"""Longest silence of a healthy reporter that heartbeats."""

STALLED_HEARTBEATS = 3
LOST_HEARTBEATS = 12

FRAME_BYTES = 128 * 1024
"""Largest frame that a reporter may send: a state, its history and the command around them."""

UPDATE_BYTES = STATE_BYTES + HISTORY_BYTES
"""Largest update in the body of a request: a state and its history."""

UPDATES = 1000
"""Most updates in one request."""

UPDATES_BYTES = 1024 * 1024
"""Largest body of several updates."""
