"""The ring of consistent hashing: every holder at a hundred places of a circle of 2^64.

The places of a holder follow from its name alone, so two replicas draw the same ring, and a holder that
comes or goes moves only the keys of its own arcs. The circle is cut into short arcs of equal width, each a
sorted list: adding a holder to a large ring moves some hundred bytes instead of megabytes.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from hashlib import sha256

from stellwerk.work.balancing.candidate import Candidate
from stellwerk.work.task import Holder

PLACES = 100
"""Virtual nodes of a holder: shares then differ by about a tenth."""
_PLACES_PER_DIGEST = 4
_ARC_BITS = 12
_ARCS = 1 << _ARC_BITS
_SHIFT = 64 - _ARC_BITS
_CIRCLE = 1 << 64


def place_of_key(key: str) -> int:
    """Return where a key lies: the first 64 bits of its SHA-256."""
    return int.from_bytes(sha256(key.encode("utf-8", "surrogatepass")).digest()[:8], "little")


def places_of(holder: Holder) -> "array[int]":
    """Return where a holder stands, sorted: 64-bit words of SHA-256 over its name and a count."""
    name = sha256(f"{holder.group}\0{holder.instance}\0".encode("utf-8", "surrogatepass"))
    words = array("Q")
    for count in range(PLACES // _PLACES_PER_DIGEST):
        digest = name.copy()
        digest.update(b"%d" % count)
        words.frombytes(digest.digest())
    return array("Q", sorted(words))


class Ring:
    """Who follows whom on the circle."""

    def __init__(self) -> None:
        self._arcs: list[tuple[array[int], list[Candidate]]] = [(array("Q"), []) for _ in range(_ARCS)]
        self._places: dict[Candidate, array[int]] = {}

    def add(self, candidate: Candidate) -> None:
        """Put a holder on the ring; no error if it stands there."""
        if candidate in self._places:
            return
        places = self._places[candidate] = places_of(candidate.holder)
        for place in places:
            where, who = self._arcs[place >> _SHIFT]
            index = bisect_left(where, place)
            where.insert(index, place)
            who.insert(index, candidate)

    def discard(self, candidate: Candidate) -> None:
        """Take a holder off the ring; no error if it does not stand there."""
        for place in self._places.pop(candidate, ()):
            where, who = self._arcs[place >> _SHIFT]
            index = who.index(candidate, bisect_left(where, place))
            del where[index]
            del who[index]

    def walk(self, place: int) -> Iterator[Candidate]:
        """Yield the holders in the order in which they stand from here on, once around, at all their places."""
        first = place >> _SHIFT
        where, who = self._arcs[first]
        start = bisect_left(where, place)
        yield from who[start:]
        for arc in range(first + 1, first + _ARCS):
            yield from self._arcs[arc % _ARCS][1]
        yield from who[:start]

    def distance(self, place: int, candidate: Candidate) -> int:
        """Return how far the next place of a holder on the ring is."""
        places = self._places[candidate]
        index = bisect_left(places, place)
        return (places[index if index < PLACES else 0] - place) % _CIRCLE

    def __len__(self) -> int:
        return len(self._places)
