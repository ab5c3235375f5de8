"""The ring of consistent hashing: every holder at a hundred places of a circle of 2^64.

The places of a holder follow from its name alone, so two replicas draw the same ring, and a holder that
comes or goes moves only the keys of its own arcs. The circle is cut into short arcs of equal width, each a
sorted list: adding a holder to a large ring moves some hundred bytes instead of megabytes.
"""

from array import array
from bisect import bisect_left
from collections.abc import Container, Iterator
from hashlib import sha256
from itertools import chain, islice

from stellwerk.work.balancing.candidate import Candidate
from stellwerk.work.task import Holder

PLACES = 100
"""Virtual nodes of a holder: shares then differ by about a tenth."""
_PLACES_PER_DIGEST = 4
_PLACES_PER_ARC_BITS = 5
_MOST_ARC_BITS = 14


def place_of_key(key: str) -> int:
    """Return where a key lies: the first 64 bits of its SHA-256."""
    return int.from_bytes(sha256(key.encode("utf-8", "surrogatepass")).digest()[:8], "little")


def places_of(holder: Holder) -> "array[int]":
    """Return where a holder stands: 64-bit words of SHA-256 over its name and a count."""
    name = sha256(f"{holder.group}\0{holder.instance}\0".encode("utf-8", "surrogatepass"))
    words = array("Q")
    for count in range(PLACES // _PLACES_PER_DIGEST):
        digest = name.copy()
        digest.update(b"%d" % count)
        words.frombytes(digest.digest())
    return words


class Ring:
    """Who follows whom. `expected` holders fix into how many arcs the circle is cut; None: very many."""

    def __init__(self, expected: int | None = None) -> None:
        bits = _MOST_ARC_BITS
        if expected is not None:
            bits = min(max((expected * PLACES).bit_length() - _PLACES_PER_ARC_BITS, 1), _MOST_ARC_BITS)
        self._shift = 64 - bits
        self._where = [array("Q") for _ in range(1 << bits)]
        self._who: list[list[Candidate]] = [[] for _ in range(1 << bits)]
        self._around = self._who * 2
        self._places: dict[Candidate, array[int]] = {}

    def places(self, candidate: Candidate) -> "array[int]":
        """Return where a holder on the ring stands."""
        return self._places[candidate]

    def add(self, candidate: Candidate, places: "array[int] | None" = None) -> None:
        """Put a holder on the ring, at `places` if they are known already; no error if it stands there."""
        if candidate in self._places:
            return
        places = self._places[candidate] = places_of(candidate.holder) if places is None else places
        for place in places:
            arc = place >> self._shift
            where = self._where[arc]
            index = bisect_left(where, place)
            where.insert(index, place)
            self._who[arc].insert(index, candidate)

    def discard(self, candidate: Candidate) -> None:
        """Take a holder off the ring; no error if it does not stand there."""
        for place in self._places.pop(candidate, ()):
            arc = place >> self._shift
            index = self._who[arc].index(candidate, bisect_left(self._where[arc], place))
            del self._where[arc][index]
            del self._who[arc][index]

    def first(
        self, place: int, suited: Container[Candidate], among: Container[Candidate] | None, patience: int
    ) -> Candidate | None:
        """Return the first suited holder at the next `patience` places of holders `among` (None: of all)."""
        # Nested iterators instead of a loop: nearly full rosters walk the whole way.
        walk = self._walk(place)
        if among is not None:
            walk = filter(among.__contains__, walk)
        return next(filter(suited.__contains__, islice(walk, patience)), None)

    def __len__(self) -> int:
        return len(self._places)

    def _walk(self, place: int) -> Iterator[Candidate]:
        """Return the holders as they stand from here on, once around, each at all its places."""
        arc = place >> self._shift
        start = bisect_left(self._where[arc], place)
        others = map(self._around.__getitem__, range(arc + 1, arc + len(self._who)))
        return chain(
            islice(self._who[arc], start, None), chain.from_iterable(others), islice(self._who[arc], start)
        )
