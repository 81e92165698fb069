"""What the other end of a socket or request may do, whoever it is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from msgspec import Struct

from jupyter_jobprogress.protocol.tickets import Action


class Grant(Protocol):
    """A ``Ticket`` is one; so is what a server's authorizer allows a user."""

    @property
    def tenant(self) -> str:
        """Whose jobs they are; empty on a server that is not shared."""

    @property
    def actions(self) -> Collection[Action]:
        """What is allowed at all, on some job."""

    def allows(self, action: Action, job_id: str) -> bool:
        """Whether ``action`` on ``job_id`` is allowed."""

    def allows_all(self, action: Action) -> bool:
        """Whether ``action`` on every job is allowed: what listing asks for."""


class UserGrant(Struct, frozen=True):
    """What the authorizer of the server lets a user do, to all jobs of the tenant alike. ``operator``: he may also look
    at what concerns all tenants."""

    actions: frozenset[Action]
    tenant: str = ""
    operator: bool = True

    def allows(self, action: Action, job_id: str) -> bool:
        return action in self.actions

    def allows_all(self, action: Action) -> bool:
        return action in self.actions


EVERYTHING: Final = UserGrant(frozenset({"watch", "report", "cancel"}))
