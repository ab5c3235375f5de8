"""How what was rendered is kept: compressed, and sealed under the data directory's key.

It holds Secrets in plain, and parameters may; hence nothing of it is stored open. The place where a text
belongs is authenticated with it: a row that was moved does not open.
"""

import os
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stellwerk.release.objects import Key, Manifest
from stellwerk.release.operations.record import Unreadable

_NONCE = 12


class Sealer:
    """Seals and opens."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal_manifests(self, place: str, manifests: Sequence[Manifest]) -> bytes:
        """Seal what a service was rendered to."""
        rows = [
            (tuple(one.key), one.api_version, one.service, one.file, one.body, one.hash) for one in manifests
        ]
        return self._seal(place, msgspec.json.encode(rows))

    def open_manifests(self, place: str, sealed: bytes) -> tuple[Manifest, ...]:
        """Open it again. Raises Unreadable."""
        rows = self._open(place, sealed)
        return tuple(Manifest(Key(*key), *rest) for key, *rest in rows)

    def seal_document(self, place: str, document: Mapping[str, Any]) -> bytes:
        """Seal parameters."""
        return self._seal(place, msgspec.json.encode(document))

    def open_document(self, place: str, sealed: bytes) -> dict[str, Any]:
        """Open them again. Raises Unreadable."""
        document: dict[str, Any] = self._open(place, sealed)
        return document

    def _seal(self, place: str, text: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, zlib.compress(text), _context(place))

    def _open(self, place: str, sealed: bytes) -> Any:
        try:
            text = self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], _context(place))
        except InvalidTag:
            raise Unreadable(f"{place} does not open under the present key") from None
        return msgspec.json.decode(zlib.decompress(text))


def _context(place: str) -> bytes:
    return f"stellwerk.release\0{place}".encode()
