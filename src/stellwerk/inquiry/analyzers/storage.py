"""Claims without a volume, and volumes that were lost."""

from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue
from stellwerk.inquiry.analyzers.quoting import event_said, not_there, said
from stellwerk.inquiry.analyzers.starting import lacking, with_seen
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import named, ref_of
from stellwerk.release.conditions import part, status_of
from stellwerk.release.objects import Body

_FAILED = frozenset({"ProvisioningFailed", "FailedBinding", "ExternalProvisioning", "VolumeMismatch"})


def examine(facts: Facts) -> Iterator[Clue]:
    """Find claims that are not bound."""
    for claim in facts.of("PersistentVolumeClaim"):
        phase = status_of(claim).get("phase")
        if phase == "Lost":
            yield Clue(
                "ClaimLost",
                ref_of(claim),
                f"the volume of {ref_of(claim)} does not exist any more",
                (said(claim, "phase Lost"),),
                strength=0.95,
            )
        elif phase == "Pending":
            yield from _pending(facts, claim)


def _pending(facts: Facts, claim: Body) -> Iterator[Clue]:
    events = facts.events(claim)
    failed = [one for one in events if one.get("reason") in _FAILED]
    spec = part(claim, "spec")
    name = spec.get("storageClassName")
    ref = named("StorageClass", "", str(name))
    if name and facts.absent(ref) and (failed or facts.of("StorageClass")):
        quoted = [event_said(one, claim) for one in failed[-1:]] or [said(claim, f"storageClassName {name}")]
        yield Clue(
            "MissingStorageClass",
            ref_of(claim),
            f"{ref} is not there, and {ref_of(claim)} needs it",
            (*quoted, not_there(ref)),
            blames=(ref,),
            facts={"missing": str(name), "kind": "StorageClass"},
            strength=0.93,
        )
        return
    if not failed:
        return
    last, message = failed[-1], str(failed[-1].get("message", ""))
    if clue := lacking(facts, message, claim):
        yield with_seen(clue, event_said(last, claim))
    elif last.get("reason") == "ExternalProvisioning" and name:
        yield Clue(
            "ProvisionerSilent",
            ref_of(claim),
            f"the provisioner of {ref} makes no volume: {message}",
            (event_said(last, claim),),
            blames=(ref,),
            strength=0.8,
        )
    else:
        volume = f" named {spec['volumeName']}" if spec.get("volumeName") else ""
        yield Clue(
            "NoVolumeForClaim",
            ref_of(claim),
            f"there is no volume{volume} for {ref_of(claim)}: {message}",
            (event_said(last, claim),),
            strength=0.9,
        )
