"""The ceiling: a bare ASGI application behind the same HTTP server and flags, which reads the body and
answers JSON.

What a handler of this kind cannot reach, no product on the same server can: every figure is shown as a
share of it.
"""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import uvicorn

Message = dict[str, Any]
ANSWER = msgspec.json.encode(
    {
        "status": "success",
        "message": "Task submitted successfully",
        "task_id": "00000000-0000-0000-0000-000000000000",
        "priority": "normal",
        "submitted_at": "2026-01-01T00:00:00.000000+00:00",
    }
)
START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))],
}
BODY: Message = {"type": "http.response.body", "body": ANSWER}


async def application(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if body:
        msgspec.json.decode(body)
    await send(START)
    await send(BODY)


def main() -> None:
    """Listen on the descriptor named by the first argument; the starter knows the port already.

    A second one names the file of key and certificate: then it speaks TLS.
    """
    pair = sys.argv[2] if len(sys.argv) > 2 else None
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        ssl_certfile=pair,
        ssl_keyfile=pair,
    )
    listener = socket.socket(fileno=int(sys.argv[1]))
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve([listener]))


if __name__ == "__main__":
    main()
