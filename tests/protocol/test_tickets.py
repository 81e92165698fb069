from __future__ import annotations

import base64
import random

import pytest

from jupyter_jobprogress.errors import TicketError
from jupyter_jobprogress.protocol.tickets import Ticket, read_ticket, sign_ticket

KEY = b"k" * 32
TICKET = Ticket(jobs="train-7", actions=("report",), expires_s=1000)


def test_a_ticket_says_what_was_signed() -> None:
    assert read_ticket(sign_ticket(TICKET, KEY), KEY, now_s=999) == TICKET


def test_a_ticket_allows_its_actions_on_its_jobs_alone() -> None:
    prefix = Ticket(jobs="train-*", actions=("report", "watch"), expires_s=0)

    assert TICKET.allows("report", "train-7")
    assert not TICKET.allows("report", "train-70")
    assert not TICKET.allows("watch", "train-7")
    assert prefix.allows("watch", "train-70")
    assert not prefix.allows("watch", "trai")
    assert not prefix.allows("cancel", "train-7")
    assert not prefix.allows_all("watch")
    assert Ticket(jobs="*", actions=("watch",), expires_s=0).allows_all("watch")


def test_an_expired_ticket_is_refused() -> None:
    with pytest.raises(TicketError, match="expired"):
        read_ticket(sign_ticket(TICKET, KEY), KEY, now_s=1001)


def test_another_servers_ticket_is_refused() -> None:
    with pytest.raises(TicketError, match="signature"):
        read_ticket(sign_ticket(TICKET, KEY), b"o" * 32, now_s=0)


def test_no_mutation_is_accepted() -> None:
    text = sign_ticket(TICKET, KEY)
    chance = random.Random(7)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=\u00e4\n "
    accepted = 0

    for _ in range(2000):
        letters = list(text)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(letters))
            match chance.randrange(3):
                case 0:
                    letters[at] = chance.choice(alphabet)
                case 1:
                    letters.insert(at, chance.choice(alphabet))
                case _:
                    del letters[at]
        mutated = "".join(letters)
        if mutated == text:
            continue
        try:
            read_ticket(mutated, KEY, now_s=0)
            accepted += 1
        except TicketError:
            pass

    assert accepted == 0


@pytest.mark.parametrize("payload", [b"{}", b"[]", b"\xff", b'{"jobs":"*","actions":["own"],"expires_s":9}'])
def test_a_signed_payload_that_is_no_ticket_is_refused(payload: bytes) -> None:
    from jupyter_jobprogress.protocol import tickets

    for version, reason in (("jp1", "content"), ("jp2", "version")):
        body = f"{version}.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}"

        with pytest.raises(TicketError, match=reason):
            read_ticket(f"{body}.{tickets._sign(body, KEY)}", KEY, now_s=0)


def test_an_error_quotes_nothing_of_the_ticket() -> None:
    with pytest.raises(TicketError) as caught:
        read_ticket("jp1.c2VjcmV0.c2VjcmV0", KEY, now_s=0)

    assert "c2VjcmV0" not in str(caught.value)
