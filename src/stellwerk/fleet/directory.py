"""The read model: every agent in memory, found by what it offers.

Each attribute value has a set of the agents that have it, and all agents stand in one order: healthiest
first, then by registration. A search takes the rarest of its terms and sorts those few; only where even the
rarest term is common does it walk the order instead and stops at its limit. So its cost follows the answer,
not the fleet. A heartbeat touches neither sets nor order unless the health score changes. Not thread-safe: it
belongs to the event loop.
"""

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterable, Iterator
from itertools import chain, islice, takewhile
from operator import attrgetter
from typing import Generic, TypeVar

from stellwerk.fleet.model import AgentQuery, AgentView, FleetCounts, Standing

K = TypeVar("K", bound=Hashable)

OrderKey = tuple[float, int, str]

_WALK_FROM_SHARE = 8
"""Walking the order beats sorting once a term holds this share (1/8) of all agents: sorting n costs about
eight steps each."""


class _Entry:
    __slots__ = ("key", "view")

    def __init__(self, view: AgentView) -> None:
        self.view = view
        self.key = _order_key(view)

    def __lt__(self, other: "_Entry") -> bool:
        return self.key < other.key


Term = tuple[set[_Entry], ...]
"""Disjoint sets; an agent satisfies the term by being in one of them."""


class _Postings(Generic[K]):
    """The agents that have an attribute, by its value."""

    __slots__ = ("by_value",)

    def __init__(self) -> None:
        self.by_value: dict[K, set[_Entry]] = {}

    def add(self, entry: _Entry, values: Iterable[K]) -> None:
        for value in values:
            holders = self.by_value.get(value)
            if holders is None:
                self.by_value[value] = {entry}
            else:
                holders.add(entry)

    def discard(self, entry: _Entry, values: Iterable[K]) -> None:
        for value in values:
            holders = self.by_value.get(value)
            if holders is not None:
                holders.discard(entry)
                if not holders:
                    del self.by_value[value]

    def move(self, entry: _Entry, old: Iterable[K], new: Iterable[K]) -> None:
        if old is not new and old != new:
            self.discard(entry, old)
            self.add(entry, new)

    def term(self, value: K) -> Term:
        holders = self.by_value.get(value)
        return () if holders is None else (holders,)


class Directory:
    """Holds the views of all groups; `put` and `remove` keep the indexes."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._order: list[_Entry] = []
        self._instances = 0
        self._capabilities: _Postings[str] = _Postings()
        self._services: _Postings[str] = _Postings()
        self._tags: _Postings[str] = _Postings()
        self._labels: _Postings[tuple[str, str]] = _Postings()
        self._kinds: _Postings[str] = _Postings()
        self._standings: _Postings[Standing] = _Postings()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[AgentView]:
        """Go through all views, healthiest first."""
        return (entry.view for entry in self._order)

    def get(self, group: str) -> AgentView | None:
        """Look a group up."""
        entry = self._entries.get(group)
        return None if entry is None else entry.view

    def put(self, view: AgentView) -> None:
        """Take a group in, or its new state."""
        entry = self._entries.get(view.group)
        if entry is None:
            self._insert(_Entry(view))
        else:
            self._update(entry, view)

    def remove(self, group: str) -> AgentView | None:
        """Take a group out; return its last view, None if it was not there."""
        entry = self._entries.pop(group, None)
        if entry is None:
            return None
        view = entry.view
        self._instances -= len(view.instances)
        del self._order[bisect_left(self._order, entry)]
        self._capabilities.discard(entry, view.capabilities)
        self._services.discard(entry, view.services)
        self._tags.discard(entry, view.tags)
        self._labels.discard(entry, view.labels.items())
        self._kinds.discard(entry, (view.kind,))
        self._standings.discard(entry, (view.standing,))
        return view

    def find(self, query: AgentQuery) -> list[AgentView]:
        """Find the groups that satisfy the query, healthiest first, then in order of registration."""
        terms = self._terms(query)
        if terms is None:
            return []
        entries: Iterable[_Entry]
        if terms and _size(terms[0]) * _WALK_FROM_SHARE < len(self._order):
            rarest, others = chain.from_iterable(terms[0]), terms[1:]
            entries = sorted(_satisfying(rarest, others), key=_key)
        else:
            entries = _satisfying(self._order, terms)
        floor = query.min_health_score
        if floor is not None:
            limit_key = -floor
            entries = takewhile(lambda entry: entry.key[0] <= limit_key, entries)
        if query.limit is not None:
            entries = islice(entries, max(query.limit, 0))
        return [entry.view for entry in entries]

    def counts(self) -> FleetCounts:
        """Count what is there; the cost follows the number of distinct kinds and standings."""
        return FleetCounts(
            agents=len(self._entries),
            instances=self._instances,
            standings={standing: len(held) for standing, held in self._standings.by_value.items()},
            kinds={kind: len(held) for kind, held in self._kinds.by_value.items()},
            capabilities=len(self._capabilities.by_value),
            services=len(self._services.by_value),
        )

    def _insert(self, entry: _Entry) -> None:
        view = entry.view
        self._entries[view.group] = entry
        self._instances += len(view.instances)
        insort(self._order, entry)
        self._capabilities.add(entry, view.capabilities)
        self._services.add(entry, view.services)
        self._tags.add(entry, view.tags)
        self._labels.add(entry, view.labels.items())
        self._kinds.add(entry, (view.kind,))
        self._standings.add(entry, (view.standing,))

    def _update(self, entry: _Entry, view: AgentView) -> None:
        old = entry.view
        if old.health_score != view.health_score or old.registered_at != view.registered_at:
            # the old key must still be in place while its position is looked up
            del self._order[bisect_left(self._order, entry)]
            entry.key = _order_key(view)
            insort(self._order, entry)
        entry.view = view
        if old.condition is not view.condition or old.presence is not view.presence:
            self._standings.discard(entry, (old.standing,))
            self._standings.add(entry, (view.standing,))
        if old.instances is not view.instances:
            self._instances += len(view.instances) - len(old.instances)
        self._capabilities.move(entry, old.capabilities, view.capabilities)
        self._services.move(entry, old.services, view.services)
        self._tags.move(entry, old.tags, view.tags)
        if old.labels is not view.labels:
            self._labels.move(entry, old.labels.items(), view.labels.items())
        if old.kind != view.kind:
            self._kinds.move(entry, (old.kind,), (view.kind,))

    def _terms(self, query: AgentQuery) -> list[Term] | None:
        """Look up the sets of each part of the query, rarest first; None if one part matches nobody."""
        terms: list[Term] = [self._capabilities.term(value) for value in query.capabilities]
        terms += [self._services.term(value) for value in query.services]
        terms += [self._tags.term(value) for value in query.tags]
        terms += [self._labels.term(pair) for pair in query.labels.items()]
        if query.kind is not None:
            terms.append(self._kinds.term(query.kind))
        if query.standings is not None:
            held = self._standings.by_value
            terms.append(tuple(held[standing] for standing in query.standings if standing in held))
        if not all(terms):
            return None
        everybody = len(self._order)
        # a term that everybody satisfies (status active, mostly) need not be tested one by one
        selective = [term for term in terms if _size(term) < everybody]
        selective.sort(key=_size)
        return selective


_key = attrgetter("key")


def _order_key(view: AgentView) -> OrderKey:
    return -view.health_score, view.registered_at, view.group


def _size(term: Term) -> int:
    return len(term[0]) if len(term) == 1 else sum(map(len, term))


def _satisfying(entries: Iterable[_Entry], terms: list[Term]) -> Iterable[_Entry]:
    for term in terms:
        entries = _in_one_of(entries, term)
    return entries


def _in_one_of(entries: Iterable[_Entry], term: Term) -> Iterator[_Entry]:
    if len(term) == 1:
        return filter(term[0].__contains__, entries)
    return (entry for entry in entries if any(entry in held for held in term))
