"""Whose an object is: which service of the application that is deployed here."""

from dataclasses import dataclass

from stellwerk.inquiry.keys import key_of
from stellwerk.inquiry.model import ObjectRef
from stellwerk.release.clusters.errors import ClusterError
from stellwerk.release.deploying import Deployer
from stellwerk.release.inventory import InventoryUnreadable
from stellwerk.release.objects import Body
from stellwerk.release.ownership import owner_of
from stellwerk.release.parameters.model import DEFAULT_INSTANCE


@dataclass(frozen=True, slots=True)
class Owned:
    """A service of ours."""

    instance: str
    service: str


async def owner(deployer: Deployer, target: ObjectRef, live: Body | None) -> Owned | None:
    """Return the service that an object belongs to; None if it is not ours.

    One that is there says it by its labels. One that is gone is looked for in the inventory of the default
    instance; what cannot be read counts as not ours.
    """
    if live is not None:
        found = owner_of(live)
        if found is None or found.identity.application != deployer.source.name or not found.service:
            return None
        return Owned(found.identity.instance, found.service)
    try:
        inventory = await deployer.operations.inventory(deployer.identity(DEFAULT_INSTANCE), target.namespace)
    except (ClusterError, InventoryUnreadable):
        return None
    entry = inventory.entries.get(key_of(target))
    return None if entry is None else Owned(DEFAULT_INSTANCE, entry.service)
