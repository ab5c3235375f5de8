"""TLS of listeners: the certificate shown, the roots that vouch for agents, both changed while serving.

Theory of operation. TLS 1.3 only and no session tickets: a resumed session would bring back a certificate
without looking at it. A client certificate is asked for and may be missing; routes that need one refuse by
themselves. OpenSSL checks chain and purpose. Validity is not its business here (`NO_CHECK_TIME`): whoever is
refused during the handshake never learns why, so expiry, like revocation, is judged on every request and
answered with its reason.

A context cannot be changed safely while it serves. Each listener therefore has a *front* that never changes
and puts the *current* context in its place at the beginning of every handshake. Both must ask for client
certificates in the same way, else OpenSSL asks for none. Files are looked at every few seconds; a pair that
does not fit (half written, say) leaves the old one in place and is tried again.
"""

import ssl
from pathlib import Path

import structlog

from stellwerk.loop import Loop

LOOK_S = 2.0
NO_CHECK_TIME = 0x200000
"""OpenSSL's `X509_V_FLAG_NO_CHECK_TIME`, which Python does not name."""
ANSWERED = frozenset({"CERTIFICATE_VERIFY_FAILED", "UNSUPPORTED_PROTOCOL"})
"""Why handshakes fail whose peers speak TLS and would act on the reason."""

log = structlog.get_logger(__name__)

Version = tuple[int, int, int]


class Tls:
    """The server side of TLS for any number of listeners."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Load the files. Raises OSError (also ssl.SSLError) if they do not fit."""
        self._certificate = certificate
        self._key = key
        self._roots: str | None = None
        self._seen = self._versions()
        self._current = self._build()
        self.loop = Loop("http.tls_files", self._watch)

    def trust(self, roots: str) -> None:
        """Ask clients for certificates of these roots (PEM), from the next handshake on.

        The first call comes before `front`.
        """
        self._roots = roots
        try:
            self._current = self._build()
        except OSError as error:
            # New roots must not wait for the files. Old ones go when the files fit again.
            self._current.load_verify_locations(cadata=roots)
            self._seen = (None, None)
            log.warning("certificate files do not fit, keeping the old ones", error=str(error))

    def front(self) -> ssl.SSLContext:
        """Make the context of one listener."""
        front = self._build()
        front.sslobject_class = Handshake

        def choose(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            connection.context = self._current

        # Called without a server name too.
        front.sni_callback = choose
        return front

    async def start(self) -> None:
        """Begin to watch the files; again is no error."""
        self.loop.start()

    async def stop(self) -> None:
        """Stop watching; again is no error."""
        await self.loop.stop()

    def reload(self) -> bool:
        """Load changed files; tell whether there were any and they fit."""
        versions = self._versions()
        if versions == self._seen:
            return False
        try:
            self._current = self._build()
        except OSError as error:
            # Not remembered as seen: the second file of the pair may follow within the same clock tick.
            log.warning("certificate files do not fit, keeping the old ones", error=str(error))
            return False
        self._seen = versions
        log.info("certificate reloaded", certificate=str(self._certificate))
        return True

    async def _watch(self) -> None:
        while await self.loop.rest(LOOK_S):
            self.reload()

    def _versions(self) -> tuple[Version | None, Version | None]:
        return _version(self._certificate), _version(self._key)

    def _build(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self._certificate, self._key)
        if self._roots is not None:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.verify_flags |= NO_CHECK_TIME
            context.load_verify_locations(cadata=self._roots)
        return context


class Handshake(ssl.SSLObject):
    """Lets a refused peer have the alert that says why.

    The event loop drops a connection whose handshake failed together with the alert that OpenSSL has written
    for it. As long as it believes that the peer is to speak next, it sends the alert first.
    """

    _failed = False

    def do_handshake(self) -> None:
        """Go on with the handshake; fail at the second call after it failed."""
        try:
            super().do_handshake()
        except ssl.SSLError as error:
            if self._failed or error.reason not in ANSWERED:
                raise
            self._failed = True
            raise ssl.SSLWantReadError from error


def _version(path: Path) -> Version | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
