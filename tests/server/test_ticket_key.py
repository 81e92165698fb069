"""The list of tickets that were taken back: what stands in it, for how long, and for whom."""

from __future__ import annotations

import stat
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from jupyter_jobprogress.errors import InvalidArgumentError, SettingsError, TicketError
from jupyter_jobprogress.protocol.tickets import Ticket, sign_ticket
from jupyter_jobprogress.server.ticket_key import MOST_REVOKED, TicketKey

AT_ONCE = 200


@pytest.fixture
def key(tmp_path: Path) -> TicketKey:
    return TicketKey(str(tmp_path / "data" / "ticket.key"))


def ticket(key: TicketKey, id: str, tenant: str = "") -> str:
    made = Ticket(jobs="j", actions=("report",), expires_s=int(time.time()) + 60, tenant=tenant, id=id)
    return key.sign(made)


def is_good(key: TicketKey, text: str) -> bool:
    try:
        key.read(text)
    except TicketError:
        return False
    return True


def lines(tmp_path: Path) -> list[str]:
    return (tmp_path / "data" / "ticket.key.revoked").read_text().splitlines()


def test_a_ticket_is_taken_back_by_whose_it_is_and_stands_there_once(key: TicketKey, tmp_path: Path) -> None:
    # Where nothing was signed yet, there is not even a folder.
    for _ in range(3):
        key.revoke("1", tenant="ann")

    assert len(lines(tmp_path)) == 1
    assert stat.S_IMODE((tmp_path / "data" / "ticket.key.revoked").stat().st_mode) == 0o600
    assert [is_good(key, ticket(key, "1", tenant)) for tenant in ("ann", "bob", "")] == [False, True, True]


def test_what_can_no_longer_be_valid_leaves_the_list(key: TicketKey, tmp_path: Path) -> None:
    key.revoke("1", tenant="ann")
    path = tmp_path / "data" / "ticket.key.revoked"
    path.write_text(f"ann/0 {int(time.time()) - 1}\n{path.read_text()}")

    key.revoke("2", tenant="ann")

    assert [line.split()[0] for line in lines(tmp_path)] == ["ann/1", "ann/2"]


def test_a_line_that_is_half_written_harms_no_other(key: TicketKey, tmp_path: Path) -> None:
    key.revoke("1", tenant="ann")
    path = tmp_path / "data" / "ticket.key.revoked"
    path.write_text(f"{path.read_text()}\nann/x")

    assert not is_good(key, ticket(key, "1", "ann"))
    key.revoke("2", tenant="ann")
    assert not is_good(key, ticket(key, "2", "ann"))


@pytest.mark.parametrize("content", [b"", b"secret"])
def test_a_key_that_can_be_guessed_signs_and_opens_nothing(key: TicketKey, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ticket.key").write_bytes(content)
    forged = sign_ticket(Ticket(jobs="*", actions=("cancel",), expires_s=int(time.time()) + 60), content)

    for use in (lambda: key.read(forged), lambda: ticket(key, "1")):
        with pytest.raises(SettingsError, match="delete the file for a new one"):
            use()


def test_nobody_fills_the_list_that_all_read(key: TicketKey, tmp_path: Path) -> None:
    key.revoke("0", tenant="bob")
    path, end_s = tmp_path / "data" / "ticket.key.revoked", int(time.time()) + 60
    path.write_text("".join(f"ann/{number} {end_s}\n" for number in range(MOST_REVOKED)))

    with pytest.raises(InvalidArgumentError, match="shorter life"):
        key.revoke("more", tenant="ann")

    key.revoke("more", tenant="bob")
    assert not is_good(key, ticket(key, "more", "bob"))


def _revoke_many(path: str, tenant: str) -> None:
    key = TicketKey(path)
    for number in range(AT_ONCE):
        key.revoke(str(number), tenant=tenant)


def test_servers_that_share_the_list_take_back_nothing_of_one_another(key: TicketKey, tmp_path: Path) -> None:
    path, context = str(tmp_path / "data" / "ticket.key"), get_context("spawn")
    servers = [context.Process(target=_revoke_many, args=(path, tenant)) for tenant in ("ann", "bob")]
    for server in servers:
        server.start()
    for server in servers:
        server.join(60)

    assert [server.exitcode for server in servers] == [0, 0]
    assert len(lines(tmp_path)) == 2 * AT_ONCE
