"""A group's membership in the fleet as a part of somebody else's unit of work.

Joining the fleet may have to be one transaction with what lets the group join. The units here are used in
that one; `Fleet.take_part` brings memory in line after its commit.
"""

from stellwerk.database.unit import Unit
from stellwerk.fleet import store
from stellwerk.fleet.errors import UnknownAgent
from stellwerk.fleet.joining import check_registration
from stellwerk.fleet.model import Condition, Registration
from stellwerk.trust.principal import Principal


class Membership:
    """What happens to one group in a unit; the last that happened counts, as the unit may be tried again."""

    def __init__(self, group: str, now_us: int) -> None:
        self.group = group
        self.now_us = now_us
        self.joined: store.Joined | None = None
        self.left = False

    def join(self, owner: Principal, registration: Registration) -> Unit[store.Joined]:
        """Register the group. Raises InvalidId, InvalidRegistration, OwnedByAnother."""
        checked = check_registration(registration)
        caller = store.Caller(owner.id, False)
        self.joined = yield from store.register(caller, checked, self.now_us)
        self.left = False
        return self.joined

    def amend(self, owner: Principal, registration: Registration, condition: Condition) -> Unit[store.Joined]:
        """Change what the group registered with and its condition, as nothing that it said itself."""
        checked = check_registration(registration)
        caller = store.Caller(owner.id, False)
        self.joined = yield from store.register(caller, checked, self.now_us, amended=condition)
        self.left = False
        return self.joined

    def leave(self) -> Unit[None]:
        """Remove the group, whoever owns it; nothing happens if it is not there."""
        self.joined, self.left = None, True
        try:
            yield from store.remove(store.Caller("", True), self.group, None, self.now_us)
        except UnknownAgent:
            return
