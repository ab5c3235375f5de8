"""Who matches which queue: rosters made when a queue is first asked for, kept while it is in use.

Theory of operation. Every seated holder is filed under its traits. The roster of a queue is drawn from the
shortest file among the traits that the queue asks for, once; afterwards holders that come, go or change are
matched against the rosters in use only, of which there are few: at most ROSTER_LIMIT for forms, and at most
NAMED_LIMIT for the small ones of queues that name a group. The one that was not asked for longest goes.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from stellwerk.work.balancing.candidate import Candidate
from stellwerk.work.balancing.strategy import Roster, Strategy
from stellwerk.work.matching import Attributes, matches
from stellwerk.work.requirements import Form, split_queue_key
from stellwerk.work.task import Holder
from stellwerk.work.traits import EVERYBODY, Trait, traits_asked, traits_of

ROSTER_LIMIT = 64
"""Forms in use at the same time are few; each costs about 200 bytes for every agent that matches it."""
NAMED_LIMIT = 1_024
"""Rosters of named groups have as many members as the group has instances, mostly one."""


class Place:
    """A seated holder: its figures for the balancing, and where it is filed."""

    __slots__ = ("attributes", "candidate", "held", "rosters", "traits")

    def __init__(self, candidate: Candidate, attributes: Attributes) -> None:
        self.candidate = candidate
        self.attributes = attributes
        self.traits = traits_of(attributes, candidate.holder.group)
        self.held: dict[str, int] = {}
        """Fences of its leases by task."""
        self.rosters: set[Roster] = set()
        """The rosters in use that have it."""

    def touch(self) -> None:
        """Let the rosters know that the figures have changed."""
        candidate = self.candidate
        for roster in self.rosters:
            roster.touch(candidate)


@dataclass(frozen=True, slots=True)
class _Filed:
    """A roster in use and what it was drawn for."""

    form: Form
    group: str | None
    roster: Roster


class Rosters:
    """The files and the rosters in use. `form_of` says what a form id asks, None if it is not known (yet)."""

    def __init__(self, strategy: Strategy, form_of: Callable[[str], Form | None]) -> None:
        self.strategy = strategy
        self._form_of = form_of
        self._places: dict[Holder, Place] = {}
        self._files: dict[Trait, dict[Holder, Place]] = {}
        self._forms: OrderedDict[str, _Filed] = OrderedDict()
        self._named: OrderedDict[str, _Filed] = OrderedDict()
        self._named_of: dict[str, dict[str, _Filed]] = {}

    def enter(self, place: Place) -> None:
        """File a holder and let it into the rosters in use that it matches."""
        self.strategy.arrive(place.candidate)
        self._places[place.candidate.holder] = place
        self._file(place)
        self._sort_in(place)

    def leave(self, place: Place) -> None:
        """Forget a holder."""
        self._unfile(place)
        del self._places[place.candidate.holder]
        for roster in place.rosters:
            roster.discard(place.candidate)
        place.rosters.clear()
        self.strategy.leave(place.candidate)

    def change(self, place: Place, attributes: Attributes) -> None:
        """Follow a change of what a holder is."""
        if attributes == place.attributes:
            return
        self._unfile(place)
        place.attributes = attributes
        place.traits = traits_of(attributes, place.candidate.holder.group)
        self._file(place)
        self._sort_in(place)

    def of_queue(self, queue_key: str) -> Roster | None:
        """Return the roster of a queue, drawn if need be; None if nobody matches or the form is unknown."""
        filed = self._forms.get(queue_key) or self._named.get(queue_key)
        if filed is None:
            return self._draw(queue_key)
        (self._forms if filed.group is None else self._named).move_to_end(queue_key)
        return filed.roster

    def cost_of(self, queue_key: str) -> int:
        """Return how many holders `of_queue` would have to look at."""
        if queue_key in self._forms or queue_key in self._named:
            return 0
        return len(self._files.get(self.narrowest(queue_key), ()))

    def narrowest(self, queue_key: str) -> Trait:
        """Return the trait that a queue asks for and fewest have; EVERYBODY if its form is not known."""
        form_id, group = split_queue_key(queue_key)
        form = self._form_of(form_id)
        if form is None:
            return EVERYBODY
        return min(traits_asked(form, group), key=lambda trait: len(self._files.get(trait, ())))

    def knows(self, queue_key: str) -> bool:
        """Tell whether the form of a queue is known."""
        return self._form_of(split_queue_key(queue_key)[0]) is not None

    def suits(self, place: Place, queue_key: str) -> bool:
        """Tell whether a holder matches a queue."""
        form_id, group = split_queue_key(queue_key)
        form = self._form_of(form_id)
        return form is not None and _wants(form, group, place)

    def use(self, strategy: Strategy) -> None:
        """Choose by another strategy from now on; everybody has arrived at it."""
        for place in self._places.values():
            place.rosters.clear()
        self._forms.clear()
        self._named.clear()
        self._named_of.clear()
        self.strategy = strategy

    def get(self, holder: Holder) -> Place | None:
        return self._places.get(holder)

    def everybody(self) -> list[Place]:
        return list(self._places.values())

    def in_use(self) -> int:
        """Return the number of rosters in use."""
        return len(self._forms) + len(self._named)

    def __len__(self) -> int:
        return len(self._places)

    def _draw(self, queue_key: str) -> Roster | None:
        form_id, group = split_queue_key(queue_key)
        form = self._form_of(form_id)
        if form is None:
            return None
        file = self._files.get(self.narrowest(queue_key), {})
        places = [place for place in file.values() if _wants(form, group, place)]
        if not places:
            return None  # Not kept: queues that nobody matches may be many, and would push out those in use.
        roster = self.strategy.roster([place.candidate for place in places])
        for place in places:
            place.rosters.add(roster)
        self._keep(queue_key, _Filed(form, group, roster))
        return roster

    def _keep(self, queue_key: str, filed: _Filed) -> None:
        if filed.group is None:
            self._forms[queue_key] = filed
            if len(self._forms) > ROSTER_LIMIT:
                self._drop(self._forms.popitem(last=False)[1])
            return
        self._named[queue_key] = filed
        self._named_of.setdefault(filed.group, {})[queue_key] = filed
        if len(self._named) > NAMED_LIMIT:
            self._drop_named(*self._named.popitem(last=False))

    def _drop_named(self, queue_key: str, filed: _Filed) -> None:
        self._drop(filed)
        if filed.group is not None:
            of_group = self._named_of[filed.group]
            del of_group[queue_key]
            if not of_group:
                del self._named_of[filed.group]

    def _drop(self, filed: _Filed) -> None:
        for place in self._files.get(traits_asked(filed.form, filed.group)[0], {}).values():
            place.rosters.discard(filed.roster)

    def _file(self, place: Place) -> None:
        for trait in place.traits:
            self._files.setdefault(trait, {})[place.candidate.holder] = place

    def _unfile(self, place: Place) -> None:
        for trait in place.traits:
            file = self._files[trait]
            del file[place.candidate.holder]
            if not file:
                del self._files[trait]

    def _sort_in(self, place: Place) -> None:
        """Match a holder against the rosters in use."""
        named = self._named_of.get(place.candidate.holder.group, {})
        for filed in (*self._forms.values(), *named.values()):
            if _wants(filed.form, filed.group, place):
                if filed.roster not in place.rosters:
                    place.rosters.add(filed.roster)
                    filed.roster.add(place.candidate)
            elif filed.roster in place.rosters:
                place.rosters.discard(filed.roster)
                filed.roster.discard(place.candidate)


def _wants(form: Form, group: str | None, place: Place) -> bool:
    return (group is None or group == place.candidate.holder.group) and matches(form, place.attributes)
