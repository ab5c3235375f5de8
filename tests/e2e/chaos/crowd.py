"""Crowds that want nothing good: silent connections, slow readers, slow writers, floods of bad tokens.

Each is there for a while, and the others go on submitting meanwhile: a crowd ends when they have had some
tasks acknowledged, so what they waited for is measured in the middle of it.
"""

import random
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from e2e.chaos.faults import Fault
from e2e.chaos.sites import Site

SILENT = 10_000
SILENT_S = 4.0
SLOW = 300
SLOW_S = 4.0
FLOOD_S = 4.0
FLOODERS = 4
HEAD = (
    b"POST /tasks/submit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 4096\r\n\r\n"
)
STREAM = b"GET /events/stream?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n"
LIST = b"GET /tasks?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextmanager
def connections(site: Site, count: int, *, narrow: bool = False) -> Iterator[list[socket.socket]]:
    """Open so many connections to the server; `narrow` ones take in little before they must be read."""
    made: list[socket.socket] = []
    try:
        for _ in range(count):
            one = socket.socket()
            made.append(one)
            if narrow:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            one.settimeout(20)
            one.connect(("127.0.0.1", site.reader.port))
        yield made
    finally:
        for one in made:
            # Away without the waits of orderly closing: ports are used again soon.
            with suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()


def silent(site: Site, chance: random.Random) -> None:
    """Connect ten thousand times, and say nothing."""
    with connections(site, SILENT):
        time.sleep(SILENT_S)


def slow_readers(site: Site, chance: random.Random) -> None:
    """Ask for much, and read nothing of it."""
    with connections(site, SLOW, narrow=True) as made:
        for number, one in enumerate(made):
            one.sendall(STREAM if number % 2 else LIST * 5)
        time.sleep(SLOW_S)


def slow_writers(site: Site, chance: random.Random) -> None:
    """Send requests byte by byte."""
    with connections(site, SLOW) as made:
        for one in made:
            one.sendall(HEAD)
        until = time.monotonic() + SLOW_S
        while time.monotonic() < until:
            for one in made:
                with suppress(OSError):
                    one.send(b" ")
            time.sleep(0.2)


def bad_tokens(site: Site, chance: random.Random) -> None:
    """Guess keys as fast as they are refused; assert that none got in and that guessers are shut out."""
    statuses: Counter[int] = Counter()
    until = time.monotonic() + FLOOD_S
    threads = [
        threading.Thread(target=guess, args=(site.url, chance.randrange(1 << 30), until, statuses))
        for _ in range(FLOODERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses and set(statuses) <= {401, 429}, statuses


def guess(url: str, seed: int, until: float, statuses: Counter[int]) -> None:
    chance = random.Random(seed)
    while time.monotonic() < until:
        asked = urllib.request.Request(url + "/keys")
        asked.add_header(
            "Authorization", f"Bearer sk_{chance.randbytes(4).hex()}_{chance.randbytes(16).hex()}"
        )
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                statuses[answer.status] += 1
        except urllib.error.HTTPError as error:
            statuses[error.code] += 1
            error.close()
        except OSError:
            # A crowd of its own: no port was free.
            time.sleep(0.1)


FAULTS = (
    Fault("10,000 silent connections", silent, kills=0),
    Fault(f"{SLOW} slow readers", slow_readers, kills=0),
    Fault(f"{SLOW} slow writers", slow_writers, kills=0),
    Fault("flood of bad tokens", bad_tokens, kills=0),
)
