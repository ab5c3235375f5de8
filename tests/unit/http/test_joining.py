"""Heads leave with their bodies, and never later than their turn of the loop."""

import asyncio
from collections.abc import Sequence
from typing import cast

from stellwerk.http.joining import JoiningTransport

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class FakeTransport:
    """Notes every call that would reach the kernel."""

    def __init__(self) -> None:
        self.sent: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def writelines(self, parts: Sequence[bytes]) -> None:
        self.sent.append(b"".join(parts))

    def close(self) -> None:
        self.sent.append("closed")

    def is_closing(self) -> bool:
        return False


def joining() -> tuple[JoiningTransport, FakeTransport]:
    fake = FakeTransport()
    return JoiningTransport(cast(asyncio.Transport, fake), asyncio.get_running_loop()), fake


async def test_a_head_and_its_body_are_one_write() -> None:
    transport, fake = joining()
    transport.write(HEAD)
    transport.write(b"{}")
    await asyncio.sleep(0)
    assert fake.sent == [HEAD + b"{}"]


async def test_an_empty_body_lets_the_head_go() -> None:
    transport, fake = joining()
    transport.write(HEAD)
    transport.write(b"")
    assert fake.sent == [HEAD]


async def test_a_large_body_is_handed_over_in_the_same_call() -> None:
    transport, fake = joining()
    transport.write(HEAD)
    transport.write(b"x" * 100_000)
    assert fake.sent == [HEAD + b"x" * 100_000]


async def test_a_head_without_a_body_goes_out_in_the_same_turn() -> None:
    transport, fake = joining()
    transport.write(HEAD)
    assert fake.sent == []
    await asyncio.sleep(0)
    assert fake.sent == [HEAD]


async def test_an_interim_answer_is_not_held() -> None:
    transport, fake = joining()
    transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert fake.sent == [b"HTTP/1.1 100 Continue\r\n\r\n"]


async def test_nothing_held_is_lost_by_closing() -> None:
    transport, fake = joining()
    transport.write(HEAD)
    transport.close()
    await asyncio.sleep(0)
    assert fake.sent == [HEAD, "closed"]


async def test_everything_else_passes_through() -> None:
    transport, _ = joining()
    assert transport.is_closing() is False
