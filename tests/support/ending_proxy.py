"""A proxy that ends TLS, verifies client certificates and forwards them in a header, as RFC 9440 says."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

HEAD_END = b"\r\n\r\n"


class EndingProxy:
    """Forwards to a plain port; `requests` are the first lines of what passed."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        shown = writer.get_extra_info("ssl_object").getpeercert(True)
        header = b"" if shown is None else b"Client-Cert: :" + base64.b64encode(shown) + b":\r\n"
        inner, outer = await asyncio.open_connection("127.0.0.1", self._target)
        back = asyncio.create_task(copy(inner, writer))
        try:
            while True:
                head = await reader.readuntil(HEAD_END)
                first, _, rest = head.partition(b"\r\n")
                self.requests.append(first)
                outer.write(first + b"\r\n" + header + rest)
                if b"\r\nupgrade:" in head.lower():
                    await copy(reader, outer)
                    return
                outer.write(await reader.readexactly(length(head)))
        except (asyncio.IncompleteReadError, OSError):
            return
        finally:
            back.cancel()
            outer.close()
            writer.close()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end of either side."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


def length(head: bytes) -> int:
    """Return the size of a request's body."""
    lines = head.lower().split(b"\r\n")
    return next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)


@asynccontextmanager
async def ending_proxy(target: int, pair: Path, agent_roots: str) -> AsyncIterator[tuple[EndingProxy, str]]:
    """Run one and return it with its URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    context.load_verify_locations(cadata=agent_roots)
    context.verify_mode = ssl.CERT_OPTIONAL
    proxy = EndingProxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=context)
    yield proxy, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
