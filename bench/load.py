"""Loads one HTTP/1.1 server from a process of its own, and records every latency.

`python -m bench.load` reads a `LoadPlan` as JSON from stdin and writes a `LoadResult` as JSON to stdout.

Theory of operation: one event loop, one protocol object a connection, requests precomputed as bytes and
sent in turn. Closed loop (`rate` 0): every connection sends its next request when the answer is complete,
so the latency is that of a saturated server. Open loop (`rate` > 0): requests fall due by the clock, wait
for an idle connection if there is none, and their latency counts from when they were *due*, so that a
stalled server cannot hide its stall (coordinated omission). Nothing is parsed but the status and the
content length: the generator must stay several times cheaper than the server that it measures.
"""

import asyncio
import ssl
import sys
import time
from array import array
from collections import Counter, deque
from typing import cast

import msgspec
import uvloop

from bench.wire import give_up

STAMP = b"0000000000000000"
"""Sixteen digits in a request that `LoadPlan.stamp` replaces by the microsecond of sending."""

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"
TICK_S = 0.001
DRAIN_S = 10.0


class Tls(msgspec.Struct, frozen=True):
    """How connections are made over TLS. Connection number n shows pair n and sends request n only."""

    roots: str
    """File of what the server is verified by."""
    pairs: list[str]
    """Files of keys and certificates; empty: none is shown, and requests go over any connection."""

    def contexts(self) -> list[ssl.SSLContext]:
        """Make a client's context for each pair."""
        if not self.pairs:
            return [client_context(self.roots, None)]
        return [client_context(self.roots, pair) for pair in self.pairs]


def client_context(roots: str, pair: str | None) -> ssl.SSLContext:
    """Make the context of one client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(roots)
    if pair is not None:
        context.load_cert_chain(pair)
    return context


class LoadPlan(msgspec.Struct, frozen=True):
    """What to send: `requests` in turn, until `seconds` have passed or `count` answers are in (0: no such
    end).
    """

    host: str
    port: int
    connections: int
    requests: list[bytes]
    seconds: float = 0.0
    count: int = 0
    warm_s: float = 0.0
    """Answers of the first seconds are not recorded."""
    rate: float = 0.0
    """Requests per second, open loop; 0 is closed loop."""
    stamp: bool = False
    tls: Tls | None = None
    reconnect: bool = False
    """Every request on a connection of its own, whose opening counts as part of it; closed loop only."""


class LoadResult(msgspec.Struct, frozen=True):
    """What came back. Times are microseconds; `first_sent_us` and `last_answer_us` are of the monotonic
    clock.
    """

    answers: int
    seconds: float
    statuses: dict[str, int]
    lost_connections: int
    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float
    first_sent_us: int
    last_answer_us: int
    refusal: str = ""
    """The first answer that was not 2xx, cut short."""

    @property
    def per_second(self) -> float:
        return self.answers / self.seconds if self.seconds else 0.0

    @property
    def all_accepted(self) -> bool:
        return self.lost_connections == 0 and all(status.startswith("2") for status in self.statuses)


class Load:
    """One run of a plan."""

    def __init__(self, plan: LoadPlan) -> None:
        self.plan = plan
        self.latencies = array("d")
        self.statuses: Counter[bytes] = Counter()
        self.lost = 0
        self.refusal = b""
        self.issued = 0
        self.running = True
        self.record_from = 0.0
        self.first_sent = 0.0
        self.last_answer = 0.0
        self.idle: deque[Connection] = deque()
        self.due: deque[float] = deque()
        self.finished = asyncio.Event()
        self.contexts: list[ssl.SSLContext] = []
        self.opening: set[asyncio.Task[None]] = set()

    def next_request(self, connection: int) -> bytes | None:
        plan = self.plan
        if not self.running or (plan.count and self.issued >= plan.count):
            return None
        number = connection if plan.tls is not None and plan.tls.pairs else self.issued
        request = plan.requests[number % len(plan.requests)]
        self.issued += 1
        if plan.stamp:
            return request.replace(STAMP, b"%016d" % (time.time_ns() // 1_000), 1)
        return request

    def answered(self, connection: "Connection", status: bytes, now: float) -> None:
        if now >= self.record_from:
            self.latencies.append(now - connection.sent_at)
            self.statuses[status] += 1
            self.last_answer = now
            if self.plan.count and len(self.latencies) >= self.plan.count:
                self.finished.set()
        if self.plan.rate:
            self.idle.append(connection)
            self.send_due()
        elif self.plan.reconnect:
            connection.leave()
            self.open_again(connection.number)
        else:
            connection.send(now)

    def send_due(self) -> None:
        while self.due and self.idle:
            self.idle.popleft().send(self.due.popleft())

    async def run(self) -> LoadResult:
        plan = self.plan
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(give_up)
        started = time.perf_counter()
        self.record_from = started + plan.warm_s
        self.first_sent = started
        self.contexts = [] if plan.tls is None else plan.tls.contexts()
        for number in range(plan.connections):
            await self.open(number)
        if plan.rate:
            await self.follow_the_clock()
        else:
            await self.until_the_end()
        ended = self.last_answer if plan.count else time.perf_counter()
        self.running = False
        return self.result(ended - max(self.record_from, self.first_sent))

    async def open(self, number: int) -> None:
        context = self.contexts[number % len(self.contexts)] if self.contexts else None
        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        await loop.create_connection(
            lambda: Connection(self, number, began), self.plan.host, self.plan.port, ssl=context
        )

    def open_again(self, number: int) -> None:
        if self.running:
            self.opening = {task for task in self.opening if not task.done()}
            self.opening.add(asyncio.get_running_loop().create_task(self.open(number)))

    async def until_the_end(self) -> None:
        limit = self.plan.warm_s + self.plan.seconds if self.plan.seconds else None
        try:
            await asyncio.wait_for(self.finished.wait(), limit)
        except TimeoutError:
            return

    async def follow_the_clock(self) -> None:
        plan = self.plan
        started = time.perf_counter()
        fallen_due = 0
        total = plan.count or int((plan.warm_s + plan.seconds) * plan.rate)
        while fallen_due < total:
            target = min(total, 1 + int((time.perf_counter() - started) * plan.rate))
            for number in range(fallen_due, target):
                self.due.append(started + number / plan.rate)
            fallen_due = max(fallen_due, target)
            self.send_due()
            await asyncio.sleep(TICK_S)
        for _ in range(int(DRAIN_S / TICK_S)):
            if not self.due and len(self.idle) == plan.connections:
                return
            await asyncio.sleep(TICK_S)

    def result(self, seconds: float) -> LoadResult:
        ordered = sorted(self.latencies)

        def quantile(share: float) -> float:
            return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e6 if ordered else 0.0

        return LoadResult(
            answers=len(ordered),
            seconds=seconds,
            statuses={status.decode(): count for status, count in self.statuses.items()},
            lost_connections=self.lost,
            p50_us=quantile(0.5),
            p90_us=quantile(0.9),
            p99_us=quantile(0.99),
            max_us=ordered[-1] * 1e6 if ordered else 0.0,
            first_sent_us=int(self.first_sent * 1e6),
            last_answer_us=int(self.last_answer * 1e6),
            refusal=self.refusal.decode(errors="replace"),
        )


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    __slots__ = ("began", "buffer", "left", "load", "missing", "number", "sent_at", "status", "transport")

    def __init__(self, load: Load, number: int, began: float) -> None:
        self.load = load
        self.number = number
        self.began = began
        self.left = False
        self.transport: asyncio.Transport
        self.sent_at = 0.0
        self.missing = 0
        self.status = b""
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self.load.plan.rate:
            self.load.idle.append(self)
        else:
            self.send(self.began if self.load.plan.reconnect else time.perf_counter())

    def send(self, at: float) -> None:
        request = self.load.next_request(self.number)
        if request is not None:
            self.sent_at = at
            self.transport.write(request)

    def leave(self) -> None:
        """End the connection from this side."""
        self.left = True
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.missing:
            self.missing -= len(data)
        else:
            if self.buffer:
                data = self.buffer + data
            head = data.find(HEAD_END)
            if head < 0:
                self.buffer = data
                return
            self.buffer = b""
            self.status = data[9:12]
            self.missing = head + 4 + content_length(data, head) - len(data)
            if self.status[:1] != b"2" and not self.load.refusal:
                self.load.refusal = data[:600]
        if self.missing <= 0:
            self.missing = 0
            self.load.answered(self, self.status, time.perf_counter())

    def connection_lost(self, exc: Exception | None) -> None:
        if self.load.running and not self.left:
            self.load.lost += 1


def content_length(data: bytes, head_end: int) -> int:
    """Read the body's size in bytes. Raise ValueError for an answer without one: the bench sends no such
    request.
    """
    at = data.find(LENGTH, 0, head_end)
    if at < 0:
        lowered = data[:head_end].lower()
        at = lowered.find(LENGTH)
        if at < 0:
            raise ValueError(f"answer without a content length: {data[:200]!r}")
    return int(data[at + len(LENGTH) : data.find(b"\r\n", at, head_end + 2)])


def request(method: str, path: str, body: bytes | None = None, headers: str = "") -> bytes:
    """Build the bytes of one request; `headers` are whole lines that end with CRLF."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}"
    if body is None and method == "GET":
        return f"{head}\r\n".encode()
    content = body or b""
    typed = "Content-Type: application/json\r\n" if content else ""
    return f"{head}{typed}Content-Length: {len(content)}\r\n\r\n".encode() + content


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=LoadPlan)

    async def run() -> LoadResult:
        return await Load(plan).run()

    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(run())))


if __name__ == "__main__":
    main()
