"""Sessions that stick: weighted rendezvous hashing.

Every choice has a score for a session, drawn from a hash of both and bent by the weight; the highest wins
(Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005). Nothing is remembered, so every
replica agrees, also after a restart. When a choice goes away only its own sessions move, and when it comes
back they return; a changed weight moves no more sessions than it must.
"""

from collections.abc import Iterable
from hashlib import blake2b
from math import log

_SCALE = 2.0**64


def stick(session: str, choices: Iterable[tuple[str, int]]) -> str:
    """Choose among (name, weight), weights above 0; there is at least one."""
    key = session.encode("utf-8", "surrogatepass")
    best, highest = "", -1.0
    for name, weight in choices:
        score = weight / -log(_fraction(key, name))
        if score > highest:
            best, highest = name, score
    return best


def _fraction(key: bytes, name: str) -> float:
    digest = blake2b(name.encode() + b"\0" + key, digest_size=8).digest()
    # The half keeps it off 0 and, but for rounding, off 1.
    return min((int.from_bytes(digest, "big") + 0.5) / _SCALE, 1 - 2**-53)
