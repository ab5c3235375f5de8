"""Usual answers leave in one write; unusual ones, and faults, go the server's own way."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from stellwerk.http.cycle import Cycle, _split


class FakeTransport:
    """Notes every call that would reach the kernel."""

    def __init__(self) -> None:
        self.sent: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.sent.append("closed")

    def is_closing(self) -> bool:
        return False


def cycle(method: str = "GET", keep_alive: bool = True) -> tuple[Cycle, FakeTransport]:
    fake = FakeTransport()
    made: Any = Cycle(
        scope={"method": method},  # type: ignore[typeddict-item,arg-type]
        transport=fake,  # type: ignore[arg-type]
        flow=SimpleNamespace(write_paused=False, resume_reading=lambda: None),  # type: ignore[arg-type]
        logger=None,  # type: ignore[arg-type]
        access_logger=None,  # type: ignore[arg-type]
        access_log=False,
        default_headers=[(b"date", b"today")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: fake.sent.append("complete"),
    )
    return made, fake


def start(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": 200, "headers": list(headers)}


def part(data: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


HEAD = b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\n\r\n"
TWO = (b"content-length", b"2")


async def test_a_head_and_its_body_are_one_write() -> None:
    answer, fake = cycle()
    await answer.send(start(TWO))
    assert fake.sent == []
    await answer.send(part(b"{}"))
    assert fake.sent == [HEAD + b"{}", "complete"]


async def test_a_body_in_parts_follows_its_head() -> None:
    answer, fake = cycle()
    await answer.send(start(TWO))
    await answer.send(part(b"{", more=True))
    await answer.send(part(b"}"))
    assert fake.sent == [HEAD, b"{", b"}", "complete"]


async def test_a_body_of_another_length_than_said_is_refused() -> None:
    for body in (b"{", b"{ }"):
        answer, _ = cycle()
        await answer.send(start(TWO))
        with pytest.raises(RuntimeError, match="Content-Length"):
            await answer.send(part(body))


async def test_a_header_cannot_smuggle_in_another() -> None:
    for name, value in ((b"x", b"a\r\nset-cookie: b"), (b"x", b"a\nb"), (b"x", b"a\0"), (b"x\r\ny", b"a")):
        answer, fake = cycle()
        with pytest.raises(RuntimeError, match="Invalid HTTP header"):
            await answer.send(start(TWO, (name, value)))
        assert fake.sent == []


async def test_a_connection_that_ends_says_so() -> None:
    answer, fake = cycle(keep_alive=False)
    await answer.send(start(TWO))
    await answer.send(part(b"{}"))
    assert fake.sent == [HEAD[:-2] + b"connection: close\r\n\r\n", b"{}", "closed", "complete"]


async def test_an_answer_to_head_has_no_body() -> None:
    answer, fake = cycle("HEAD")
    await answer.send(start(TWO))
    await answer.send(part(b"{}"))
    assert fake.sent == [HEAD, "complete"]


async def test_a_stream_goes_out_in_chunks_as_it_comes() -> None:
    answer, fake = cycle()
    await answer.send(start())
    await answer.send(part(b"a", more=True))
    await answer.send(part(b""))
    head = b"HTTP/1.1 200 OK\r\ndate: today\r\ntransfer-encoding: chunked\r\n\r\n"
    assert fake.sent == [head, b"1\r\na\r\n", b"0\r\n\r\n", "complete"]


def test_paths_are_split_from_their_queries() -> None:
    assert _split(b"/a/b?c=d?e") == (b"/a/b", b"c=d?e")
    assert _split(b"/a") == (b"/a", b"")
    assert _split(b"/a?b#c") == (b"/a", b"b")
    assert _split(b"http://host/a?b") == (b"/a", b"b")
