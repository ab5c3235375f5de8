"""An agent that costs nothing: it answers every call with the same few bytes.

`python -m bench.node URL` registers `hello` with its function `greet`, gives signs of life, prints its port.
HTTP is spoken by hand on uvloop, so that the measured process is the control plane.
"""

import asyncio
import json
import sys
import threading
import time
import urllib.request
from typing import cast

import uvloop

BODY = b'{"greeting":"hello"}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
) + BODY
HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"
BEAT_S = 2.0


class Greeter(asyncio.Protocol):
    """One keep-alive connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(HEAD_END)) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(LENGTH)
            size = int(head[at + len(LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + len(HEAD_END) + size:
                return
            self.buffer = self.buffer[end + len(HEAD_END) + size :]
            self.transport.write(ANSWER)


def join(url: str, port: int) -> None:
    """Register, then give signs of life for ever; print the port after the first."""
    said = {"version": "1.0.0", "instance_id": "bench"}
    node = {"id": "hello", "base_url": f"http://127.0.0.1:{port}", "reasoners": [{"id": "greet"}], **said}
    post(f"{url}/api/v1/nodes/register", node)
    post(f"{url}/api/v1/nodes/hello/heartbeat", {"status": "ready", **said})
    print(port, flush=True)
    while True:
        time.sleep(BEAT_S)
        post(f"{url}/api/v1/nodes/hello/heartbeat", {"status": "ready", **said})


def post(url: str, body: dict[str, object]) -> None:
    """Send one request; whatever it answers with is read and dropped."""
    asked = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        answer.read()


async def serve(url: str) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Greeter, "127.0.0.1", 0, backlog=1_024)
    port = server.sockets[0].getsockname()[1]
    threading.Thread(target=join, args=(url, port), daemon=True).start()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
