"""The interface of deployment agents behind real TLS listeners, called by clients that show certificates."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from stellwerk.http.gate import Gate
from stellwerk.http.listener import Listener, Serving, bind
from stellwerk.http.protocol import Connections
from stellwerk.http.tls import NO_CHECK_TIME, Tls
from stellwerk.settings import AccessSettings, LimitSettings
from support.machines import MADE_KEYS, Answer, Caller, Machines, Stream


class Wallet:
    """The agents' side of TLS: keys by public key, contexts by certificate."""

    def __init__(self, folder: Path, roots: str) -> None:
        self._folder = folder
        self._roots = roots
        self._keys: dict[bytes, Any] = {}
        self._contexts: dict[str | None, ssl.SSLContext] = {}

    def keep(self, key_pem: str) -> None:
        """Keep a key that the server made."""
        key = load_pem_private_key(key_pem.encode(), None)
        self._keys[_public(key)] = key

    def context(self, certificate: str | None) -> ssl.SSLContext:
        """Return a client's context that shows a certificate."""
        if certificate not in self._contexts:
            self._contexts[certificate] = self._make(certificate)
        return self._contexts[certificate]

    def pair(self, certificate: str) -> Path:
        """Write a certificate with its key into a file."""
        self._keys |= {_public(key): key for key in MADE_KEYS}
        leaf = x509.load_pem_x509_certificate(certificate.encode())
        secret = self._keys[_public(leaf)].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file = self._folder / f"{leaf.serial_number:x}.pem"
        file.write_text(secret.decode() + certificate)
        return file

    def _make(self, certificate: str | None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self._roots)
        context.verify_flags |= NO_CHECK_TIME  # The server's certificate lives by the test's clock.
        if certificate is not None:
            context.load_cert_chain(self.pair(certificate))
        return context


@dataclass(slots=True)
class SecureCaller(Caller):
    """Sends requests over TLS and shows its certificate."""

    url: str = ""
    wallet: Wallet = field(kw_only=True)
    session: aiohttp.ClientSession = field(kw_only=True)

    async def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        context = self.wallet.context(self.certificate)
        sent = {"content-type": "application/json", **self.headers, **(headers or {})}
        async with self.session.request(
            method, self.url + path, data=data, headers=sent, ssl=context
        ) as answer:
            raw = await answer.read()
            named = {name.lower(): value for name, value in answer.headers.items()}
        is_json = named.get("content-type") == "application/json" and raw
        decoded = json.loads(raw) if is_json else raw
        if path.endswith("/register") and answer.status == 201 and "key" in decoded["certificate"]:
            self.wallet.keep(decoded["certificate"]["key"])
        return Answer(answer.status, decoded, named)

    @asynccontextmanager
    async def stream(self, path: str) -> AsyncIterator[Stream]:
        """Open a WebSocket."""
        stream = Stream()
        serving = asyncio.create_task(self._serve(stream, path))
        try:
            yield stream
        finally:
            serving.cancel()
            await asyncio.wait({serving})

    async def _serve(self, stream: Stream, path: str) -> None:
        try:
            socket = await connect(
                self.url.replace("https", "wss") + path,
                ssl=self.wallet.context(self.certificate),
                subprotocols=["agent.v1"],  # type: ignore[list-item]  # a NewType of str
                additional_headers=self.headers,
                compression=None,
                proxy=None,
            )
        except InvalidStatus as refused:
            await stream.take(
                {"type": "websocket.http.response.start", "status": refused.response.status_code}
            )
            await stream.take({"type": "websocket.http.response.body", "body": refused.response.body})
            return
        await stream.take({"type": "websocket.accept", "subprotocol": socket.subprotocol})
        speaking = asyncio.create_task(self._speak(stream, socket))
        try:
            while True:
                await stream.take({"type": "websocket.send", "text": await socket.recv()})
        except ConnectionClosed as closed:
            code = 1006 if closed.rcvd is None else closed.rcvd.code
            await stream.take({"type": "websocket.close", "code": code})
        finally:
            speaking.cancel()
            await socket.close()

    @staticmethod
    async def _speak(stream: Stream, socket: Any) -> None:
        while (message := await stream.incoming.get())["type"] == "websocket.receive":
            await socket.send(message["text"])


@asynccontextmanager
async def secured(
    machines: Machines,
    folder: Path,
    access: AccessSettings | None = None,
    limits: LimitSettings | None = None,
) -> AsyncIterator[Machines]:
    """Put the interface behind TLS listeners and return it with callers that use them."""
    tls = Tls(machines.identities.server_certificate, machines.identities.server_certificate)
    tls.trust(machines.identities.agent_ca)
    unlisten = machines.identities.on_trust_changed(lambda: tls.trust(machines.identities.agent_ca))
    wallet = Wallet(folder, machines.identities.server_ca)
    limits = limits or LimitSettings()
    serving = Serving(
        limits, access or AccessSettings(), Connections(limits.connections), 5.0, machines.clock
    )
    gates = [machines.open.gate, machines.closed.gate]
    listeners = [Listener("tls", bind("127.0.0.1", 0), gate, serving, tls) for gate in gates]
    for listener in listeners:
        await listener.start()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        def caller(listener: Listener, gate: Gate) -> Caller:
            return SecureCaller(gate, url=listener.url, wallet=wallet, session=session)

        yield replace(machines, **dict(zip(("open", "closed"), map(caller, listeners, gates), strict=True)))
        unlisten()
    await asyncio.gather(*(listener.stop() for listener in listeners))


def _public(holder: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import PublicFormat

    key: bytes = holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key
