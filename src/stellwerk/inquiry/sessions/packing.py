"""Evidence as it is stored: compressed JSON."""

import zlib

import msgspec

from stellwerk.inquiry.model import Bundle

_BUNDLE = msgspec.json.Decoder(Bundle)
LEVEL = 1
"""The quickest: evidence is text that repeats itself, and shrinks to a tenth anyway."""


def pack(bundle: Bundle) -> bytes:
    """Write evidence."""
    return zlib.compress(msgspec.json.encode(bundle), LEVEL)


def unpack(packed: bytes) -> Bundle:
    """Read evidence."""
    return _BUNDLE.decode(zlib.decompress(packed))
